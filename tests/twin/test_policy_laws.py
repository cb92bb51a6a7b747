"""Laws of sharing over random trees of tenants, queues and failures, beside those of test_laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_sites import (
    BATCH,
    check_lending,
    check_tree,
    group,
    play,
    small_site,
    table,
    tenant,
    times,
)
from test_laws import DAY_S, sites

from kvandal.demand.jobs import JobTable
from kvandal.scenario.tenants import Tenant
from kvandal.twin.records import RUNNING
from kvandal.twin.simulate import simulate_jobs

pytestmark = pytest.mark.slow
ENDLESS_S = 10 * DAY_S


def some_tree(random, racks):
    """Tree of up to four levels: groups with or without a share and a ceiling of their own, entitled and lent tenants.

    Children come after their groups. Guarantees can be placed with one rack out of service.
    """
    left, tenants, groups = racks * 72, {}, [None]
    for index in range(random.integers(0, 4)):
        groups.append(f"g{index}")
        tenants[f"g{index}"] = {"tier": "assured", "parent": groups[random.integers(len(groups) - 1)]}
    for index in range(random.integers(1, 6)):
        tier = "firm" if index == 0 else str(random.choice(["firm", "assured", "lent", "lent"]))
        deserved = 0 if tier == "lent" else int(random.integers(0, left + 1))
        left -= deserved
        tenants[f"t{index}"] = {
            "tier": tier,
            "parent": groups[random.integers(len(groups))],
            "deserved_gpus": deserved,
            "guarantee_gpus": int(deserved * random.choice([0.0, 0.0, 0.5]) * max(1, racks - 1) / racks),
            "notice_s": int(random.choice([0, 1, 120, 5000])),
            "minimum_run_s": int(random.choice([0, 0, 60, 3600])),
            "weight": float(random.choice([1.0, 2.0, 0.5])),
        }
    below = dict.fromkeys(tenants, 0)
    for name, keys in reversed(list(tenants.items())):
        if name in groups and random.integers(2):
            own = int(random.integers(0, left + 1))
            left -= own
            keys["deserved_gpus"] = below[name] + own
        total = keys.get("deserved_gpus", below[name])
        if keys["parent"] is not None:
            below[keys["parent"]] += total
    return with_ceilings(random, racks * 72, tenants)


def with_ceilings(random, gpus, tenants):
    """Drop groups without tenants, and let some of the others have a ceiling that holds what is deserved below it."""
    for name in reversed(list(tenants)):
        if name[0] == "g" and all(keys["parent"] != name for keys in tenants.values()):
            del tenants[name]
    least = {}
    for name, keys in reversed(list(tenants.items())):
        children = [child for child in tenants if tenants[child]["parent"] == name]
        deserved = keys.get("deserved_gpus")
        least[name] = sum(least[child] for child in children) if deserved is None else deserved
    for name, keys in tenants.items():
        if random.integers(3) == 0:
            most = gpus if keys["parent"] is None else tenants[keys["parent"]]["ceiling_gpus"]
            keys["ceiling_gpus"] = int(random.integers(least[name], most + 1))
        else:
            keys["ceiling_gpus"] = gpus if keys["parent"] is None else tenants[keys["parent"]]["ceiling_gpus"]
    return {name: Tenant(**keys) for name, keys in tenants.items()}


def leaves(scenario):
    """Numbers of the tenants that submit jobs."""
    names = list(scenario.tenants)
    return [index for index, name in enumerate(names) if name[0] == "t"]


def jobs_of(random, scenario, count, longest_s=40_000):
    """Jobs of random tenants and classes, sizes from a GPU to the site, in the first half of the day."""
    gpus = scenario.site.fleet["main"].gpus
    largest = random.choice([8, 72, gpus])
    sizes = np.ceil(largest ** random.random(count)).astype(int)
    submit_s = random.integers(0, random.choice([1, 3600, DAY_S // 2]), count)
    work_s = random.integers(1, longest_s, count)
    who, kind = random.choice(leaves(scenario), count), random.integers(0, 3, count)
    return [tuple(map(int, row)) for row in zip(submit_s, sizes, work_s, who, kind, strict=True)]


@st.composite
def trees(draw, **fixed):
    """Scenario with a random tree of tenants, and a source of random numbers for its jobs."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    racks = draw(st.integers(1, 6))
    options = {
        "tick_s": 3600,
        "segment_trays": draw(st.integers(1, 18)),
        "failures": draw(st.booleans()),
        "gpu_h_per_interruption": 200,
        "backfill_depth": draw(st.sampled_from([0, 16])),
        "reservations": draw(st.sampled_from([0, 1, 5])),
        "aging_h": draw(st.sampled_from([0.1, 2.0, 24.0])),
        "order": draw(st.sampled_from(["holdings", "fair_tree"])),
    }
    return small_site(some_tree(random, racks), racks=racks, **(options | fixed)), random


@settings(max_examples=60)
@given(trees())
def test_no_node_of_the_tree_is_ever_above_its_quota(asked):
    """In every tick: own use within the deserved share of every tenant, all use within every ceiling, loans within what may
    be lent at every node, every GPU on loan lent by exactly one lender, in one record that is open."""
    scenario, random = asked

    def watch(state, _):
        shares = state.tenants
        alone = shares[~shares["is_group"]]
        assert (alone["own"] + alone["claimed"] <= alone["deserved"]).all()
        assert (shares["own"] + shares["on_loan"] <= shares["ceiling"]).all()
        check_tree(state)
        check_lending(state)

    simulate_jobs(scenario, table(*jobs_of(random, scenario, 60)), watch=watch, watch_ticks=1)


def turned_round(scenario, jobs, order, classes):
    """Return the same scenario with its tenants and classes of demand listed in another order, and its jobs."""
    names, kinds = list(scenario.tenants), list(scenario.demand)
    other = scenario.model_copy(
        update={
            "tenants": {names[index]: scenario.tenants[names[index]] for index in order},
            "demand": {kinds[index]: scenario.demand[kinds[index]] for index in classes},
        }
    )
    new_tenant, new_class = np.argsort(order).astype(np.int16), np.argsort(classes).astype(np.int16)
    return other, JobTable(
        jobs.submit_s, jobs.gpus, jobs.work_s, new_tenant[jobs.tenant], new_class[jobs.demand]
    )


def told(run):
    """All that a run says of its jobs, and of its loans with their lenders by name."""
    names = [*run.scenario.tenants, "pool"]
    loans = run.state.loans[: run.state.tally["loans"][0]]
    columns = ("start_s", "noticed_s", "deadline_s", "returned_s", "job", "claimant", "gpus", "reason")
    rows = zip(*(loans[column].tolist() for column in columns), strict=True)
    lenders = [names[index] for index in loans["lender"]]
    jobs = ("first_start_s", "end_s", "state", "starts", "recalls", "sheds", "failures", "useful_gpu_s")
    return [times(run, column) for column in jobs], sorted(zip(lenders, rows, strict=True))


@settings(max_examples=60)
@given(st.one_of(sites(), trees()), st.randoms(use_true_random=False))
def test_the_order_in_which_tenants_are_listed_changes_nothing(asked, shuffler):
    """Names break ties, not places in a table: every job starts, is recalled and ends at the same second."""
    scenario, jobs = asked
    if not isinstance(jobs, JobTable):
        jobs = table(*jobs_of(jobs, scenario, 60))
    order, classes = list(range(len(scenario.tenants))), list(range(len(scenario.demand)))
    shuffler.shuffle(order)
    shuffler.shuffle(classes)

    assert told(simulate_jobs(*turned_round(scenario, jobs, order, classes))) == told(
        simulate_jobs(scenario, jobs)
    )


@settings(max_examples=60)
@given(trees(failures=False, aging_h=24.0), st.integers(1, 40_000), st.sampled_from([0, 0.5]))
def test_full_recall_gives_every_owner_its_share_within_the_longest_notice(asked, claim_s, used):
    """At any instant, whatever is lent by whom: owners who claim all that they deserve, a tray at a time, hold it when the
    longest notice is over after the last loan may be called back (L4; a tray may be shared by one that may be at once and
    one that may not yet); groups, loans of several lenders and ceilings included."""
    scenario, random = asked
    tenants = scenario.tenants
    names = list(tenants)
    rows = [row for row in jobs_of(random, scenario, 60, ENDLESS_S) if tenants[names[row[3]]].tier == "lent"]
    claims = []
    for owner in leaves(scenario):
        if tenants[names[owner]].tier == "lent":
            continue
        trays = (tenants[names[owner]].deserved_gpus or 0) // 4
        rows += [(0, 4, ENDLESS_S, owner, BATCH)] * int(trays * used)
        claims += [(claim_s, 4, ENDLESS_S, owner, BATCH)] * (trays - int(trays * used))
    run = play(scenario, *rows, *claims)
    jobs = run.state.jobs
    lent = [one for one in tenants.values() if one.tier == "lent"]
    bound_s = max((one.notice_s for one in lent), default=0)
    bound_s += max((max(0, one.minimum_run_s - one.notice_s) for one in lent), default=0)
    owned = np.isin(jobs["tenant"], [i for i in leaves(scenario) if tenants[names[i]].tier != "lent"])
    waited_s = jobs["first_start_s"][owned] - jobs["submit_s"][owned]

    assert (jobs["state"][owned] == RUNNING).all()
    assert (jobs["recalls"][owned] == 0).all()
    assert waited_s.min(initial=0) >= 0
    assert waited_s.max(initial=0) <= bound_s


def test_one_notice_serves_all_who_wait_below_the_ceiling_of_a_group():
    """A borrower fills its group up to the group's ceiling, tray by tray. Two owners of the group with two queues each
    have all of their share when one notice is over, not a tray per notice."""
    who = {
        "one": tenant("firm", 0.25, parent="g", ceiling=0.5),
        "two": tenant("firm", 0.25, parent="g", ceiling=0.5),
        "uk": tenant("lent", parent="g", ceiling=0.5, notice_s=600),
        "g": group("assured", 0.5),
    }
    claims = [(7200, 4, ENDLESS_S, owner, kind) for owner in (0, 1) for kind in (0, 1) for _ in range(9)]
    run = play(small_site(who, racks=4, tick_s=3600), *[(0, 4, ENDLESS_S, 2, BATCH)] * 36, *claims)

    assert times(run, "first_start_s")[36:] == [7800] * 36
    assert times(run, "recalls")[:36] == [1] * 36


@settings(max_examples=60)
@given(st.one_of(sites(recall=True), trees()))
def test_nobody_is_recalled_twice_for_one_claim(asked):
    """No eviction loop: whoever comes back at once, a claim gives a job notice at most once, and who lives on loans alone never
    has anybody recalled. A claimant that fails, or whose racks do, claims anew."""
    scenario, jobs = asked
    if not isinstance(jobs, JobTable):
        jobs = table(*jobs_of(jobs, scenario, 100))
    run = simulate_jobs(scenario, jobs)
    loans = run.state.loans[: run.state.tally["loans"][0]]
    claims = loans[loans["claimant"] >= 0]
    columns = (claims[name].tolist() for name in ("claimant", "job", "noticed_s"))
    noticed = set(zip(*columns, strict=True))  # a loan of several lenders is one notice
    pairs = [(claimant, job) for claimant, job, _ in noticed]
    tiers = np.array([one.tier == "lent" for one in scenario.tenants.values()])
    claimants = run.state.jobs["tenant"][claims["claimant"]]

    failed = len(run.state.failures) if scenario.reliability.failures else 0
    assert all(pairs.count(pair) <= 1 + failed for pair in set(pairs))
    assert not tiers[claimants].any()


@settings(max_examples=60)
@given(trees(failures=False, aging_h=24.0), st.integers(1, 40_000))
def test_recalls_stop_when_demand_does(asked, claim_s):
    """A recalled job that comes back at once has nobody recalled. Owners whose jobs fit in their shares come by `claim_s`,
    borrowers press on for the whole day and are back as soon as they have rested. A gang of an owner may have to wait for
    the notices of those before it until it can be placed at all (R2); after as many notices as owners have jobs there is none
    any more."""
    scenario, random = asked
    tenants = scenario.tenants
    names, rows = list(tenants), []
    for owner in leaves(scenario):
        left = tenants[names[owner]].deserved_gpus or 0
        while left > 0 and random.integers(8):
            gpus = int(random.integers(1, left + 1))
            rows.append(
                (int(random.integers(0, claim_s + 1)), gpus, ENDLESS_S, owner, int(random.integers(3)))
            )
            left -= gpus
    borrowers = [
        row for row in jobs_of(random, scenario, 60, ENDLESS_S) if tenants[names[row[3]]].tier == "lent"
    ]
    run = play(scenario, *rows, *borrowers)
    loans = run.state.loans[: run.state.tally["loans"][0]]
    longest_s = max(max(one.notice_s, one.minimum_run_s) for one in tenants.values())

    assert loans["noticed_s"].max(initial=-1) <= claim_s + longest_s * (1 + len(rows))
    assert run.state.jobs["recalls"].max(initial=0) <= len(rows)


@st.composite
def streams(draw):
    """Small jobs without an end on a site of a few racks, and a large one among them that fits the site.

    The small ones are borrowers, and as many run at the start as there is room for; more come at one to three times the
    rate at which the site can serve them, until long after the large one must have started.
    """
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    racks, segment_trays = draw(st.integers(1, 6)), draw(st.sampled_from([8, 16]))
    longest_s = draw(st.sampled_from([1800, 3600, 7200]))
    aging_s = draw(st.sampled_from([0, 1800, 3600]))
    small = draw(st.sampled_from([4, 8, 20, 24, 40]))
    share = draw(st.sampled_from([0.6, 1.0]))
    large = draw(st.sampled_from([36, 64, 72, 4 * segment_trays * racks]))
    gpus = racks * 72
    if large > 72 * racks * share or (large > 72 and racks == 1):
        large = 36
    until_s = min(aging_s + 5 * longest_s, DAY_S // 2)
    gap_s = max(1.0, longest_s * small / gpus / draw(st.sampled_from([1.0, 1.5, 3.0])))
    kinds = random.integers(0, 3, 4000)
    rows = [
        (0, small, int(random.integers(longest_s // 3, longest_s)), 0, int(kinds[i]))
        for i in range(gpus // small)
    ]
    rows += [
        (2 + int(at_s), small, int(random.integers(longest_s // 2, longest_s)), 0, int(kind))
        for at_s, kind in zip(np.arange(0.0, until_s, gap_s), kinds, strict=False)
    ]
    options = {
        "racks": racks, "segment_trays": segment_trays, "tick_s": 300, "aging_h": aging_s / 3600,
        "reservations": draw(st.sampled_from([1, 5])), "recall": draw(st.booleans()),
        "restart_s": 0, "checkpoint_s": 0, "of": {"limit_factor": 1.0},
    }  # fmt: skip
    terms = {
        "notice_s": draw(st.sampled_from([0, 120, 1800])),
        "minimum_run_s": draw(st.sampled_from([0, 300])),
    }
    return options, terms, share, rows, large, longest_s, aging_s


@settings(max_examples=40)
@given(streams())
def test_no_borrower_waits_for_ever(asked):
    r"""A borrower that fits the site starts within :math:`A + 3L` of its submission, whatever stream of smaller borrowers
    comes after it: A is `policy.aging_h`, L the longest run-time limit. There is at least one reservation, nothing fails,
    owners ask for nothing, power is ample and no group is full.

    Why: at A it is older than any other borrower that waits, and goes first (A1). (1) While its lenders lack the room,
    nobody borrows; after at most L every loan has ended. (2) Once they have it and racks are missing, it holds those that
    fall free soonest, at the latest L later; nobody enters them who would not have left by then, and looking at them
    afresh never finds later ones. (3) Meanwhile others may have borrowed what it needs, on other racks; from the moment
    its racks are free nobody borrows before it, and after at most another L its lenders have the room.
    """
    options, terms, share, rows, large, longest_s, aging_s = asked
    who = {"small": tenant("lent", **terms), "large": tenant("lent", **terms), "owner": tenant("firm", share)}
    run = play(small_site(who, **options), *rows, (1, large, longest_s, 1, BATCH))
    [start_s] = run.state.jobs["first_start_s"][run.state.jobs["tenant"] == 1]

    assert 1 <= start_s <= 1 + aging_s + 3 * longest_s


@settings(max_examples=40)
@given(streams())
def test_no_owner_waits_for_ever(asked):
    r"""An entitled job starts within :math:`\max(L, N)` of its submission, L being the longest run-time limit and N the
    longest notice or minimum run, also where nothing may be recalled.

    Why: it is the first of its queue and has its share, so that it recalls what stands in its way (R1, N), or holds the
    racks that fall free soonest (B1), at the latest when all that runs has ended, after L; who enters them will have left.
    """
    options, terms, share, rows, large, longest_s, _ = asked
    who = {"small": tenant("lent", **terms), "owner": tenant("firm", share)}
    run = play(small_site(who, **options), *rows, (1, large, longest_s, 1, BATCH))
    [start_s] = run.state.jobs["first_start_s"][run.state.jobs["tenant"] == 1]

    assert 1 <= start_s <= 1 + max(longest_s, *terms.values())


def test_without_age_a_large_borrower_does_wait_for_ever():
    """What the law excludes: three jobs of 20 GPUs in each rack, never ending together, keep a job of a whole rack out for
    as long as they come, although its lender could always lend it a rack. With age it starts at the next look."""
    who = {"owner": tenant("firm", 1.0), "large": tenant("lent"), "small": tenant("lent")}
    rows = [(0, 20, 400 * (index + 1), 2, BATCH) for index in range(18)]
    rows += [(2, 20, 7200, 2, BATCH)] * 180 + [(1, 72, 7200, 1, BATCH)]
    waits = {}
    for aging_h in (0.5, 1000.0):
        run = play(small_site(who, racks=6, tick_s=300, aging_h=aging_h, of={"limit_factor": 1.0}), *rows)
        waits[aging_h] = times(run, "first_start_s")[18] - 1
    assert waits[0.5] <= 1800 + 3 * 7200
    assert waits[1000.0] > 10 * 7200
