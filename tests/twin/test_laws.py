"""Laws that hold on every small site, whatever is asked of it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_sites import check_books, check_lending, check_room, group, small_site, table, tenant

from kvandal.twin import account
from kvandal.twin import plant_state as plant
from kvandal.twin.records import FINISHED, LOST_RESTART, PART_RESTORED, REFUSED, RUNNING
from kvandal.twin.simulate import simulate_jobs

DAY_S = 86_400
ALLOCATED = slice(account.TICK_FIRM, account.TICK_LENT + 1)
pytestmark = pytest.mark.slow


def some_tenants(random, racks):
    """One to four tenants; the first is entitled and mostly generous, so that there is something to lend.

    Half of the time some of them form a group. Guarantees can be placed with one rack out of service.
    """
    tiers = ["firm", *random.choice(["firm", "assured", "lent", "lent"], random.integers(0, 4))]
    left, found = 100, {}
    placeable = max(1, racks - 1) / racks
    members = sorted(random.choice(len(tiers), random.integers(0, len(tiers) + 1), replace=False).tolist())
    together, largest = 0, 0
    for index, tier in enumerate(tiers):
        deserved = 0 if tier == "lent" else int(random.integers(0, left + 1))
        left -= deserved
        guarantee = int(placeable * deserved * random.choice([0.0, 0.0, 0.5, random.random()]))
        ceiling = int(random.choice([100, 100, random.integers(deserved, 101)]))
        terms = {
            "notice_s": int(random.choice([0, 1, 30, 120, 5000])),
            "minimum_run_s": int(random.choice([0, 0, 60, 3600])),
            "weight": float(random.choice([1.0, 2.0, 0.5])),
        }
        if index in members:
            terms["parent"] = "group"
            together, largest = together + deserved, max(largest, ceiling)
        found[f"t{index}"] = tenant(str(tier), deserved / 100, guarantee / 100, ceiling / 100, **terms)
    if members:
        most = int(random.integers(max(together, largest), 101))
        found["group"] = group("assured", most / 100)
    return found


def some_jobs(random, gpus, count):
    """Jobs that ask for about 20 to 300 % of the site, from a second to a day."""
    jobs = random.integers(0, 150)
    largest = random.choice([8, 72, gpus])
    sizes = np.minimum(np.ceil(largest ** random.random(jobs)), gpus + 9).astype(int)
    work_s = np.ceil(np.exp(random.normal(0, 2, jobs)) + 1e-9)
    load = random.uniform(0.2, 3.0) * gpus * DAY_S
    work_s = np.clip(work_s * load / max(1.0, (sizes * work_s).sum()), 1, 200_000).astype(int)
    submit_s = random.integers(0, random.choice([1, 3600, DAY_S]), jobs)
    who, kind = random.integers(0, count, jobs), random.integers(0, 3, jobs)
    return table(*zip(submit_s, sizes, work_s, who, kind, strict=True))


@st.composite
def sites(draw, **fixed):
    """Scenario and jobs of a random small site; `fixed` are arguments of `small_site`."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    racks = draw(st.integers(1, 12))
    who = some_tenants(random, racks)
    idle_mw, full_mw = racks * 0.0455, racks * 0.162
    tight = draw(st.sampled_from([None, 0.05, 0.3, 0.6, 0.8, 0.9]))
    segment_trays = draw(st.integers(1, 18))
    options = {
        "tick_s": draw(st.sampled_from([60, 300, 3600])),
        "segment_trays": segment_trays,
        "spare_trays_per_rack": min(18 - segment_trays, draw(st.sampled_from([0, 0, 1, 4]))),
        "recall": draw(st.sampled_from([True, True, True, False])),
        "checkpoint_s": draw(st.sampled_from([0, 0.4, 30, 300])),
        "restart_s": draw(st.sampled_from([0, 60, 300])),
        "tray_repair_h": draw(st.sampled_from([0.01, 1, 12])),
        "gpu_h_per_interruption": draw(st.sampled_from([20, 200, 5000])),
        "rack_fault_share": draw(st.sampled_from([0.01, 0.3])),
        "follow_share": draw(st.sampled_from([0.05, 0.8])),
        "lemon_failures": draw(st.sampled_from([0, 1, 3])),
        "tray_replacement_days": draw(st.sampled_from([0.01, 0.5, 14])),
        "repair_crews": draw(st.sampled_from([0, 0, 1, 3])),
        "failures": draw(st.booleans()),
        "grid_mw": 1000 if tight is None else idle_mw + tight * (full_mw - idle_mw),
        "margin": 0.02,
        "cap_minimum": draw(st.sampled_from([0.43, 0.8, 1.0])),
        "backfill_depth": draw(st.sampled_from([0, 1, 16])),
        "reservations": draw(st.sampled_from([0, 1, 1, 5])),
        "aging_h": draw(st.sampled_from([0.1, 2.0, 24.0])),
        "order": draw(st.sampled_from(["holdings", "fair_tree"])),
        "of": {"limit_factor": draw(st.sampled_from([1.0, 2.0, 10.0]))},
    }
    if draw(st.integers(0, 3)) == 0:
        options["of"] |= {"elastic_minimum_fraction": draw(st.sampled_from([0.1, 0.5]))}
    if draw(st.integers(0, 3)) == 0:
        options["of"] |= {"deadline_h": 5.0}
    scenario = small_site(who, racks=racks, **(options | fixed))
    return scenario, some_jobs(random, racks * 72, len(who) - ("group" in who))


def columns(run, *names):
    return [run.state.jobs[name] for name in names]


@settings(max_examples=150)
@given(sites())
def test_everything_is_accounted_for(asked):
    """GPU-seconds are the same whoever counts them, no job is lost, energy in is energy out, in every tick."""
    scenario, jobs = asked

    def watch(state, _):
        check_room(state)
        check_books(state)

    run = simulate_jobs(scenario, jobs, watch=watch, watch_ticks=max(1, 3600 // scenario.run.tick_s))
    state, real, count = run.state, run.outputs.tick_real, run.outputs.tick_count

    assert len(real) == DAY_S // scenario.run.tick_s
    assert real[:, plant.BALANCE_ERROR].max() <= 1e-9
    assert (count[:, account.TICK_INSTALLED] == run.site.gpus * scenario.run.tick_s).all()
    idle = count[:, account.TICK_INSTALLED] - count[:, account.TICK_BROKEN] - count[:, ALLOCATED].sum(axis=1)
    assert (idle >= 0).all()
    allocated = count[:, ALLOCATED].sum()
    assert state.jobs["allocated_gpu_s"].sum() == allocated
    assert state.racks["gpu_s"].sum() == allocated
    assert run.outputs.tenant_hour[:, :, 0].sum() == allocated
    assert state.racks["broken_gpu_s"].sum() == count[:, account.TICK_BROKEN].sum()
    split = state.jobs["useful_gpu_s"] + state.lost_gpu_s.sum(axis=0)
    assert np.allclose(split, state.jobs["allocated_gpu_s"], rtol=1e-9, atol=1e-3)
    assert (state.lost_gpu_s >= -1e-3).all()
    assert (state.interruptions.sum(axis=0) == state.jobs["failures"]).all()
    restarts = state.lost_gpu_s[LOST_RESTART]
    assert (state.part_gpu_s[PART_RESTORED] <= restarts + 1e-6).all()
    assert (state.racks["waited_gpu_s"] >= 0).all()
    assert (state.racks["waited_gpu_s"] <= state.racks["broken_gpu_s"]).all()
    finished = state.jobs["state"] == FINISHED
    gpus, work_s, useful = columns(run, "asked_gpus", "work_s", "useful_gpu_s")
    assert (useful[finished] == (gpus * work_s)[finished]).all()
    assert (useful <= gpus * work_s).all()
    assert (state.jobs["state"] > 0).all()  # nobody is left in the future
    first, end, submit = columns(run, "first_start_s", "end_s", "submit_s")
    assert (first[finished] >= submit[finished]).all()
    assert (end[finished] >= first[finished] + work_s[finished]).all()
    assert ((first >= 0) == (state.jobs["starts"] > 0)).all()
    refused = state.jobs["state"] == REFUSED
    assert (state.jobs["allocated_gpu_s"][refused] == 0).all()


@settings(max_examples=100)
@given(sites(recall=True))
def test_shares_hold_at_all_times(asked):
    """Own use stays within the deserved share, all use within the ceiling, loans within what may be lent."""
    scenario, jobs = asked

    def watch(state, _):
        shares = state.tenants[:-1]
        alone = shares[~shares["is_group"]]
        assert (alone["own"] + alone["claimed"] <= alone["deserved"]).all()
        assert (shares["own"] + shares["on_loan"] <= shares["ceiling"]).all()
        check_lending(state)

    simulate_jobs(scenario, jobs, watch=watch, watch_ticks=max(1, 600 // scenario.run.tick_s))


@settings(max_examples=60)
@given(sites(failures=False, recall=True, grid_mw=1000))
def test_eviction_loops_are_impossible(asked):
    """No job is recalled twice for the same claim, and every noticed loan is back by its deadline."""
    run = simulate_jobs(*asked)
    loans = run.state.loans[: run.state.tally["loans"][0]]
    claims = loans[loans["claimant"] >= 0]
    # a loan of several parts has a record for each
    recalls = set(
        zip(claims["claimant"].tolist(), claims["job"].tolist(), claims["noticed_s"].tolist(), strict=True)
    )
    pairs = [(claimant, job) for claimant, job, _ in recalls]
    assert len(pairs) == len(set(pairs))
    noticed = loans[(loans["noticed_s"] >= 0) & (loans["deadline_s"] < DAY_S)]
    assert (noticed["returned_s"] <= noticed["deadline_s"]).all()
    assert (noticed["returned_s"] >= 0).all()


@settings(max_examples=60)
@given(sites())
def test_site_power_stays_below_the_envelope(asked):
    """The envelope holds in every tick, except where every cap is already at its floor."""
    scenario, jobs = asked
    run = simulate_jobs(scenario, jobs)
    real = run.outputs.tick_real
    over = real[:, plant.SITE_KW] > run.state.rules["envelope_kw"][0] * (1 + 1e-9)
    floor = scenario.rack_models["gb300_nvl72"].cap_minimum_fraction
    caps = real[:, account.CAP_COLUMN : account.CAP_COLUMN + 3]
    held = run.outputs.tick_count[:, ALLOCATED]
    assert (np.where(held[over] > 0, caps[over], floor) <= floor + 1e-9).all()
    assert (caps >= floor - 1e-12).all()


@settings(max_examples=30)
@given(sites(failures=True), st.integers(1, 40))
def test_equal_inputs_give_equal_runs_however_the_loop_is_chunked(asked, step):
    """Two runs are byte-identical, also when one of them pauses every few ticks."""
    scenario, jobs = asked
    one, other = simulate_jobs(scenario, jobs), simulate_jobs(scenario, jobs, watch_ticks=step)
    for first, second in zip(one.outputs, other.outputs, strict=True):
        assert first.tobytes() == second.tobytes()
    for name in ("jobs", "lost_gpu_s", "racks"):
        assert getattr(one.state, name).tolist() == getattr(other.state, name).tolist()
    for name in ("loans", "events"):
        count = one.state.tally[name][0]
        assert count == other.state.tally[name][0]
        assert getattr(one.state, name)[:count].tolist() == getattr(other.state, name)[:count].tolist()


@settings(max_examples=40)
@given(
    st.integers(1, 12),
    st.lists(st.integers(0, 60), min_size=1, max_size=3),
    st.sampled_from([4, 8, 12, 24, 36, 72]),
    st.lists(st.integers(1, 130), min_size=1, max_size=40),
    st.sampled_from([0, 60, 900]),
    st.sampled_from([60, 300]),
)
def test_full_recall_gives_every_owner_its_share_within_the_longest_notice(
    racks, shares, size, borrowed, notice_s, tick_s
):
    """Whatever is lent, owners who claim their whole share at once hold it when the longest notice is over."""
    shares = [share * 100 // max(100, sum(shares)) for share in shares]
    who = {f"o{i}": tenant("firm", share / 100, 0, 1) for i, share in enumerate(shares)}
    who["borrower"] = tenant("lent", notice_s=notice_s)
    scenario = small_site(who, racks=racks, tick_s=tick_s)
    rows = [(i, gpus, 10 * DAY_S, len(shares), 0) for i, gpus in enumerate(borrowed)]
    claims = [int(share / 100 * racks * 72 + 1e-9) // size for share in shares]
    rows += [(7200, size, 10 * DAY_S, owner, 0) for owner, count in enumerate(claims) for _ in range(count)]
    run = simulate_jobs(scenario, table(*rows))
    jobs = run.state.jobs
    owned = jobs["tenant"] < len(shares)
    assert (jobs["state"][owned] == RUNNING).all()
    assert (jobs["first_start_s"][owned] - 7200 <= notice_s).all()
    assert (jobs["recalls"][owned] == 0).all()


@settings(max_examples=60)
@given(sites(failures=False, recall=True))
def test_a_site_on_which_nothing_runs_is_idle_again(asked):
    """Mistake "FLOPS stay at peak after the last job": every instantaneous figure returns to idle.

    Jobs exactly; loops of water nearly, for they remember how warm they were.
    """
    scenario, jobs = asked
    keep = (jobs.submit_s < 40_000) & (jobs.work_s < 8000)
    rows = zip(
        *(getattr(jobs, name)[keep].tolist() for name in ("submit_s", "gpus", "work_s", "tenant", "demand")),
        strict=True,
    )
    run, empty = simulate_jobs(scenario, table(*rows)), simulate_jobs(scenario, table())
    if (run.state.jobs["state"] == RUNNING).any() or run.state.jobs["end_s"].max(initial=0) > 50_000:
        return
    state = run.state
    assert (state.rack_tiers["mw"] == 0).all()
    assert (state.tier_models["mw"] == 0).all()
    assert (state.tiers["gpus"] == 0).all()
    assert (state.speeds["running"] == 0).all()
    assert run.outputs.tick_real[-1] == pytest.approx(empty.outputs.tick_real[-1], rel=1e-4, abs=0.01)
    assert (run.outputs.tick_count[-1, :6] == empty.outputs.tick_count[-1, :6]).all()
