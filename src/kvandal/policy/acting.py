"""What the policy does to its own arrays when it decides, and the list of actions for whoever carries them out.

A decision changes who sits where, who owes what and who waits for what. What it means for power, clocks and records is
not the policy's: the twin (or a live engine) reads the actions, in their order, and carries them out.
"""

from __future__ import annotations

import numpy as np

from kvandal.compiled import kernel, large_kernel
from kvandal.policy.lending import give_back, move_from
from kvandal.policy.placement import bar_rack, forget_ends, release, vacate
from kvandal.policy.queues import count_wait, take_out
from kvandal.policy.rules import TRANSFER
from kvandal.policy.tree import FIRM, LENT, PROTECTED, book_claim, book_own

MILLIWATT = 1e-6
"""Kilowatts in a milliwatt."""

ACTION = np.dtype(
    [
        ("job", "i8"),
        ("other", "i8"),
        ("gpus", "i8"),
        ("racks", "i8"),
        ("kind", "i8"),
        ("rule", "i8"),
        ("tier", "i8"),
    ],
    align=True,
)
"""One action: `other` is the claimant of a notice (-1: a lender), or the record to close."""
OWN_END, OWN_GPUS, OWN_TENANT, OWN_JOB = range(4)
"""Rows of `State.own_jobs`, the jobs that run on their tenant's share: when each should end (NOT_YET until its start has
been carried out), its GPUs, its tenant, the job."""
NOT_YET = 2**31 - 1
"""An end that does not count."""
ACTIONS = ("start", "notice", "move", "promote", "demote", "close")
START, NOTICE, MOVE, PROMOTE, DEMOTE, CLOSE = range(6)


@large_kernel
def act(state, kind, job, other, racks, rule, tier):
    """Write an action down."""
    tally = state.tally[0]
    if tally.actions == state.actions.shape[0]:
        raise IndexError("more actions at one instant than were provided for")
    action = state.actions[tally.actions]
    action.kind = kind
    action.job = job
    action.other = other
    action.gpus = state.jobs[job].gpus
    action.racks = racks
    action.rule = rule
    action.tier = tier
    tally.actions += 1


@kernel
def power_tier(state, job, tier):
    """Tier whose cap a job of a tier falls under: firm work that its contract protects has one of its own."""
    return PROTECTED if tier == FIRM and state.jobs[job].protected else tier


@kernel
def least_power_kw(state, job, gpus, tier):
    """Power above idle that a job will draw on the thriftiest racks, under the caps of now [kW]."""
    least = -1.0
    tier = power_tier(state, job, tier)
    for model in range(state.models.shape[0]):
        kw = state.load_mw[state.jobs[job].demand, model] * MILLIWATT * state.tier_models[tier, model].factor
        if least < 0.0 or kw < least:
            least = kw
    return least * gpus


@kernel
def want_power(state, tier, need_kw):
    """Remember that a job waits for power, so that work of a lower tier makes room at the next tick."""
    tally = state.tally[0]
    tally.power_wait = 1
    if tier != LENT and tally.wanted_kw == 0.0:
        tally.wanted_kw = need_kw
        tally.wanted_tier = tier


@large_kernel
def powered(state, job, gpus, tier):
    """Whether the envelope of the site has room for a job, before it is placed (rule E1)."""
    tally = state.tally[0]
    need_kw = least_power_kw(state, job, gpus, tier)
    if tally.it_now_kw + need_kw <= tally.it_envelope_kw and not (
        tier == LENT and state.tiers[LENT].cap < 1.0
    ):
        return True
    want_power(state, tier, need_kw)
    return False


@large_kernel
def _draw(state, job, tier, sign):
    """Take a placed job's power from the room of every node above its racks (or give it back).

    Return its power [kW] and the first rack above which a node has none left, or -1.
    """
    room, nodes = state.room, state.node_room_kw
    tier = power_tier(state, job, tier)
    halls, groups = state.rules[0].halls, state.rules[0].groups
    total_kw, short = 0.0, -1
    piece = room.first_piece[job]
    while piece >= 0:
        rack = room.pieces[piece].rack
        model = state.racks[rack].model
        kw = room.pieces[piece].gpus * state.load_mw[state.jobs[job].demand, model] * MILLIWATT
        kw *= state.tier_models[tier, model].factor
        total_kw += kw
        hall, group = 1 + state.racks[rack].hall, 1 + halls + state.racks[rack].group
        pod = 1 + halls + groups + state.racks[rack].pod
        nodes[hall] -= sign * kw
        nodes[group] -= sign * kw
        nodes[pod] -= sign * kw
        if nodes[hall] < 0.0 or nodes[group] < 0.0 or nodes[pod] < 0.0:
            short = rack
        piece = room.pieces[piece].next
    return total_kw, short


@large_kernel
def begin(state, job, gpus, tier, racks, rule, time_s):
    """Start a placed job if the envelope holds at every node above its racks (rule E1); else give the racks back.

    `gpus` may be fewer than asked for where the job is elastic. A rack whose nodes have no power left is closed until the
    next tick. Return 1 if the job runs, -1 if a node below the site lacks power, so that other racks might do, else 0.
    """
    tally, jobs = state.tally[0], state.jobs
    need_kw, short = _draw(state, job, tier, 1)
    if short >= 0 or tally.it_now_kw + need_kw > tally.it_envelope_kw:
        _draw(state, job, tier, -1)
        vacate(state.room, job)
        if short >= 0:
            bar_rack(state.room, short, True)
            tally.tight = 1
        else:
            want_power(state, tier, need_kw)
        return -1 if short >= 0 else 0
    count_wait(state, job, time_s)
    jobs[job].held_by = 0
    end_claim(state, job)
    take_out(state, job)
    jobs[job].gpus = gpus
    tally.it_now_kw += need_kw
    jobs[job].start_rule = rule
    jobs[job].use_tier = power_tier(state, job, tier)
    jobs[job].racks = racks
    jobs[job].start_s = time_s
    jobs[job].until_s = time_s + expected_run_s(state, job)
    if jobs[job].first_part < 0:
        list_own(state, job)
    else:
        list_loan(state, job, time_s)
    act(state, START, job, -1, racks, rule, tier)
    return 1


@kernel
def expected_run_s(state, job):
    """Longest time that a job will run if it starts now, by the limit that its owner asked for [s]."""
    record = state.jobs[job]
    whole_s = float(record.limit_s) * record.remaining_s / record.work_s * record.asked_gpus / record.gpus
    return np.int64(np.ceil(whole_s)) + (state.demands[record.demand].restart_s if record.resumes else 0)


@kernel
def end_claim(state, job):
    """End the reservation of a waiting job, if it has one."""
    queue = state.queues[state.jobs[job].queue]
    if state.room.first_claim[job] < 0:
        return
    release_claim(state, job)
    if queue.last_claim == job:
        before, at = -1, queue.head
        while at != job:
            before, at = at, state.jobs[at].next_job
        queue.last_claim = before


@large_kernel
def release_claim(state, job):
    """Give back the racks that are kept for a job, and what they count in its tenant's books."""
    release(state.room, job)
    if state.jobs[job].reserved:
        state.jobs[job].reserved = False
        state.tally[0].reservations -= 1
    else:
        book_claim(state.tenants, state.jobs[job].tenant, -state.jobs[job].gpus)


@large_kernel
def give_notice(state, job, claimant, rule, time_s):
    """Give a borrower notice: it saves its state and leaves at the deadline."""
    jobs = state.jobs
    if not jobs[job].on_loan:
        forget_ends(state.room, job)
    jobs[job].draining = True
    jobs[job].deadline_s = time_s + state.tenants[jobs[job].tenant].notice_s
    state.tally[0].draining += 1
    act(state, NOTICE, job, claimant, 0, rule, LENT)


@large_kernel
def move_loan(state, job, row, of_quota, removed):
    """Move to other lenders what a row has lent to a job, if they have room; the job runs on (rule L2)."""
    count = move_from(state, job, row, of_quota, removed)
    if count < 0:
        return False
    for index in range(count):
        act(state, CLOSE, job, removed[index], 0, TRANSFER, LENT)
    act(state, MOVE, job, -1, 0, TRANSFER, LENT)
    return True


@kernel
def close_parts(state, job, rule):
    """Have the records of all parts of a loan closed, because it ends while its job runs on."""
    part = state.jobs[job].first_part
    while part >= 0:
        act(state, CLOSE, job, state.parts[part].record, 0, rule, LENT)
        part = state.parts[part].next


@kernel
def list_own(state, job):
    """Count a job's GPUs as its tenant's own use, and enter it on the list of those that run on their tenant's share."""
    tally, record, own_jobs = state.tally[0], state.jobs[job], state.own_jobs
    book_own(state.tenants, record.tenant, record.gpus)
    record.list_position = tally.own_jobs
    own_jobs[OWN_END, tally.own_jobs] = NOT_YET
    own_jobs[OWN_GPUS, tally.own_jobs] = record.gpus
    own_jobs[OWN_TENANT, tally.own_jobs] = record.tenant
    own_jobs[OWN_JOB, tally.own_jobs] = job
    tally.own_jobs += 1


@kernel
def count_own(state, job):
    """Let the expected end of a job on its tenant's share count from now on: its start has been carried out."""
    state.own_jobs[OWN_END, state.jobs[job].list_position] = min(state.jobs[job].until_s, NOT_YET - 1)


@kernel
def end_own(state, job):
    """Take a job off the list of those that run on their tenant's share, and its GPUs off the tenant's own use."""
    tally, record, own_jobs = state.tally[0], state.jobs[job], state.own_jobs
    book_own(state.tenants, record.tenant, -record.gpus)
    last, at = tally.own_jobs - 1, record.list_position
    for row in range(4):
        own_jobs[row, at] = own_jobs[row, last]
    state.jobs[own_jobs[OWN_JOB, last]].list_position = at
    record.list_position = -1
    tally.own_jobs = last


@kernel
def list_loan(state, job, time_s):
    """Enter a job that has borrowed on the list of those on loan."""
    jobs, tally = state.jobs, state.tally[0]
    state.tenants[jobs[job].tenant].loans += 1
    jobs[job].list_position = tally.lent_jobs
    state.lent_jobs[tally.lent_jobs] = job
    tally.lent_jobs += 1
    jobs[job].on_loan = True
    jobs[job].recallable = time_s >= protected_until_s(state, job)


@kernel
def protected_until_s(state, job):
    """Instant from which a loan may be given notice, so that it has had its minimum run when it ends (L4) [s]."""
    tenant = state.tenants[state.jobs[job].tenant]
    return state.jobs[job].start_s + max(np.int64(0), tenant.minimum_run_s - tenant.notice_s)


@large_kernel
def end_loan(state, job):
    """Take a job off the list of those on loan; its lenders have their GPUs back."""
    jobs, tally = state.jobs, state.tally[0]
    give_back(state, job)
    last = tally.lent_jobs - 1
    moved = state.lent_jobs[last]
    state.lent_jobs[jobs[job].list_position] = moved
    jobs[moved].list_position = jobs[job].list_position
    tally.lent_jobs = last
    jobs[job].list_position = -1
    jobs[job].on_loan = False
    jobs[job].recallable = False


@large_kernel
def stop(state, job):
    """Take a running job's GPUs away: its seats, its part of its tenant's share or its loan, its notice."""
    jobs, tally = state.jobs, state.tally[0]
    _draw(state, job, jobs[job].use_tier, -1)
    vacate(state.room, job)
    if jobs[job].on_loan:
        end_loan(state, job)
    else:
        end_own(state, job)
    if jobs[job].draining:
        jobs[job].draining = False
        jobs[job].deadline_s = -1
        tally.draining -= 1
    tally.freed += 1
