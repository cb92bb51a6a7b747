"""Racks kept for a job that waits: claimed by recalling loans (R1), or reserved until their jobs should have ended (B1)."""

from __future__ import annotations

import numpy as np

from kvandal.compiled import kernel, large_kernel
from kvandal.policy.acting import give_notice, protected_until_s, release_claim
from kvandal.policy.placement import (
    GPUS_PER_TRAY,
    TRAY_HEALTHY,
    TRAYS_PER_RACK,
    UNKNOWN,
    reserve,
    segment_trays_for,
    segments_for,
    spares_kept,
)
from kvandal.policy.recall import choose_racks, choose_victims, recall_cost_gpu_s
from kvandal.policy.restarts import spare_trays_for
from kvandal.policy.rules import RECALL
from kvandal.policy.tree import LENT, book_claim, has_share

FAR = np.int64(2**62)
"""A time that does not come."""
RECHECK_S = 300
"""A reservation is looked at afresh after this time, and when its racks should have come free [s]."""


@kernel
def _estimate_recall(state, rack, time_s):
    """Write down what each loan in a rack would lose if it were recalled now."""
    for tray in range(rack * TRAYS_PER_RACK, (rack + 1) * TRAYS_PER_RACK):
        for slot in range(GPUS_PER_TRAY):
            job = state.room.slots[tray, slot]
            if job >= 0 and state.jobs[job].recallable:
                state.jobs[job].recall_cost = recall_cost_gpu_s(state, job, time_s)


@large_kernel
def claim(state, job, queue, chosen, victims, time_s):
    """Keep racks for an entitled job and recall who stands in the way (R1); false if that cannot help (R2)."""
    rules, jobs, room = state.rules[0], state.jobs, state.room
    gpus = jobs[job].gpus
    spare = spare_trays_for(state, job)
    count = choose_racks(room, jobs, state.racks, gpus, rules.segment_trays, chosen, spare)
    if count == 0:
        return False
    needed = segment_trays_for(gpus, rules.segment_trays)
    recalls = 0
    for index in range(count):
        rack = chosen[index]
        _estimate_recall(state, rack, time_s)
        wanted = needed + spares_kept(gpus, spare) + room.racks[rack].promised
        recalls = choose_victims(room, jobs, rack, wanted, victims, recalls)
    for index in range(recalls):
        jobs[victims[index]].named = False
        give_notice(state, victims[index], job, RECALL, time_s)
    for index in range(count):
        reserve(room, chosen[index], job, needed)
    state.queues[queue].last_claim = job
    book_claim(state.tenants, jobs[job].tenant, gpus)
    return True


@kernel
def can_recall(state, job):
    """Whether a waiting job may call loans back: an entitled one may (R1), a borrower must wait until they end (A1)."""
    tenant = state.jobs[job].tenant
    entitled = state.tenants[tenant].tier != LENT and has_share(state.tenants, tenant, state.jobs[job].gpus)
    return entitled and state.rules[0].recall


@kernel
def leaves_s(state, job, recalls, time_s):
    """When a running job should have left its GPUs: by its limit, or with `recalls` as soon as its loan can be called back [s]."""
    record = state.jobs[job]
    if record.draining:
        return record.deadline_s
    if record.on_loan and recalls:
        tenant = state.tenants[record.tenant]
        sure_s = record.start_s + tenant.minimum_run_s
        return max(time_s, min(record.until_s, max(sure_s, time_s + tenant.notice_s)))
    return max(time_s, record.until_s)


@kernel
def _recallable_s(state, rack, time_s):
    """When the next loan in a rack may be called back that may not be yet (L4); FAR when there is none [s]."""
    soonest_s = FAR
    for tray in range(rack * TRAYS_PER_RACK, (rack + 1) * TRAYS_PER_RACK):
        for slot in range(GPUS_PER_TRAY):
            job = state.room.slots[tray, slot]
            if job >= 0 and state.jobs[job].on_loan and protected_until_s(state, job) > time_s:
                soonest_s = min(soonest_s, protected_until_s(state, job))
    return soonest_s


@kernel
def _tray_free_s(state, tray, recalls, time_s):
    """When a tray in use should be free [s]; it is remembered where no loan and no notice can change it."""
    slots, jobs = state.room.slots, state.jobs
    free_s, until_s, last, fixed = np.int64(time_s), np.int64(0), -1, True
    for slot in range(GPUS_PER_TRAY):
        job = slots[tray, slot]
        if job < 0 or job == last:
            continue
        last = job
        free_s = max(free_s, leaves_s(state, job, recalls, time_s))
        until_s = max(until_s, jobs[job].until_s)
        fixed = fixed and not jobs[job].on_loan and not jobs[job].draining
    if fixed:
        state.room.trays[tray].until_s = until_s
    return free_s


@kernel
def _free_s(state, rack, trays, tray_s, recalls, time_s, before_s):
    """When so many trays of a rack should be free [s]; FAR when it has not that many in service before `before_s`.

    `tray_s` is int64 (18,), filled with the instants at which trays should be free, in order.
    """
    trays_of = state.room.trays
    count = 0
    first = rack * TRAYS_PER_RACK
    for tray in range(first, first + TRAYS_PER_RACK):
        if count + first + TRAYS_PER_RACK - tray < trays:
            return FAR
        if trays_of[tray].state != TRAY_HEALTHY:
            continue
        free_s = np.int64(time_s)
        if trays_of[tray].free < GPUS_PER_TRAY:
            if trays_of[tray].until_s != UNKNOWN:
                free_s = max(free_s, trays_of[tray].until_s)
            else:
                free_s = _tray_free_s(state, tray, recalls, time_s)
        if free_s >= before_s:
            continue
        index = count
        while index > 0 and tray_s[index - 1] > free_s:
            tray_s[index] = tray_s[index - 1]
            index -= 1
        tray_s[index] = free_s
        count += 1
    return tray_s[trays - 1] if trays <= count else FAR


@large_kernel
def _soonest_racks(state, job, needed, segments, chosen, free_s, tray_s, time_s, late_s):
    """List the racks that should have room for a segment of a job soonest, and when, in order; return how many there are.

    Racks that have none before `late_s` are passed over.
    """
    room, recalls = state.room, can_recall(state, job)
    spare = spares_kept(state.jobs[job].gpus, spare_trays_for(state, job))
    found = 0
    for rack in range(room.racks.shape[0]):
        wanted = room.racks[rack].promised + needed + spare
        if wanted > TRAYS_PER_RACK:
            continue
        before_s = free_s[found - 1] if found == segments else late_s
        rack_s = _free_s(state, rack, wanted, tray_s, recalls, time_s, before_s)
        if rack_s == FAR:
            continue
        index = found if found < segments else found - 1
        found = index + 1
        while index > 0 and free_s[index - 1] > rack_s:
            free_s[index], chosen[index] = free_s[index - 1], chosen[index - 1]
            index -= 1
        free_s[index], chosen[index] = rack_s, rack
    return found


@large_kernel
def reserve_soonest(state, job, queue, scratch, time_s):
    """Keep the racks for a job that should come free soonest (B1); false when there will never be enough.

    `scratch` are arrays to work in: of these `chosen`, `free_s` and `tray_s` are filled.
    """
    room, jobs = state.room, state.jobs
    segment_trays = state.rules[0].segment_trays
    gpus, recalls = jobs[job].gpus, can_recall(state, job)
    segments, needed = segments_for(gpus, segment_trays), segment_trays_for(gpus, segment_trays)
    chosen, free_s = scratch.chosen, scratch.free_s
    # where racks were kept for it before, others will do only if they come free sooner, and most are passed over at a glance
    late_s = jobs[job].until_s + 1 if jobs[job].until_s > time_s else FAR
    found = _soonest_racks(state, job, needed, segments, chosen, free_s, scratch.tray_s, time_s, late_s)
    if found < segments and late_s < FAR:
        found = _soonest_racks(state, job, needed, segments, chosen, free_s, scratch.tray_s, time_s, FAR)
    if found < segments:
        return False
    shadow_s, recheck_s = time_s, time_s + RECHECK_S
    for index in range(segments):
        shadow_s = max(shadow_s, free_s[index])
        reserve(room, chosen[index], job, needed)
        if recalls:
            recheck_s = min(recheck_s, _recallable_s(state, chosen[index], time_s))
    jobs[job].reserved = True
    jobs[job].until_s = shadow_s
    if shadow_s > time_s:
        recheck_s = min(recheck_s, shadow_s)
    if state.queues[queue].last_claim >= 0:
        recheck_s = min(
            recheck_s, state.queues[queue].recheck_s
        )  # those before it are looked at together with it
    state.tally[0].reservations += 1
    state.queues[queue].last_claim = job
    state.queues[queue].recheck_s = recheck_s
    if shadow_s <= time_s:
        state.tally[0].wake_s = time_s  # room beside what others hold: decide again, it can start now
    return True


@large_kernel
def drop_claims(state, queue):
    """End all reservations of a queue; who was recalled for them still leaves."""
    job = state.queues[queue].head
    last = state.queues[queue].last_claim
    while last >= 0:
        release_claim(state, job)
        if job == last:
            break
        job = state.jobs[job].next_job
    state.queues[queue].last_claim = -1


@large_kernel
def drop_reservations(state):
    """End all reservations that nobody was recalled for: a job that a failure stopped goes before them (F1)."""
    if state.tally[0].reservations == 0:
        return
    for queue in range(state.queues.shape[0]):
        if state.queues[queue].last_claim >= 0 and state.jobs[state.queues[queue].head].reserved:
            drop_claims(state, queue)


@large_kernel
def leaves_earlier(state, job):
    """Whether the racks reserved for a job have room for it beside all reservations there that fall due before its own (B1)."""
    room, queues, jobs = state.room, state.queues, state.jobs
    piece = room.first_claim[job]
    while piece >= 0:
        rack = room.pieces[piece].rack
        trays = room.racks[rack].whole - room.pieces[piece].gpus // GPUS_PER_TRAY
        for queue in range(queues.shape[0]):
            last, other = queues[queue].last_claim, queues[queue].head
            while last >= 0:
                if other != job and (not jobs[other].reserved or jobs[other].until_s < jobs[job].until_s):
                    held = room.first_claim[other]
                    while held >= 0:
                        if room.pieces[held].rack == rack:
                            trays -= room.pieces[held].gpus // GPUS_PER_TRAY
                        held = room.pieces[held].next
                if other == last:
                    break
                other = jobs[other].next_job
        if trays < 0:
            return False
        piece = room.pieces[piece].next
    return True


@kernel
def awaits_leavers(state, job):
    """Whether somebody under notice still sits in the racks that a job has claimed."""
    room = state.room
    piece = room.first_claim[job]
    while piece >= 0:
        rack = room.pieces[piece].rack
        for tray in range(rack * TRAYS_PER_RACK, (rack + 1) * TRAYS_PER_RACK):
            for slot in range(GPUS_PER_TRAY):
                other = room.slots[tray, slot]
                if other >= 0 and state.jobs[other].draining:
                    return True
        piece = room.pieces[piece].next
    return False
