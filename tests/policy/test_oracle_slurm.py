"""Slurm's published fair-tree ranks, preemption example and power tree, as exact tests.

SchedMD/slurm, doc/html/fair_tree.shtml, preempt.shtml and hres.shtml (with its resources.yaml). Where the two differ:

- A user is a tenant, an account a group. Slurm ranks users whether they have jobs or not, and makes a factor of the rank;
  here the order itself decides who borrows first (rule S3), and a rank is one more than the number of users who go before.
- A user who ties with a sibling account has the rank of the account's highest user in both. Slurm then ranks the account's
  other users behind that user; here they tie with that user, and the order of names decides between them.
- GraceTime follows PreemptExemptTime; here a notice may run inside the minimum run (L4).
- A layer of Slurm's power tree lists nodes; ours are halls, power groups and pods of racks, so a node of theirs is two
  trays here, and their racks of 8 nodes are 16 trays of ours.
"""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_sites import BATCH, TRAINING, play, small_site, table, tenant, times
from trees import Tree

from kvandal.policy import acting, placement, tree
from kvandal.twin.records import LOAN
from kvandal.twin.simulate import prepare

DAY_S = 86_400


def accounts(**rows):
    """Tree of accounts from (parent, shares, usage); what an account used is the sum of its users' usage."""
    one = Tree(
        10, **{name: {"parent": parent, "weight": shares} for name, (parent, shares, _) in rows.items()}
    )
    for name, (_, _, usage) in rows.items():
        for row in one.path(name):
            one.table["used_gpu_s"][row] += usage
    return one


def ranks(one, users):
    """Rank of each user: one more than the number of users before it."""
    rows = [one.row(name) for name in users]
    before = [
        sum(tree.compare_shares(one.table, other, row, 0, 0, True) < 0 for other in rows) for row in rows
    ]
    return {name: 1 + count for name, count in zip(users, before, strict=True)}


def test_level_fairshare_is_shares_over_usage_among_siblings():
    """fair_tree.shtml, level fairshare: LF = S / U, both normalised to the siblings. Ours is its inverse."""
    one = accounts(a=(None, 3, 20), b=(None, 1, 60), c=(None, 4, 20))
    levels = [1 / tree.used_over_share(one.table, row) for row in range(3)]

    assert levels == pytest.approx([0.375 / 0.2, 0.125 / 0.6, 0.5 / 0.2])
    assert ranks(one, "abc") == {"c": 1, "a": 2, "b": 3}


def test_the_first_common_account_decides():
    """fair_tree.shtml, overview: of UserA in Acct12 and UserB in Acct16, both in Acct1, the account with the higher level
    fairshare decides, whatever the users' own is."""
    rows = {"acct1": (None, 1, 0), "acct12": ("acct1", 1, 0), "acct16": ("acct1", 1, 0)}
    rows |= {"usera": ("acct12", 100, 60), "other": ("acct12", 1, 0), "userb": ("acct16", 1, 40)}
    assert ranks(accounts(**rows), ["usera", "userb"]) == {"userb": 1, "usera": 2}


def test_all_users_of_a_higher_account_outrank_all_of_a_lower_one():
    """fair_tree.shtml, introduction. Account a used 30 of 100 with half of the shares, b 70: a's users come first, and inside
    each account the user who used least for its shares."""
    rows = {"a": (None, 1, 0), "b": (None, 1, 0)}
    rows |= {
        "a1": ("a", 1, 20),
        "a2": ("a", 1, 10),
        "b1": ("b", 9, 60),
        "b2": ("b", 1, 10),
        "b3": ("b", 10, 0),
    }
    users = ["a1", "a2", "b1", "b2", "b3"]
    # b1: 60/70 of the use for 9/20 of the shares, 1.90; b2: 1/7 for 1/20, 2.86; b3: none
    assert ranks(accounts(**rows), users) == {"a2": 1, "a1": 2, "b3": 3, "b1": 4, "b2": 5}


def test_tied_users_share_a_rank():
    """fair_tree.shtml, ties: sibling users with the same level fairshare receive the same rank."""
    one = accounts(u=(None, 1, 10), v=(None, 3, 30), w=(None, 1, 60))
    assert ranks(one, "uvw") == {"u": 1, "v": 1, "w": 3}


def test_a_user_ties_with_the_highest_user_of_a_tied_account():
    """fair_tree.shtml, ties: a user with the level fairshare of a sibling account has its highest user's rank."""
    rows = {"u": (None, 1, 50), "acct": (None, 1, 0), "v1": ("acct", 1, 10), "v2": ("acct", 1, 40)}
    found = ranks(accounts(**rows), ["u", "v1", "v2"])
    assert found["u"] == found["v1"] == 1
    assert found["v2"] > 1


def test_children_of_tied_accounts_are_merged():
    """fair_tree.shtml, ties: sibling accounts with the same level fairshare have their children ranked as one list."""
    rows = {"a": (None, 1, 0), "b": (None, 2, 0), "c": (None, 1, 0)}
    rows |= {
        "a1": ("a", 1, 5),
        "a2": ("a", 1, 15),
        "b1": ("b", 1, 10),
        "b2": ("b", 1, 20),
        "b3": ("b", 1, 10),
    }
    rows["c1"] = ("c", 1, 100)
    # inside a, with half of the shares each: 1/4 and 3/4 of the use, 0.5 and 1.5 over the share;
    # inside b, with a third each: 1/4, 1/2, 1/4, so 0.75, 1.5, 0.75
    users = ["a1", "a2", "b1", "b2", "b3", "c1"]
    assert ranks(accounts(**rows), users) == {"a1": 1, "b1": 2, "b3": 2, "a2": 4, "b2": 4, "c1": 6}


def fair_tree(rows):
    """Ranks by the algorithm of fair_tree.shtml: sort siblings by level fairshare, descend, merge the lists of tied ones."""
    usage = {name: own for name, (_, _, own) in rows.items()}
    for name in reversed(rows):
        if rows[name][0] is not None:
            usage[rows[name][0]] += usage[name]

    def siblings(parent):
        found = [name for name in rows if rows[name][0] == parent]
        shares, used = sum(rows[name][1] for name in found), sum(usage[name] for name in found)
        return [
            (Fraction(usage[name] * shares, used * rows[name][1]) if used else Fraction(0), name)
            for name in found
        ]

    order = {}

    def visit(listed):
        for key in sorted({key for key, _ in listed}):
            tied = [name for other, name in listed if other == key]
            here = [name for name in tied if not siblings(name)]
            rank = len(order) + 1
            for name in here:
                order[name] = rank
            merged = [pair for name in tied if name not in here for pair in siblings(name)]
            if merged:
                visit(merged)

    visit(siblings(None))
    return order


@settings(max_examples=100)
@given(st.data())
def test_ranks_are_those_of_the_published_algorithm(data):
    """Any tree of accounts with users below them: the same ranks, ties and merged lists included."""
    count, depth, rows = data.draw(st.integers(1, 4)), {None: 0}, {}
    for index in range(count):
        above = data.draw(st.sampled_from(list(depth)))
        rows[f"a{index}"] = (above, data.draw(st.integers(1, 3)), 0)
        depth[f"a{index}"] = depth[above] + 1
    leaves = [name for name in rows if all(parent != name for parent, *_ in rows.values())]
    inner = [name for name in rows if name not in leaves]
    users = []
    for name in leaves:  # accounts hold accounts or users, so that no user ties with an account
        for index in range(data.draw(st.integers(1, 3))):
            users.append(f"u{name}{index}")
            rows[users[-1]] = (name, data.draw(st.integers(1, 3)), data.draw(st.integers(0, 4)))
    top = [name for name in [*inner, *leaves] if rows[name][0] is None]
    if len({len(path_of(rows, user)) for user in users}) > 1:
        return  # lists of tied accounts of unequal depth would mix users with accounts
    assert top

    assert ranks(accounts(**rows), users) == fair_tree(rows)


def path_of(rows, name):
    steps = []
    while name is not None:
        steps.append(name)
        name = rows[name][0]
    return steps


def test_one_job_of_8_nodes_is_preempted_rather_than_three():
    """preempt.shtml: an 8-node job could start after preempting jobs of 2, 4 and 8 nodes in that order; preempting the
    last one alone is enough. A node is a tray here, and another tenant sits on the other four trays of the rack."""
    who = {"owner": tenant("firm", 1.0), "uk": tenant("lent", notice_s=60)}
    candidates = [(1, 4 * nodes, DAY_S, 1, TRAINING) for nodes in (2, 4, 8)]
    run = play(
        small_site(who, tick_s=3600), (0, 16, 10 * DAY_S, 0, BATCH), *candidates, (7200, 32, 100, 0, BATCH)
    )

    assert times(run, "recalls") == [0, 0, 0, 1, 0]
    assert times(run, "first_start_s")[4] == 7260


def test_grace_time_and_exempt_time():
    """preempt.shtml, GraceTime and PreemptExemptTime: a preempted job runs on for the grace time; one that is younger than
    the exempt time is not touched. Here both end together where the notice fits inside the minimum run (L4)."""
    for minimum_run_s, leaves_s in ((0, 760), (2000, 2000), (690, 760)):
        who = {"owner": tenant("firm", 1.0), "uk": tenant("lent", notice_s=60, minimum_run_s=minimum_run_s)}
        run = play(small_site(who, tick_s=3600), (0, 72, DAY_S, 1, TRAINING), (700, 72, 100, 0, BATCH))
        loan = dict(zip(LOAN.names, run.state.loans[0].tolist(), strict=True))
        assert loan["noticed_s"] == leaves_s - 60
        assert loan["returned_s"] == leaves_s == times(run, "first_start_s")[1]


NODE = 1000.0
"""Power of a node, as in the example of hres.shtml."""


def power_tree(job_gpus=128):
    """The layers of resources.yaml: a job of 16 nodes placed on two racks of a site of four, and what each layer has left.

    Racks stand for the leaves (pods), two of them for each row (power groups), all for the data centre (the hall).
    """
    site = small_site({"owner": tenant("firm", 1.0)}, racks=4, segment_trays=16, tick_s=3600)
    state = prepare(site, table((0, job_gpus, 100, 0, BATCH))).state
    state.load_mw[:] = round(NODE * 1e6 / 8)  # a node has 8 GPUs here
    state.rules["halls"], state.rules["groups"] = 1, 2
    for rack in range(4):
        placement.deliver_rack(state.room, rack)
    state.racks["delivered"] = True
    assert placement.place(state.room, 0, job_gpus, 16) == 2
    seats = state.room.slots.reshape(4, 72)
    used = np.flatnonzero((seats == 0).any(axis=1)).tolist()
    assert [int((seats[rack] == 0).sum()) for rack in used] == [64, 64]
    for place, rack in enumerate([*used, *(rack for rack in range(4) if rack not in used)]):
        state.racks["hall"][rack], state.racks["group"][rack], state.racks["pod"][rack] = 0, place // 2, place
    # counts less base loads: of each layer its own and those of the layers below it
    left = {
        "datacenter": 130_000 - 18_000 - 3000 - 5000 - 2000,
        "row1": 60_000 - 3000 - 5000,
        "row2": 80_000 - 2000,
        "rack1": 40_000 - 5000,
        "rack2": 40_000,
        "rack3": 40_000,
        "rack4": 40_000,
    }
    return state._replace(node_room_kw=np.array([0.0, *left.values()])), left


def test_power_of_16_nodes_is_drawn_at_every_layer():
    """hres.shtml, Mode 3: 1000 a node on node[01-16] draw 8000 from either rack, 16000 from their row and from the data
    centre; the other row and its racks are untouched. What is given back is whole."""
    state, left = power_tree()
    total_kw, short = acting._draw(state, 0, tree.FIRM, 1)
    drawn = dict(zip(left, np.array(list(left.values())) - state.node_room_kw[1:], strict=True))

    assert (total_kw, short) == (16 * NODE, -1)
    assert drawn == {
        "datacenter": 16_000, "row1": 16_000, "row2": 0, "rack1": 8000, "rack2": 8000, "rack3": 0, "rack4": 0,
    }  # fmt: skip
    acting._draw(state, 0, tree.FIRM, -1)
    assert state.node_room_kw[1:].tolist() == list(left.values())


@pytest.mark.parametrize(
    ("layer", "left_kw", "starts"),
    [
        ("datacenter", 16_000, True),
        ("datacenter", 15_999, False),
        ("row1", 16_000, True),
        ("row1", 15_999, False),
        ("rack1", 7999, False),
        ("rack2", 7999, False),
        ("rack2", 8000, True),
        ("row2", 0, True),
    ],
)
def test_no_layer_may_exceed_its_count(layer, left_kw, starts):
    """hres.shtml, Mode 3: the sum at every layer must stay within its count. A job that lacks one unit at any layer does not
    start, and leaves nothing behind."""
    state, left = power_tree()
    state.node_room_kw[1 + list(left).index(layer)] = left_kw
    before = state.node_room_kw.copy()
    _, short = acting._draw(state, 0, tree.FIRM, 1)
    assert (short < 0) == starts
    acting._draw(state, 0, tree.FIRM, -1)
    assert state.node_room_kw.tolist() == before.tolist()


def test_a_job_that_lacks_power_at_a_layer_gives_its_racks_back():
    """The same through the start of a job: below a row that is full nothing starts, and the rack is closed for this tick."""
    for left_kw, starts in ((16_000, True), (15_999, False)):
        state, left = power_tree()
        state.node_room_kw[1 + list(left).index("row1")] = left_kw
        state.tally["it_envelope_kw"] = 1e9
        state.queues["head"][state.jobs["queue"][0]] = state.queues["tail"][state.jobs["queue"][0]] = 0
        before = state.node_room_kw.copy()
        assert (acting.begin(state, 0, 128, tree.FIRM, 2, 1, 0) > 0) == starts
        assert bool((state.room.slots == 0).any()) == starts
        assert bool(state.room.racks["barred"].any()) != starts
        if not starts:
            assert state.node_room_kw.tolist() == before.tolist()
