"""Which parameters are drawn, and that the draws are a Latin hypercube."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kvandal as kv
from kvandal.errors import ScenarioError
from kvandal.runs.sampling import DECISIONS, ORDERED, REGISTRY_RACK, choose, draws, latin_hypercube, member
from kvandal.runs.uncertainty import plan
from kvandal.scenario.parameters import parameters

SMALL = Path(__file__).parent.parent / "small.toml"
GPU = f"rack_models.{REGISTRY_RACK}.gpu_tdp_w"
TDP, PEAK = f"rack_models.{REGISTRY_RACK}.rack_tdp_kw", f"rack_models.{REGISTRY_RACK}.rack_peak_kw"


def keys(scenario: kv.Scenario, *wanted: str) -> set[str]:
    return {one.key for one in choose(scenario, wanted)[0]}


def reasons(scenario: kv.Scenario, *wanted: str) -> dict[str, str]:
    return {one.key: one.reason for one in choose(scenario, wanted)[1]}


@given(
    seed=st.integers(0, 2**63 - 1),
    samples=st.integers(1, 200),
    names=st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=5, unique=True),
)
def test_every_stratum_is_hit_once(seed: int, samples: int, names: list[str]) -> None:
    """The law of the Latin hypercube, for every parameter."""
    for positions in latin_hypercube(seed, names, samples).values():
        assert sorted(np.floor(positions * samples).astype(int).tolist()) == list(range(samples))


def test_draws_are_uniform_over_their_ranges() -> None:
    """The mean of a stratified draw is the middle of its range, and none leaves it."""
    scenario = kv.load(SMALL)
    varied, _ = choose(scenario)
    drawn = draws(scenario, varied, 400, 7)
    assert len(varied) > 40
    for one in varied:
        values, width = np.array(drawn[one.key]), one.maximum - one.minimum
        assert one.minimum <= values.min() <= one.minimum + width / 10 or one.key == PEAK
        assert one.maximum - width / 100 <= values.max() <= one.maximum
        assert len(set(drawn[one.key])) == 400, one.key  # no range is cut to whole numbers
        if one.key not in {larger for _, larger in ORDERED}:  # their ranges start at the smaller's draw
            assert values.mean() == pytest.approx(one.minimum + width / 2, abs=width / 50), one.key
        entry = parameters()[one.parameter.key]
        assert entry.minimum <= one.minimum < one.maximum <= entry.maximum


def test_the_same_seed_draws_the_same_and_another_seed_does_not() -> None:
    scenario = kv.load(SMALL)
    varied, _ = choose(scenario)
    assert draws(scenario, varied, 20, 1) == draws(scenario, varied, 20, 1)
    one, other = draws(scenario, varied, 20, 1), draws(scenario, varied, 20, 2)
    assert all(one[key] != other[key] for key in one)


def test_another_parameter_changes_no_draw_of_the_others() -> None:
    """Streams are keyed by the parameter's name."""
    scenario = kv.load(SMALL)
    everything = draws(scenario, choose(scenario)[0], 30, 5)
    some = draws(scenario, choose(scenario, ["cooling.*", "carbon.*"])[0], 30, 5)
    assert len(some) < len(everything)
    assert {key: everything[key] for key in some} == some


def test_parameters_are_not_correlated_by_their_draws() -> None:
    """No two permutations are alike."""
    drawn = latin_hypercube(1, [f"parameter {i}" for i in range(40)], 500)
    correlation = np.corrcoef(list(drawn.values())) - np.eye(40)
    assert np.abs(correlation).max() < 0.2


def test_every_member_holds_together() -> None:
    """A rack's peak is drawn above its TDP, the lowest cap above the offset: no draw of the default is refused."""
    found = plan(kv.load(SMALL), 500)
    assert found.reasons == [None] * 500
    tdp, peak = np.array(found.drawn[TDP]), np.array(found.drawn[PEAK])
    assert (tdp <= peak).all()
    assert (tdp > 136).any()  # above the lowest peak of the registry


def test_a_fixed_partner_bounds_the_draw() -> None:
    """If only one of a pair is drawn, the other one's value is the bound."""
    low_peak = kv.load(SMALL, {PEAK: 138.0})
    varied, _ = choose(low_peak, [TDP])
    assert max(draws(low_peak, varied, 50, 1)[TDP]) <= 138
    high_tdp = kv.load(SMALL, {TDP: 140.0})
    varied, _ = choose(high_tdp, [PEAK])
    assert min(draws(high_tdp, varied, 50, 1)[PEAK]) >= 140


def test_members_that_do_not_hold_together_are_told() -> None:
    """The scenario's rack is too weak for the stronger ones of the GPUs that are drawn."""
    found = plan(kv.load(SMALL, {GPU: 1100.0, TDP: 85.0}), 20, [GPU])
    refused = [reason for reason in found.reasons if reason is not None]
    assert 0 < len(refused) < 20
    assert all("more than rack_tdp_kw = 85" in reason for reason in refused)
    assert [scenario is None for scenario in found.scenarios] == [r is not None for r in found.reasons]


def test_a_member_changes_only_what_is_drawn() -> None:
    """Without draws a member is the scenario itself; with one draw it differs in one key."""
    scenario = kv.load(SMALL)
    assert member(scenario, [], {}, 0) == scenario
    varied, _ = choose(scenario, ["demand.inference.peak_hour_local"])
    changed = member(scenario, varied, {"demand.inference.peak_hour_local": [12.5]}, 0)
    assert changed.demand["inference"].peak_hour_local == 12.5
    assert changed == kv.load(SMALL, {"demand.inference.peak_hour_local": 12.5})


def test_decisions_and_what_the_scenario_sets_stay_fixed() -> None:
    """Each with its reason; named on its own, each is drawn all the same."""
    scenario = kv.load("stargate-norway", {"cooling.cdu_pump_w_per_kw": 9.0})
    why = reasons(scenario)
    for key, reason in DECISIONS.items():
        if key in why:
            assert why[key] in {reason, "its range is one value"} or why[key].startswith("power.bess")
    assert why["site.grid_mw"] == "announced and contracted: ask with --set"
    assert why["cooling.cdu_pump_w_per_kw"] == "set by the scenario (default 10)"
    assert keys(scenario, "site.grid_mw", "cooling.cdu_pump_w_per_kw") == {
        "site.grid_mw",
        "cooling.cdu_pump_w_per_kw",
    }
    assert "cooling.cdu_pump_w_per_kw" not in keys(scenario, "cooling.*")


@pytest.mark.parametrize(
    ("changes", "key", "reason"),
    [
        ({"power.ups_mode": "double"}, "power.eta_ups_eco", "power.ups_mode is 'double'"),
        ({"market.tax_regime": "full"}, "market.tax_reduced_ore_per_kwh", "market.tax_regime is 'full'"),
        ({"market.goo_fraction": 0.0}, "market.goo_eur_per_mwh", "market.goo_fraction is 0"),
        ({"market.ppa_mw": 0.0}, "market.ppa_eur_per_mwh", "market.ppa_mw is 0"),
        ({"heat.customers": {}}, "heat.cop_maximum", "there is no heat customer"),
        ({"reliability.failures": False}, "reliability.tray_repair_h", "reliability.failures is false"),
        ({"demand": {}}, "policy.inference_perf_exponent", "there is no inference"),
        ({"site.fleet.main.model": "rubin_nvl72"}, TDP, "no block of site.fleet has this model"),
        ({"market.prices": "x.csv"}, "market.spot_mean_eur_per_mwh", "prices come from a file"),
        ({}, "demand.frontier.weekend_fraction", "has no effect with source = 'frontier'"),
    ],
)
def test_what_nothing_reads_is_not_drawn(changes: dict[str, object], key: str, reason: str) -> None:
    """A parameter of a model that is off would only dilute the others; naming it says why."""
    scenario = kv.load("stargate-norway", changes)
    assert reason in reasons(scenario)[key]
    with pytest.raises(ScenarioError, match=r"cannot vary here: ") as caught:
        choose(scenario, [key])
    assert reason in str(caught.value)


def test_known_humidity_is_not_drawn() -> None:
    """The assumed humidity matters only where the weather has none."""
    scenario = kv.load("stargate-norway")
    assert "climate.relative_humidity_pct" in keys(scenario)
    varied, _ = choose(scenario, humidity_known=True)
    assert "climate.relative_humidity_pct" not in {one.key for one in varied}


def test_patterns_restrict_the_choice() -> None:
    scenario = kv.load("stargate-norway")
    assert keys(scenario, "carbon.*") == {
        "carbon.location_direct_g_per_kwh",
        "carbon.residual_direct_g_per_kwh",
        "carbon.location_lifecycle_g_per_kwh",
        "carbon.residual_lifecycle_g_per_kwh",
        "carbon.contract_lifecycle_g_per_kwh",
        "carbon.grid_carbon_free_share",
    }
    assert reasons(scenario, "carbon.*")["cooling.cdu_pump_w_per_kw"] == "not among --vary"
    with pytest.raises(
        ScenarioError, match=r"--vary coolin\.cdu_pump_w_per_kw: .* did you mean 'cooling.cdu_pump"
    ):
        choose(scenario, ["coolin.cdu_pump_w_per_kw"])
    with pytest.raises(ScenarioError, match=r"--vary site\.\*: site.grid_mw cannot vary here"):
        choose(scenario, ["site.*"])


@pytest.mark.parametrize("samples", [-1, 0, 1, 10_001])
def test_the_number_of_members_is_bounded(samples: int) -> None:
    with pytest.raises(ScenarioError, match=f"--samples: must be from 2 to 10,000 members, got {samples:,}"):
        plan(kv.load(SMALL), samples)
