"""Growth: what is grown, and the exponent that is fitted to it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

import kvandal as kv
from kvandal.bench import growth
from kvandal.demand.build import build_demand
from kvandal.errors import KvandalError

RECIPES = Path(__file__).parent.parent.parent / "benchmarks"


@pytest.mark.parametrize("power", [0.5, 1.0, 1.1, 2.0])
def test_the_exponent_of_a_power_is_found(power: float) -> None:
    """cost = 3 size^power, whatever the sizes."""
    sizes = [14, 139, 1389, 13_889]
    assert growth.exponent(sizes, [3 * size**power for size in sizes]) == pytest.approx(power)


def test_the_exponent_is_that_of_least_squares_of_logarithms() -> None:
    """By hand: sizes 1, e, e² at log costs 0, 1, 1 give a slope of 1/2."""
    assert growth.exponent([1, math.e, math.e**2], [1, math.e, math.e]) == pytest.approx(0.5)


@pytest.mark.parametrize(("sizes", "costs"), [([1, 1], [1, 2]), ([1, 2], [0, 1]), ([0, 1], [1, 1])])
def test_an_exponent_needs_two_sizes_above_zero(sizes: list[float], costs: list[float]) -> None:
    """Else there is none."""
    with pytest.raises(ValueError, match="two different sizes"):
        growth.exponent(sizes, costs)


def test_only_one_thing_grows_in_each_series() -> None:
    """Racks with the same jobs and ticks, jobs with the same racks and ticks, ticks with the same racks and jobs a day."""

    def counted(member: growth.Member) -> tuple[int, int, int]:
        scenario = kv.load(growth.PRESET, member.changes)
        return scenario.site.racks, len(build_demand(scenario)[0]), scenario.run.days

    by_series: dict[str, list[tuple[int, int, int]]] = {}
    for member in growth.members():
        by_series.setdefault(member.series, []).append(counted(member))
    racks, jobs, days = (list(zip(*by_series[name], strict=True)) for name in ("racks", "jobs", "ticks"))
    assert racks[0] == (14, 139, 1389, 13_889)
    assert len(set(racks[1])) == len(set(racks[2])) == 1
    assert jobs[1][-1] > 10 * jobs[1][0]
    assert list(jobs[1]) == sorted(jobs[1])
    assert len(set(jobs[0])) == len(set(jobs[2])) == 1
    assert days[2] == growth.DAYS
    assert len(set(days[0])) == 1
    per_day = [count / length for count, length in zip(days[1], days[2], strict=True)]
    assert max(per_day) < 1.25 * min(per_day)
    site = list(zip(*by_series["site"], strict=True))
    assert site[0] == racks[0]
    assert site[1][-1] > 100 * site[1][0]


@pytest.mark.parametrize(
    ("name", "gpus"), [*zip(("1k", "10k", "100k", "1m"), growth.SITES_GPUS, strict=True)]
)
def test_the_recipes_are_the_sites_of_the_series(name: str, gpus: int) -> None:
    """`kvandal bench benchmarks/scale-1m.toml` repeats a member by itself."""
    recipe = kv.load(str(RECIPES / f"scale-{name}.toml"))
    member = kv.load(growth.PRESET, growth.site_changes(gpus, growth.SITE_DAYS))
    assert recipe.model_copy(update={"name": member.name}) == member


def test_members_run_in_processes_of_their_own() -> None:
    """Two lengths of a small site: sizes, costs and peaks, and an exponent over the ticks."""
    said: list[str] = []
    members = [growth.Member("ticks", f"{days} d", growth.site_changes(1_000, days)) for days in (1, 3)]
    found = growth.growth(members, progress=said.append)
    assert said == ["ticks: 1 d", "ticks: 3 d"]
    assert [run["ticks"] for run in found["runs"]] == [1440, 4320]
    assert all(run["racks"] == 14 and run["cpu_s"] > run["loop_cpu_s"] > 0 for run in found["runs"])
    costs = [run["cpu_s"] for run in found["runs"]]
    series = found["series"]["ticks"]
    assert series["exponent"] == series["last_exponent"]
    assert series["exponent"] == pytest.approx(math.log(costs[1] / costs[0]) / math.log(3), abs=1e-3)
    assert series["in_proportion"] == (growth.exponent([1, 3], costs) <= growth.LIMIT)
    assert "year" not in found


def test_a_year_is_held_to_its_limit_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest site, for a year; the peak decides."""
    asked: list[dict[str, object]] = []

    def pretended(peak_mib: float) -> Callable[[dict[str, object]], dict[str, object]]:
        return lambda changes: asked.append(changes) or {"peak_mib": peak_mib}  # type: ignore[func-returns-value]

    for peak_mib, fits in ((16_384.0, True), (16_384.1, False)):
        monkeypatch.setattr(growth, "_in_a_process", pretended(peak_mib))
        assert growth.growth([], year=True)["year"]["fits"] is fits
    assert asked[0]["run.days"] == 365
    assert asked[0]["site.fleet.main.gpus"] == 1_000_000


def test_a_member_that_fails_is_told_in_one_line() -> None:
    """Which run, and what it said last."""
    member = growth.Member("site", "none", {"run.days": 1, "site.fleet.main.gpus": 72, "site.grid_mw": -1})
    with pytest.raises(
        KvandalError, match=r"the run of 72 GPUs for 1 days ended with code 1: .*site\.grid_mw"
    ):
        growth.growth([member])
