"""The three decisions of docs/economics.md: simulated again, and every figure of the page held to what comes of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import economics
from kvandal.runs.economics import side_by_side

PAGE = (Path(__file__).parent.parent / "docs" / "economics.md").read_text(encoding="utf-8")


def printed(name: str) -> list[list[str]]:
    """Rows of a table of the page."""
    (body,) = re.findall(rf"^\| {name} \|.*\n\|[-:|]+\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in body.splitlines()]


def agree(ours: str, theirs: str) -> bool:
    """Whether two cells say the same, to a thousandth and the last digit shown."""
    one, other = (float(text.replace(",", "")) for text in (ours, theirs))
    digits = len(theirs.partition(".")[2])
    return one == pytest.approx(other, rel=1e-3, abs=1.01 * 10.0**-digits)


@pytest.mark.slow
@pytest.mark.parametrize("name", economics.DECISIONS)
def test_every_figure_of_the_page_is_what_the_runs_say(name: str, tmp_path: Path) -> None:
    """A year of every column, as `make economics` simulates it."""
    decision = economics.DECISIONS[name]
    runs = economics.simulated(decision, tmp_path)
    lines, page = economics.table(decision, side_by_side(runs)), printed(name)
    assert [line[0] for line in page] == [line[0] for line in lines]
    for ours, theirs in zip(lines, page, strict=True):
        assert all(agree(*cells) for cells in zip(ours[1:], theirs[1:], strict=True)), (ours, theirs)
    if name == "heat":
        (price,) = re.findall(r"([\d.]+) EUR/MWh is where the two are worth the same", PAGE)
        assert agree(f"{economics.break_even_eur_per_mwh(runs, economics.NETWORK):.1f}", price)


def test_every_scenario_of_the_page_is_one_that_its_commands_name() -> None:
    """Whoever repeats the commands simulates what the tables are made of."""
    named = set(re.findall(r"kvandal run (\S+)", PAGE))
    used = {
        f"docs/economics/{scenario}" if scenario.endswith(".toml") else scenario
        for decision in economics.DECISIONS.values()
        for scenario in decision.scenarios.values()
    }
    assert named == used
