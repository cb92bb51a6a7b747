"""Warnings: values outside their plausible range, and keys that have no effect where they stand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import BaseModel

from kvandal.scenario.base import model_in
from kvandal.scenario.grants import idle_grants, unusable_grants
from kvandal.scenario.model import Scenario
from kvandal.scenario.parameters import Parameter, parameters
from kvandal.scenario.site import default_rack_models
from kvandal.scenario.tree import limits_of

_ONLY_FOR = {
    ("frontier",): ("sizes_gpus", "median_duration_h", "sigma_log_duration"),
    ("diurnal",): ("replica_gpus", "diurnal_amplitude_fraction", "peak_hour_local", "weekend_fraction"),
    ("philly", "lingjun", "file"): ("size_multiplier",),
}
"""Keys of a class of demand that only some sources read."""
_HEAT_ONLY_FOR: dict[str, dict[str, tuple[str, ...]]] = {
    "district_heating_model": {
        "signature": ("signature_limit_c", "signature_hot_water_share", "signature_working_factor"),
        "degree_hours": ("degree_hours_limit_c", "degree_hours_hot_water_share"),
    },
    "heat_pump_model": {"lorenz": ("lorenz_efficiency",), "carnot": ("carnot_efficiency",)},
}
"""Keys of heat export that only one model reads, by the key that chooses the model."""


@dataclass(frozen=True, slots=True)
class RangeWarning:
    """A value outside the plausible range of its parameter."""

    key: str
    value: float
    minimum: float
    maximum: float
    unit: str
    reference: str

    def __str__(self) -> str:
        """Return one line for a person."""
        unit = "" if self.unit == "1" else f" {self.unit}"
        return (
            f"{self.key} = {self.value:g}{unit} lies outside the plausible range "
            f"{self.minimum:g} to {self.maximum:g}{unit} ({self.reference})"
        )


def warnings_of(scenario: Scenario) -> list[str]:
    """All warnings about a scenario, each one line for a person."""
    return (
        [str(warning) for warning in range_warnings(scenario)]
        + idle_keys(scenario)
        + grant_warnings(scenario)
    )


def range_warnings(scenario: Scenario) -> list[RangeWarning]:
    """List the values that leave the plausible range of their parameter, in order of the scenario."""
    return [
        RangeWarning(key, number, entry.minimum, entry.maximum, entry.unit, entry.reference)
        for key, number, entry in _tied_values(scenario, "")
        if not entry.minimum <= number <= entry.maximum and number != entry.value
    ]


def idle_keys(scenario: Scenario) -> list[str]:
    """List the keys that were given but change nothing, and why."""
    found = []
    for name, demand in scenario.demand.items():
        for sources, keys in _ONLY_FOR.items():
            if demand.source not in sources:
                found += [
                    f"demand.{name}.{key} has no effect with source = {demand.source!r}"
                    for key in keys
                    if key in demand.model_fields_set and getattr(demand, key) != _default(demand, key)
                ]
        if not demand.checkpoint and demand.checkpoint_s is not None:
            found.append(f"demand.{name}.checkpoint_s has no effect with checkpoint = false")
    heat = scenario.heat
    found += [
        f"heat.{key} has no effect with {choice} = {getattr(heat, choice)!r}"
        for choice, by_model in _HEAT_ONLY_FOR.items()
        for model, keys in by_model.items()
        for key in keys
        if model != getattr(heat, choice)
        and key in heat.model_fields_set
        and getattr(heat, key) != _default(heat, key)
    ]
    reliability = scenario.reliability
    found += [
        f"reliability.{key} has no effect with {other}"
        for key, other, idle in (
            ("spare_restart_s", "policy.spare_trays_per_rack = 0", scenario.policy.spare_trays_per_rack == 0),
            ("lemon_window_days", "lemon_failures = 0", reliability.lemon_failures == 0),
            ("tray_replacement_days", "lemon_failures = 0", reliability.lemon_failures == 0),
        )
        if idle
        and key in reliability.model_fields_set
        and getattr(reliability, key) != _default(reliability, key)
    ]
    market = scenario.market
    generated = market.prices == "synthetic-no4"
    if generated and "at_end" in market.model_fields_set and market.at_end != _default(market, "at_end"):
        found.append("market.at_end has no effect: generated prices last as long as the run")
    if not generated and "spot_mean_eur_per_mwh" in market.model_fields_set:
        found.append("market.spot_mean_eur_per_mwh has no effect: prices come from a file")
    used = {block.model for block in scenario.site.fleet.values()}
    known = default_rack_models()
    found += [
        f"rack_models.{name} has no effect: no block of site.fleet has this model"
        for name, model in scenario.rack_models.items()
        if model != known[name] and name not in used
    ]
    return found


def grant_warnings(scenario: Scenario) -> list[str]:
    """List grants, and keys of them, that change nothing or hold more than can be used."""
    run, zone, installed = scenario.run, scenario.site.time_zone, scenario.site.racks * 72
    ceilings_gpus = {
        name: limits.ceiling.of(installed) for name, limits in limits_of(scenario.tenants, {}).items()
    }
    return [
        *idle_grants(scenario.grants, scenario.demand, run.start_utc, run.days, zone),
        *unusable_grants(scenario.grants, ceilings_gpus, run.start_utc, run.days, zone),
    ]


def _default(part: BaseModel, key: str) -> object:
    return type(part).model_fields[key].default


def _tied_values(part: BaseModel, prefix: str) -> Iterator[tuple[str, float, Parameter]]:
    registry = parameters()
    own_rack_model = prefix.startswith("rack_models.") and not prefix.startswith("rack_models.gb300")
    for name, field in type(part).model_fields.items():
        key, content = f"{prefix}{name}", getattr(part, name)
        if content is None:
            continue
        extra = field.json_schema_extra
        if isinstance(extra, dict) and "parameter" in extra:
            if not own_rack_model:  # the registry's rack ranges speak of the GB300
                yield key, float(content), registry[str(extra["parameter"])]
        elif isinstance(content, BaseModel):
            yield from _tied_values(content, f"{key}.")
        elif isinstance(content, tuple):
            for index, entry in enumerate(content):
                if isinstance(entry, BaseModel):
                    yield from _tied_values(entry, f"{key}[{index}].")
        elif isinstance(content, dict):
            for entry_name, entry in content.items():
                if isinstance(entry, BaseModel):
                    yield from _tied_values(entry, f"{key}.{entry_name}.")


READ_BY_NAME = frozenset(
    {
        "access.minimum_run_s",
        "access.recall_s",
        "econ.direct_fte_per_mw",
        "econ.job_multiplier",
        "econ.nok_per_usd",
        "econ.price_list",
        "econ.wacc",
        "grid.afrr_fat_s",
        "grid.ffr_freq_hz",
        "grid.ffr_time_s",
        "grid.mfrr_fat_s",
        "heat_cba.alternative_eur_per_mwh",
        "heat_cba.alternative_g_per_kwh",
        "heat_cba.exchanger_eur_per_kw",
        "heat_cba.pipe_eur_per_m",
        "heat_cba.pump_eur_per_kw",
        "heat_cba.social_rate",
        "heat_cba.upkeep_fraction",
        "heat_cba.years",
        "office.appeal_days",
        "office.close_days",
        "office.de_minimis_eur",
        "office.de_minimis_years",
        "office.fast_lane_days",
        "office.fast_lane_gpu_h",
        "office.fast_lane_months",
        "office.grand_challenge_gpu_h",
        "office.grand_challenge_months",
        "office.grand_challenge_reviews",
        "office.innovator_gpu_h",
        "office.innovator_months",
        "office.innovator_panels_per_year",
        "office.innovator_reviews",
        "office.look_days",
        "office.look_hours",
        "office.lose_after",
        "office.lose_below",
        "office.lose_return",
        "office.playground_days",
        "office.playground_gpu_h",
        "office.playground_months",
        "office.remind_days",
        "office.report_days",
        "office.reserve_days",
        "office.reserve_gpu_h",
        "office.reserve_months",
        "office.reserve_share",
        "office.sme_staff",
        "office.sme_turnover_meur",
        "regional.construction_fte_years_per_bn_nok",
        "regional.older_fte_per_mw",
        "regional.value_added_meur_per_fte",
        "supply.afrr_price",
        "supply.fcr_d_price",
        "supply.ffr_price",
        "supply.mfrr_price",
        "supply.wind_hub_mean_m_s",
        "supply.wind_losses",
        "climate.t_mean_annual_c",
        "cooling.pue_design_day",
        "gpu.gb200_tdp_w",
        "gpu.rubin_rth",
        "gpu.rubin_tdp_w",
        "rack.gb200_peak_kw",
        "rack.gb200_rack_kw",
        "rack.rubin_idle_kw",
        "rack.rubin_peak_kw",
        "rack.rubin_rack_kw",
        "rack.tray_cpu_cores",
        "rack.tray_memory_mb",
        "workload.rack_load_infer",
        "workload.rack_load_train",
    }
)
"""Parameters that are read by name rather than as the default of a scenario's key."""


def keys_in_use() -> frozenset[str]:
    """Parameters that the product reads today; the others are known but wait for the model that needs them."""
    tied: set[str] = set()
    waiting: list[type[BaseModel]] = [Scenario]
    seen: set[type[BaseModel]] = set()
    while waiting:
        part = waiting.pop()
        if part in seen:
            continue
        seen.add(part)
        for field in part.model_fields.values():
            if isinstance(field.json_schema_extra, dict) and "parameter" in field.json_schema_extra:
                tied.add(str(field.json_schema_extra["parameter"]))
            below = model_in(field.annotation)
            if below is not None:
                waiting.append(below)
    return frozenset(tied) | READ_BY_NAME
