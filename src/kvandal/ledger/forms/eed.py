"""Data points and indicators of Commission Delegated Regulation (EU) 2024/1364, annexes I to III."""

from __future__ import annotations

import polars as pl

from kvandal.ledger.forms.lines import HAND_OVER, METER, RACKS, Line, Source, given, missing
from kvandal.twin.site import build_site

IDENTITY, DATA, INDICATORS = "Annex I: identity", "Annex II: data points", "Annex III: indicators"
DEGREE_DAY_LIMIT_C, DEGREE_DAY_BASE_C = 24.0, 21.0


def cooling_degree_days(daily_mean_c: pl.Series) -> float:
    """Cooling degree days as Eurostat counts them: mean less 21 °C on days whose mean is 24 °C or more.

    >>> cooling_degree_days(pl.Series([20.0, 24.0, 23.9, 30.0]))
    12.0
    """
    return float((daily_mean_c - DEGREE_DAY_BASE_C).filter(daily_mean_c >= DEGREE_DAY_LIMIT_C).sum())


def eed_lines(source: Source) -> list[Line]:
    """All lines of the report, in the order of the annexes."""
    return [*_identity(source), *_energy(source), *_rest(source), *_indicators(source)]


def _identity(source: Source) -> list[Line]:
    known, site = source.scenario.registration, source.scenario.site
    start = known.commissioned_utc.date().isoformat() if known.commissioned_utc else None
    return [
        given(IDENTITY, "name", "Name of the data centre", site.title),
        given(IDENTITY, "operator", "Owner and operator", known.operator),
        given(IDENTITY, "contact", "Contact", known.contact),
        given(IDENTITY, "location", "Location", known.address),
        given(IDENTITY, "start", "Date of entry into operation", start),
        given(IDENTITY, "type", "Type: enterprise, colocation or co-hosting", known.centre_type),
        given(IDENTITY, "redundancy", "Redundancy of the infrastructure", known.redundancy),
    ]


def _energy(source: Source) -> list[Line]:
    scenario, summary = source.scenario, source.summary
    arrays = build_site(scenario)
    it_kw = float((arrays.tdp_kw[arrays.model] + arrays.net_kw).sum())
    site = source.tables["site"]
    heat = site["heat_export_mw"]
    exported = float(heat.sum())
    weighted = float((site["fws_return_c"] * heat).sum()) / exported if exported > 0 else None
    daily = site.group_by_dynamic("time_utc", every="1d").agg(pl.col("ambient_c").mean())["ambient_c"]
    products = ", ".join(scenario.supply.reserves) or "none"
    simulated = "simulated"
    return [
        Line(DATA, "PD_IT", "Installed IT power demand", it_kw, "kW", "derived", RACKS, "sum of rack TDP and network of all racks"),
        given(DATA, "S_DC", "Floor area of the data centre", scenario.registration.floor_area_m2, "m²"),
        given(DATA, "S_CR", "Floor area of the computer rooms", scenario.registration.computer_room_area_m2, "m²"),
        Line(DATA, "E_DC", "Total energy consumption", summary["site_energy_mwh"] * 1000, "kWh", simulated, METER, "sum of site_power_mw over all ticks, generators included"),
        Line(DATA, "E_DC-BG", "Of it from back-up generators", source.total_mwh("generator_mwh") * 1000, "kWh", simulated, "generator busbar", "test runs"),
        Line(DATA, "E_IT", "Energy of IT equipment", summary["it_energy_mwh"] * 1000, "kWh", simulated, RACKS, "sum of it_power_mw over all ticks"),
        Line(DATA, "grid", "Grid functions provided", products, "", "given", METER, "reserves that the scenario sells"),
        Line(DATA, "C_BtG", "Mean battery capacity offered to the grid", scenario.power.bess_energy_mwh * 1000 if scenario.supply.reserves else 0.0, "kWh", "given", "battery", "capacity of the battery where reserves are sold"),
        Line(DATA, "E_REUSE", "Reused waste heat", summary["heat_exported_mwh"] * 1000, "kWh", simulated, HAND_OVER, "heat taken from the loop, before heat pumps"),
        Line(DATA, "T_WH", "Mean temperature of the waste heat", weighted, "°C", simulated if weighted is not None else "missing", "return of the facility water", "weighted by heat exported; missing if none was"),
        Line(DATA, "T_IN", "Mean set-point of intake air of IT", float(scenario.cooling.hall_air_c), "°C", "given", "hall air", "cooling.hall_air_c; liquid supply is cooling.tcs_supply_c"),
        Line(DATA, "CDD", "Cooling degree days", cooling_degree_days(daily), "K·d", simulated, "outdoor air", "Eurostat: 24 °C and 21 °C, daily means"),
    ]  # fmt: skip


def _rest(source: Source) -> list[Line]:
    known = source.scenario.registration
    site, ppa, goo, own = (
        source.tables["site"],
        *(source.total_mwh(name) * 1000 for name in ("ppa_clean_mwh", "goo_mwh", "generator_mwh")),
    )
    water_m3 = float(site["water_l"].sum()) / 1000
    potable = None if known.potable_water_fraction is None else known.potable_water_fraction * water_m3
    not_defined = "no agreed metric for GPU servers is simulated"
    traffic = "data traffic is not simulated"
    return [
        Line(DATA, "W_IN", "Total water input", water_m3, "m³", "simulated", "make-up water of the pads", "sum of water_l"),
        Line(DATA, "W_IN-POT", "Of it drinking water", potable, "m³", "derived" if potable is not None else "missing", "make-up water", "registration.potable_water_fraction"),
        given(DATA, "refrigerants", "Types of refrigerants", known.refrigerants),
        Line(DATA, "E_RES-TOT", "Renewable energy", ppa + goo + own, "kWh", "simulated", METER, "sum of the next three"),
        Line(DATA, "E_RES-GOO", "Of it by guarantees of origin cancelled", goo, "kWh", "simulated", "registry", "goo_mwh"),
        Line(DATA, "E_RES-PPA", "Of it by power purchase agreements", ppa, "kWh", "simulated", METER, "ppa_clean_mwh: delivered, used, with guarantees"),
        Line(DATA, "E_RES-OS", "Of it produced on site", own, "kWh", "simulated", "generator busbar", "generators on HVO"),
        missing(DATA, "C_SERV", "ICT capacity of servers", "", not_defined),
        missing(DATA, "C_STOR", "ICT capacity of storage", "PB", "storage is a constant power per GPU, its capacity is not known"),
        missing(DATA, "B_IN, B_OUT", "Bandwidth, in and out", "GB/s", traffic),
        missing(DATA, "T_IN, T_OUT", "Data traffic, in and out", "EB", traffic),
    ]  # fmt: skip


def _indicators(source: Source) -> list[Line]:
    summary = source.summary
    rows = (
        ("PUE", "Power usage effectiveness", "pue", "1", "E_DC / E_IT"),
        ("WUE", "Water usage effectiveness", "wue_l_per_kwh", "L/kWh", "W_IN / E_IT"),
        ("ERF", "Energy reuse factor", "erf", "1", "E_REUSE / E_DC"),
        ("REF", "Renewable energy factor", "ref", "1", "E_RES-TOT / E_DC"),
    )
    return [
        Line(
            INDICATORS,
            code,
            name,
            summary[key],
            unit,
            "derived" if summary[key] is not None else "missing",
            METER,
            how,
        )
        for code, name, key, unit, how in rows
    ]
