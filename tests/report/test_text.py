"""Numbers as a person reads them."""

from decimal import Decimal

import pytest

from kvandal.report import text


@pytest.mark.parametrize(
    ("value", "decimals", "expected"),
    [
        (1234567, 0, "1\u202f234\u202f567"),
        (-0.04, 1, "0.0"),
        (-1234.5, 1, "\u22121\u202f234.5"),
        (0, 2, "0.00"),
        (Decimal("2.5"), 1, "2.5"),
    ],
)
def test_numbers_are_grouped_and_have_consistent_decimals(value, decimals, expected):
    assert expected == text.number(value, decimals)


@pytest.mark.parametrize(
    "write", [text.number, text.significant, text.percent, text.duration, text.plain, text.exact]
)
def test_what_is_not_known_is_never_zero(write):
    """None is "not known", and carries no unit."""
    assert write(None) == text.NOT_KNOWN


def test_not_a_number_is_not_known():
    assert text.number(float("nan")) == text.quantity(float("inf"), "MW") == text.NOT_KNOWN


def test_money_keeps_every_digit():
    """The cents stand out, the rest is muted, nothing is rounded."""
    assert text.exact(Decimal("-1234.567891")) == '\u22121\u202f234.56<span class="fraction">7891</span>'


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "0 s"), (0.5, "0.5 s"), (119, "119 s"), (120, "2.0 min"), (7200, "2.0 h"), (200_000, "2.3 d")],
)
def test_durations_take_the_unit_that_fits(seconds, expected):
    assert expected == text.duration(seconds).replace("\u00a0", " ")


def test_values_of_the_run_are_escaped():
    assert "<b>" not in text.plain({"<b>": ["<b>"]})
