"""The series of a run as the loop reads them: weather, sea, set-points, heat demand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from kvandal import climate
from kvandal.climate.wet_bulb import station_pressure_pa, wet_bulb_c, wet_bulb_psychrolib_c
from kvandal.physics.heat_demand import LocalHours, asked_mw, local_hours, normal_factor_mw
from kvandal.physics.seawater import sea_temp_at_depth_c
from kvandal.scenario.model import Scenario
from kvandal.twin.account import Inputs
from kvandal.twin.fault_list import HOT_WEEK_INDEX
from kvandal.twin.setpoints import hourly_setpoints
from kvandal.twin.site import month_start_s

Array = Any


def with_hot_weeks(weather: climate.Weather, faults: Array) -> climate.Weather:
    """Add to the air what hot weeks of the fault list ask for; its relative humidity stays as it is."""
    hot = faults[faults["kind"] == HOT_WEEK_INDEX]
    if not len(hot):
        return weather
    temp_c = weather.temp_c.copy()
    for fault in hot:
        first, last = -(-int(fault["start_s"]) // 3600), int(fault["end_s"]) // 3600
        temp_c[first : last + 1] += float(fault["amount"])
    return replace(weather, temp_c=temp_c, wet_bulb_c=None, name=f"{weather.name}, with hot weeks added")


class HeatModel:
    """What each heat customer asks for, at any temperatures and in any hours of a run."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._calendar = local_hours(scenario.run.start_utc, scenario.run.days * 24, scenario.site.time_zone)
        start_utc, self._normal_temp_c = climate.normal_year()
        zone, heat = scenario.site.time_zone, scenario.heat
        self._factors = [
            normal_factor_mw(customer, self._normal_temp_c, start_utc, zone, name, heat)
            for name, customer in heat.customers.items()
        ]

    def demand_kw(self, temp_c: Array, first_hour: int = 0) -> Array:
        """Heat that each customer wants, float64 (hours, customers) [kW].

        Parameters
        ----------
        temp_c : outdoor air in each hour [°C]
        first_hour : hour of the run in which they begin; all lie in it

        """
        scenario, hours = self._scenario, len(temp_c)
        calendar = LocalHours(*(column[first_hour : first_hour + hours] for column in self._calendar))
        demand = np.zeros((hours, len(self._factors)))
        for column, customer in enumerate(scenario.heat.customers.values()):
            demand[:, column] = 1000 * asked_mw(
                customer, self._factors[column], temp_c, calendar, self._normal_temp_c, scenario.heat
            )
            if customer.from_month:
                connected_s = month_start_s(scenario.run.start_utc, customer.from_month)
                demand[: max(0, connected_s // 3600 - first_hour), column] = 0.0
        return demand


def wet_bulb(scenario: Scenario, weather: climate.Weather) -> Array:
    """Wet bulb of the outdoor air at every hour [°C].

    The psychrometric equations are solved for the hours in which wet pads may run; elsewhere nothing depends on the wet
    bulb, and Stull's fit stands in.
    """
    humidity = weather.relative_humidity_pct
    if humidity is None:
        humidity = np.full(weather.temp_c.shape, float(scenario.climate.relative_humidity_pct))
    wet_c = wet_bulb_c(weather.temp_c, humidity) if weather.wet_bulb_c is None else weather.wet_bulb_c.copy()
    warm = weather.temp_c > scenario.cooling.adiabatic_on_c - 2.0
    if scenario.climate.wet_bulb_model == "psychrometric" and warm.any():
        pressure_pa = station_pressure_pa(scenario.site.elevation_m)
        wet_c[warm] = wet_bulb_psychrolib_c(weather.temp_c[warm], humidity[warm], pressure_pa)
    return wet_c


def sea_c(scenario: Scenario) -> Array:
    """Sea at the intake at every hour of the run [°C]."""
    cooling, run = scenario.cooling, scenario.run
    first_day = run.start_utc.timetuple().tm_yday + run.start_utc.hour / 24
    days = [first_day + hour / 24 for hour in range(run.days * 24 + 1)]
    wave = [sea_temp_at_depth_c(day, 0.0, 1.0, cooling.seawater_lag_days) for day in days]
    return cooling.seawater_c + cooling.seawater_amplitude_k * np.array(wave)


def gather_inputs(scenario: Scenario, weather: climate.Weather) -> Inputs:
    """Series of a run from its scenario and its weather."""
    tcs_supply_c, hall_air_c = hourly_setpoints(scenario)
    return Inputs(
        ambient_c=weather.temp_c,
        wet_bulb_c=np.asarray(wet_bulb(scenario, weather)),
        sea_c=sea_c(scenario)
        if scenario.cooling.heat_rejection == "seawater"
        else np.zeros(len(weather.temp_c)),
        tcs_supply_c=tcs_supply_c,
        hall_air_c=hall_air_c,
        heat_demand_kw=HeatModel(scenario).demand_kw(weather.temp_c[:-1]),
        plan=np.tile([np.nan, 1.0], (scenario.run.days * 24, 1)),
    )
