"""What happens to a job: queued, started, noticed, interrupted, finished; and the books that are kept of it."""

from __future__ import annotations

import math

import numpy as np

from kvandal.compiled import kernel, large_kernel
from kvandal.physics.rack import cap_factor
from kvandal.policy.acting import MILLIWATT, count_own, power_tier, protected_until_s, stop
from kvandal.policy.claims import drop_reservations
from kvandal.policy.queues import count_queued, enqueue
from kvandal.policy.recall import INFERENCE
from kvandal.policy.restarts import restore_time_s
from kvandal.policy.rules import (
    NEVER,
    RESIDENCY,
    REST_RULE,
    TIME_LIMIT,
)
from kvandal.policy.tree import LENT
from kvandal.policy.trial import least_gpus
from kvandal.twin.heaps import enter, push_end, remove_end
from kvandal.twin.holdings import admit, charge_run, let_go, may_wait, turn_away
from kvandal.twin.log import close_loan, note_placement, note_stint, open_records
from kvandal.twin.pace import clock_reading_s, slowest_part, speed_class_of
from kvandal.twin.records import (
    FINISHED,
    LOST_CHECKPOINT,
    LOST_EXPIRY,
    LOST_FAILURE,
    LOST_RECALL,
    LOST_RESTART,
    LOST_SHED,
    PART_CAPPED,
    PART_CUT,
    PART_RESTORED,
    POWER_TIERS,
    RECALLABLE,
    REST,
    RUNNING,
    TIMEOUT,
)

DONE, OPEN, LIMIT_REACHED, ENDED = -1, -2, -3, -4
"""Why a run ends without a loss: the job has finished; the simulated time is over; its time limit is reached; an engine
says that it has ended, whatever was expected of it."""
LONGEST_REST = 24
"""Most times the rest after one recall that a job rests, however often it was recalled."""


@kernel
def _thriftiest_kw(state, job):
    """Power above idle that a job draws on the thriftiest racks, without caps [kW]."""
    least_mw = state.load_mw[state.jobs[job].demand, 0]
    for model in range(1, state.models.shape[0]):
        least_mw = min(least_mw, state.load_mw[state.jobs[job].demand, model])
    return least_mw * MILLIWATT * state.jobs[job].gpus


@large_kernel
def submit(state, job, time_s):
    """Take a new job in, or refuse one that could never start (P3), must not (D2), or that no grant holds (G2, G3)."""
    rules = state.rules[0]
    jobs = state.jobs
    least = least_gpus(state, job)
    largest = state.racks.shape[0] * rules.segment_trays * 4 if least > 72 else 72
    least_kw = _thriftiest_kw(state, job) * least / jobs[job].gpus
    if not state.tenants[jobs[job].tenant].admitted:
        turn_away(state, job, RESIDENCY, 0, 0, time_s)
        return
    if (
        least > state.tenants[jobs[job].tenant].largest_job
        or least > largest
        or least_kw > rules.job_kw_maximum
    ):
        powered = int(rules.job_kw_maximum / least_kw * least)
        most = min(state.tenants[jobs[job].tenant].largest_job, max(largest, 72), powered)
        turn_away(state, job, NEVER, least, most, time_s)
        return
    if admit(state, job, time_s):
        enqueue(state, job, False, time_s)


@large_kernel
def job_power_kw(state, job, cap):
    """Power above idle of a job wherever it is placed, under a cap [kW]."""
    jobs, room = state.jobs, state.room
    total = 0.0
    piece = room.first_piece[job]
    while piece >= 0:
        model = state.racks[room.pieces[piece].rack].model
        rack = state.models[model]
        factor = cap_factor(rack.idle_kw, rack.tdp_kw, rack.gpu_kw, cap)
        total += room.pieces[piece].gpus * state.load_mw[jobs[job].demand, model] * MILLIWATT * factor
        piece = room.pieces[piece].next
    return total


@kernel
def rack_above_idle_kw(state, index):
    """Power above idle of a rack under the caps of its tiers, at this instant [kW]."""
    return tiers_kw(state.rack_tiers, state.tier_models, index, state.racks[index].model)


@kernel
def tiers_kw(rack_tiers, tier_models, index, model):
    """Sum up the power above idle of a rack of a model over its tiers, under their caps [kW]."""
    total = 0.0
    for tier in range(POWER_TIERS):
        total += rack_tiers[index, tier].mw * MILLIWATT * tier_models[tier, model].factor
    return total


@kernel
def touch(state, rack):
    """Remember that something changed in a rack inside this tick."""
    tally = state.tally[0]
    if not state.racks[rack].is_touched:
        state.racks[rack].is_touched = True
        state.touched[tally.touched] = rack
        tally.touched += 1


@large_kernel
def _add_power(state, job, sign, time_s):
    """Add (or take away) a job's power in each of its racks, and correct the mean of the tick."""
    tally = state.tally[0]
    rules = state.rules[0]
    jobs, room = state.jobs, state.room
    tier = jobs[job].use_tier
    absent = (time_s - tally.tick_start_s) / rules.tick_s
    if sign > 0:
        jobs[job].placed_s = time_s
    else:
        note_placement(state, job, time_s)
    piece = room.first_piece[job]
    while piece >= 0:
        rack = room.pieces[piece].rack
        model = state.racks[rack].model
        change_mw = sign * room.pieces[piece].gpus * state.load_mw[jobs[job].demand, model]
        state.rack_tiers[rack, tier].mw += change_mw
        state.tier_models[tier, model].mw += change_mw
        state.pod_mw[state.racks[rack].pod, tier, model] += change_mw
        state.group_mw[state.racks[rack].group, tier, model] += change_mw
        touch(state, rack)
        if sign < 0:  # a start has counted itself when it was decided
            tally.it_now_kw += change_mw * MILLIWATT * state.tier_models[tier, model].factor
        if absent > 0.0:
            state.rack_tiers[rack, tier].tick_kw -= change_mw * MILLIWATT * absent
        state.racks[rack].gpu_s -= sign * room.pieces[piece].gpus * time_s
        if tier == LENT:
            state.racks[rack].lent_gpus += sign * room.pieces[piece].gpus
        piece = room.pieces[piece].next


@large_kernel
def start_job(state, job, time_s):
    """Carry out a start that has been decided: power, clocks, the end that is to come, the record of a loan."""
    tally = state.tally[0]
    jobs = state.jobs
    jobs[job].state = RUNNING
    jobs[job].starts += 1
    if jobs[job].first_start_s < 0:
        jobs[job].first_start_s = time_s
    if jobs[job].on_loan:
        open_records(state, job, time_s)
        await_minimum_run(state, job)
    else:
        count_own(state, job)
    state.tiers[jobs[job].use_tier].gpus += jobs[job].gpus
    tally.running_jobs += 1
    _add_power(state, job, 1, time_s)

    jobs[job].restore_s = restore_time_s(state, job, time_s)
    work_s = work_here_s(state, job)
    interval_s = jobs[job].interval_s
    checkpoints = (work_s - 1) // interval_s if interval_s > 0 else 0
    speed_class = speed_class_of(state, job)
    now_s = clock_reading_s(state, speed_class, time_s)
    jobs[job].virtual_start_s = now_s
    jobs[job].clock_start_s = now_s
    jobs[job].for_power = False
    jobs[job].slow = state.demands[jobs[job].demand].speed
    if tally.slowed_racks > 0:
        jobs[job].slow = slowest_part(state, job)
    dumps_s = checkpoints * state.demands[jobs[job].demand].checkpoint_s
    length_s = jobs[job].restore_s + work_s + dumps_s
    push_end(jobs, state.ends, state.speeds, speed_class, now_s + length_s / jobs[job].slow, job)
    if state.demands[jobs[job].demand].timed and not state.rules[0].told:
        enter(state.agenda, tally, time_s + jobs[job].limit_s, TIMEOUT, job)


@kernel
def work_here_s(state, job):
    """Return the useful work that a job has still to do, in seconds on the GPUs that it has now."""
    record = state.jobs[job]
    if record.gpus == record.asked_gpus:
        return record.remaining_s
    return (record.remaining_s * record.asked_gpus + record.gpus - 1) // record.gpus


@kernel
def await_minimum_run(state, job):
    """Note when a loan that is still sure of its minimum run may be given notice (L4)."""
    if not state.jobs[job].recallable:
        enter(state.agenda, state.tally[0], protected_until_s(state, job), RECALLABLE, job)


@large_kernel
def change_tier(state, job, tier, time_s):
    """Let a running job go on in another tier of use: its power and its clock move, what it has done stays."""
    jobs = state.jobs
    tier = power_tier(state, job, tier)
    old_class = speed_class_of(state, job)
    old_s = clock_reading_s(state, old_class, time_s)
    left_s = state.ends[old_class, jobs[job].heap_position].key - old_s
    remove_end(jobs, state.ends, state.speeds, old_class, job)
    _add_power(state, job, -1, time_s)
    state.tiers[jobs[job].use_tier].gpus -= jobs[job].gpus
    jobs[job].use_tier = tier
    state.tiers[tier].gpus += jobs[job].gpus
    _add_power(state, job, 1, time_s)
    state.tally[0].it_now_kw += job_power_kw(state, job, state.tiers[tier].cap)
    new_class = speed_class_of(state, job)
    new_s = clock_reading_s(state, new_class, time_s)
    jobs[job].virtual_start_s += new_s - old_s
    jobs[job].clock_start_s += new_s - old_s
    push_end(jobs, state.ends, state.speeds, new_class, new_s + left_s, job)
    if not jobs[job].on_loan:
        count_own(state, job)


@kernel
def _lose(state, job, cause, gpu_s):
    """Count GPU-seconds as lost; nothing is written where nothing is lost, which is nearly always."""
    if gpu_s != 0.0:
        state.lost_gpu_s[cause, job] += gpu_s


@kernel
def _tell_apart(state, job, part, gpu_s):
    """Count GPU-seconds that are part of a loss."""
    if gpu_s != 0.0:
        state.part_gpu_s[part, job] += gpu_s


@large_kernel
def _settle(state, job, time_s, cause):
    """Split the GPU-seconds of the run that ends now into useful and lost; return the useful seconds saved.

    `cause` is a LOST_ constant, DONE, OPEN or LIMIT_REACHED. What is saved is whole seconds; a fraction of a second that a power cap
    leaves over is lost to the cap.
    """
    jobs = state.jobs
    gpus = jobs[job].gpus
    wall_s = float(time_s - jobs[job].start_s)
    clock_s = clock_reading_s(state, speed_class_of(state, job), time_s)
    worked_s = min(wall_s, (clock_s - jobs[job].virtual_start_s) * jobs[job].slow)
    jobs[job].allocated_gpu_s += gpus * (time_s - jobs[job].start_s)
    _lose(state, job, LOST_SHED, gpus * (wall_s - worked_s))
    capped_s = state.demands[jobs[job].demand].speed * (wall_s - (clock_s - jobs[job].clock_start_s))
    _tell_apart(state, job, PART_CAPPED, gpus * min(wall_s - worked_s, max(0.0, capped_s)))
    restored_s = min(worked_s, float(jobs[job].restore_s))
    _lose(state, job, LOST_RESTART, gpus * restored_s)
    if jobs[job].last_loss == LOST_RECALL:
        _tell_apart(state, job, PART_RESTORED, gpus * restored_s)
    left_s = worked_s - restored_s
    interval_s = float(jobs[job].interval_s)
    checkpoint_s = float(state.demands[jobs[job].demand].checkpoint_s)
    dumps_s = 0.0
    kept_s = left_s
    gone_s = 0.0
    if interval_s > 0.0:
        cycle_s = interval_s + checkpoint_s
        cycles = math.floor(left_s / cycle_s)
        partial_s = left_s - cycles * cycle_s
        dumps_s = cycles * checkpoint_s + max(0.0, partial_s - interval_s)
        kept_s = cycles * interval_s + min(partial_s, interval_s)
        told = state.tenants[jobs[job].tenant].notice_s >= checkpoint_s
        warned = jobs[job].deadline_s >= 0 and told
        if (cause == LOST_RECALL and warned) or (cause == LOST_EXPIRY and told):
            # one more checkpoint fits between notice and deadline, unless one is just being written
            gone_s = min(checkpoint_s, partial_s) if partial_s < interval_s else 0.0
        elif cause >= 0:
            gone_s = min(partial_s, interval_s)
    elif cause >= 0 and state.demands[jobs[job].demand].kind != INFERENCE:
        # no checkpoints and no service rendered: all work of this run is lost
        gone_s = kept_s
    if cause >= 0:
        kept_s -= gone_s
        _lose(state, job, cause, gpus * gone_s)
        if cause == LOST_SHED or (cause == LOST_RECALL and jobs[job].for_power):
            _tell_apart(state, job, PART_CUT, gpus * gone_s)
    asked = jobs[job].asked_gpus
    whole_s = float(jobs[job].remaining_s)
    if cause != DONE:
        done_s = float(math.floor(kept_s * gpus / asked + 1e-6))
        if state.rules[0].told and done_s >= whole_s:  # it has worked for longer than it was expected to
            more_s = np.int64(done_s - whole_s) + 1
            jobs[job].remaining_s += more_s
            jobs[job].work_s += more_s
            whole_s += more_s
        whole_s = min(done_s, whole_s - 1.0)
    _lose(state, job, LOST_SHED, gpus * kept_s - asked * whole_s)
    _lose(state, job, LOST_CHECKPOINT, gpus * dumps_s)
    jobs[job].useful_gpu_s += asked * whole_s
    charge_run(state, job)
    return whole_s


@large_kernel
def leave(state, job, time_s, cause):
    """End a job's run: it is done (DONE, LIMIT_REACHED), or something took its GPUs (a LOST_ constant)."""
    tally = state.tally[0]
    jobs = state.jobs
    tenant, gpus, tier = jobs[job].tenant, jobs[job].gpus, jobs[job].use_tier
    kept_s = _settle(state, job, time_s, cause)
    _add_power(state, job, -1, time_s)
    remove_end(jobs, state.ends, state.speeds, speed_class_of(state, job), job)
    state.tiers[tier].gpus -= gpus
    tally.running_jobs -= 1
    if cause >= 0:
        note_stint(state, job, time_s, cause)
    if jobs[job].on_loan:
        close_loan(state, job, time_s, cause)
    stop(state, job)
    jobs[job].gpus = jobs[job].asked_gpus
    if cause < 0:
        jobs[job].state = FINISHED
        jobs[job].end_s = time_s
        jobs[job].remaining_s = 0 if cause == DONE else jobs[job].remaining_s - np.int64(kept_s)
        let_go(state, job)
        if cause == LIMIT_REACHED:
            turn_away(state, job, TIME_LIMIT, jobs[job].remaining_s, jobs[job].limit_s, time_s)
        return
    jobs[job].remaining_s -= np.int64(kept_s)
    jobs[job].resumes = True
    jobs[job].last_loss = cause
    jobs[job].left_s = time_s
    if cause == LOST_FAILURE:
        jobs[job].failures += 1
    elif cause == LOST_RECALL:
        jobs[job].recalls += 1
    elif cause == LOST_SHED:
        jobs[job].sheds += 1
    if not may_wait(state, job, time_s):
        return
    if cause == LOST_FAILURE:
        drop_reservations(state)
    rest_s = state.rules[0].rest_s * min(jobs[job].recalls, LONGEST_REST)
    elastic = state.demands[jobs[job].demand].elastic_minimum < 1.0
    if cause == LOST_RECALL and state.tenants[tenant].tier == LENT and rest_s > 0 and not elastic:
        count_queued(state, job, REST_RULE, time_s)  # it takes its place in front when it has rested (L3)
        enter(state.agenda, tally, time_s + rest_s, REST, job)
    else:
        enqueue(state, job, True, time_s)


@large_kernel
def close_books(state, time_s):
    """Settle every job that still runs when the simulated time is over; it keeps the state *running*."""
    tally = state.tally[0]
    jobs = state.jobs
    for job in range(jobs.shape[0]):
        if jobs[job].state == RUNNING:
            _settle(state, job, time_s, OPEN)
            note_placement(state, job, time_s)
            piece = state.room.first_piece[job]
            while piece >= 0:
                state.racks[state.room.pieces[piece].rack].gpu_s += state.room.pieces[piece].gpus * time_s
                piece = state.room.pieces[piece].next
    tally.now_s = time_s
