"""The envelope: how much IT power may be drawn in this tick, and which caps keep the site below it (rules E1, E2)."""

from __future__ import annotations

from kvandal.compiled import kernel, large_kernel
from kvandal.physics.rack import cap_factor, capped_speed
from kvandal.policy.acting import MILLIWATT
from kvandal.policy.rules import ENVELOPE, SHED
from kvandal.policy.tree import ASSURED, FIRM, LENT
from kvandal.twin.life import job_power_kw, leave, note_event, notice
from kvandal.twin.state import (
    COST_JOBS,
    COST_LOST_GPU_S,
    EVENT_ENVELOPE,
    EVENT_SHED,
    LOST_SHED,
)

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
    if state.tiers[tier].cap == cap:
        return
    state.tiers[tier].cap = cap
    for model in range(state.models.shape[0]):
        rack = state.models[model]
        state.tier_models[tier, model].factor = cap_factor(rack.idle_kw, rack.tdp_kw, rack.gpu_kw, cap)
    for kind in range(3):
        speed = state.speeds[tier * 3 + kind]
        speed.clock_s += speed.rate * (time_s - speed.at_s)
        speed.at_s = time_s
        exponent = rules.training_exponent if kind == 0 else rules.inference_exponent
        speed.rate = capped_speed(cap, exponent, rules.perf_offset)


@kernel
def refresh_it_now(state):
    """Recompute the IT power of this instant from the tiers' sums."""
    tally = state.tally[0]
    tally.it_now_kw = tally.base_kw
    for tier in range(3):
        tally.it_now_kw += _tier_kw(state, tier, state.tiers[tier].cap)


@kernel
def _uncapped_kw(state):
    """Return the IT power that everything running would draw without caps [kW]."""
    total = state.tally[0].base_kw
    for tier in range(3):
        total += _tier_kw(state, tier, 1.0)
    return total


@large_kernel
def hold_envelope(state, time_s):
    """Set this tick's IT envelope and the caps that keep within it; shed jobs when caps do not suffice.

    The site's power in the tick before tells what may be added: where there was room, no more than what the steepest
    overhead leaves; where the site was over, at least the excess is taken away. Nobody is capped for what the battery
    can give, but nobody starts on it either, and while somebody waits for power it does not count.
    """
    tally = state.tally[0]
    rules = state.rules[0]
    refresh_it_now(state)
    room_kw = tally.meter_limit_kw - tally.last_site_kw
    tally.it_envelope_kw = tally.last_it_kw + (room_kw / SLOPE if room_kw > 0.0 else room_kw)
    allowed_kw = tally.it_envelope_kw
    uncapped_kw = _uncapped_kw(state)
    wanted_kw, wanted_tier = _wanted_by_caps(state, allowed_kw, uncapped_kw, time_s)
    if tally.wanted_kw <= 0.0:
        allowed_kw += tally.battery_room_kw
    if uncapped_kw + wanted_kw <= allowed_kw:
        for tier in range(3):
            set_cap(state, tier, 1.0, time_s)
        tally.it_now_kw = uncapped_kw
        return
    was_capped = state.tiers[LENT].cap < 1.0 or state.tiers[ASSURED].cap < 1.0 or state.tiers[FIRM].cap < 1.0
    while True:
        over_kw = uncapped_kw - allowed_kw
        for step in range(3):
            tier = LENT if step == 0 else (ASSURED if step == 1 else FIRM)
            full_kw = _tier_kw(state, tier, 1.0)
            least_kw = _tier_kw(state, tier, rules.cap_minimum)
            spare_kw = full_kw - least_kw
            used_kw = max(0.0, min(over_kw, spare_kw))
            over_kw -= used_kw
            if tier > wanted_tier:
                extra_kw = min(spare_kw - used_kw, wanted_kw + min(0.0, over_kw))
                if extra_kw > 0.0:
                    wanted_kw -= extra_kw
                    used_kw += extra_kw
            cap = 1.0 - (1.0 - rules.cap_minimum) * used_kw / spare_kw if spare_kw > 0.0 else 1.0
            set_cap(state, tier, cap, time_s)
        if over_kw <= 1e-6 or not _shed_one(state, time_s):
            break
        uncapped_kw = _uncapped_kw(state)
    refresh_it_now(state)
    if not was_capped:
        note_event(state, time_s, EVENT_ENVELOPE, -1, -1, -1, 0, ENVELOPE)


@kernel
def _wanted_by_caps(state, allowed_kw, uncapped_kw, time_s):
    """Power that a waiting firm or assured job shall get from caps on lower tiers [kW], and its tier.

    Where caps cannot give it, loans are recalled instead, newest first, and nothing is capped for it; where the power
    of all loans would not suffice, nobody is recalled (R2).
    """
    tally = state.tally[0]
    rules = state.rules[0]
    wanted_kw, tier = tally.wanted_kw, tally.wanted_tier
    if wanted_kw <= 0.0:
        return 0.0, LENT
    reach_kw = allowed_kw - uncapped_kw
    for lower in range(tier + 1, 3):
        reach_kw += _tier_kw(state, lower, 1.0) - _tier_kw(state, lower, rules.cap_minimum)
    if wanted_kw <= reach_kw:
        return wanted_kw, tier
    missing_kw = wanted_kw - reach_kw
    if rules.recall and missing_kw <= _tier_kw(state, LENT, rules.cap_minimum):
        for index in range(tally.lent_jobs):
            job = state.lent_jobs[index]
            if state.jobs[job].draining:
                missing_kw -= job_power_kw(state, job, rules.cap_minimum)
        while missing_kw > 0.0:
            job = _newest_loan(state, True)
            if job < 0:
                break
            missing_kw -= job_power_kw(state, job, rules.cap_minimum)
            notice(state, job, -1, ENVELOPE, time_s)
    return 0.0, LENT


@kernel
def _newest_loan(state, spare_noticed):
    """Job on loan that started last (ties: the last submitted), or -1; `spare_noticed` leaves out those under notice."""
    jobs = state.jobs
    newest = -1
    for index in range(state.tally[0].lent_jobs):
        job = state.lent_jobs[index]
        if spare_noticed and (jobs[job].draining or not jobs[job].recallable):
            continue
        if newest < 0 or (jobs[job].start_s, job) > (jobs[newest].start_s, newest):
            newest = job
    return newest


@kernel
def _shed_one(state, time_s):
    """Shed the newest job on loan, else the newest assured, else the newest firm one (rule E2)."""
    jobs, tally = state.jobs, state.tally[0]
    victim = _newest_loan(state, False)
    for step in range(2):
        if victim >= 0:
            break
        tier = ASSURED if step == 0 else FIRM
        for speed_class in range(tier * 3, tier * 3 + 3):
            for index in range(state.speeds[speed_class].running):
                job = state.ends[speed_class, index].job
                if victim < 0 or (jobs[job].start_s, job) > (jobs[victim].start_s, victim):
                    victim = job
    if victim < 0:
        return False
    note_event(
        state,
        time_s,
        EVENT_SHED,
        state.room.pieces[state.room.first_piece[victim]].rack,
        -1,
        victim,
        jobs[victim].gpus,
        SHED,
    )
    before = state.lost_gpu_s[victim, LOST_SHED]
    leave(state, victim, time_s, LOST_SHED)
    if tally.site_fault >= 0:
        state.fault_cost[tally.site_fault, jobs[victim].tenant, COST_JOBS] += 1.0
        lost_gpu_s = state.lost_gpu_s[victim, LOST_SHED] - before
        state.fault_cost[tally.site_fault, jobs[victim].tenant, COST_LOST_GPU_S] += lost_gpu_s
    return True


@large_kernel
def tighten(state, over_kw, time_s):
    """Lower the caps of the tick that ends now by what the site is over, in the order of shedding.

    The weather, a delivery or an overhead moved inside the tick: caps answer within seconds, so the tick counts as if
    they had stood from its start. Return whether anything could be lowered.
    """
    rules = state.rules[0]
    left_kw = over_kw
    for step in range(3):
        tier = LENT - step
        if state.tiers[tier].cap <= rules.cap_minimum or left_kw <= 0.0:
            continue
        kw_per_cap = 0.0
        for index in range(state.racks.shape[0]):
            rack = state.models[state.racks[index].model]
            kw = state.rack_tiers[index, tier].mw * MILLIWATT + state.rack_tiers[index, tier].tick_kw
            kw_per_cap += kw * rack.gpu_kw / (rack.tdp_kw - rack.idle_kw)
        if kw_per_cap <= 0.0:
            continue
        cap = max(rules.cap_minimum, state.tiers[tier].cap - left_kw / kw_per_cap)
        left_kw -= (state.tiers[tier].cap - cap) * kw_per_cap
        set_cap(state, tier, cap, time_s)
    return left_kw < over_kw
