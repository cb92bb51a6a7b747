"""What happens to a job: queued, started, noticed, interrupted, finished; and the books that are kept of it."""

from __future__ import annotations

import math

import numpy as np

from kvandal.compiled import kernel, large_kernel
from kvandal.physics.rack import cap_factor
from kvandal.policy.placement import vacate
from kvandal.policy.rules import NEVER_FITS
from kvandal.policy.sharing import LENT
from kvandal.twin.heaps import enter, push_end, remove_end
from kvandal.twin.holdings import admit, charge_run, let_go, may_wait, turn_away
from kvandal.twin.pace import clock_reading_s, slowest_part, speed_class_of
from kvandal.twin.queues import count_queued, enqueue
from kvandal.twin.state import (
    DRAIN,
    EVENT_RECALL,
    FINISHED,
    INFERENCE,
    LOAN_EXPIRED,
    LOAN_FAILURE,
    LOAN_FINISHED,
    LOAN_RECALLED,
    LOAN_SHED,
    LOST_CHECKPOINT,
    LOST_EXPIRY,
    LOST_FAILURE,
    LOST_RECALL,
    LOST_RESTART,
    LOST_SHED,
    REST,
    RUNNING,
)

MILLIWATT = 1e-6
"""Kilowatts in a milliwatt."""

DONE, OPEN = -1, -2
"""Why a run ends without a loss: the job has finished; the simulated time is over."""


@kernel
def note_event(state, time_s, kind, rack, tray, job, gpus, rule):
    """Write an event down."""
    tally = state.tally[0]
    index = tally.events
    events = state.events
    if index >= events.shape[0]:
        raise IndexError("more events in one tick than were provided for")
    events[index].time_s = time_s
    events[index].kind = kind
    events[index].rack = rack
    events[index].tray = tray
    events[index].job = job
    events[index].gpus = gpus
    events[index].rule = rule
    events[index].fault = -1
    events[index].node = -1
    events[index].constraint = -1
    tally.events = index + 1


@kernel
def note_plant_event(state, time_s, kind, rack, job, gpus, fault, node, constraint):
    """Write an event of the plant down."""
    note_event(state, time_s, kind, rack, -1, job, gpus, 0)
    event = state.events[state.tally[0].events - 1]
    event.fault = fault
    event.node = node
    event.constraint = constraint


LONGEST_REST = 24
"""Most times the rest after one recall that a job rests, however often it was recalled."""


@kernel
def least_power_kw(state, job):
    """Power above idle that a job draws on the thriftiest racks, without caps [kW]."""
    least_mw = state.load_mw[state.jobs[job].demand, 0]
    for model in range(1, state.models.shape[0]):
        least_mw = min(least_mw, state.load_mw[state.jobs[job].demand, model])
    return least_mw * MILLIWATT * state.jobs[job].gpus


@kernel
def submit(state, job):
    """Take a new job in, or refuse one that could never start (rule P3) or that no grant of its tenant holds (G2, G3)."""
    rules = state.rules[0]
    jobs = state.jobs
    submit_s = jobs[job].submit_s
    largest = (state.racks.shape[0]) * rules.segment_trays * 4 if jobs[job].gpus > 72 else 72
    if (
        jobs[job].gpus > state.tenants[jobs[job].tenant].largest_job
        or jobs[job].gpus > largest
        or least_power_kw(state, job) > rules.job_kw_maximum
    ):
        powered = int(rules.job_kw_maximum / least_power_kw(state, job) * jobs[job].gpus)
        most = min(state.tenants[jobs[job].tenant].largest_job, max(largest, 72), powered)
        turn_away(state, job, NEVER_FITS, jobs[job].gpus, most, submit_s)
        return
    if admit(state, job, submit_s):
        enqueue(state, job, False)


@kernel
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
    model = state.racks[index].model
    total = 0.0
    for tier in range(3):
        total += state.rack_tiers[index, tier].mw * MILLIWATT * state.tier_models[tier, model].factor
    return total


@kernel
def recall_cost_gpu_s(state, job, time_s):
    """GPU-seconds that a recall now would lose of a job on loan: its last checkpoint or unsaved work, and the restart."""
    rules, jobs = state.rules[0], state.jobs
    notice_s = state.tenants[jobs[job].tenant].notice_s
    ran_s = time_s + notice_s - jobs[job].start_s
    interval_s = jobs[job].interval_s
    lost_s = rules.restart_s
    if interval_s == 0:
        lost_s += 0 if state.demands[jobs[job].demand].kind == INFERENCE else ran_s
    elif notice_s >= rules.checkpoint_s:
        lost_s += rules.checkpoint_s
    else:
        lost_s += ran_s % (interval_s + rules.checkpoint_s)
    return float(jobs[job].gpus * lost_s)


@kernel
def touch(state, rack):
    """Remember that something changed in a rack inside this tick."""
    tally = state.tally[0]
    if not state.racks[rack].is_touched:
        state.racks[rack].is_touched = True
        state.touched[tally.touched] = rack
        tally.touched += 1


@kernel
def _add_power(state, job, sign, time_s):
    """Add (or take away) a job's power in each of its racks, and correct the mean of the tick."""
    tally = state.tally[0]
    rules = state.rules[0]
    jobs, room = state.jobs, state.room
    tier = jobs[job].use_tier
    absent = (time_s - tally.tick_start_s) / rules.tick_s
    piece = room.first_piece[job]
    while piece >= 0:
        rack = room.pieces[piece].rack
        model = state.racks[rack].model
        change_mw = sign * room.pieces[piece].gpus * state.load_mw[jobs[job].demand, model]
        state.rack_tiers[rack, tier].mw += change_mw
        state.tier_models[tier, model].mw += change_mw
        tally.it_now_kw += change_mw * MILLIWATT * state.tier_models[tier, model].factor
        if absent > 0.0:
            state.rack_tiers[rack, tier].tick_kw -= change_mw * MILLIWATT * absent
            touch(state, rack)
        state.racks[rack].gpu_s -= sign * room.pieces[piece].gpus * time_s
        if tier == LENT:
            state.racks[rack].lent_gpus += sign * room.pieces[piece].gpus
        piece = room.pieces[piece].next


@large_kernel
def start_job(state, job, use_tier, lender, racks, time_s):
    """Start a placed job: `lender` is -1 for use within its own share."""
    tally = state.tally[0]
    rules = state.rules[0]
    jobs = state.jobs
    tenant, gpus = jobs[job].tenant, jobs[job].gpus
    jobs[job].state = RUNNING
    jobs[job].use_tier = use_tier
    jobs[job].start_s = time_s
    jobs[job].racks = racks
    jobs[job].starts += 1
    if jobs[job].first_start_s < 0:
        jobs[job].first_start_s = time_s
    if lender < 0:
        state.tenants[tenant].own += gpus
    else:
        state.tenants[tenant].on_loan += gpus
        state.tenants[lender].lent_out += gpus
        open_loan(state, job, lender, time_s)
        jobs[job].lent_position = tally.lent_jobs
        state.lent_jobs[tally.lent_jobs] = job
        tally.lent_jobs += 1
        jobs[job].recallable = True
    state.tiers[use_tier].gpus += gpus
    tally.running_jobs += 1
    _add_power(state, job, 1, time_s)

    restore_s = rules.restart_s if jobs[job].resumes else 0
    work_s = jobs[job].remaining_s
    interval_s = jobs[job].interval_s
    checkpoints = (work_s - 1) // interval_s if interval_s > 0 else 0
    speed_class = speed_class_of(state, job)
    now_s = clock_reading_s(state, speed_class, time_s)
    jobs[job].virtual_start_s = now_s
    jobs[job].slow = state.demands[jobs[job].demand].speed
    if tally.slowed_racks > 0:
        jobs[job].slow = slowest_part(state, job)
    length_s = restore_s + work_s + checkpoints * rules.checkpoint_s
    push_end(jobs, state.ends, state.speeds, speed_class, now_s + length_s / jobs[job].slow, job)


@kernel
def open_loan(state, job, lender, time_s):
    """Write a loan record."""
    tally = state.tally[0]
    loans, jobs = state.loans, state.jobs
    index = tally.loans
    if index >= loans.shape[0]:
        raise IndexError("more loans in one tick than were provided for")
    loans[index].lender = lender
    loans[index].borrower = jobs[job].tenant
    loans[index].job = job
    loans[index].gpus = jobs[job].gpus
    loans[index].start_s = time_s
    jobs[job].loan = index
    tally.loans = index + 1


@kernel
def notice(state, job, claimant, rule, time_s):
    """Give a borrower notice: it saves its state and leaves at the deadline."""
    tally = state.tally[0]
    jobs, loans = state.jobs, state.loans
    deadline_s = time_s + state.tenants[jobs[job].tenant].notice_s
    jobs[job].draining = True
    jobs[job].deadline_s = deadline_s
    loans[jobs[job].loan].noticed_s = time_s
    loans[jobs[job].loan].deadline_s = deadline_s
    loans[jobs[job].loan].claimant = claimant
    tally.draining += 1
    enter(state.agenda, state.tally[0], deadline_s, DRAIN, job)
    note_event(
        state,
        time_s,
        EVENT_RECALL,
        state.room.pieces[state.room.first_piece[job]].rack,
        -1,
        job,
        jobs[job].gpus,
        rule,
    )


@kernel
def _settle(state, job, time_s, cause):
    """Split the GPU-seconds of the run that ends now into useful and lost; return the useful seconds saved.

    `cause` is a LOST_ constant, DONE or OPEN. What is saved is whole seconds; a fraction of a second that a power cap
    leaves over is lost to the cap.
    """
    rules = state.rules[0]
    jobs = state.jobs
    gpus = jobs[job].gpus
    wall_s = float(time_s - jobs[job].start_s)
    clock_s = clock_reading_s(state, speed_class_of(state, job), time_s)
    worked_s = min(wall_s, (clock_s - jobs[job].virtual_start_s) * jobs[job].slow)
    jobs[job].allocated_gpu_s += gpus * (time_s - jobs[job].start_s)
    state.lost_gpu_s[job, LOST_SHED] += gpus * (wall_s - worked_s)
    restored_s = min(worked_s, float(rules.restart_s)) if jobs[job].resumes else 0.0
    state.lost_gpu_s[job, LOST_RESTART] += gpus * restored_s
    left_s = worked_s - restored_s
    interval_s = float(jobs[job].interval_s)
    dumps_s = 0.0
    kept_s = left_s
    if interval_s > 0.0:
        cycle_s = interval_s + rules.checkpoint_s
        cycles = math.floor(left_s / cycle_s)
        partial_s = left_s - cycles * cycle_s
        dumps_s = cycles * rules.checkpoint_s + max(0.0, partial_s - interval_s)
        kept_s = cycles * interval_s + min(partial_s, interval_s)
        told = state.tenants[jobs[job].tenant].notice_s >= rules.checkpoint_s
        warned = jobs[job].deadline_s >= 0 and told
        if (cause == LOST_RECALL and warned) or (cause == LOST_EXPIRY and told):
            # one more checkpoint fits between notice and deadline, unless one is just being written
            final_s = min(float(rules.checkpoint_s), partial_s) if partial_s < interval_s else 0.0
            kept_s -= final_s
            state.lost_gpu_s[job, cause] += gpus * final_s
        elif cause >= 0:
            unsaved_s = min(partial_s, interval_s)
            kept_s -= unsaved_s
            state.lost_gpu_s[job, cause] += gpus * unsaved_s
    elif cause >= 0 and state.demands[jobs[job].demand].kind != INFERENCE:
        # no checkpoints and no service rendered: all work of this run is lost
        state.lost_gpu_s[job, cause] += gpus * kept_s
        kept_s = 0.0
    whole_s = float(jobs[job].remaining_s)
    if cause != DONE:
        whole_s = min(float(math.floor(kept_s + 1e-6)), whole_s - 1.0)
    state.lost_gpu_s[job, LOST_SHED] += gpus * (kept_s - whole_s)
    kept_s = whole_s
    state.lost_gpu_s[job, LOST_CHECKPOINT] += gpus * dumps_s
    jobs[job].useful_gpu_s += gpus * kept_s
    charge_run(state, job)
    return kept_s


@large_kernel
def leave(state, job, time_s, cause):
    """End a job's run: because it has finished (DONE) or because something took its GPUs (a LOST_ constant)."""
    tally = state.tally[0]
    jobs = state.jobs
    tenant, gpus, tier = jobs[job].tenant, jobs[job].gpus, jobs[job].use_tier
    kept_s = _settle(state, job, time_s, cause)
    _add_power(state, job, -1, time_s)
    remove_end(jobs, state.ends, state.speeds, speed_class_of(state, job), job)
    vacate(state.room, job)
    state.tiers[tier].gpus -= gpus
    tally.running_jobs -= 1
    if jobs[job].recallable:
        _close_loan(state, job, time_s, cause)
        state.tenants[tenant].on_loan -= gpus
    else:
        state.tenants[tenant].own -= gpus
    if cause == DONE:
        jobs[job].state = FINISHED
        jobs[job].end_s = time_s
        jobs[job].remaining_s = 0
        let_go(state, job)
        return
    jobs[job].remaining_s -= np.int64(kept_s)
    jobs[job].resumes = True
    if cause == LOST_FAILURE:
        jobs[job].failures += 1
    elif cause == LOST_RECALL:
        jobs[job].recalls += 1
    elif cause == LOST_SHED:
        jobs[job].sheds += 1
    if not may_wait(state, job, time_s):
        return
    rest_s = state.rules[0].rest_s * min(jobs[job].recalls, LONGEST_REST)
    if cause == LOST_RECALL and state.tenants[tenant].tier == LENT and rest_s > 0:
        count_queued(state, job)  # it takes its place in front when it has rested (L3)
        enter(state.agenda, tally, time_s + rest_s, REST, job)
    else:
        enqueue(state, job, True)


@kernel
def _close_loan(state, job, time_s, cause):
    tally = state.tally[0]
    jobs, loans = state.jobs, state.loans
    loan = jobs[job].loan
    reason = LOAN_FINISHED
    if cause == LOST_FAILURE:
        reason = LOAN_FAILURE
    elif cause == LOST_RECALL:
        reason = LOAN_RECALLED
    elif cause == LOST_SHED:
        reason = LOAN_SHED
    elif cause == LOST_EXPIRY:
        reason = LOAN_EXPIRED
    loans[loan].returned_s = time_s
    loans[loan].reason = reason
    state.tenants[loans[loan].lender].lent_out -= jobs[job].gpus
    last = tally.lent_jobs - 1
    moved = state.lent_jobs[last]
    state.lent_jobs[jobs[job].lent_position] = moved
    jobs[moved].lent_position = jobs[job].lent_position
    tally.lent_jobs = last
    jobs[job].lent_position = -1
    jobs[job].loan = -1
    jobs[job].recallable = False
    if jobs[job].draining:
        jobs[job].draining = False
        jobs[job].deadline_s = -1
        tally.draining -= 1


@kernel
def close_books(state, time_s):
    """Settle every job that still runs when the simulated time is over; it keeps the state *running*."""
    tally = state.tally[0]
    jobs = state.jobs
    for job in range(jobs.shape[0]):
        if jobs[job].state == RUNNING:
            _settle(state, job, time_s, OPEN)
            piece = state.room.first_piece[job]
            while piece >= 0:
                state.racks[state.room.pieces[piece].rack].gpu_s += state.room.pieces[piece].gpus * time_s
                piece = state.room.pieces[piece].next
    tally.now_s = time_s
