"""Binary heaps over arrays, with a total order, so that equal inputs give an equal run."""

from __future__ import annotations

from typing import Any

import numpy as np

from kvandal.compiled import kernel

Array = Any

END = np.dtype([("key", "f8"), ("job", "i8")], align=True)
"""A running job and the virtual time of its end [s]."""

ENTRY = np.dtype([("time_s", "i8"), ("rank", "i8"), ("subject", "i8")], align=True)
"""An event at a known instant: time, rank (priority in the high bits, sequence in the low ones), tray, rack or job."""

PRIORITY_SHIFT = 48


@kernel
def _put(jobs, ends, group, index, key, job):
    ends[group, index].key = key
    ends[group, index].job = job
    jobs[job].heap_position = index


@kernel
def _before(key_a, job_a, key_b, job_b):
    return key_a < key_b or (key_a == key_b and job_a < job_b)


@kernel
def _rise(jobs, ends, group, index):
    key, job = ends[group, index].key, ends[group, index].job
    while index > 0:
        parent = (index - 1) // 2
        parent_key, parent_job = ends[group, parent].key, ends[group, parent].job
        if not _before(key, job, parent_key, parent_job):
            break
        _put(jobs, ends, group, index, parent_key, parent_job)
        index = parent
    _put(jobs, ends, group, index, key, job)


@kernel
def _sink(jobs, ends, group, index, size):
    key, job = ends[group, index].key, ends[group, index].job
    while True:
        child = 2 * index + 1
        if child >= size:
            break
        if child + 1 < size and _before(
            ends[group, child + 1].key,
            ends[group, child + 1].job,
            ends[group, child].key,
            ends[group, child].job,
        ):
            child += 1
        if not _before(ends[group, child].key, ends[group, child].job, key, job):
            break
        _put(jobs, ends, group, index, ends[group, child].key, ends[group, child].job)
        index = child
    _put(jobs, ends, group, index, key, job)


@kernel
def push_end(jobs, ends, speeds, group, key, job):
    """Add a running job to the heap of its speed class; `speeds[group].running` counts it."""
    index = speeds[group].running
    speeds[group].running = index + 1
    _put(jobs, ends, group, index, key, job)
    _rise(jobs, ends, group, index)


@kernel
def remove_end(jobs, ends, speeds, group, job):
    """Take a running job out, wherever it stands."""
    index = jobs[job].heap_position
    last = speeds[group].running - 1
    speeds[group].running = last
    jobs[job].heap_position = -1
    if index == last:
        return
    moved = ends[group, last].job
    _put(jobs, ends, group, index, ends[group, last].key, moved)
    _rise(jobs, ends, group, index)
    _sink(jobs, ends, group, jobs[moved].heap_position, last)


@kernel
def _swap(agenda, a, b):
    time_s, rank, subject = agenda[a].time_s, agenda[a].rank, agenda[a].subject
    agenda[a].time_s, agenda[a].rank, agenda[a].subject = agenda[b].time_s, agenda[b].rank, agenda[b].subject
    agenda[b].time_s, agenda[b].rank, agenda[b].subject = time_s, rank, subject


@kernel
def _earlier(agenda, a, b):
    if agenda[a].time_s != agenda[b].time_s:
        return agenda[a].time_s < agenda[b].time_s
    return agenda[a].rank < agenda[b].rank


@kernel
def enter(agenda, tally, time_s, priority, subject):
    """Note an event; `tally` counts the entries and numbers them."""
    index = tally.agenda_size
    agenda[index].time_s = time_s
    agenda[index].rank = (priority << PRIORITY_SHIFT) + tally.agenda_sequence
    agenda[index].subject = subject
    tally.agenda_size += 1
    tally.agenda_sequence += 1
    while index > 0:
        parent = (index - 1) // 2
        if not _earlier(agenda, index, parent):
            break
        _swap(agenda, index, parent)
        index = parent


@kernel
def pop_first(agenda, tally):
    """Take the first event out. Return its priority and subject."""
    priority = agenda[0].rank >> PRIORITY_SHIFT
    subject = agenda[0].subject
    last = tally.agenda_size - 1
    tally.agenda_size = last
    _swap(agenda, 0, last)
    index = 0
    while True:
        child = 2 * index + 1
        if child >= last:
            break
        if child + 1 < last and _earlier(agenda, child + 1, child):
            child += 1
        if not _earlier(agenda, child, index):
            break
        _swap(agenda, child, index)
        index = child
    return priority, subject
