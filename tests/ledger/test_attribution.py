"""Energy followed from the meter to racks, jobs and tenants: it adds up to the last Wh, and the rule is the stated one."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_sites import BATCH, INFERENCE, TRAINING, failing, small_site, table, tenant

from kvandal.ledger import attribution
from kvandal.ledger.energy import contracts_table, energy_table
from kvandal.ledger.tables import heat_table, site_table
from kvandal.scenario.accounting import Accounting
from kvandal.scenario.market import Market
from kvandal.scenario.supply import Purchase, Supply
from kvandal.twin.simulate import simulate_jobs
from kvandal.twin.site import gpu_load_mw

TENANTS = {
    "anchor": tenant("firm", 0.5, 0.25),
    "norway": tenant("assured", 0.25),
    "abroad": tenant("lent", notice_s=120),
}


def attributed(scenario, *rows, failures=None):
    run = simulate_jobs(scenario, table(*rows), failures=failures)
    energy = energy_table(run, site_table(run), heat_table(run))
    basis = attribution.basis_of(run, energy, heat_table(run), contracts_table(run, site_table(run)))
    return run, energy, basis, attribution.attribute(basis)


def column(name):
    return attribution.QUANTITIES.index(name)


def of_jobs(amounts):
    """What is told of jobs, from all quantities."""
    names = {**{name: name for name in attribution.OF_JOBS}, "energy_cost_cents": "cost_cents"}
    told = {name: amounts[..., column(names[name])] for name in attribution.OF_JOBS if name != "site_wh"}
    told["site_wh"] = amounts[..., :3].sum(axis=-1)
    return np.stack([told[name] for name in attribution.OF_JOBS], axis=-1)


def test_a_shared_rack_by_hand():
    """48 GPUs of one tenant and 12 of another share a rack for an hour, 12 stand idle; the rule by hand."""
    scenario = small_site({"a": tenant("firm", 1.0), "b": tenant("firm", 0.0)}, racks=1)
    run, energy, _, found = attributed(scenario, (0, 48, 3600, 0, BATCH), (0, 12, 3600, 1, BATCH))
    idle_w = run.site.idle_kw[0] / 72 * 1000
    work_w = idle_w + gpu_load_mw(scenario, run.site)[BATCH, 0] / 1000
    whole = 60 * work_w + 12 * idle_w
    it_wh = round(energy["it_mwh"][0] * 1e6)
    idle_wh = round(it_wh * 12 * idle_w / whole)
    by_tenant = found.by_tenant[0]
    assert by_tenant[:, column("it_wh")].sum() == it_wh - idle_wh
    assert by_tenant[0, column("it_wh")] == pytest.approx((it_wh - idle_wh) * 48 / 60, abs=1)
    assert by_tenant[1, column("idle_wh")] == pytest.approx(idle_wh * 12 / 60, abs=1)
    assert by_tenant[2].tolist() == [0] * len(attribution.QUANTITIES)
    assert found.gpu_s[0].tolist() == [[48 * 3600, 0, 0], [0, 0, 12 * 3600]]  # b borrows
    # in the second hour nobody works: all is the owners'
    assert found.by_tenant[1, 2, column("idle_wh")] == round(energy["it_mwh"][1] * 1e6)
    assert not found.by_tenant[1, :2].any()


def test_idle_gpus_may_be_the_owners():
    """With `idle = owners` the owners bear idle GPUs and their part of everything that follows IT energy."""
    scenario = small_site({"a": tenant("firm", 1.0)}, racks=2).model_copy(
        update={"accounting": Accounting(idle="owners")}
    )
    run, energy, _, found = attributed(scenario, (0, 72, 3600, 0, TRAINING))
    owners, site_wh = found.by_tenant[0, 1], round(energy["site_mwh"][0] * 1e6)
    idle_kw, work_kw = run.site.idle_kw[0], run.outputs.rack_hour[0].max()
    share = idle_kw / (idle_kw + work_kw)
    assert owners[column("it_wh")] == 0
    assert owners[column("idle_wh")] == pytest.approx(share * energy["it_mwh"][0] * 1e6, rel=1e-5, abs=1)
    assert owners[: column("overhead_wh") + 1].sum() == pytest.approx(share * site_wh, rel=1e-5, abs=1)
    assert found.by_tenant[0, :, : column("overhead_wh") + 1].sum() == site_wh


@st.composite
def contracts(draw):
    """A contract for part of the day, of the site or of a tenant."""
    return Purchase(
        kind="shaped",
        mw=draw(st.floats(0.01, 0.5)),
        eur_per_mwh=30.0,
        hours_local=draw(st.sampled_from([(0, 24), (6, 22), (22, 6)])),
        carbon_free=draw(st.booleans()),
        buyer=draw(st.sampled_from(["", *TENANTS])),
    )


@st.composite
def runs(draw):
    """A small site under random work and failures, at any tick length."""
    tick_s = draw(st.sampled_from([60, 300, 3600]))
    scenario = small_site(
        TENANTS, racks=3, tick_s=tick_s, grid_mw=draw(st.sampled_from([0.35, 0.5, 1000.0])), cap_minimum=0.5
    )
    market = Market(
        ppa_mw=draw(st.sampled_from([0.0, 0.1])),
        goo_fraction=draw(st.sampled_from([0.0, 0.5, 1.0])),
        goo_by_hour=draw(st.booleans()),
    )
    scenario = scenario.model_copy(
        update={
            "accounting": Accounting(idle=draw(st.sampled_from(["use", "owners"]))),
            "supply": Supply(
                purchases=draw(st.dictionaries(st.sampled_from("xyz"), contracts(), max_size=3)),
                generators_mw=draw(st.sampled_from([0.0, 1.0])),
            ),
            "market": market,
        }
    )
    rows = draw(
        st.lists(
            st.tuples(
                st.integers(0, 20 * 3600),
                st.sampled_from([1, 2, 3, 4, 8, 30, 72, 100]),
                st.integers(1, 30_000),
                st.integers(0, 2),
                st.sampled_from([TRAINING, BATCH, INFERENCE]),
            ),
            max_size=25,
        )
    )
    broken = sorted(draw(st.lists(st.tuples(st.integers(0, 80_000), st.integers(0, 215)), max_size=4)))
    return scenario, rows, failing(*broken)


@settings(max_examples=40, deadline=None)
@given(runs())
def test_what_is_attributed_is_what_the_meter_showed(given_run):
    """Every hour adds up to its meter to the last Wh, every run to its carbon, cost and heat; jobs add up to tenants."""
    scenario, rows, failures = given_run
    run, energy, basis, found = attributed(scenario, *rows, failures=failures)
    per_hour = found.by_tenant.sum(axis=1)
    meter_wh = np.rint(energy["site_mwh"].to_numpy() * 1e6).astype(np.int64)
    assert (per_hour[:, :3].sum(axis=1) == meter_wh).all()
    assert (per_hour[:, 3:] == basis.totals[:, 2:]).all()
    assert (found.matched_wh.sum(axis=1) == np.rint(energy["carbon_free_mwh"].to_numpy() * 1e6)).all()
    assert (found.matched_wh <= np.maximum(found.by_tenant[:, :, :3].sum(axis=2), 0)).all()
    assert (found.by_tenant[:, :, column("carbon_market_direct_g") :][:, :, :2] >= 0).all()
    covered = energy["ppa_clean_mwh"].to_numpy() + energy["goo_mwh"].to_numpy()
    assert (covered <= energy["import_mwh"].to_numpy() + 1e-12).all()
    assert per_hour[:, column("cost_cents")].sum() == round(float(energy["cost_eur"].sum()) * 100)
    assert (found.by_job.sum(axis=0) == of_jobs(found.by_tenant[:, :-1].sum(axis=(0, 1)))).all()
    held = run.outputs.tenant_hour[:, :3, 0]
    assert (found.gpu_s.sum(axis=2) == held).all()
    assert (
        found.gpu_s.sum(axis=(0, 2))
        == [run.state.jobs["allocated_gpu_s"][basis.tenant_of == t].sum() for t in range(3)]
    ).all()
    for job in np.flatnonzero(found.by_job[:, attribution.OF_JOBS.index("it_wh")])[:3]:
        watched = attribution.attribute(basis, int(job))
        assert (of_jobs(watched.detail.sum(axis=0)) == found.by_job[job]).all()
        assert (watched.by_job == found.by_job).all()


def test_a_batterys_hour_may_draw_less_than_its_racks():
    """What follows IT energy may be below zero in an hour in which a battery gives more than the rest takes; it adds up."""
    energy = pl.DataFrame(
        {
            "it_mwh": [1.0],
            "site_mwh": [0.4],
            "cost_eur": [-3.005],
            **{f"{n}_t": [0.1] for n in attribution.CARBON},
        }
    )
    totals = attribution.hourly_totals(energy, pl.DataFrame({"source_mwh": [0.0]}))
    assert totals[0, :2].tolist() == [1_000_000, -600_000]
    assert totals[0, 6] == -300


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50))
def test_whole_steps_keep_running_totals(amounts):
    """No hour's rounding is lost or counted twice."""
    steps = attribution.whole_steps(np.array(amounts))
    assert (np.abs(np.cumsum(steps) - np.cumsum(amounts)) <= 0.5 + 1e-6).all()
