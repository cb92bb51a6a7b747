"""Power chain, cooling, climate, heat customers and reliability as asked for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from kvandal.scenario.base import Part
from kvandal.scenario.parameters import parameter


class Network(Part):
    """Scale-out network, storage and management: nearly independent of load."""

    net_storage_kw_per_gpu: float = parameter("net.net_storage_kw_per_gpu", ge=0, le=5)


class Power(Part):
    """From the grid connection to the rack."""

    ups_mode: Literal["double", "eco", "none"] = "eco"
    """UPS operation: double conversion, eco, or none."""
    eta_hv_transformer: float = parameter("power.eta_hv_transformer", gt=0.5, le=1)
    eta_mv_transformer: float = parameter("power.eta_mv_transformer", gt=0.5, le=1)
    eta_ups_double: float = parameter("power.eta_ups_double", gt=0.5, le=1)
    eta_ups_eco: float = parameter("power.eta_ups_eco", gt=0.5, le=1)
    eta_busway: float = parameter("power.eta_busway", gt=0.5, le=1)
    misc_fraction: float = parameter("power.misc_fraction", ge=0, le=0.5)
    site_cap_margin_fraction: float = parameter("power.site_cap_margin", ge=0, lt=1)


class Cooling(Part):
    """The closed loops: cold plates, CDU, facility water, dry coolers; fan walls for the rest."""

    tcs_supply_c: float = parameter("cooling.tcs_supply_c", ge=5, le=60)
    tcs_delta_t_k: float = parameter("cooling.tcs_delta_t_k", gt=1, le=40)
    cdu_approach_k: float = parameter("cooling.cdu_approach_k", gt=0, le=30)
    cdu_pump_w_per_kw: float = parameter("cooling.cdu_pump_w_per_kw", ge=0, le=200)
    fws_pump_w_per_kw: float = parameter("cooling.fws_pump_w_per_kw", ge=0, le=200)
    drycooler_approach_k: float = parameter("cooling.drycooler_approach_k", gt=0, le=40)
    drycooler_fan_kw_per_mw: float = parameter("cooling.drycooler_fan_kw_per_mw", ge=0, le=300)
    adiabatic_on_c: float = parameter("cooling.adiabatic_on_c", ge=-50, le=60)
    adiabatic_effectiveness: float = parameter("cooling.adiabatic_effectiveness", ge=0, le=1)
    adiabatic_water_l_per_kwh: float = parameter("cooling.adiabatic_water_l_per_kwh", ge=0, le=10)
    air_fan_w_per_kw: float = parameter("cooling.air_fan_w_per_kw", ge=0, le=500)
    air_approach_k: float = parameter("cooling.air_approach_k", gt=0, le=40)
    hall_air_c: float = parameter("cooling.hall_air_c", ge=5, le=45)
    minimum_flow_fraction: float = parameter("cooling.minimum_flow_fraction", gt=0, le=1)
    minimum_airflow_fraction: float = parameter("cooling.minimum_airflow_fraction", ge=0, le=1)
    loop_heat_capacity_mwh_per_k: float = parameter("cooling.loop_heat_capacity_mwh_per_k", ge=0, le=100)


class Climate(Part):
    """Weather that drives cooling and heat demand."""

    weather: str = "tromso-2021-era5"
    """A series shipped with the product, or a path to an EPW, CSV or Parquet file (relative to the scenario file)."""
    shift_to: Literal["none", "narvik"] = "narvik"
    """Shift each month's mean to the monthly normals of a place; the name in reports says so."""
    relative_humidity_pct: float = parameter("climate.relative_humidity_pct", ge=0, le=100)
    at_end: Literal["refuse", "repeat"] = "repeat"
    """What to do when the run is longer than the series: refuse it, or repeat by calendar."""


class HeatCustomer(Part):
    """Somebody who buys heat."""

    kind: Literal["district_heating", "fish_farm", "greenhouse", "drying", "flat"]
    """Demand profile over weather and calendar."""
    peak_mw: Annotated[float, Field(gt=0, le=10_000)]
    """Connected power [MW thermal]: demand never exceeds it."""
    annual_gwh: Annotated[float, Field(gt=0, le=100_000)]
    """Demand of a normal year [GWh thermal]; the profile is scaled to it."""
    supply_c: Annotated[float, Field(ge=0, le=120)]
    """Temperature that the customer needs [°C]; above what the loop gives, a heat pump lifts it."""
    return_c: Annotated[float, Field(ge=-10, le=110)]
    """Temperature at which the customer's water comes back [°C]."""
    price_eur_per_mwh: Annotated[float, Field(ge=0, le=1000)] = 8.0
    """Price of the heat at the hand-over [EUR/MWh]."""
    from_month: Annotated[int, Field(ge=0, le=600)] = 0
    """Whole months after the start of the run when the customer connects."""

    @model_validator(mode="after")
    def _holds_together(self) -> HeatCustomer:
        if self.return_c >= self.supply_c:
            raise ValueError(f"return_c ({self.return_c:g}) must lie below supply_c ({self.supply_c:g})")
        if self.annual_gwh * 1000 > self.peak_mw * 8760:
            raise ValueError(
                f"{self.annual_gwh:g} GWh a year need at least {self.annual_gwh * 1000 / 8760:.2f} MW, "
                f"but peak_mw is {self.peak_mw:g}"
            )
        return self


class Heat(Part):
    """Heat export."""

    lorenz_efficiency: float = parameter("heat.hp_lorenz_eff", gt=0, le=1)
    cop_maximum: float = parameter("heat.hp_cop_max", gt=1, le=30)
    customers: dict[str, HeatCustomer] = Field(default_factory=dict)
    """Customers by name; served in this order when heat is short."""


class Reliability(Part):
    """Failures and repairs at published rates."""

    failures: bool = True
    """Switch failures off for a run without them."""
    gpu_h_per_interruption: float = parameter("reliab.gpu_h_per_interruption", gt=0)
    checkpoint_s: float = parameter("reliab.checkpoint_s", ge=0, le=86_400)
    restart_s: float = parameter("reliab.restart_s", ge=0, le=864_000)
    tray_repair_h: float = parameter("reliab.tray_repair_h", gt=0, le=100_000)
