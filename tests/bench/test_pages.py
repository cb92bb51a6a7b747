"""The page of figures is what the script writes from those that were kept, and its recipes can be run."""

from __future__ import annotations

import json

import pytest

import benchmarks
import kvandal as kv
from kvandal.bench.stages import STAGES


@pytest.mark.parametrize("recipe", benchmarks.recipes())
def test_every_recipe_is_a_scenario_of_its_own_name(recipe: str) -> None:
    """The page calls it so."""
    assert kv.load(str(benchmarks.HERE / f"{recipe}.toml")).name == recipe


def test_the_page_is_written_from_what_was_kept() -> None:
    """Nobody mended it by hand, and it is not older than the figures."""
    kept = benchmarks.results()
    assert kept
    assert benchmarks.PAGE.read_text("utf-8") == benchmarks.page(kept)
    assert benchmarks.PICTURE.read_text("utf-8") == benchmarks.picture(kept)


def test_figures_name_their_recipe_and_their_machine() -> None:
    """What was kept can be repeated: every run is one of a recipe that is there, beside its calibration."""
    for path in benchmarks.RESULTS.glob("*.json"):
        one = json.loads(path.read_text("utf-8"))
        assert one["name"] == path.stem
        assert one["processor"]
        for recipe, run in one["runs"].items():
            assert recipe in benchmarks.recipes()
            assert run["scenario"] == recipe
            assert run["calibration_s"] > 0


def test_the_picture_knows_every_stage() -> None:
    """In the order of a run."""
    assert list(benchmarks.STAGES) == list(STAGES)
