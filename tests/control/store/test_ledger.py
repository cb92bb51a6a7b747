"""Double entry in whole units: nothing is made out of nothing, balances are the sum of all postings."""

from __future__ import annotations

import shutil
from collections import defaultdict
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvandal.control.store.database import open_store
from kvandal.control.store.ledger import (
    UNITS,
    Posting,
    UnbalancedError,
    balance,
    balances,
    post,
    statement,
    turnover,
)
from kvandal.control.store.tables.metadata import EPOCH

HOUR = timedelta(hours=1)


def used(grant, tenant, gpu_s, wh=0):
    return [
        Posting(f"grant:{grant}", "gpu_s", -gpu_s),
        Posting(f"tenant:{tenant}:use", "gpu_s", gpu_s),
        Posting("site:energy", "wh", -wh),
        Posting(f"tenant:{tenant}:use", "wh", wh),
    ]


def test_the_story_of_a_grant(store):
    """Ten GPU-hours are granted, two and a half used, half an hour of it lost to a recall."""
    with store.begin() as tx:
        post(
            tx,
            EPOCH,
            "granted",
            [Posting("grant:g_1", "gpu_s", 36_000), Posting("site:granted", "gpu_s", -36_000)],
        )
        post(tx, EPOCH + HOUR, "job_1", used("g_1", "uk", 7_200, 2_400))
        post(
            tx,
            EPOCH + 2 * HOUR,
            "job_2 recalled",
            [Posting("grant:g_1", "gpu_s", -1_800), Posting("tenant:uk:lost:recall", "gpu_s", 1_800)],
        )
    with store.read() as tx:
        assert balance(tx, "grant:g_1", "gpu_s") == 27_000
        assert balance(tx, "grant:unknown", "gpu_s") == 0
        assert balances(tx, "tenant:uk:") == {
            "tenant:uk:lost:recall": {"gpu_s": 1_800},
            "tenant:uk:use": {"gpu_s": 7_200, "wh": 2_400},
        }
        rows = list(statement(tx, "grant:g_1", EPOCH, EPOCH + 2 * HOUR))
        assert [(row.memo, row.amount) for row in rows] == [("granted", 36_000), ("job_1", -7_200)]
        assert turnover(tx, "tenant:", EPOCH + 2 * HOUR, EPOCH + 3 * HOUR) == {
            "tenant:uk:lost:recall": {"gpu_s": 1_800}
        }


def test_a_prefix_is_taken_letter_by_letter(store):
    with store.begin() as tx:
        post(tx, EPOCH, "both", [Posting("tenant:u_:use", "g", 5), Posting("tenant:uk:use", "g", -5)])
    with store.read() as tx:
        assert balances(tx, "tenant:u_") == {"tenant:u_:use": {"g": 5}}


@pytest.mark.parametrize(
    ("postings", "message"),
    [
        ([Posting("a", "wh", 1)], "sum to 1, not to zero"),
        ([Posting("a", "wh", 1), Posting("b", "g", -1)], "not to zero"),
        (
            [Posting("a", "kwh", 1), Posting("b", "kwh", -1)],
            "kwh: not a unit of the ledger; allowed: gpu_s, wh, ueur, g",
        ),
        ([Posting("a", "wh", 0.5), Posting("b", "wh", -0.5)], "0.5 wh is not a whole number"),
    ],
)
def test_what_does_not_balance_is_refused(sqlite_store, postings, message):
    with pytest.raises(UnbalancedError, match=message), sqlite_store.begin() as tx:
        post(tx, EPOCH, "wrong", postings)
    with sqlite_store.read() as tx:
        assert balances(tx) == {}


AMOUNTS = st.lists(
    st.tuples(
        st.sampled_from("abcd"), st.sampled_from("abcd"), st.sampled_from(UNITS), st.integers(-(2**40), 2**40)
    ),
    max_size=4,
)


@given(transactions=st.lists(AMOUNTS, max_size=5))
@settings(max_examples=20)
def test_balances_are_the_sum_of_all_postings_and_sum_to_zero(
    transactions, sqlite_template, tmp_path_factory
):
    file = shutil.copy(sqlite_template, tmp_path_factory.mktemp("ledger") / "kvandal.db")
    with open_store(f"sqlite:///{file}") as store:
        expected = defaultdict(int)
        with store.begin() as tx:
            for moves in transactions:
                post(
                    tx,
                    EPOCH,
                    "moved",
                    [p for a, b, unit, n in moves for p in (Posting(a, unit, n), Posting(b, unit, -n))],
                )
                for a, b, unit, amount in moves:
                    expected[a, unit] += amount
                    expected[b, unit] -= amount
        with store.read() as tx:
            found = {
                (account, unit): n for account, units in balances(tx).items() for unit, n in units.items()
            }
    assert {key: n for key, n in found.items() if n} == {key: n for key, n in expected.items() if n}
    assert sum(found.values()) == 0
