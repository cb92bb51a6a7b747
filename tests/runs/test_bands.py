"""Quantiles, ranks and correlations, by hand and by law."""

from __future__ import annotations

import math
import re
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvandal.runs.bands import band, distinguishable, numbers, ranks, spearman, statistics

ROOT = Path(__file__).parent.parent.parent


def test_quantiles_by_hand() -> None:
    """Eleven values 0..10: P10 is the second smallest, P50 the middle; four values: between order statistics."""
    assert band([float(value) for value in range(11)]) == {"p10": 1.0, "p50": 5.0, "p90": 9.0}
    found = band([40.0, 10.0, 30.0, 20.0])  # position 0.1 * 3 = 0.3 between 10 and 20
    assert found == {"p10": pytest.approx(13.0), "p50": pytest.approx(25.0), "p90": pytest.approx(37.0)}


def test_what_is_not_known_has_no_band() -> None:
    assert band([None, 3.0, None]) == {"p10": None, "p50": None, "p90": None}
    assert band([]) == {"p10": None, "p50": None, "p90": None}
    assert band([None, 3.0, 5.0])["p50"] == 4.0


def test_equal_values_share_their_rank() -> None:
    assert ranks(np.array([7.0, 1.0, 7.0, 3.0, 7.0])).tolist() == [4.0, 1.0, 4.0, 2.0, 4.0]


def test_spearman_by_hand() -> None:
    """Ranks 1 2 3 4 5 against 2 1 4 3 5: 1 - 6 * 4 / (5 * 24) = 0.8."""
    one = np.array([10.0, 20.0, 30.0, 40.0, 50.0])
    assert spearman(one, np.array([2.0, 1.0, 4.0, 3.0, 5.0])) == pytest.approx(0.8)
    assert spearman(one, -(one**3)) == -1.0


def test_spearman_with_ties_by_hand() -> None:
    """Ranks 1 2 3 4 against 1.5 1.5 3.5 3.5: 4 / sqrt(5 * 4)."""
    found = spearman(np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0, 0.0, 9.0, 9.0]))
    assert found == pytest.approx(4 / math.sqrt(20))


def test_a_constant_has_no_correlation() -> None:
    """Nor has one that differs only by rounding."""
    assert spearman(np.array([1.0, 2.0, 3.0]), np.array([5.0, 5.0, 5.0])) is None
    assert spearman(np.array([1.0, 2.0, 3.0]), 5.0 + np.array([0.0, 1e-15, 2e-15])) is None
    assert spearman(np.array([1.0]), np.array([2.0])) is None


@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), min_size=3, max_size=40))
def test_rank_correlation_sees_only_the_order(pairs: list[tuple[int, int]]) -> None:
    """A monotone change of either side changes nothing; a falling one changes the sign; sides may be swapped."""
    one, other = (np.array(side, np.float64) for side in zip(*pairs, strict=True))
    rho = spearman(one, other)
    if rho is None:
        assert np.ptp(one) == 0 or np.ptp(other) == 0
        return
    assert -1 <= rho <= 1
    assert spearman(np.exp(one / 10), other**3) == pytest.approx(rho)
    assert spearman(-one, other) == pytest.approx(-rho)
    assert spearman(other, one) == pytest.approx(rho)


@pytest.mark.parametrize(("members", "table"), [(5, 1.0), (6, 0.886), (7, 0.786), (8, 0.738)])
def test_few_members_as_in_the_tables(members: int, table: float) -> None:
    """Two-sided 5 % points of Spearman's rho (Zar 1972, table): exact."""
    assert distinguishable(members, 1) == pytest.approx(table, abs=5e-4)


@pytest.mark.parametrize(("members", "table"), [(20, 0.444), (32, 0.349), (102, 0.195)])
def test_many_members_as_in_the_tables(members: int, table: float) -> None:
    """Two-sided 5 % points of a correlation with n - 2 = 18, 30, 100 degrees of freedom (Fisher and Yates)."""
    assert distinguishable(members, 1) == pytest.approx(table, abs=1e-3)


def test_more_parameters_need_more() -> None:
    """Among many parameters chance finds a stronger one; two or three members tell nothing."""
    needed = [distinguishable(30, parameters) for parameters in (1, 5, 50)]
    assert None not in needed
    assert needed == sorted(needed)
    assert distinguishable(2, 1) is distinguishable(4, 1) is distinguishable(5, 50) is None


def test_chance_passes_as_seldom_as_promised() -> None:
    """Of 400 tables of pure chance (30 members, 20 parameters), about one in twenty holds something that matters."""
    chance, passed = np.random.default_rng(1), 0
    least = distinguishable(30, 20)
    assert least is not None
    for _ in range(400):
        number = chance.permutation(30).astype(np.float64)
        found = [spearman(chance.random(30), number) or 0.0 for _ in range(20)]
        passed += max(abs(rho) for rho in found) >= least
    assert 8 <= passed <= 36


def test_all_permutations_of_few_are_counted() -> None:
    """Of the 720 orders of six, at most 5 % reach the threshold, and one step lower more would."""
    least = distinguishable(6, 1)
    assert least is not None
    base = np.arange(6.0)
    found = np.array(
        [abs(spearman(base, np.array(order, np.float64)) or 0) for order in permutations(range(6))]
    )
    assert (found >= least - 1e-9).mean() <= 0.05
    below = found[found < least - 1e-9].max()
    assert (found >= below - 1e-9).mean() > 0.05


def test_statistics_of_members() -> None:
    """Bands, the strongest parameters first, only what beats chance matters; refused members count nowhere."""
    drawn = {
        "a": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0],
        "b": [2.0, 1.0, 4.0, 3.0, 7.0, 5.0, 6.0],
        "c": [0.0] * 7,
    }
    outcomes = [
        None
        if member == 6
        else {"x": 10.0 * member, "flat": 3.0, "y": None if member < 5 else 1.0, "word": "w"}
        for member in range(7)
    ]
    found = statistics(drawn, outcomes, {"x": 25.0, "flat": 3.0, "y": None, "word": "w"})
    assert list(found["bands"]) == ["x", "flat", "y"]
    assert found["bands"]["x"] == {
        "base": 25.0, "p10": 5.0, "p50": 25.0, "p90": 45.0, "members": 6, "rho_distinguishable": pytest.approx(33 / 35),
    }  # fmt: skip
    assert [(one["key"], one["matters"]) for one in found["rank_correlation"]["x"]] == [
        ("a", True),
        ("b", False),
    ]
    assert found["rank_correlation"]["flat"] == []
    assert found["bands"]["y"] == {
        "base": None, "p10": None, "p50": None, "p90": None, "members": 1, "rho_distinguishable": None,
    }  # fmt: skip


def test_text_is_no_number() -> None:
    assert numbers({"a": 1.0, "b": "word", "c": None}, [None, {"a": 2, "b": "other", "c": 3.0}]) == ["a", "c"]


def test_the_documentation_states_what_it_takes() -> None:
    """docs/uncertainty.md gives the thresholds for about as many parameters as the reference site draws."""
    text = " ".join((ROOT / "docs" / "uncertainty.md").read_text(encoding="utf-8").split())
    stated = re.search(
        r"With (\d+) parameters drawn, about as many as the reference site has, that takes (0\.\d+) with 20 members, (0\.\d+) with 50 and (0\.\d+) with 100",
        text,
    )
    assert stated is not None
    drawn = int(stated[1])
    for members, figure in zip((20, 50, 100), stated.groups()[1:], strict=True):
        assert distinguishable(members, drawn) == pytest.approx(float(figure), abs=5e-3)
