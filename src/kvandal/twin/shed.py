"""Who gives power up: loans are recalled with notice (rule E3), or jobs are shed at once (rule E2)."""

from __future__ import annotations

import math

from kvandal.compiled import kernel, large_kernel
from kvandal.policy.recall import leaving_cost_gpu_s, recall_cost_gpu_s
from kvandal.policy.rules import POWER_RECALL, SHED
from kvandal.policy.tree import ASSURED, FIRM, PROTECTED
from kvandal.twin.life import job_power_kw, leave
from kvandal.twin.log import note_event, notice
from kvandal.twin.records import COST_JOBS, COST_LOST_GPU_S, EVENT_SHED, LOST_SHED


@kernel
def _dearer(jobs, one, other):
    """Whether job `one` costs more per kilowatt than job `other`; among equals the older one does."""
    if jobs[one].recall_cost == jobs[other].recall_cost:
        return (jobs[one].start_s, one) < (jobs[other].start_s, other)
    return jobs[one].recall_cost > jobs[other].recall_cost


@large_kernel
def recall_for_power(state, missing_kw, time_s):
    """Recall loans for power: the least lost GPU-seconds per kilowatt first, and no more than needed (rule E3).

    What those already under notice will free counts. Who was chosen early and is not needed in the end stays.
    """
    jobs, tally, cap = state.jobs, state.tally[0], state.rules[0].cap_minimum
    if tally.draining > 0:
        for index in range(tally.lent_jobs):
            if jobs[state.lent_jobs[index]].draining:
                missing_kw -= job_power_kw(state, state.lent_jobs[index], cap)
    if missing_kw <= 1e-6:
        return
    for index in range(tally.lent_jobs):
        job = state.lent_jobs[index]
        jobs[job].recall_cost = math.inf
        if jobs[job].recallable and not jobs[job].draining:
            kw = job_power_kw(state, job, cap)
            if kw > 0.0:
                jobs[job].recall_cost = recall_cost_gpu_s(state, job, time_s) / kw
    while missing_kw > 1e-6:
        best = -1
        for index in range(tally.lent_jobs):
            job = state.lent_jobs[index]
            if jobs[job].named or jobs[job].recall_cost == math.inf:
                continue
            if best < 0 or _dearer(jobs, best, job):
                best = job
        if best < 0:
            break
        jobs[best].named = True
        missing_kw -= job_power_kw(state, best, cap)
    while missing_kw < 0.0:
        spare = -1
        for index in range(tally.lent_jobs):
            job = state.lent_jobs[index]
            if jobs[job].named and (spare < 0 or _dearer(jobs, job, spare)):
                if job_power_kw(state, job, cap) > -missing_kw:
                    continue
                spare = job
        if spare < 0:
            break
        jobs[spare].named = False
        missing_kw += job_power_kw(state, spare, cap)
    for index in range(tally.lent_jobs):
        job = state.lent_jobs[index]
        if jobs[job].named:
            jobs[job].named = False
            notice(state, job, -1, POWER_RECALL, time_s)


@kernel
def _cheapest_loan(state, time_s):
    """Job on loan whose end now loses the fewest GPU-seconds per kilowatt freed (ties: the newest), or -1."""
    jobs, cap = state.jobs, state.rules[0].cap_minimum
    best = -1
    for index in range(state.tally[0].lent_jobs):
        job = state.lent_jobs[index]
        kw = job_power_kw(state, job, cap)
        if kw <= 0.0:
            continue
        jobs[job].recall_cost = leaving_cost_gpu_s(state, job, 0, time_s) / kw
        if best < 0 or _dearer(jobs, best, job):
            best = job
    return best


@kernel
def _pro_rata(state, tier):
    """Newest job of the tenant of a tier that holds most over what it deserves, or -1."""
    jobs, tenants = state.jobs, state.tenants
    victim = -1
    for speed_class in range(tier * 3, tier * 3 + 3):
        for index in range(state.speeds[speed_class].running):
            job = state.ends[speed_class, index].job
            if victim < 0:
                victim = job
                continue
            one, other = tenants[jobs[job].tenant], tenants[jobs[victim].tenant]
            mine, theirs = float(one.own) * other.deserved, float(other.own) * one.deserved
            if jobs[job].tenant == jobs[victim].tenant or mine == theirs:
                if (jobs[job].start_s, job) > (jobs[victim].start_s, victim):
                    victim = job
            elif mine > theirs:
                victim = job
    return victim


@large_kernel
def shed_one(state, time_s):
    """Shed one job (rule E2): a loan, else assured work, else firm work that may be curtailed, else any firm work."""
    jobs, tally = state.jobs, state.tally[0]
    victim = _cheapest_loan(state, time_s)
    for step in range(3):
        if victim < 0:
            victim = _pro_rata(state, ASSURED if step == 0 else (FIRM if step == 1 else PROTECTED))
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
    before = state.lost_gpu_s[LOST_SHED, victim]
    leave(state, victim, time_s, LOST_SHED)
    if tally.site_fault >= 0:
        state.fault_cost[tally.site_fault, jobs[victim].tenant, COST_JOBS] += 1.0
        lost_gpu_s = state.lost_gpu_s[LOST_SHED, victim] - before
        state.fault_cost[tally.site_fault, jobs[victim].tenant, COST_LOST_GPU_S] += lost_gpu_s
    return True
