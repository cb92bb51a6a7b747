"""Return after a trip: racks come back, and the site's power rises, no faster than the grid allows (rule E4).

A trip counts when the racks that are dark could at TDP draw more than the ramp gives in a minute. From the first rack
that returns the power that may be started rises by the ramp, until the meter shows what it showed before the trip or
until nobody asks for more. From tick to tick caps hold the rise of the meter as well; a job that draws more than the
ramp even at the lowest cap waits until the schedule has room for it, and then makes a step.
"""

from __future__ import annotations

import math

import numpy as np

from kvandal.compiled import kernel, large_kernel
from kvandal.policy.rules import START_RAMP
from kvandal.twin.caps import SLOPE
from kvandal.twin.log import note_event
from kvandal.twin.records import EVENT_RECOVERY, EVENT_RECOVERY_OVER

DARK, RETURNING = 1, 2
"""States of the recovery; 0 is none."""


@kernel
def note_dark(state, rack):
    """Remember the power before a rack trips; enough dark racks make a trip of the site."""
    tally, rules = state.tally[0], state.rules[0]
    if tally.dark_racks == 0 and tally.recovering == 0:
        tally.before_trip_kw = 0.0
        tally.dark_kw = 0.0
    tally.before_trip_kw = max(tally.before_trip_kw, tally.last_meter_kw)
    tally.dark_kw += state.models[state.racks[rack].model].tdp_kw
    if rules.ramp_kw_per_min > 0.0 and tally.dark_kw > rules.ramp_kw_per_min:
        tally.recovering = DARK


@kernel
def return_time_s(state, rack, time_s):
    """When a rack whose cause is gone is powered on [s]: after its restart, and in its turn."""
    tally, rules = state.tally[0], state.rules[0]
    at_s = time_s + rules.rack_restart_s
    if tally.recovering == 0:
        return at_s
    turn_s = max(float(at_s), tally.next_return_s)
    idle_kw = state.models[state.racks[rack].model].idle_kw
    tally.next_return_s = turn_s + idle_kw * SLOPE * 60.0 / rules.ramp_kw_per_min
    return np.int64(math.ceil(turn_s))


@kernel
def note_return(state, rack, time_s):
    """Let the schedule begin when the first rack returns."""
    tally = state.tally[0]
    tally.dark_kw -= state.models[state.racks[rack].model].tdp_kw
    if tally.recovering == DARK:
        tally.recovering = RETURNING
        note_event(state, time_s, EVENT_RECOVERY, -1, -1, -1, 0, START_RAMP)


@large_kernel
def limit_ramp(state, time_s):
    """Set what may be started and what the meter may show in this tick; end the recovery when there is nothing to hold."""
    tally, rules = state.tally[0], state.rules[0]
    if tally.recovering == 0:
        return
    step_kw = rules.ramp_kw_per_min * rules.tick_s / 60.0
    if tally.recovering == RETURNING:
        tally.schedule_kw = max(tally.schedule_kw, tally.last_meter_kw) + step_kw
    else:
        tally.schedule_kw = tally.last_meter_kw + step_kw
    tally.ramp_limit_kw = tally.last_meter_kw + step_kw
    is_slow = tally.last_meter_kw - tally.earlier_meter_kw < 0.5 * step_kw
    most_kw = tally.before_trip_kw if tally.power_wait == 0 else tally.meter_limit_kw
    is_calm = tally.recovering == RETURNING and is_slow and tally.schedule_kw >= most_kw
    if is_calm or tally.last_meter_kw >= tally.before_trip_kw:
        tally.schedule_kw = math.inf
        tally.ramp_limit_kw = math.inf
        if tally.recovering == RETURNING:
            tally.recovering = DARK if tally.dark_kw > rules.ramp_kw_per_min else 0
            note_event(state, time_s, EVENT_RECOVERY_OVER, -1, -1, -1, 0, START_RAMP)
