"""Placement of gangs in GPUs, trays and racks.

A tray holds four GPUs, a rack eighteen trays. A job of up to 72 GPUs never leaves a rack: it takes whole trays and,
for a remainder of one to three GPUs, part of one tray. A larger job is cut into segments of `segment_trays` trays,
one segment per rack. Racks are kept in lists by their number of wholly free trays and partly free trays in lists by
their free GPUs, so that the best fit is found without a search; the lists are last-in first-out, which makes every
choice a function of the history alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kvandal.compiled import kernel
from kvandal.compiled.tables import by_reference
from kvandal.policy.links import unused_records

GPUS_PER_TRAY = 4
TRAYS_PER_RACK = 18
GPUS_PER_RACK = GPUS_PER_TRAY * TRAYS_PER_RACK

TRAY_HEALTHY, TRAY_BROKEN, TRAY_ABSENT, TRAY_OFF = 0, 1, 2, 3

Array = Any  # arrays inside kernels: numba types them, annotations only name them


TRAY = np.dtype(
    [("next", "i4"), ("previous", "i4"), ("free", "i4"), ("state", "i4"), ("until_s", "i8")], align=True
)
"""A tray: its neighbours in the list of partly free trays, its free GPUs (0 unless healthy), its state, when its jobs leave."""
UNKNOWN = -1
RACK_ROOM = np.dtype(
    [("next", "i4"), ("previous", "i4"), ("whole", "i4"), ("promised", "i4"), ("barred", "?")], align=True
)
"""A rack: its neighbours in the list of equals, its wholly free trays, the trays promised to waiting jobs, and whether
the plant has no power to spare for it. Racks that are promised or barred stand in no list."""
BUCKET = np.dtype([("head", "i8"), ("count", "i8")], align=True)
"""A list of racks with the same number of wholly free trays."""
PIECE = np.dtype([("rack", "i4"), ("gpus", "i4"), ("next", "i4")], align=True)
"""A part of a job in one rack, and the next part."""


@by_reference
class Room(NamedTuple):
    """Who sits where, as arrays.

    Attributes
    ----------
    slots : int32 (trays, 4), job on each GPU or -1
    trays : TRAY (trays,)
    racks : RACK_ROOM (racks,)
    buckets : BUCKET (19,), racks by their wholly free trays
    levels : int32 (4,), heads of the lists of trays with 1, 2, 3 free GPUs
    first_piece : int32 (jobs,), first piece of each job's placement, or -1
    first_claim : int32 (jobs,), first piece of what is reserved for each job, or -1
    pieces : PIECE (GPUs + trays + 1,); the last one heads the list of unused pieces

    """

    slots: Array
    trays: Array
    racks: Array
    buckets: Array
    levels: Array
    first_piece: Array
    first_claim: Array
    pieces: Array


def empty_room(racks: int, jobs: int) -> Room:
    """Return a room whose trays are all absent; :func:`deliver_rack` brings them in."""
    trays = np.zeros(racks * TRAYS_PER_RACK, TRAY)
    trays["state"], trays["until_s"] = TRAY_ABSENT, UNKNOWN
    rack_rooms = np.zeros(racks, RACK_ROOM)
    buckets = np.zeros(TRAYS_PER_RACK + 1, BUCKET)
    buckets["head"] = -1
    return Room(
        slots=np.full((racks * TRAYS_PER_RACK, GPUS_PER_TRAY), -1, np.int32),
        trays=trays,
        racks=rack_rooms,
        buckets=buckets,
        levels=np.full(GPUS_PER_TRAY, -1, np.int64),
        first_piece=np.full(max(jobs, 1), -1, np.int32),
        first_claim=np.full(max(jobs, 1), -1, np.int32),
        pieces=unused_records(PIECE, racks * (GPUS_PER_RACK + TRAYS_PER_RACK)),
    )


@kernel
def _is_listed(room, rack):
    return room.racks[rack].promised == 0 and not room.racks[rack].barred


@kernel
def _link_rack(room, rack):
    bucket = room.racks[rack].whole
    head = room.buckets[bucket].head
    room.racks[rack].next = head
    room.racks[rack].previous = -1
    if head >= 0:
        room.racks[head].previous = rack
    room.buckets[bucket].head = rack
    room.buckets[bucket].count += 1


@kernel
def _unlink_rack(room, rack):
    bucket = room.racks[rack].whole
    before, after = room.racks[rack].previous, room.racks[rack].next
    if before >= 0:
        room.racks[before].next = after
    else:
        room.buckets[bucket].head = after
    if after >= 0:
        room.racks[after].previous = before
    room.buckets[bucket].count -= 1


@kernel
def _link_tray(room, tray):
    level = room.trays[tray].free
    head = room.levels[level]
    room.trays[tray].next = head
    room.trays[tray].previous = -1
    if head >= 0:
        room.trays[head].previous = tray
    room.levels[level] = tray


@kernel
def _unlink_tray(room, tray):
    before, after = room.trays[tray].previous, room.trays[tray].next
    if before >= 0:
        room.trays[before].next = after
    else:
        room.levels[room.trays[tray].free] = after
    if after >= 0:
        room.trays[after].previous = before


@kernel
def _set_free(room, tray, free):
    """Change the free GPUs of a tray and keep all lists true."""
    rack = tray // TRAYS_PER_RACK
    old = room.trays[tray].free
    if old == free:
        return
    room.trays[tray].until_s = UNKNOWN
    listed = _is_listed(room, rack)
    if listed and 0 < old < GPUS_PER_TRAY:
        _unlink_tray(room, tray)
    room.trays[tray].free = free
    if listed and 0 < free < GPUS_PER_TRAY:
        _link_tray(room, tray)
    if (old == GPUS_PER_TRAY) != (free == GPUS_PER_TRAY):
        if listed:
            _unlink_rack(room, rack)
        room.racks[rack].whole += 1 if free == GPUS_PER_TRAY else -1
        if listed:
            _link_rack(room, rack)


@kernel
def deliver_rack(room, rack):
    """Bring an absent rack into service, all trays free."""
    if _is_listed(room, rack):
        _link_rack(room, rack)
    for tray in range(rack * TRAYS_PER_RACK, (rack + 1) * TRAYS_PER_RACK):
        room.trays[tray].state = TRAY_HEALTHY
        _set_free(room, tray, GPUS_PER_TRAY)


@kernel
def break_tray(room, tray):
    """Take a tray out of service; who still sits there may stay, nobody comes."""
    room.trays[tray].state = TRAY_BROKEN
    _set_free(room, tray, 0)


@kernel
def repair_tray(room, tray):
    """Bring a tray back into service."""
    room.trays[tray].state = TRAY_HEALTHY
    free = 0
    for slot in range(GPUS_PER_TRAY):
        free += 1 if room.slots[tray, slot] < 0 else 0
    _set_free(room, tray, free)


@kernel
def _new_piece(room, first, job, rack, amount):
    """Put a piece from the list of unused ones in front of a job's list."""
    piece = room.pieces[-1].next
    room.pieces[-1].next = room.pieces[piece].next
    room.pieces[piece].rack = rack
    room.pieces[piece].gpus = amount
    room.pieces[piece].next = first[job]
    first[job] = piece


@kernel
def _unlist(room, rack):
    """Take a rack and its partly free trays out of the lists."""
    for tray in range(rack * TRAYS_PER_RACK, (rack + 1) * TRAYS_PER_RACK):
        if 0 < room.trays[tray].free < GPUS_PER_TRAY:
            _unlink_tray(room, tray)
    _unlink_rack(room, rack)


@kernel
def _list(room, rack):
    """Put a rack and its partly free trays back into the lists."""
    _link_rack(room, rack)
    for tray in range(rack * TRAYS_PER_RACK, (rack + 1) * TRAYS_PER_RACK):
        if 0 < room.trays[tray].free < GPUS_PER_TRAY:
            _link_tray(room, tray)


@kernel
def bar_rack(room, rack, barred):
    """Open or close a rack for new jobs: the nodes of the plant above it have power to spare, or not."""
    if room.racks[rack].barred == barred:
        return
    was_listed = _is_listed(room, rack)
    if was_listed:
        _unlist(room, rack)
    room.racks[rack].barred = barred
    if _is_listed(room, rack):
        _list(room, rack)


@kernel
def reserve(room, rack, job, trays):
    """Keep trays of a rack for a waiting job: nobody without such a promise is placed in the rack."""
    if _is_listed(room, rack):
        _unlist(room, rack)
    room.racks[rack].promised += trays
    _new_piece(room, room.first_claim, job, rack, trays * GPUS_PER_TRAY)


@kernel
def release(room, job):
    """End the reservations of a job; a rack that is promised to nobody is anybody's again."""
    piece = room.first_claim[job]
    while piece >= 0:
        rack = room.pieces[piece].rack
        room.racks[rack].promised -= room.pieces[piece].gpus // GPUS_PER_TRAY
        if _is_listed(room, rack):
            _list(room, rack)
        after = room.pieces[piece].next
        room.pieces[piece].next = room.pieces[-1].next
        room.pieces[-1].next = piece
        piece = after
    room.first_claim[job] = -1


@kernel
def _take(room, rack, job, gpus):
    """Seat `gpus` GPUs of a job in a rack that has the room, and remember the piece."""
    part = gpus % GPUS_PER_TRAY
    whole = gpus // GPUS_PER_TRAY
    first = rack * TRAYS_PER_RACK
    if part > 0:
        best, best_free = -1, GPUS_PER_TRAY + 1
        for tray in range(first, first + TRAYS_PER_RACK):
            free = room.trays[tray].free
            if part <= free < best_free:
                best, best_free = tray, free
        taken = 0
        for slot in range(GPUS_PER_TRAY):
            if taken < part and room.slots[best, slot] < 0:
                room.slots[best, slot] = job
                taken += 1
        _set_free(room, best, best_free - part)
    for tray in range(first, first + TRAYS_PER_RACK):
        if whole == 0:
            break
        if room.trays[tray].free == GPUS_PER_TRAY:
            for slot in range(GPUS_PER_TRAY):
                room.slots[tray, slot] = job
            _set_free(room, tray, 0)
            whole -= 1
    _new_piece(room, room.first_piece, job, rack, gpus)


@kernel
def _best_rack(room, trays):
    """Rack with the fewest wholly free trays that still are `trays`, or -1."""
    for bucket in range(trays, TRAYS_PER_RACK + 1):
        if room.buckets[bucket].head >= 0:
            return room.buckets[bucket].head
    return -1


@kernel
def trays_for(gpus):
    """Wholly free trays that are always enough for `gpus` GPUs in one rack."""
    return (gpus + GPUS_PER_TRAY - 1) // GPUS_PER_TRAY


@kernel
def segments_for(gpus, segment_trays):
    """Racks that a job takes: one, or one per segment."""
    if gpus <= GPUS_PER_RACK:
        return 1
    segment = segment_trays * GPUS_PER_TRAY
    return (gpus + segment - 1) // segment


@kernel
def segment_trays_for(gpus, segment_trays):
    """Wholly free trays that each of a job's racks must have."""
    return trays_for(gpus) if gpus <= GPUS_PER_RACK else segment_trays


@kernel
def spares_kept(gpus, spare_trays):
    """Wholly free trays that a job of `gpus` GPUs leaves in each of its racks: a job that needs nearly a rack leaves fewer."""
    return min(spare_trays, TRAYS_PER_RACK - trays_for(gpus)) if gpus <= GPUS_PER_RACK else spare_trays


@kernel
def fits(room, gpus, segment_trays, spare_trays):
    """Whether :func:`place` finds racks for so many GPUs."""
    spare = spares_kept(gpus, spare_trays)
    if gpus > GPUS_PER_RACK:
        return _racks_with(room, segment_trays + spare) >= segments_for(gpus, segment_trays)
    for level in range(gpus, GPUS_PER_TRAY):
        if room.levels[level] >= 0:
            return True
    return _best_rack(room, trays_for(gpus) + spare) >= 0


@kernel
def _racks_with(room, trays):
    """Racks with so many wholly free trays, or more."""
    racks = 0
    for bucket in range(trays, TRAYS_PER_RACK + 1):
        racks += room.buckets[bucket].count
    return racks


@kernel
def place(room, job, gpus, segment_trays, spare_trays=0):
    """Place a job on unreserved racks so that `spare_trays` wholly free trays stay free in each.

    Return the number of racks, or 0 when it does not fit.
    """
    spare = spares_kept(gpus, spare_trays)
    if gpus <= GPUS_PER_RACK:
        if gpus < GPUS_PER_TRAY:
            for level in range(gpus, GPUS_PER_TRAY):
                tray = room.levels[level]
                if tray >= 0:
                    _take(room, tray // TRAYS_PER_RACK, job, gpus)
                    return 1
        rack = _best_rack(room, trays_for(gpus) + spare)
        if rack < 0:
            return 0
        _take(room, rack, job, gpus)
        return 1
    segments = segments_for(gpus, segment_trays)
    if _racks_with(room, segment_trays + spare) < segments:
        return 0
    segment = segment_trays * GPUS_PER_TRAY
    left = gpus
    for bucket in range(segment_trays + spare, TRAYS_PER_RACK + 1):
        # a rack that is taken moves to a lower list, so that none is taken twice
        while left > 0 and room.buckets[bucket].head >= 0:
            _take(room, room.buckets[bucket].head, job, min(left, segment))
            left -= segment
    return segments


@kernel
def place_reserved(room, job, gpus, segment_trays, spare_trays=0):
    """Place a job on the racks reserved for it, beside the trays that it must leave free in each.

    Return their number, or 0 while they are not free; they stay reserved.
    """
    spare_gpus = spares_kept(gpus, spare_trays) * GPUS_PER_TRAY
    segment = gpus if gpus <= GPUS_PER_RACK else segment_trays * GPUS_PER_TRAY
    segments = 0
    piece = room.first_claim[job]
    while piece >= 0:
        if room.racks[room.pieces[piece].rack].whole * GPUS_PER_TRAY < room.pieces[piece].gpus + spare_gpus:
            return 0
        segments += 1
        piece = room.pieces[piece].next
    left = gpus
    piece = room.first_claim[job]
    while piece >= 0:
        _take(room, room.pieces[piece].rack, job, min(left, segment))
        left -= segment
        piece = room.pieces[piece].next
    return segments


@kernel
def place_in(room, rack, job, gpus):
    """Place a job of at most one rack in a given rack, promised to others or not. Return 1, or 0 when it does not fit."""
    if gpus < GPUS_PER_TRAY:
        for tray in range(rack * TRAYS_PER_RACK, (rack + 1) * TRAYS_PER_RACK):
            if room.trays[tray].free >= gpus:
                _take(room, rack, job, gpus)
                return 1
        return 0
    if room.racks[rack].whole < trays_for(gpus):
        return 0
    _take(room, rack, job, gpus)
    return 1


@kernel
def forget_ends(room, job):
    """Forget when the trays of a job should be free: it will leave at another time than expected."""
    piece = room.first_piece[job]
    while piece >= 0:
        rack = room.pieces[piece].rack
        for tray in range(rack * TRAYS_PER_RACK, (rack + 1) * TRAYS_PER_RACK):
            room.trays[tray].until_s = UNKNOWN
        piece = room.pieces[piece].next


@kernel
def vacate(room, job):
    """Free all GPUs of a job; its pieces become spare."""
    slots = room.slots
    piece = room.first_piece[job]
    while piece >= 0:
        rack, left = room.pieces[piece].rack, room.pieces[piece].gpus
        for tray in range(rack * TRAYS_PER_RACK, (rack + 1) * TRAYS_PER_RACK):
            if left == 0:
                break
            freed = 0
            for slot in range(GPUS_PER_TRAY):
                if slots[tray, slot] == job:
                    slots[tray, slot] = -1
                    freed += 1
            if freed > 0:
                left -= freed
                if room.trays[tray].state == TRAY_HEALTHY:  # not one that takes no new jobs
                    _set_free(room, tray, room.trays[tray].free + freed)
        after = room.pieces[piece].next
        room.pieces[piece].next = room.pieces[-1].next
        room.pieces[-1].next = piece
        piece = after
    room.first_piece[job] = -1
