"""The queues: one per tenant and class of demand, linked through the table of jobs."""

from __future__ import annotations

from kvandal.compiled import kernel
from kvandal.twin.state import QUEUED


@kernel
def enqueue(state, job, in_front):
    """Put a job into its queue: at the end when it is new, in front when it was interrupted.

    Jobs that racks are reserved for stay in front; an interrupted job then goes behind them.
    """
    count_queued(state, job)
    link(state, job, in_front)


@kernel
def count_queued(state, job):
    """Count a job as queued."""
    tally = state.tally[0]
    queue = state.queues[state.jobs[job].queue]
    state.jobs[job].state = QUEUED
    queue.jobs += 1
    queue.gpus += state.jobs[job].gpus
    tally.queued_jobs += 1
    tally.queued_gpus += state.jobs[job].gpus


@kernel
def link(state, job, in_front):
    """Give a queued job its place in its queue."""
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
        jobs[job].next_job = queues[queue].head
        queues[queue].head = job
    else:
        jobs[queues[queue].tail].next_job = job
        jobs[job].next_job = -1
        queues[queue].tail = job


@kernel
def dequeue_head(state, queue):
    """Take the first job out of a queue."""
    tally = state.tally[0]
    queues, jobs = state.queues, state.jobs
    job = queues[queue].head
    queues[queue].head = jobs[job].next_job
    if queues[queue].head < 0:
        queues[queue].tail = -1
    jobs[job].next_job = -1
    queues[queue].jobs -= 1
    queues[queue].gpus -= jobs[job].gpus
    tally.queued_jobs -= 1
    tally.queued_gpus -= jobs[job].gpus
    return job
