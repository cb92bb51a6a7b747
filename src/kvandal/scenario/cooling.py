"""The water and the air as asked for: technology loop, facility water, heat rejection, fan walls."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from kvandal.scenario.base import Part
from kvandal.scenario.parameters import parameter
from kvandal.scenario.setpoints import SetPoint


class Cooling(Part):
    """The closed loops: cold plates, CDUs, facility water, dry coolers or fjord; fan walls for the rest."""

    heat_rejection: Literal["dry_cooler", "seawater"] = "dry_cooler"
    """Where the heat that nobody buys goes."""
    dry_cooler_model: Literal["effectiveness", "temperature_difference"] = "effectiveness"
    """Cross-flow exchanger with the air's own heat capacity, or heat proportional to water less ambient."""
    pump_model: Literal["system_curve", "affinity"] = "system_curve"
    """Pumps against a differential-pressure floor, or by the affinity laws alone."""
    exchanger_model: Literal["two_sided", "one_sided"] = "two_sided"
    """Conductance of the CDU over the flow of both sides, or of the technology side alone."""
    tcs_supply_c: float = parameter("cooling.tcs_supply_c", ge=5, le=60)
    tcs_delta_t_k: float = parameter("cooling.tcs_delta_t_k", gt=1, le=40)
    fws_delta_t_k: float = parameter("cooling.fws_delta_t_k", gt=1, le=40)
    setpoints: Annotated[tuple[SetPoint, ...], Field(strict=False)] = ()
    """Set-points by month and hour; later ones override earlier ones."""
    dew_point_margin_k: float = parameter("cooling.dew_point_margin_k", ge=0, le=20)
    cdu_approach_k: float = parameter("cooling.cdu_approach_k", gt=0, le=30)
    cdu_capacity_mw: float = parameter("cooling.cdu_capacity_mw", gt=0, le=100)
    cdus_per_pod: Annotated[int, Field(ge=1, le=100)] = 5
    """Duty CDUs that feed one manifold."""
    spare_cdus_per_pod: Annotated[int, Field(ge=0, le=100)] = 1
    """CDUs beyond the duty ones (N+1); all of them run."""
    cdu_pump_out_fraction: float = parameter("cooling.cdu_pump_out_fraction", ge=0, le=1)
    cdu_pump_w_per_kw: float = parameter("cooling.cdu_pump_w_per_kw", ge=0, le=200)
    fws_pump_w_per_kw: float = parameter("cooling.fws_pump_w_per_kw", ge=0, le=200)
    pump_pressure_floor_fraction: float = parameter("cooling.pump_pressure_floor", ge=0, le=1)
    minimum_flow_fraction: float = parameter("cooling.minimum_flow_fraction", gt=0, le=1)
    fouling_k_per_mw: float = parameter("cooling.fouling_k_per_mw", ge=0, le=100)
    tcs_time_s: float = parameter("cooling.tcs_time_s", ge=0, le=86_400)
    fws_time_s: float = parameter("cooling.fws_time_s", ge=0, le=86_400)
    flow_coast_s: float = parameter("cooling.flow_coast_s", ge=0, le=3600)
    natural_flow_fraction: float = parameter("cooling.natural_flow_fraction", ge=0, lt=1)
    tcs_supply_maximum_c: float = parameter("cooling.tcs_supply_maximum_c", ge=6, le=90)
    drycooler_approach_k: float = parameter("cooling.drycooler_approach_k", gt=0, le=40)
    drycooler_air_rise_k: float = parameter("cooling.drycooler_air_rise_k", gt=0, le=40)
    drycooler_fan_kw_per_mw: float = parameter("cooling.drycooler_fan_kw_per_mw", ge=0, le=300)
    minimum_airflow_fraction: float = parameter("cooling.minimum_airflow_fraction", ge=0, le=1)
    banks_per_hall: Annotated[int, Field(ge=1, le=1000)] = 10
    """Dry-cooler banks that a hall needs on its design day."""
    spare_banks_per_hall: Annotated[int, Field(ge=0, le=1000)] = 1
    """Banks beyond those (N+1); all of them run."""
    adiabatic_on_c: float = parameter("cooling.adiabatic_on_c", ge=-50, le=60)
    adiabatic_effectiveness: float = parameter("cooling.adiabatic_effectiveness", ge=0, le=1)
    adiabatic_water_l_per_kwh: float = parameter("cooling.adiabatic_water_l_per_kwh", ge=0, le=10)
    seawater_c: float = parameter("cooling.seawater_depth_c", ge=-2, le=40)
    seawater_amplitude_k: float = parameter("cooling.seawater_amplitude_k", ge=0, le=20)
    seawater_lag_days: float = parameter("cooling.seawater_lag_days", ge=0, le=366)
    seawater_rise_k: float = parameter("cooling.seawater_rise_k", gt=0, le=40)
    seawater_approach_k: float = parameter("cooling.seawater_approach_k", gt=0, le=40)
    seawater_pump_w_per_kw: float = parameter("cooling.seawater_pump_w_per_kw", ge=0, le=200)
    air_fan_w_per_kw: float = parameter("cooling.air_fan_w_per_kw", ge=0, le=500)
    hall_air_c: float = parameter("cooling.hall_air_c", ge=5, le=45)
    hall_air_maximum_c: float = parameter("cooling.hall_air_maximum_c", ge=10, le=60)
    fan_wall_air_rise_k: float = parameter("cooling.fan_wall_air_rise_k", gt=0, le=40)
    fan_wall_approach_k: float = parameter("cooling.fan_wall_approach_k", gt=0, le=40)
    air_loop_approach_k: float = parameter("cooling.air_loop_approach_k", gt=0, le=40)

    @model_validator(mode="after")
    def _holds_together(self) -> Cooling:
        highest_c = max(
            [self.tcs_supply_c, *(s.tcs_supply_c for s in self.setpoints if s.tcs_supply_c is not None)]
        )
        if highest_c >= self.tcs_supply_maximum_c:
            raise ValueError(
                f"tcs_supply_c ({highest_c:g}) must lie below tcs_supply_maximum_c ({self.tcs_supply_maximum_c:g}), "
                f"the supply above which racks must draw less; nearest possible value {self.tcs_supply_maximum_c - 0.5:g}"
            )
        highest_c = max(
            [self.hall_air_c, *(s.hall_air_c for s in self.setpoints if s.hall_air_c is not None)]
        )
        if highest_c >= self.hall_air_maximum_c:
            raise ValueError(
                f"hall_air_c ({highest_c:g}) must lie below hall_air_maximum_c ({self.hall_air_maximum_c:g}); nearest "
                f"possible value {self.hall_air_maximum_c - 0.5:g}"
            )
        return self
