"""The rules of sharing and placement on examples worked by hand."""

import numpy as np
import pytest

from kvandal.policy import placement, recall, tree
from kvandal.policy.rules import RULES
from kvandal.twin.records import JOB, RACK


def tenants(*rows, installed=1000, parents=(), groups=()):
    """Table of tenants from (tier, deserved share, guarantee share, own use); `parents` names the row above by number.

    Without parents all stand below the root, the last row.
    """
    root = len(rows)
    table = np.zeros(root + 1, tree.TENANT)
    table["parent"], table["parent"][root] = root, -1
    table["is_group"][root], table["ranked"] = True, np.arange(root + 1)
    for row, above in parents:
        table["parent"][row] = above
    for row in groups:
        table["is_group"][row] = True
    for index, (tier, deserved, guarantee, _) in enumerate(rows):
        row = table[index]
        row["tier"], row["share_deserved"], row["share_guarantee"] = tier, deserved, guarantee
        row["share_ceiling"], row["weight"] = 1.0, 1.0
        above = table["parent"][index]
        while above >= 0:
            row["depth"] += 1
            above = table["parent"][above]
    tree.renew_shares(table, installed)
    for index, (*_, own) in enumerate(rows):
        tree.book_own(table, index, own)
    return table


@pytest.mark.parametrize(
    ("own", "lent_out", "lendable"),
    [(0, 0, 300), (500, 0, 300), (600, 0, 200), (800, 0, 0), (500, 150, 150), (700, 200, -100)],
)
def test_lendable_is_deserved_less_guarantee_and_own_use(own, lent_out, lendable):
    """Of 800 deserved and 500 guaranteed GPUs, what is neither guaranteed nor used nor lent yet can be lent."""
    table = tenants((tree.FIRM, 0.8, 0.5, own), (tree.LENT, 0, 0, 0))
    if lent_out:
        tree.book_loan(table, 0, 1, lent_out)

    assert tree.lendable_gpus(table, 0, 2) == lendable
    assert tree.excess_gpus(table, 0, False) == -lendable


def test_claims_are_not_lent():
    """GPUs that are being recalled for a tenant's own jobs are not lent again meanwhile."""
    table = tenants((tree.FIRM, 0.8, 0.0, 300))
    tree.book_claim(table, 0, 450)

    assert tree.lendable_gpus(table, 0, 1) == 50
    assert tree.has_share(table, 0, 50)
    assert not tree.has_share(table, 0, 51)


def test_the_pool_owns_what_nobody_deserves():
    """Shares are whole GPUs, rounded down; the rest is the pool's, and never negative."""
    table = tenants((0, 1 / 3, 0, 0), (1, 1 / 3, 0, 0), (1, 1 / 3, 0, 0), installed=100)
    assert table["quota"].tolist() == [33, 33, 33, 1]
    for installed in range(0, 3000, 72):
        tree.renew_shares(table, installed)
        assert table["quota"].sum() == installed == table["deserved"][-1]
        assert table["quota"].min() >= 0


def test_what_a_group_deserves_beyond_its_children_is_its_own():
    """A group of 0.5 with children of 0.2 and 0.1 lends 200 GPUs of its own; only its children are near to it."""
    table = tenants(
        (1, 0.2, 0, 0), (1, 0.1, 0, 0), (1, 0.5, 0, 0), (2, 0, 0, 0), parents=[(0, 2), (1, 2)], groups=[2]
    )
    assert table["quota"].tolist() == [200, 100, 200, 0, 500]
    assert tree.common_group(table, 0, 1) == 2
    assert tree.common_group(table, 0, 3) == 4
    assert tree.lendable_gpus(table, 2, 2) == 200
    tree.book_loan(table, 2, 0, 150)  # inside the group it counts as the group's own use
    assert table["own"].tolist() == [0, 0, 150, 0, 150]
    assert table["on_loan"].tolist() == [150, 0, 0, 0, 0]
    tree.book_loan(table, 1, 3, 60)  # out of the group: lent out at both levels
    assert table["lent_out"].tolist() == [0, 60, 60, 0, 0]
    assert tree.lendable_gpus(table, 1, 4) == 40
    assert tree.lendable_gpus(table, 2, 4) == 50
    assert tree.largest_job(table, 3) == 1000


def test_order_among_borrowers():
    """Rule P2: assured, lent, firm; inside a tier the smallest share on loan over weight, the request included."""
    table = tenants((0, 0.1, 0, 0), (1, 0.1, 0, 0), (2, 0, 0, 0), (2, 0, 0, 0))
    for borrower, gpus in ((1, 500), (2, 90), (3, 100)):
        tree.book_loan(table, 4, borrower, gpus)
    table[3]["weight"] = 2.0

    def ranking():
        order = [0, 1, 2, 3]
        return sorted(
            order,
            key=lambda one: sum(tree.borrows_before(table, other, one, 8, 8, False) for other in order),
        )

    assert ranking() == [1, 3, 2, 0]
    table[3]["weight"] = 1.0
    assert ranking() == [1, 2, 3, 0]


def test_rules_have_ids_and_sentences():
    """Every rule has a number, an id of its own and says what it does; numbers fit the byte that events keep."""
    assert sorted(RULES) == list(RULES)
    assert 0 <= min(RULES) <= max(RULES) < 128
    assert len({rule for rule, _ in RULES.values()}) == len(RULES)
    assert all(sentence.endswith((".", "rule")) for _, sentence in RULES.values())


def room_of(racks, jobs=20):
    room = placement.empty_room(racks, jobs)
    for rack in range(racks):
        placement.deliver_rack(room, rack)
    return room


def racks_of(room, job):
    return sorted(set((np.flatnonzero((room.slots == job).any(axis=1)) // 18).tolist()))


def test_small_jobs_share_a_tray():
    """Jobs of one to three GPUs fill up a tray that is partly used before they open another."""
    room = room_of(2)
    for job, gpus in enumerate([3, 2, 1, 2]):
        assert placement.place(room, job, gpus, 16) == 1
    trays = [set(np.flatnonzero((room.slots == job).any(axis=1)).tolist()) for job in range(4)]

    assert trays[0] == trays[2]
    assert trays[1] == trays[3]
    assert len(trays[0] | trays[1]) == 2


def test_best_fit():
    """A job goes to the rack with the fewest wholly free trays that hold it."""
    room = room_of(3)
    placement.place(room, 0, 40, 16)  # leaves 8 trays
    placement.place(room, 1, 60, 16)  # leaves 3 trays
    placement.place(room, 2, 12, 16)
    assert racks_of(room, 2) == racks_of(room, 1)
    placement.place(room, 3, 30, 16)
    assert racks_of(room, 3) == racks_of(room, 0)


def test_gangs_larger_than_a_rack_are_cut_into_segments():
    """A gang of 200 GPUs in segments of 16 trays takes four racks: 64, 64, 64 and 8 GPUs."""
    room = room_of(5)
    assert placement.place(room, 0, 200, 16) == 4
    assert sorted(np.bincount(np.flatnonzero((room.slots == 0).ravel()) // 72).tolist())[-4:] == [
        8,
        64,
        64,
        64,
    ]
    placement.vacate(room, 0)
    assert placement.place(room, 0, 80, 5) == 4
    assert len(racks_of(room, 0)) == 4  # never two segments in one rack
    assert placement.place(room, 1, 73, 18) == 0
    assert (room.slots[room.slots >= 0] == 0).all()


def test_broken_trays_are_not_used():
    """A tray out of service holds nobody until it is repaired."""
    room = room_of(1)
    placement.break_tray(room, 5)
    assert placement.place(room, 0, 72, 16) == 0
    assert placement.place(room, 0, 68, 16) == 1
    assert (room.slots[5] == -1).all()
    placement.repair_tray(room, 5)
    assert placement.place(room, 1, 4, 16) == 1
    assert (room.slots[5] == 1).all()


def borrowed(room, sizes, costs=None):
    jobs = np.zeros(20, JOB)
    racks = np.zeros(len(room.racks), RACK)
    for job, gpus in enumerate(sizes):
        assert placement.place(room, job, gpus, 16)
        jobs[job]["recallable"] = True
        jobs[job]["recall_cost"] = gpus if costs is None else costs[job]
    racks["lent_gpus"] = np.bincount(np.flatnonzero(room.slots.ravel() >= 0) // 72, minlength=len(racks))
    return jobs, racks


def victims_for(room, jobs, trays):
    victims = np.zeros(20, np.int32)
    count = recall.choose_victims(room, jobs, 0, trays, victims, 0)
    assert sorted(np.flatnonzero(jobs["named"]).tolist()) == sorted(victims[:count].tolist())
    return sorted(victims[:count].tolist())


def test_one_job_is_recalled_rather_than_three():
    """Loans of 2, 4 and 8 trays, a claim that lacks 8: one job leaves, not three."""
    room = room_of(1)
    jobs, _ = borrowed(room, [8, 16, 32])

    assert victims_for(room, jobs, 12) == [2]


def test_the_least_lost_is_recalled():
    """Of three equal loans the one that would lose least leaves; of unequal ones nobody in vain."""
    room = room_of(1)
    jobs, _ = borrowed(room, [24, 24, 24], costs=[500, 100, 900])
    assert victims_for(room, jobs, 6) == [1]
    jobs["named"] = False
    assert victims_for(room, jobs, 7) == [0, 1]
    jobs["named"] = False
    jobs[2]["draining"] = True
    assert victims_for(room, jobs, 6) == []
    assert victims_for(room, jobs, 12) == [1]


def test_a_claim_takes_the_racks_with_the_least_to_recall():
    """Whole racks first, then those with the fewest lent trays; none when even all recalls would not help (R2)."""
    room = room_of(3)
    jobs, racks = borrowed(room, [72, 40])
    chosen = np.zeros(6, np.int32)

    assert recall.choose_racks(room, jobs, racks, 128, 16, chosen) == 2
    partly = racks_of(room, 1)[0]
    assert chosen[:2].tolist() == [({0, 1, 2} - set(racks_of(room, 0)) - {partly}).pop(), partly]
    jobs[0]["recallable"] = False
    racks["lent_gpus"][racks_of(room, 0)] = 0
    assert recall.choose_racks(room, jobs, racks, 216, 18, chosen) == 0


def test_reservations_keep_others_out_and_are_given_back():
    """A reserved rack serves only jobs that it is promised to; when nothing is promised any more it is anybody's again."""
    room = room_of(1)
    placement.reserve(room, 0, 0, 6)
    placement.reserve(room, 0, 1, 12)
    assert placement.place(room, 2, 1, 16) == 0
    assert placement.place_reserved(room, 0, 24, 16) == 1
    placement.release(room, 0)
    assert placement.place(room, 2, 4, 16) == 0
    placement.release(room, 1)
    assert room.racks["promised"][0] == 0
    assert placement.place(room, 2, 48, 16) == 1
