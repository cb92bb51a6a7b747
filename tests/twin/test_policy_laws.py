"""Laws of sharing over random trees of tenants, queues and failures, beside those of test_laws."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from small_sites import (
    BATCH,
    check_books,
    check_lending,
    check_tree,
    play,
    small_site,
    table,
    tenant,
    times,
)
from test_laws import DAY_S, sites

from kvandal.demand.jobs import JobTable
from kvandal.scenario.tenants import Tenant
from kvandal.twin.records import FINISHED, RUNNING
from kvandal.twin.simulate import simulate_jobs

pytestmark = pytest.mark.slow
ENDLESS_S = 10 * DAY_S
CLAIM_S = 7200


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
    """In every tick: own use within the deserved share at every node, all use within every ceiling, loans within what
    may be lent, every GPU on loan lent by exactly one lender, in one record that is open, and no seat taken twice."""
    scenario, random = asked

    def watch(state, _):
        shares = state.tenants
        alone = shares[~shares["is_group"]]
        assert (alone["own"] + alone["claimed"] <= alone["deserved"]).all()
        assert (shares["own"] <= shares["deserved"]).all()
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
    """At any instant, whatever is lent by whom: owners who claim all that they deserve, a tray at a time, hold it when
    the longest of all notices and minimum runs is over; groups, loans of several lenders and ceilings included."""
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
    bound_s = max(
        (max(one.notice_s, one.minimum_run_s) for one in tenants.values() if one.tier == "lent"), default=0
    )
    owned = np.isin(jobs["tenant"], [i for i in leaves(scenario) if tenants[names[i]].tier != "lent"])
    waited_s = jobs["first_start_s"][owned] - jobs["submit_s"][owned]

    assert (jobs["state"][owned] == RUNNING).all()
    assert (jobs["recalls"][owned] == 0).all()
    assert waited_s.min(initial=0) >= 0
    assert waited_s.max(initial=0) <= bound_s
