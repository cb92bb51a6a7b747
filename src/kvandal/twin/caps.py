"""The envelope: how much IT power may be drawn in this tick, and which caps keep the site below it (rules E1 to E4)."""

from __future__ import annotations

from kvandal.compiled import kernel, large_kernel
from kvandal.physics.rack import cap_factor, capped_speed
from kvandal.policy.acting import MILLIWATT
from kvandal.policy.rules import ENVELOPE, PLAN, START_RAMP
from kvandal.policy.tree import ASSURED, FIRM, LENT, PROTECTED
from kvandal.twin.log import note_event
from kvandal.twin.records import EVENT_ENVELOPE, POWER_TIERS
from kvandal.twin.shed import recall_for_power, shed_one

SLOPE = 1.3
"""Most that site power can rise per kilowatt of IT power: chain losses 6 %, pumps and fans at full speed."""


@kernel
def _tier_kw(state, tier, cap):
    """Power above idle of one tier under a cap [kW]."""
    total = 0.0
    for model in range(state.models.shape[0]):
        rack = state.models[model]
        factor = cap_factor(rack.idle_kw, rack.tdp_kw, rack.gpu_kw, cap)
        total += state.tier_models[tier, model].mw * MILLIWATT * factor
    return total


@kernel
def set_cap(state, tier, cap, time_s):
    """Set the power cap of a tier: from now on its jobs draw less and work slower."""
    rules = state.rules[0]
    if state.tally[0].telemetry_lost:  # rule E6
        cap = min(cap, state.tiers[tier].cap)
    if state.tiers[tier].cap == cap:
        return
    state.tiers[tier].cap = cap
    state.tally[0].all_racks = 1
    for model in range(state.models.shape[0]):
        rack = state.models[model]
        state.tier_models[tier, model].factor = cap_factor(rack.idle_kw, rack.tdp_kw, rack.gpu_kw, cap)
    for kind in range(3):
        speed = state.speeds[tier * 3 + kind]
        speed.clock_s += speed.rate * (time_s - speed.at_s)
        speed.at_s = time_s
        exponent = rules.training_exponent if kind == 0 else rules.inference_exponent
        speed.rate = capped_speed(cap, exponent, rules.perf_offset)


@large_kernel
def refresh_it_now(state):
    """Recompute the IT power of this instant from the tiers' sums."""
    tally = state.tally[0]
    tally.it_now_kw = tally.base_kw
    for tier in range(POWER_TIERS):
        tally.it_now_kw += _tier_kw(state, tier, state.tiers[tier].cap)


@kernel
def _uncapped_kw(state):
    """Return the IT power that everything running would draw without caps [kW]."""
    total = state.tally[0].base_kw
    for tier in range(POWER_TIERS):
        total += _tier_kw(state, tier, 1.0)
    return total


@kernel
def any_cap(state):
    """Whether anybody is capped, and not by the day-ahead plan alone."""
    for tier in range(POWER_TIERS):
        if state.tiers[tier].cap < (state.tally[0].planned_cap if tier == LENT else 1.0):
            return True
    return False


@kernel
def _in_order(step):
    """Tier that is capped at a step: lent, assured, firm, firm work that its contract protects."""
    if step == 0:
        return LENT
    if step == 1:
        return ASSURED
    return FIRM if step == 2 else PROTECTED


@kernel
def _spare_kw(state, tier):
    """Return what the lowest cap takes off a tier [kW]."""
    return _tier_kw(state, tier, 1.0) - _tier_kw(state, tier, state.rules[0].cap_minimum)


@kernel
def _it_for(tally, limit_kw, slope):
    """Return the IT power that a limit of the meter leaves [kW]: room in the tick before over a slope, or less all excess."""
    room_kw = limit_kw - tally.last_site_kw
    return tally.last_it_kw + (room_kw / slope if room_kw > 0.0 else room_kw)


@large_kernel
def hold_envelope(state, time_s):
    """Set this tick's IT envelope and the caps that keep within it; recall loans, and shed where caps do not suffice.

    The site's power in the tick before tells what may be added: where there was room, no more than what the steepest
    overhead leaves; where the site was over, at least the excess is taken away. Nobody is capped for what the battery
    can give, but nobody starts on it either, and while somebody waits for power it does not count.

    Caps act at once and on every tier in order. Where they reach firm work, loans get notice (E3); only what no cap can
    hold is shed (E2). While the site recovers from a trip, caps also hold its ramp (E4), but nobody gives way to that.
    """
    tally = state.tally[0]
    refresh_it_now(state)
    meter_kw = tally.meter_limit_kw
    tally.it_envelope_kw = _it_for(tally, min(meter_kw, tally.schedule_kw), SLOPE)
    allowed_kw = _it_for(tally, meter_kw, SLOPE)
    uncapped_kw = _uncapped_kw(state)
    wanted_kw, wanted_tier = 0.0, LENT
    if tally.ramp_limit_kw >= meter_kw:
        wanted_kw, wanted_tier = _wanted_by_caps(state, allowed_kw, uncapped_kw, time_s)
    battery_kw = tally.battery_room_kw if tally.wanted_kw <= 0.0 else 0.0
    allowed_kw += battery_kw
    held_kw = min(allowed_kw, _it_for(tally, tally.ramp_limit_kw, SLOPE) + battery_kw)
    if uncapped_kw + wanted_kw <= held_kw:
        for tier in range(POWER_TIERS):
            set_cap(state, tier, 1.0, time_s)
        tally.it_now_kw = uncapped_kw
        return
    was_capped = any_cap(state)
    spare_kw = 0.0
    for tier in range(POWER_TIERS):
        spare_kw += _spare_kw(state, tier)
    while uncapped_kw - spare_kw - allowed_kw > 1e-6 and shed_one(state, time_s):
        uncapped_kw, spare_kw = _uncapped_kw(state), 0.0
        for tier in range(POWER_TIERS):
            spare_kw += _spare_kw(state, tier)
    _cap_in_order(state, uncapped_kw - held_kw, wanted_kw, wanted_tier, time_s)
    if state.rules[0].recall:
        overhead = max(1.0, tally.last_site_kw / tally.last_it_kw) if tally.last_it_kw > 0.0 else SLOPE
        over_kw = uncapped_kw - tally.last_it_kw - (meter_kw - tally.last_site_kw) / overhead - battery_kw
        missing_kw = over_kw - _spare_kw(state, LENT) - _spare_kw(state, ASSURED)
        if missing_kw > 1e-6 and tally.lent_jobs > tally.draining:
            recall_for_power(state, missing_kw, time_s)
    refresh_it_now(state)
    if not was_capped:
        rule = START_RAMP if tally.ramp_limit_kw < meter_kw else ENVELOPE
        note_event(state, time_s, EVENT_ENVELOPE, -1, -1, -1, 0, rule)


@large_kernel
def follow_plan(state, planned_cap, time_s):
    """Cap lent work at least as much as the day-ahead plan asks for (rule E5)."""
    tally = state.tally[0]
    begins = planned_cap < 1.0 <= tally.planned_cap
    tally.planned_cap = planned_cap
    if planned_cap < state.tiers[LENT].cap:
        set_cap(state, LENT, planned_cap, time_s)
        refresh_it_now(state)
    if begins:
        note_event(state, time_s, EVENT_ENVELOPE, -1, -1, -1, 0, PLAN)


@large_kernel
def _cap_in_order(state, over_kw, wanted_kw, wanted_tier, time_s):
    """Cap tier after tier until `over_kw` is taken off, and the lower ones further for somebody who waits."""
    rules = state.rules[0]
    for step in range(POWER_TIERS):
        tier = _in_order(step)
        spare_kw = _spare_kw(state, tier)
        used_kw = max(0.0, min(over_kw, spare_kw))
        over_kw -= used_kw
        if step < LENT - wanted_tier:
            extra_kw = min(spare_kw - used_kw, wanted_kw + min(0.0, over_kw))
            if extra_kw > 0.0:
                wanted_kw -= extra_kw
                used_kw += extra_kw
        cap = 1.0 - (1.0 - rules.cap_minimum) * used_kw / spare_kw if spare_kw > 0.0 else 1.0
        set_cap(state, tier, cap, time_s)


@large_kernel
def _wanted_by_caps(state, allowed_kw, uncapped_kw, time_s):
    """Power that a waiting firm or assured job shall get from caps on lower tiers [kW], and its tier.

    Where caps cannot give it, loans are recalled instead (E3), and nothing is capped for it; where the power of all loans
    would not suffice, nobody is recalled (R2).
    """
    tally = state.tally[0]
    rules = state.rules[0]
    wanted_kw, tier = tally.wanted_kw, tally.wanted_tier
    if wanted_kw <= 0.0:
        return 0.0, LENT
    reach_kw = allowed_kw - uncapped_kw
    for lower in range(tier + 1, 3):
        reach_kw += _spare_kw(state, lower)
    if wanted_kw <= reach_kw:
        return wanted_kw, tier
    missing_kw = wanted_kw - reach_kw
    if rules.recall and missing_kw <= _tier_kw(state, LENT, rules.cap_minimum):
        recall_for_power(state, missing_kw, time_s)
    return 0.0, LENT


@kernel
def _kw_per_cap(model):
    """Power that a cap takes off a rack, relative to its power above idle, over what the cap is lowered by."""
    return model.gpu_kw / (model.tdp_kw - model.idle_kw)


@large_kernel
def tighten(state, over_kw, time_s):
    """Lower the caps of the tick that ends now by what the site is over, in the order of shedding.

    The weather, a delivery or an overhead moved inside the tick: caps answer within seconds, so the tick counts as if
    they had stood from its start. Return whether anything could be lowered.
    """
    rules = state.rules[0]
    left_kw = over_kw
    for step in range(POWER_TIERS):
        tier = _in_order(step)
        if state.tiers[tier].cap <= rules.cap_minimum or left_kw <= 0.0:
            continue
        kw_per_cap = 0.0
        for model in range(state.models.shape[0]):
            kw_per_cap += state.tier_models[tier, model].mw * MILLIWATT * _kw_per_cap(state.models[model])
        for position in range(state.tally[0].touched):
            index = state.touched[position]
            model = state.models[state.racks[index].model]
            kw_per_cap += state.rack_tiers[index, tier].tick_kw * _kw_per_cap(model)
        if kw_per_cap <= 0.0:
            continue
        cap = max(rules.cap_minimum, state.tiers[tier].cap - left_kw / kw_per_cap)
        left_kw -= (state.tiers[tier].cap - cap) * kw_per_cap
        set_cap(state, tier, cap, time_s)
    return left_kw < over_kw
