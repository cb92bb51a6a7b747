"""The queues: one per tenant and class of demand, linked through the table of jobs."""

from __future__ import annotations

from kvandal.compiled import kernel, large_kernel
from kvandal.policy.rules import HOLDS, IN_ORDER

QUEUED = 1
"""State of a job that waits (see :data:`kvandal.twin.records.STATES`)."""


@kernel
def takes_held_share(state, tenant, gpus, ends_s):
    """Whether use of a tenant's share until `ends_s` would delay the tenant's job that waits for that share (B1)."""
    row = state.tenants[tenant]
    if row.holder < 0:
        return False
    return row.own + row.claimed + gpus + state.jobs[row.holder].gpus > row.deserved and ends_s > row.shadow_s


@large_kernel
def count_wait(state, job, time_s):
    """Book the time since a queued job's last change of mind to what it has waited for."""
    record = state.jobs[job]
    if record.held_by > 0 and time_s > record.held_since_s:
        for index in range(len(HOLDS)):
            if HOLDS[index] == record.held_by:
                state.waits[index, job] += time_s - record.held_since_s
    record.held_since_s = time_s


@large_kernel
def hold(state, job, rule, time_s):
    """Say which rule holds a waiting job back from now on."""
    if state.jobs[job].held_by != rule:
        count_wait(state, job, time_s)
        state.jobs[job].held_by = rule


@large_kernel
def enqueue(state, job, in_front, time_s):
    """Put a job into its queue: at the end when it is new, in front when it was interrupted.

    Jobs that racks are reserved for stay in front; an interrupted job then goes behind them.
    """
    count_queued(state, job, IN_ORDER, time_s)
    link(state, job, in_front, time_s)


@large_kernel
def count_queued(state, job, rule, time_s):
    """Count a job as queued, held back by a rule from now on."""
    tally = state.tally[0]
    queue = state.queues[state.jobs[job].queue]
    state.jobs[job].state = QUEUED
    state.jobs[job].held_by = rule
    state.jobs[job].held_since_s = time_s
    queue.jobs += 1
    queue.gpus += state.jobs[job].gpus
    tally.queued_jobs += 1
    tally.queued_gpus += state.jobs[job].gpus


@large_kernel
def link(state, job, in_front, time_s):
    """Give a queued job its place in its queue; who stood there waits for its turn from now on."""
    queues, jobs = state.queues, state.jobs
    queue = jobs[job].queue
    if queues[queue].head < 0:
        queues[queue].head = job
        queues[queue].tail = job
        jobs[job].next_job = -1
    elif in_front and queues[queue].last_claim >= 0:
        last = queues[queue].last_claim
        jobs[job].next_job = jobs[last].next_job
        jobs[last].next_job = job
        if queues[queue].tail == last:
            queues[queue].tail = job
    elif in_front:
        hold(state, queues[queue].head, IN_ORDER, time_s)
        jobs[job].next_job = queues[queue].head
        queues[queue].head = job
    else:
        jobs[queues[queue].tail].next_job = job
        jobs[job].next_job = -1
        queues[queue].tail = job
        return
    queues[queue].changes += 1


@large_kernel
def take_out(state, job):
    """Take a job out of its queue, wherever it stands in it; it need not be far from the head."""
    jobs = state.jobs
    queue = state.queues[jobs[job].queue]
    before = -1
    at = queue.head
    while at != job:
        before = at
        at = jobs[at].next_job
    if before < 0:
        queue.head = jobs[job].next_job
    else:
        jobs[before].next_job = jobs[job].next_job
    if queue.tail == job:
        queue.tail = before
    jobs[job].next_job = -1
    count_out(state, job)


@large_kernel
def count_out(state, job):
    """Count a job as no longer queued; it holds its tenant's share no more."""
    tally, record = state.tally[0], state.jobs[job]
    queue = state.queues[record.queue]
    queue.changes += 1
    queue.jobs -= 1
    queue.gpus -= record.gpus
    tally.queued_jobs -= 1
    tally.queued_gpus -= record.gpus
    if state.tenants[record.tenant].holder == job:
        state.tenants[record.tenant].holder = -1
