"""Contracts, tariff, tax, generators, reserves, clean energy and carbon: worked by hand."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kvandal as kv
from kvandal.energy import matching, tariff
from kvandal.energy.contracts import contracts_of
from kvandal.energy.generators import trial_runs_mwh
from kvandal.energy.profiles import delivered_fraction, hydro_norway, wind_north
from kvandal.energy.reserves import (
    AFRR_FULL_S,
    MFRR_FULL_S,
    activation_eur_per_mwh,
    called_hours,
    fcr_d_delivered,
    fcr_d_fraction,
    ffr_fraction,
    held_s,
    ramped,
    ready_events,
)
from kvandal.errors import ScenarioError, SeriesError
from kvandal.scenario.supply import PRODUCTS, Supply
from kvandal.twin.fault_list import list_faults
from kvandal.twin.site import build_site

PHASE_1 = "stargate-norway-phase-1"


def load(**changes):
    return kv.load(PHASE_1, {"run.days": 2, **changes})


def test_a_day_of_clean_energy_by_hand():
    """Load 10 all day; a contract that gives 15 by day and 4 by night; a grid that is half clean."""
    load_mwh = np.full(24, 10.0)
    clean = np.where((np.arange(24) >= 8) & (np.arange(24) < 20), 15.0, 4.0)
    matched = matching.carbon_free_mwh(load_mwh, clean, 0.5)
    assert matched.sum() == 12 * 10 + 12 * (4 + 3)  # surplus by day does not help at night
    assert matching.annual_match(load_mwh, clean) == pytest.approx(228 / 240)
    assert matching.annual_match(np.zeros(2), np.ones(2)) is None


def test_scope_2_on_both_bases_by_hand():
    """100 MWh at a grid of 15 g: 1.5 t by location; 60 under contract and a residual mix of 500 g: 20 t by market."""
    assert matching.location_t(np.array([100.0]), 15.0)[0] == pytest.approx(1.5)
    assert matching.market_t(np.array([100.0]), np.array([60.0]), 0.0, 500.0)[0] == pytest.approx(20.0)
    assert matching.market_t(np.array([100.0]), np.array([160.0]), 8.0, 560.0)[0] == pytest.approx(0.8)


@given(st.floats(-100, 100), st.floats(0, 200), st.floats(0, 1))
def test_an_hour_without_load_emits_and_matches_nothing(load_mwh, clean_mwh, share):
    """No load or a meter that runs backwards: zero, never below; never more is matched than is drawn."""
    one, clean = np.array([load_mwh]), np.array([clean_mwh])
    drawn = max(load_mwh, 0.0)
    assert 0 <= matching.carbon_free_mwh(one, clean, share)[0] <= drawn + 1e-9
    assert matching.location_t(one, 15.0)[0] == pytest.approx(drawn * 0.015)
    assert 0 <= matching.market_t(one, clean, 8.0, 560.0)[0] <= drawn * 0.56 + 1e-9


def test_what_grid_and_state_charge_for_a_year():
    """Facts: 230 MW at 135 NOK/kW are 31 million NOK; 1.84 TWh at 0.58 and 16.44 øre are 11 and 302 million NOK."""
    assert tariff.capacity_eur_per_h(230_000, 135, 11.7) * 8760 * 11.7 == pytest.approx(31.05e6)
    for ore, million in ((0.58, 10.7), (16.44, 302.5)):
        assert tariff.tax_eur(np.array([1.84e6]), ore, 11.7)[0] * 11.7 == pytest.approx(
            million * 1e6, rel=5e-3
        )
    assert tariff.losses_eur(np.array([100.0]), np.array([-20.0]), -0.01)[0] == pytest.approx(20.0)


@given(st.floats(1, 1e6), st.floats(0.51, 1.0))
def test_reactive_power_and_active_power_make_apparent_power(power_kw, power_factor):
    """Q² + P² = S², and P = S cos φ."""
    reactive = tariff.reactive_kvar(power_kw, power_factor)
    assert np.hypot(power_kw, reactive) * power_factor == pytest.approx(power_kw)


def test_a_shaped_contract_follows_the_clock_of_the_site():
    """From 6 to 22 local time is 5 to 21 UTC in winter; it delivers in its months only."""
    contract = {"kind": "shaped", "mw": 2.0, "eur_per_mwh": 30.0, "hours_local": [6, 22], "months": [1]}
    scenario = load(**{"market.ppa_mw": 0.0, "supply.purchases": {"day": contract}})
    (found,) = contracts_of(scenario, 3600)
    assert np.flatnonzero(found.delivered_mwh).tolist() == [*range(5, 21), *range(29, 45)]
    assert found.delivered_mwh.sum() == 2 * 16 * 2.0
    night = contract | {"hours_local": [22, 6]}
    (found,) = contracts_of(load(**{"market.ppa_mw": 0.0, "supply.purchases": {"n": night}}), 900)
    assert found.delivered_mwh.sum() == pytest.approx(2 * 8 * 2.0)


def test_a_contract_ends_when_it_ends():
    """Nothing before its first and from its last instant on."""
    contract = {
        "kind": "baseload", "mw": 3.0, "eur_per_mwh": 30.0, "from_utc": datetime(2027, 1, 1, 6, tzinfo=UTC),
        "until_utc": datetime(2027, 1, 1, 23, tzinfo=UTC),
    }  # fmt: skip
    found = contracts_of(load(**{"supply.purchases": {"short": contract}}), 3600)[1]
    assert np.flatnonzero(found.delivered_mwh).tolist() == list(range(6, 23))


def test_wind_and_water_are_those_of_a_year():
    """The built-in profiles: a northern wind farm of about a third, water that never rests; both from real years."""
    assert 0.25 < wind_north().values.mean() < 0.45
    assert 0.0 <= wind_north().values.min() <= wind_north().values.max() <= 0.88
    water = hydro_norway().values
    assert water.shape == (8760,)
    assert (water.min(), water.max()) == (pytest.approx(201513 / 626871), 1.0)
    fraction, _, _ = delivered_fraction("hydro-norway", datetime(2028, 2, 29, tzinfo=UTC), 1, 900)
    assert fraction == pytest.approx(np.full(96, water[58 * 24]))  # 28 February where there is no 29th


def test_generators_run_on_the_first_of_the_month():
    """20 MW at half load for an hour and a half from 10:00 UTC: 10 MWh and 5 MWh."""
    supply = Supply(generators_mw=20.0, generator_test_h_per_month=1.5, generator_test_load_fraction=0.5)
    fed = trial_runs_mwh(supply, datetime(2027, 1, 31, tzinfo=UTC), 20)
    assert {int(hour): float(fed[hour]) for hour in np.flatnonzero(fed)} == {34: 10.0, 35: 5.0}


def test_the_rules_of_activation():
    """FFR 1.3 s after 49.7 Hz; FCR-D half within 5 s and all within 30 s, linear in frequency; aFRR 5 min; mFRR 12.5 min."""
    assert ffr_fraction(np.array([1.29, 1.3, 31.3, 31.31])).tolist() == [0.0, 1.0, 1.0, 0.0]
    assert ffr_fraction(np.array([0.7]), 49.5).tolist() == [1.0]
    assert fcr_d_fraction(np.array([49.95, 49.9, 49.7, 49.5, 50.1, 50.5])) == pytest.approx(
        [0, 0, 0.5, 1.0, 0, -1.0]
    )
    assert fcr_d_delivered(np.array([5.0, 30.0, 60.0])).tolist() == [0.5, 1.0, 1.0]
    assert ramped(1.0, np.array([AFRR_FULL_S, MFRR_FULL_S]), MFRR_FULL_S).tolist() == [0.4, 1.0]


def test_the_energy_of_a_call_is_the_integral_of_its_rule():
    """FFR holds for 30 s; FCR-D gives 20 s worth in its first 30; aFRR misses half of 5 minutes, an mFRR quarter half of 12.5."""
    assert held_s(ffr_fraction, np.array([1.0, 60.0])) == pytest.approx([0.0, 30.0], abs=0.05)
    assert held_s(fcr_d_delivered, np.array([5.0, 30.0, 45.0])) == pytest.approx([1.25, 20.0, 35.0], abs=0.01)
    mfrr = held_s(lambda seconds: ramped(1.0, seconds, MFRR_FULL_S), np.array([900.0]))
    assert mfrr == pytest.approx([900 - 375])


def test_ffr_need_not_be_ready_within_a_quarter_of_an_hour():
    """Of events at 0, 10 and 14.9 min one counts, and the next after 15 min; a year of many events has at most four an hour."""
    assert ready_events(np.array([0.0, 600.0, 899.0, 900.0])).tolist() == [0.0, 900.0]
    stormy = called_hours(Supply(ffr_events_per_year=1000.0), 8760, 1)[:, PRODUCTS.index("ffr")]
    events = stormy * 3600 / 30
    assert events.max() <= 4
    assert 850 < events.sum() < 1100


def test_calls_that_go_on_have_no_second_ramp():
    """All quarters called: 525 s in the first, then 900 s each."""
    mfrr = called_hours(Supply(mfrr_active_fraction=1.0), 48, 1)[:, PRODUCTS.index("mfrr_up")]
    assert mfrr == pytest.approx([1 - 375 / 3600, *np.ones(47)])


def test_excursions_of_the_frequency_take_what_the_rule_gives():
    """1.5 an hour, 0.03 Hz of 0.4 deep and 45 s long on average: the rule over the lengths that are drawn, on both sides."""
    fcr = called_hours(Supply(fcr_excursions_per_h=1.5), 8760, 1)[:, 1:3].mean(axis=0)
    seconds = np.arange(0.05, 1000, 0.1)
    each_s = (fcr_d_delivered(seconds) * np.exp(-seconds / 45)).sum() * 0.1
    assert fcr == pytest.approx(np.full(2, 1.5 * 0.03 / 0.4 * each_s / 3600), rel=0.05)


def test_activated_energy_is_not_paid_twice():
    """aFRR at a quarter, mFRR at half above spot, and no more: the spot value is what the site does not buy. At -20, nothing in all."""
    eur = activation_eur_per_mwh(np.array([40.0, -20.0]))
    assert eur[0].tolist() == [0.0, 0.0, 0.0, 10.0, 20.0]
    assert (eur[1] + np.array([0, 0, 0, -20.0, -20.0])).tolist() == [0.0] * 5


def test_calls_are_drawn_at_their_rates_and_day_by_day():
    """A year of calls has the asked means; a shorter run sees the same days."""
    supply = Supply()
    year = called_hours(supply, 8760, 3)
    afrr, mfrr = PRODUCTS.index("afrr_up"), PRODUCTS.index("mfrr_up")
    assert year[:, afrr].mean() == pytest.approx(0.1, rel=0.05)
    assert year[:, mfrr].sum() / (900 - 375) * 3600 / (8760 * 4) == pytest.approx(0.03, rel=0.1)
    assert (year >= 0).all()
    assert (year <= 1).all()
    assert (called_hours(supply, 60, 3) == year[:60]).all()


def test_a_conditional_connection_is_called_off_no_longer_than_agreed():
    """100 hours a year in calls of 4 h: at most 25, each leaves the firm part, none beyond the run."""
    changes = {"run.days": 365, "supply.conditional_mw": 5.0, "reliability.plant_faults": False}
    scenario = load(**changes)
    calls = list_faults(scenario, build_site(scenario))
    assert 10 <= len(calls) <= 25
    assert (calls["end_s"] - calls["start_s"] == 4 * 3600).all()
    assert (calls["amount"] == 1000 * (scenario.site.grid_mw - 5.0)).all()
    assert len(list_faults(load(), build_site(load()))) <= 2


def purchases(**entries):
    return {"supply.purchases": entries}


BASE = {"kind": "baseload", "mw": 2.0, "eur_per_mwh": 30.0}


@pytest.mark.parametrize(
    ("changes", "key", "allowed"),
    [
        (purchases(more={**BASE, "mw": 9.0}), "supply.purchases.more.mw", "at most 7 MW"),
        (purchases(a={**BASE, "plant": "Skjomen"}, b={**BASE, "plant": "Skjomen"}), "overlaps with 'a'", "another plant"),
        (purchases(wind={**BASE, "kind": "pay_as_produced"}), "needs profile", ""),
        (purchases(day={**BASE, "kind": "shaped"}), "needs hours_local or months", ""),
        (purchases(x={**BASE, "from_utc": datetime(2027, 1, 1)}), "x.from_utc", "offset from UTC"),  # noqa: DTZ001
        ({"supply.reserves": {"ffr": {"mw": 1.0}}, "plan.enabled": False}, "supply.reserves", "plan.enabled = true"),
        ({"market.ppa_mw": 30.0}, "market.ppa_mw: 30 MW", "at most 20 MW"),
        ({"supply.conditional_mw": 500.0}, "supply.conditional_mw", "below site.grid_mw"),
    ],
)  # fmt: skip
def test_contracts_that_do_not_hold_together_are_refused(changes, key, allowed):
    """The message names the key and what would be accepted."""
    with pytest.raises(ScenarioError) as caught:
        load(**changes)
    assert key in str(caught.value)
    assert allowed in str(caught.value)


def test_contracts_one_after_the_other_may_have_one_plant():
    """Where one ends the other may begin; what each may deliver counts for its own time."""
    first = {**BASE, "mw": 6.0, "plant": "Skjomen", "until_utc": datetime(2027, 1, 2, tzinfo=UTC)}
    second = {**BASE, "mw": 6.0, "plant": "Skjomen", "from_utc": datetime(2027, 1, 2, tzinfo=UTC)}
    found = contracts_of(load(**purchases(first=first, second=second)), 3600)
    assert [one.delivered_mwh.sum() for one in found[1:]] == [144.0, 144.0]


def profile(tmp_path, rows):
    path = tmp_path / "plant.csv"
    path.write_text(
        "time_utc,fraction\n" + "".join(f"{time},{value}\n" for time, value in rows), encoding="utf-8"
    )
    contract = {**BASE, "kind": "pay_as_produced", "profile": str(path)}
    return load(**purchases(plant=contract))


def hours(count, zone="Z"):
    return [(f"2027-01-{1 + hour // 24:02}T{hour % 24:02}:00:00{zone}", 0.5) for hour in range(count)]


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        (hours(48, ""), "zone"),
        ([*hours(48)[:20], *hours(48)[21:]], "2027-01-01"),
        (hours(47), "the run lasts"),
        ([*hours(47), ("2027-01-02T23:00:00Z", 1.5)], "1.5"),
    ],
)
def test_a_profile_in_local_time_with_gaps_or_beyond_its_plant_is_refused(tmp_path, rows, what):
    """Bad profiles end in one message that names the file and what is wrong with it."""
    with pytest.raises(SeriesError) as caught:
        contracts_of(profile(tmp_path, rows), 3600)
    assert "plant.csv" in str(caught.value)
    assert what in str(caught.value)


def test_a_good_profile_is_laid_over_the_run(tmp_path):
    """Half of 2 MW for two days."""
    found = contracts_of(profile(tmp_path, hours(48)), 3600)[1]
    assert found.delivered_mwh.sum() == pytest.approx(48.0)
    assert found.series is not None


@pytest.fixture(scope="module")
def supplied():
    """Two days on wind, water and a night contract, with generators, the site's own heat pumps and guarantees by the hour."""
    return kv.simulate(
        load(
            **{
                "supply.purchases": {
                    "wind": {"kind": "pay_as_produced", "mw": 4.0, "eur_per_mwh": 28.0, "profile": "wind-north"},
                    "gas": {"kind": "shaped", "mw": 1.0, "eur_per_mwh": 50.0, "hours_local": [0, 6], "carbon_free": False},
                },
                "market.ppa_mw": 5.0,
                "market.goo_fraction": 0.5,
                "supply.generators_mw": 4.0,
                "heat.pumps_owned_by": "site",
            }
        )
    )  # fmt: skip


def test_the_energy_table_adds_up(supplied):
    """Sources make the import, import and generators the site; costs less incomes are the total, exactly."""
    energy, contracts = supplied.energy, supplied.contracts
    total = pl.sum_horizontal
    assert (
        energy.select((total("import_mwh", "generator_mwh") - pl.col("site_mwh")).abs().max()).item() < 1e-9
    )
    assert (
        energy.select((total("ppa_mwh", "spot_bought_mwh") - pl.col("import_mwh")).abs().max()).item() < 1e-9
    )
    assert (
        float(energy["generator_mwh"].sum()) == 2.0
    )  # 4 MW at half load for the hour of the first of January
    costs = [name for name in energy.columns if name.startswith("cost_") and name != "cost_eur"]
    incomes = ["income_sold_eur", "income_reserves_eur"]
    assert (
        sum(energy[name].sum() for name in costs) - sum(energy[name].sum() for name in incomes)
        == energy["cost_eur"].sum()
    )
    assert float(energy["cost_heat_pump_eur"].sum()) > 0
    by_contract = contracts.group_by("contract").agg(pl.col("delivered_mwh", "used_mwh", "sold_mwh").sum())
    assert contracts["used_mwh"].sum() == pytest.approx(energy["ppa_mwh"].sum())
    assert contracts["sold_mwh"].sum() == pytest.approx(energy["ppa_sold_mwh"].sum())
    assert float(contracts["cost_eur"].sum()) == pytest.approx(float(energy["cost_ppa_eur"].sum()), abs=1e-4)
    assert dict(by_contract.select("contract", "delivered_mwh").iter_rows())["base-load"] == pytest.approx(
        240.0
    )


def test_carbon_of_a_mixed_supply(supplied):
    """By hand from the columns: what neither contracts nor guarantees cover has the residual mix."""
    energy, carbon = supplied.energy, supplied.record["scenario"]["carbon"]
    covered = energy["ppa_clean_mwh"] + energy["goo_mwh"]
    assert float(energy["heat_pump_mwh"].sum()) > 0
    bare = (
        energy["import_mwh"] + energy["heat_pump_mwh"] - covered
    )  # the site's own pumps are its Scope 2 too
    assert (bare > 1e-6).any()
    residual = float(bare.sum()) * carbon["residual_direct_g_per_kwh"] / 1000
    assert float(energy["carbon_market_direct_t"].sum()) == pytest.approx(residual)
    location = (
        float((energy["import_mwh"] + energy["heat_pump_mwh"]).sum())
        * carbon["location_direct_g_per_kwh"]
        / 1000
    )
    assert float(energy["carbon_location_direct_t"].sum()) == pytest.approx(location)
    assert float(energy["carbon_location_lifecycle_t"].sum()) > 2 * location


def test_day_and_night_may_fill_the_connection_in_turn():
    """15 MW by day and 15 by night are never 30; 15 MW more from noon on are, and the hour that they share says so."""
    shaped = {**BASE, "kind": "shaped", "mw": 15.0}
    day, night = {**shaped, "hours_local": [6, 22]}, {**shaped, "hours_local": [22, 6]}
    changes = {"market.ppa_mw": 0.0, **purchases(day=day, night=night)}
    delivered = sum(one.delivered_mwh for one in contracts_of(load(**changes), 3600))
    assert delivered.tolist() == [15.0] * 48
    noon = {**shaped, "mw": 6.0, "hours_local": [12, 18]}
    with pytest.raises(ScenarioError, match=r"day.mw: 15 MW make 21 MW .* allowed is at most 14 MW"):
        load(**{"market.ppa_mw": 0.0, **purchases(night=night, day=day, noon=noon)})
    winter, summer = ({**shaped, "mw": 20.0, "months": months} for months in ([1, 2], [7, 8]))
    load(**{"market.ppa_mw": 0.0, **purchases(winter=winter, summer=summer)})


@given(st.data())
def test_no_instant_has_more_than_what_is_allowed(data):
    """Whatever contracts are accepted: no hour of any month has more power than the connection."""
    start = datetime(2027, 1, 1, tzinfo=UTC)
    entries = {}
    for index in range(data.draw(st.integers(1, 5))):
        first, last = sorted(data.draw(st.lists(st.integers(0, 47), min_size=2, max_size=2, unique=True)))
        hours = data.draw(st.lists(st.integers(0, 23), min_size=2, max_size=2, unique=True))
        entries[f"c{index}"] = {
            "kind": "shaped", "mw": data.draw(st.sampled_from([4.0, 8.0, 12.0])), "eur_per_mwh": 30.0, "hours_local": hours,
            "from_utc": start + timedelta(hours=first), "until_utc": start + timedelta(hours=last),
        }  # fmt: skip
    try:
        scenario = load(**{"market.ppa_mw": 0.0, **purchases(**entries)})
    except ScenarioError as error:
        assert "carries 20 MW" in str(error)  # noqa: PT017
        return
    assert sum(one.delivered_mwh for one in contracts_of(scenario, 3600)).max() <= 20.0


def test_a_surplus_counts_over_the_year_and_not_by_the_hour():
    """20 MW of wind and nothing else: the annual claim is what it delivered over the load, the hourly one is less."""
    wind = {**BASE, "kind": "pay_as_produced", "mw": 20.0, "profile": "wind-north"}
    run = kv.simulate(load(**{
        "run.days": 12, "run.tick_s": 3600, "market.ppa_mw": 0.0, "market.goo_fraction": 0.0, "carbon.grid_carbon_free_share": 0.0, **purchases(wind=wind),
    }))  # fmt: skip
    load_mwh = run.energy["site_mwh"].sum()
    assert run.summary["annual_match_share"] == pytest.approx(
        min(1.0, run.contracts["delivered_mwh"].sum() / load_mwh)
    )
    assert run.summary["cfe_score"] == pytest.approx(run.contracts["used_mwh"].sum() / load_mwh)
    assert run.contracts["sold_mwh"].sum() > 0
    assert run.summary["cfe_score"] < run.summary["annual_match_share"]


@pytest.mark.parametrize("tick_s", [600, 1200])
def test_quarters_of_an_hour_may_lie_across_ticks(tmp_path, tick_s):
    """Prices by 15 minutes with ticks of 10 or 20: energy is split by time and none is lost."""
    path = tmp_path / "quarters.csv"
    rows = "".join(
        f"2027-01-{1 + q // 96:02}T{q % 96 // 4:02}:{q % 4 * 15:02}:00Z,{20 + q % 7}\n" for q in range(192)
    )
    path.write_text("time_utc,eur_per_mwh\n" + rows, encoding="utf-8")
    run = kv.simulate(load(**{"run.tick_s": tick_s, "market.prices": str(path)}))
    drawn = run.site["site_power_mw"].sum() * tick_s / 3600
    assert run.energy["site_mwh"].sum() == pytest.approx(drawn)
