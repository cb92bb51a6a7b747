"""Kueue's published examples of cohorts, borrowing, lending and fair sharing, as exact tests.

A ClusterQueue is a tenant, a cohort a group: `nominalQuota` is what a tenant deserves, `lendingLimit` that less its
guarantee, `borrowingLimit` its ceiling less what it deserves. Their CPUs are GPUs here. Where the two differ:

- A cohort's `nominalQuota` adds to its members'; ours says what the group deserves in all.
- Kueue keeps balances only, we keep who lends to whom. After loans have ended in another order than they began, Kueue
  may admit what no set of our loans can hold until they move (L2); nobody is ever admitted whom Kueue would refuse.
- Kueue lets a borrower that has less than its fair share preempt one that has more. Here only a deserved share is ever
  recalled; the shares of borrowers come out even by the order in which they start (P2).
- KEP-1714's Story 2 asks that borrowers outside a department wait while those inside could use its idle quota. Here the
  order among borrowers is by share; what is tested is that a department's own quota is lent inside it first.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_sites import BATCH, play, small_site, times
from trees import Tree

from kvandal.policy import tree
from kvandal.scenario.tenants import Tenant
from kvandal.twin.records import RUNNING

TEAM_A, TEAM_B = range(2)
DAY_S = 86_400


def cohort(recall=True, rest=51, **teams):
    """One rack of 72 GPUs of which `rest` belong to somebody who lends nothing; `teams` are keys of each tenant."""
    tenants = {name: Tenant(**({"tier": "assured", "notice_s": 60} | keys)) for name, keys in teams.items()}
    tenants["rest"] = Tenant(tier="firm", deserved_gpus=rest, guarantee_gpus=rest)
    return small_site(tenants, tick_s=3600, recall=recall, backfill_depth=0)


def running_of(run, tenant):
    return int((run.state.jobs["state"][run.state.jobs["tenant"] == tenant] == RUNNING).sum())


def test_two_queues_of_9_and_12_share_21():
    """Borrowing example of kubernetes-sigs/kueue, site/content/en/docs/concepts/cluster_queue.md: with team-b idle
    team-a may use 9 + 12 = 21; once team-b has work, its 12 are its own again."""
    site = cohort(a={"deserved_gpus": 9}, b={"deserved_gpus": 12})
    alone = play(site, *[(0, 1, 10 * DAY_S, TEAM_A, BATCH)] * 30)
    assert running_of(alone, TEAM_A) == 21
    assert alone.state.tenants["on_loan"][TEAM_A] == 12 == alone.state.tenants["lent"][TEAM_B]

    both = play(site, *[(0, 1, 10 * DAY_S, TEAM_A, BATCH)] * 30, *[(1000, 1, 10 * DAY_S, TEAM_B, BATCH)] * 12)
    assert running_of(both, TEAM_A) == 9
    assert running_of(both, TEAM_B) == 12


def test_nominal_quota_is_met_before_anybody_borrows_anew():
    """Same example without preemption: when team-a's workloads end, team-b's pending ones go before team-a's."""
    site = cohort(recall=False, a={"deserved_gpus": 9}, b={"deserved_gpus": 12})
    full = (0, 51, 10 * DAY_S, 2, BATCH)
    run = play(site, full, *[(0, 1, 2000, TEAM_A, BATCH)] * 42, *[(1000, 1, 9000, TEAM_B, BATCH)] * 12)
    first = times(run, "first_start_s")[1:]

    assert first[:21] == [0] * 21
    assert first[42:] == [2000] * 12
    assert sorted(first[21:42]) == [2000] * 9 + [4000] * 9 + [6000] * 3


@pytest.mark.parametrize(
    ("a", "b", "most_of_a", "most_of_b"),
    [
        ({"ceiling_gpus": 10}, {}, 10, 21),  # borrowingLimit 1 of team-a
        ({}, {"guarantee_gpus": 11}, 10, 21),  # lendingLimit 1 of team-b
        ({}, {}, 21, 21),
    ],
)
def test_borrowing_and_lending_limits(a, b, most_of_a, most_of_b):
    """BorrowingLimit and LendingLimit examples of concepts/cluster_queue.md: either limit of 1 leaves team-a 9 + 1 = 10,
    while team-b can use 12 + 9."""
    site = cohort(a={"deserved_gpus": 9} | a, b={"deserved_gpus": 12} | b)
    for team, most in ((TEAM_A, most_of_a), (TEAM_B, most_of_b)):
        run = play(site, *[(0, 1, 10 * DAY_S, team, BATCH)] * 30)
        assert running_of(run, team) == most


def test_quota_of_a_cohort_is_a_pool_for_its_members():
    """concepts/cohort.md: a ClusterQueue with a nominal quota of 0 may use the 12 that its cohort brings, and others of
    the tree may have them lent to them, up to the cohort's lending limit."""
    site = cohort(
        rest=60,
        mine={"parent": "hello", "tier": "lent"},
        other={"tier": "lent"},
        hello={"deserved_gpus": 12},
    )
    for tenant in range(2):
        assert running_of(play(site, *[(0, 1, 10 * DAY_S, tenant, BATCH)] * 20), tenant) == 12
    keeps = cohort(
        rest=60,
        mine={"parent": "hello", "tier": "lent"},
        other={"tier": "lent"},
        hello={"deserved_gpus": 12, "guarantee_gpus": 9},
    )
    assert running_of(play(keeps, *[(0, 1, 10 * DAY_S, 0, BATCH)] * 20), 0) == 12
    assert running_of(play(keeps, *[(0, 1, 10 * DAY_S, 1, BATCH)] * 20), 1) == 3


def test_weights_of_two_organisations():
    """concepts/cohort.md, hierarchical cohorts: weights of 0.75 and 0.25 trend towards 75 % and 25 % of what is common,
    however many queues either has."""
    sharing = Tree(
        100,
        important={"weight": 0.75},
        regular={"weight": 0.25},
        a={"parent": "important"},
        b={"parent": "regular"},
        c={"parent": "regular"},
    )
    for _ in range(100):
        assert sharing.borrows(sharing.next_of(["a", "b", "c"]))
    assert [sharing.held(name) for name in ("important", "regular", "a", "b", "c")] == [75, 25, 75, 13, 12]
    assert not sharing.borrows("b")


STORY_3 = {
    "cs": {"tier": tree.FIRM, "quota": 300},
    "c1": {},
    "c2": {},
    "1a": {"parent": "c1"},
    "1b": {"parent": "c1"},
    "1c": {"parent": "c1", "weight": 3.0},
    "2a": {"parent": "c2"},
}


def test_story_3_of_fair_sharing():
    """keps/1714-fair-sharing, Story 3: 300 idle GPUs of CS go half to C1 and half to C2; inside C1 its queues 1A, 1B and
    1C of weights 1, 1 and 3 get 30, 30 and 90."""
    story = Tree(300, **STORY_3)
    for _ in range(300):
        assert story.borrows(story.next_of(["1a", "1b", "1c", "2a"]))
    assert [story.held(name) for name in ("c1", "c2")] == [150, 150]
    assert [story.held(name) for name in ("1a", "1b", "1c", "2a")] == [30, 30, 90, 150]
    assert story.lent_by("cs") == 300


def test_story_3_played():
    """The same with backlogs of jobs of 10 GPUs on racks, listed so that no order of names or arrival helps."""
    tenants = {
        "2a": Tenant(tier="lent", parent="c2"),
        "1c": Tenant(tier="lent", parent="c1", weight=3.0),
        "1a": Tenant(tier="lent", parent="c1"),
        "1b": Tenant(tier="lent", parent="c1"),
        "c1": Tenant(tier="lent"),
        "c2": Tenant(tier="lent"),
        "cs": Tenant(tier="firm", deserved_gpus=300),
        "rest": Tenant(tier="firm", deserved_gpus=60, guarantee_gpus=60),
    }
    rows = [(0, 10, 10 * DAY_S, tenant, BATCH) for tenant in range(4) for _ in range(31)]
    run = play(small_site(tenants, racks=5, tick_s=3600), *rows)

    assert [10 * running_of(run, tenant) for tenant in range(4)] == [150, 90, 30, 30]


def test_a_department_lends_inside_first():
    """keps/1714-fair-sharing, Story 2, as far as it goes here: who borrows gets idle quota of its own department first,
    and others' only when that is used up."""
    company = Tree(
        40,
        d1={},
        d2={},
        **{f"{d}{team}": {"parent": f"d{d}", "tier": tree.ASSURED} for d in (1, 2) for team in "bc"},
        **{f"{d}a": {"parent": f"d{d}", "tier": tree.ASSURED, "quota": 20} for d in (1, 2)},
    )
    for _ in range(20):
        assert company.borrows(company.next_of(["1b", "1c"]))
    assert (company.lent_by("1a"), company.lent_by("2a")) == (20, 0)
    assert company.borrows("1b")
    assert company.lent_by("2a") == 1


def test_one_organisation_may_borrow_and_the_other_may_not():
    """keps/79-hierarchical-cohorts, Story 1: with the research cohort's borrowing limit at 0, production may use idle
    research quota but not the other way round."""
    rows = {
        "research": {"ceiling": 20},
        "production": {},
        "r1": {"parent": "research", "tier": tree.ASSURED, "quota": 15},
        "r2": {"parent": "research", "tier": tree.ASSURED, "quota": 5},
        "p1": {"parent": "production", "tier": tree.ASSURED, "quota": 30},
    }
    company = Tree(50, **rows)
    assert sum(company.takes("r1") for _ in range(50)) == 20  # r2's 5 included, none of production's
    idle = Tree(50, **rows)
    assert sum(idle.takes("p1") for _ in range(60)) == 50


def test_a_special_queue_borrows_from_organisations_that_keep_apart():
    """keps/79-hierarchical-cohorts, Story 2: organisations whose borrowing limit is 0 do not borrow from each other, a
    special queue beside them from any."""
    company = Tree(
        30,
        o1={"ceiling": 10},
        o2={"ceiling": 20},
        q1={"parent": "o1", "tier": tree.ASSURED, "quota": 10},
        q2={"parent": "o2", "tier": tree.ASSURED, "quota": 20},
        special={},
    )
    assert sum(company.takes("q1") for _ in range(30)) == 10
    assert sum(company.takes("special") for _ in range(30)) == 20
    assert company.lent_by("q2") == 20


def available(rows, used, name):
    """T(x) of keps/79-hierarchical-cohorts: what a subtree can give; negative is what it borrows."""
    children = [child for child in rows if rows[child].get("parent") == name]
    quota = rows[name].get("quota", 0) if name in rows else 0
    left = quota - used.get(name, 0)
    for child in children:
        below = available(rows, used, child)
        left += min(rows[child]["lending"], below)
    return left


@st.composite
def quotas(draw):
    """Up to three cohorts in a tree and up to five queues, with lending limits everywhere and borrowing limits of queues."""
    rows, cohorts = {}, [None]
    for index in range(draw(st.integers(0, 3))):
        rows[f"c{index}"] = {"parent": draw(st.sampled_from(cohorts)), "quota": draw(st.integers(0, 4))}
        cohorts.append(f"c{index}")
    for index in range(draw(st.integers(1, 5))):
        quota = draw(st.integers(0, 8))
        rows[f"q{index}"] = {
            "parent": draw(st.sampled_from(cohorts)),
            "quota": quota,
            "ceiling": quota + draw(st.integers(0, 20)),
            "tier": tree.ASSURED,
        }
    for name, row in rows.items():
        inside = sum(rows[other]["quota"] for other in rows if below(rows, other, name))
        row["guarantee"] = draw(st.integers(0, inside)) if draw(st.booleans()) else 0
        row["lending"] = inside - row["guarantee"]
    return rows, draw(st.integers(0, 4))


def below(rows, name, group):
    while name is not None and name != group:
        name = rows[name]["parent"]
    return name == group


@settings(max_examples=150)
@given(quotas(), st.data())
def test_admission_is_the_recursion_of_hierarchical_cohorts(asked, data):
    """keps/79-hierarchical-cohorts, design details: a request is admitted exactly when T(x) >= -borrowingLimit(x)
    everywhere afterwards, T being quota less use for a queue, and the quota of a cohort with what each child can lend.

    Queues first use what is theirs, then borrow one GPU after the other in any order.
    """
    rows, pool = asked
    queues = [name for name in rows if name[0] == "q"]
    total = sum(row["quota"] for row in rows.values()) + pool
    company = Tree(max(1, total), **rows)
    pool += max(0, 1 - total)
    used = {name: data.draw(st.integers(0, rows[name]["quota"])) for name in queues}
    for name in queues:
        company.uses(name, used[name])
    for _ in range(40):
        name = data.draw(st.sampled_from(queues))
        if used[name] < rows[name]["quota"]:
            continue  # its own share: that is not borrowing
        after = used | {name: used[name] + 1}
        everything = pool + sum(
            min(rows[child]["lending"], available(rows, after, child))
            for child in rows
            if rows[child]["parent"] is None
        )
        admitted = everything >= 0 and after[name] <= rows[name]["ceiling"]
        assert company.borrows(name) == admitted
        if admitted:
            used = after
