"""Grants as arithmetic over two tables, in whole GPU-seconds.

For every grant and each of its periods

    granted + carried in = spent + committed + left + carried out + expired + withdrawn

at every instant. What is *committed* is reserved for jobs that wait or run. At the end of a period the commitments go on
into the next one whole, and of what is left the part that may be carried over; the rest expires. What a job gives back
in a later period than the one it was reserved in is treated as if it had been left at every end between.
"""

from __future__ import annotations

import numpy as np

from kvandal.compiled import kernel

MILLION = 1_000_000
FAR = np.int64(2**62)
"""An instant that never comes."""

GRANT = np.dtype(
    [
        ("start_s", "i8"),
        ("end_s", "i8"),  # FAR: it does not expire
        ("notice_s", "i8"),  # instant at which running jobs are told of a hard end; FAR: never, or done
        ("next_s", "i8"),  # when something happens to it by the calendar
        ("check_s", "i8"),  # from when on a waiting job could no longer end in time; FAR: none
        ("tenant", "i8"),
        ("project", "i8"),  # that it is for; 0: any of the tenant's
        ("first", "i8"),  # its first row in the table of periods
        ("last", "i8"),
        ("period", "i8"),  # its present row; -1: it has not begun
        ("head", "i8"),  # first of the jobs that hold commitments; -1: none
        ("carry_millionths", "i8"),
        ("lose_after_millionths", "i8"),
        ("lose_below_millionths", "i8"),
        ("is_hard", "?"),
        ("is_over", "?"),
    ],
    align=True,
)

GRANT_PERIOD = np.dtype(
    [
        ("start_s", "i8"),
        ("end_s", "i8"),
        ("lose_s", "i8"),  # when its use is looked at; FAR: never, or done
        ("brings", "i8"),  # GPU-seconds that are granted when it begins
        ("granted", "i8"),
        ("carried_in", "i8"),
        ("spent", "i8"),
        ("committed", "i8"),
        ("committed_at_end", "i8"),  # what of carried_out was committed
        ("carried_out", "i8"),
        ("expired", "i8"),
        ("withdrawn", "i8"),
        ("grant", "i8"),
    ],
    align=True,
)

JOB_GRANT = np.dtype(
    [
        ("committed", "i8"),
        ("charged", "i8"),
        ("refused_needed", "i8"),  # in GPUs, GPU-seconds or seconds, as the rule counts
        ("refused_available", "i8"),
        ("project", "i8"),  # that the job belongs to; 0: none
        ("grant", "i4"),  # that it draws on, or drew on last
        ("period", "i4"),  # row of the period that its commitment was made in
        ("next", "i4"),  # in the list of its grant, while it holds a commitment; -1: none
        ("previous", "i4"),
        ("drew", "?"),  # on any grant
        ("holds", "?"),  # a commitment, however small
    ],
    align=True,
)
"""What a job holds of a grant: zeros for a job that drew on none and was not turned away."""


@kernel
def share_of(amount, millionths):
    """Share of a whole amount, rounded down; exact without large numbers between."""
    return amount // MILLION * millionths + amount % MILLION * millionths // MILLION


@kernel
def left_gpu_s(row):
    """GPU-seconds of a period that can still be committed."""
    return (
        row.granted
        + row.carried_in
        - row.spent
        - row.committed
        - row.carried_out
        - row.expired
        - row.withdrawn
    )


@kernel
def is_for(grant, project):
    """Whether jobs of a project may draw on a grant."""
    return grant.project in (0, project)


@kernel
def is_in_force(grant):
    """Whether jobs can draw on a grant now."""
    return grant.period >= 0 and not grant.is_over


@kernel
def available_gpu_s(grants, periods, grant):
    """GPU-seconds that a grant can still commit now: those of its present period (rule G2)."""
    if not is_in_force(grants[grant]):
        return 0
    return left_gpu_s(periods[grants[grant].period])


@kernel
def ends_in_time(grant, time_s, limit_s):
    """Whether a job that starts now is sure to end inside a grant (rule G3)."""
    return not grant.is_hard or limit_s <= grant.end_s - time_s


@kernel
def commit(grants, periods, grant, gpu_s):
    """Reserve GPU-seconds for a job; return the row of the period."""
    row = grants[grant].period
    periods[row].committed += gpu_s
    return row


@kernel
def charge(grants, periods, grant, gpu_s):
    """Turn committed GPU-seconds into spent ones."""
    row = periods[grants[grant].period]
    row.committed -= gpu_s
    row.spent += gpu_s


@kernel
def give_back(grants, periods, grant, since, gpu_s):
    """Release committed GPU-seconds that were reserved in period `since`; a grant that is over lets them expire."""
    now = grants[grant].period
    kept = gpu_s
    for _ in range(since, now):
        kept = share_of(kept, grants[grant].carry_millionths)
    if grants[grant].is_over:
        kept = 0
    periods[now].committed -= gpu_s
    periods[now].expired += gpu_s - kept


@kernel
def withdraw_unused(grants, periods, grant):
    """Use it or lose it: where too little is spent or committed, leave what is in proportion to the time that is left."""
    row = periods[grants[grant].period]
    row.lose_s = FAR
    total = row.granted + row.carried_in
    if row.spent + row.committed >= share_of(total, grants[grant].lose_below_millionths):
        return
    keep = total - share_of(total, grants[grant].lose_after_millionths)
    row.withdrawn += max(0, left_gpu_s(row) - keep)


@kernel
def begin_period(grants, periods, grant):
    """Begin the first period of a grant, or end the present one and begin the next."""
    now = grants[grant].period
    following = grants[grant].first if now < 0 else now + 1
    if now >= 0:
        row = periods[now]
        left = left_gpu_s(row)
        carried = share_of(left, grants[grant].carry_millionths)
        row.expired += left - carried
        row.carried_out = row.committed + carried
        row.committed_at_end = row.committed
        periods[following].committed = row.committed
        periods[following].carried_in = row.carried_out
        row.committed = 0
    periods[following].granted = periods[following].brings
    grants[grant].period = following


@kernel
def end_grant(grants, periods, grant):
    """Let all expire that is left of a grant; commitments stay until their jobs have ended."""
    row = periods[grants[grant].period]
    row.expired += left_gpu_s(row)
    row.committed_at_end = row.committed
    grants[grant].is_over = True


@kernel
def next_instant(grants, periods, grant):
    """When the calendar next changes a grant; FAR: never."""
    if grants[grant].is_over:
        return FAR
    if grants[grant].period < 0:
        return max(np.int64(0), grants[grant].start_s)
    row = periods[grants[grant].period]
    found = min(row.lose_s, grants[grant].notice_s)
    if grants[grant].period < grants[grant].last or grants[grant].end_s < FAR:
        found = min(found, row.end_s)
    return found
