"""A table told block by block is the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

import kvandal as kv
from kvandal.ledger import attribution, indicators, tables
from kvandal.ledger.told import Gathered, Told
from kvandal.runs.telling import Telling
from kvandal.twin import simulate as twin

SMALL = Path(__file__).parent.parent / "small.toml"


@pytest.fixture(scope="module")
def day() -> Any:
    """What happened in a day of a site with every kind of demand, failures, loans and heat sold."""
    return twin.simulate(kv.load(SMALL, {"run.days": 1}))


def told(run: Any) -> dict[str, Told]:
    """Large tables of a run."""
    records = tables.job_records(run)
    return {
        "site": tables.site_told(run),
        "jobs": tables.jobs_told(run, records, lambda _rows: []),
        "placements": attribution.placements_told(run),
        "rack_hours": attribution.rack_hours_told(run, attribution.rack_wh(run)),
    }


@pytest.mark.parametrize("name", ["site", "jobs", "placements", "rack_hours"])
@pytest.mark.parametrize("block", [1, 7, 100])
def test_blocks_make_up_the_table(day: Any, name: str, block: int) -> None:
    """However many rows a block has, also where interrupted jobs and hours are cut in two."""
    table = told(day)[name]
    first = Told(min(table.height, 300), table.make, block)
    whole = first.whole()
    assert whole.height > block
    parts = list(first.blocks())
    assert [part.height for part in parts[:-1]] == [block] * (len(parts) - 1)
    assert pl.concat(parts).equals(whole)
    assert all(part.schema == whole.schema for part in parts)


def test_single_columns_of_the_ticks_are_those_of_their_table(day: Any) -> None:
    """What is made one by one is what the table holds."""
    whole, columns = tables.site_table(day), tables.SiteColumns(day)
    assert columns.height == whole.height
    for name in whole.columns:
        assert columns[name].equals(whole[name]), name


def test_gathered_columns_are_those_of_the_table(day: Any) -> None:
    """Whether somebody makes the table or nobody does."""
    table = told(day)["jobs"]
    whole = table.whole()
    watched, left = Gathered("tenant", "wait_s"), Gathered("tenant", "wait_s")
    small = Told(table.height, table.make, 100)
    list(watched.watch(small).blocks())
    watched.complete(small)
    left.complete(small)
    for gathered in (watched, left):
        assert gathered.height == whole.height
        assert gathered.select("wait_s", "tenant").equals(whole.select("wait_s", "tenant"))


def test_a_summary_does_not_depend_on_who_takes_the_tables() -> None:
    """All tables kept, or none of them made: the same numbers; and every table is handed over once."""
    scenario = kv.load(SMALL, {"run.days": 1})
    taken: list[str] = []
    kept = kv.simulate(scenario)
    summary = Telling(twin.simulate(scenario)).tell(lambda name, _table: taken.append(name))
    assert summary == kept.summary
    assert sorted(taken) == sorted(kept.tables)
    assert set(indicators.OF_TABLES) < set(taken)
