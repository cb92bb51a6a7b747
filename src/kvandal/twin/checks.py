"""Set-points that the weather makes impossible: refused before the run, with the reason and the nearest possible value."""

from __future__ import annotations

import math
from datetime import timedelta

import numpy as np
import numpy.typing as npt

from kvandal.climate import Weather
from kvandal.climate.wet_bulb import dew_point_c
from kvandal.errors import ScenarioError
from kvandal.scenario.model import Scenario
from kvandal.scenario.setpoints import SetPoint
from kvandal.twin.setpoints import Name, governing_entries, hourly_setpoints

Float64 = npt.NDArray[np.float64]


def refuse_condensing(scenario: Scenario, weather: Weather) -> None:
    """Refuse set-points that would let the air of the halls condense on pipes or coils.

    Halls are not humidified, so their dew point is that of the outdoor air. In each hour the coolant of the racks must be
    set to the dew point plus ``cooling.dew_point_margin_k`` at least, and so must be the water of the fan walls: their
    set-point less ``fan_wall_approach_k``, or what the air outside leaves of it (water is never colder than ambient plus
    ``air_loop_approach_k`` behind dry coolers).

    Parameters
    ----------
    scenario
        What is asked.
    weather
        The weather of the run; without humidity, ``climate.relative_humidity_pct`` is assumed.

    Raises
    ------
    ScenarioError
        With the hour, the dew point and the nearest possible set-point.

    """
    cooling = scenario.cooling
    coolant_c, hall_air_c = hourly_setpoints(scenario)
    water_c = hall_air_c - cooling.fan_wall_approach_k
    air_c = np.maximum(weather.temp_c[:-1], weather.temp_c[1:])
    if cooling.heat_rejection == "dry_cooler":
        water_c = np.maximum(water_c, air_c + cooling.air_loop_approach_k)
    margin_k = cooling.dew_point_margin_k
    if (np.minimum(coolant_c, water_c) >= air_c + margin_k).all():  # no air is wetter than saturated
        return
    dew_c = dew_point_c(weather.temp_c, _humidity_pct(scenario, weather))
    _refuse(scenario, weather, dew_c, "tcs_supply_c", coolant_c, 0.0)
    _refuse(scenario, weather, dew_c, "hall_air_c", water_c, cooling.fan_wall_approach_k)


def _humidity_pct(scenario: Scenario, weather: Weather) -> Float64:
    if weather.relative_humidity_pct is not None:
        return weather.relative_humidity_pct
    return np.full(weather.temp_c.shape, float(scenario.climate.relative_humidity_pct))


def _refuse(
    scenario: Scenario, weather: Weather, dew_c: Float64, name: Name, water_c: Float64, approach_k: float
) -> None:
    """Refuse the set-point `name` if its water, `approach_k` below it, would let air condense in some hour."""
    margin_k = scenario.cooling.dew_point_margin_k
    least_c = np.maximum(dew_c[:-1], dew_c[1:]) + margin_k  # weather is linear within an hour
    short_k = least_c - water_c
    worst = int(np.argmax(short_k))
    if short_k[worst] <= 0:
        return
    governing = governing_entries(scenario, name)
    entry = int(governing[worst])
    part = scenario.cooling if entry < 0 else scenario.cooling.setpoints[entry]
    key = f"cooling.{name}" if entry < 0 else f"cooling.setpoints[{entry}].{name}"
    colliding = (governing == entry) & (short_k > 0)
    nearest_c = math.ceil(10 * float(least_c[colliding].max() + approach_k) - 1e-9) / 10
    highest_c = _highest_allowed_c(name)
    remedy = (
        f"nearest possible value {nearest_c:g}"
        if nearest_c <= highest_c
        else f"no value up to {highest_c:g} is enough in this weather"
    )
    wet = worst + int(dew_c[worst + 1] > dew_c[worst])
    assumed = " (assumed)" if weather.relative_humidity_pct is None else ""
    hour_utc = scenario.run.start_utc + timedelta(hours=worst)
    gives = "" if name == "tcs_supply_c" else f" gives water of {water_c[worst]:.1f} °C and"
    raise ScenarioError(
        f"{getattr(part, name):g} °C{gives} lies below the dew point of the halls plus a margin of {margin_k:g} K: in the hour "
        f"of {hour_utc:%Y-%m-%d %H:%M} UTC air of {weather.temp_c[wet]:.1f} °C and "
        f"{_humidity_pct(scenario, weather)[wet]:.0f} % humidity{assumed} condenses at "
        f"{dew_c[wet]:.1f} °C; {remedy}",
        key=key,
    )


def _highest_allowed_c(name: Name) -> float:
    """Hard limit of a set-point [°C]."""
    for rule in SetPoint.model_fields[name].metadata:
        if hasattr(rule, "le"):
            return float(rule.le)
    raise AssertionError(name)  # pragma: no cover
