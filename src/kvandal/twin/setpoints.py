"""Set-points of every hour of a run, from the plain ones and the schedule."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from kvandal.physics.heat_demand import local_hours
from kvandal.scenario.model import Scenario
from kvandal.scenario.setpoints import SetPoint

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Name = Literal["tcs_supply_c", "hall_air_c"]


def holds_in(entry: SetPoint, month: int, hour: int) -> bool:
    """Whether an entry of the schedule holds in a month (1-12) and a local hour (0-23).

    >>> holds_in(SetPoint(hours_local=(22, 6), tcs_supply_c=45.0), 7, 3)
    True
    """
    if entry.months and month not in entry.months:
        return False
    if not entry.hours_local:
        return True
    start, end = entry.hours_local
    return start <= hour < end if start < end else hour >= start or hour < end


def governing_entries(scenario: Scenario, name: Name) -> Int64:
    """Entry of the schedule that sets `name` in each hour of the run; -1 where the plain set-point holds.

    An hour of the run has the set-points of the local hour in which it starts. The hour that local time skips in spring
    does not occur; the one that it repeats in autumn occurs twice.
    """
    run, entries = scenario.run, scenario.cooling.setpoints
    hours = run.days * 24
    governing = np.full(hours, -1, np.int64)
    if not entries:
        return governing
    calendar = local_hours(run.start_utc, hours, scenario.site.time_zone)
    for index, entry in enumerate(entries):
        if getattr(entry, name) is not None:
            table = np.array([[holds_in(entry, month, hour) for hour in range(24)] for month in range(1, 13)])
            governing[table[calendar.month - 1, calendar.hour]] = index
    return governing


def _values(scenario: Scenario, name: Name) -> Float64:
    plain = float(getattr(scenario.cooling, name))
    given = [getattr(entry, name) for entry in scenario.cooling.setpoints]
    by_entry = np.array([plain if value is None else value for value in given] + [plain], np.float64)
    return by_entry[governing_entries(scenario, name)]  # -1 is the last: the plain one


def hourly_setpoints(scenario: Scenario) -> tuple[Float64, Float64]:
    """Set-points of the run in local time of the site: TCS supply and hall air, each one value per hour [°C]."""
    return _values(scenario, "tcs_supply_c"), _values(scenario, "hall_air_c")
