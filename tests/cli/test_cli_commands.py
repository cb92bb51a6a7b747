"""Every command from end to end, as table and as JSON."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import kvandal as kv


def one_document(text: str) -> Any:
    """Return the JSON document that standard output is, and is nothing but."""
    return json.loads(text)


def test_run_writes_a_folder_and_prints_its_headlines(
    kvandal: Callable[..., Any], small: str, small_run: Path, tmp_path: Path
) -> None:
    """A table on standard output, progress and warnings on standard error, a folder like any other process's."""
    outcome = kvandal("run", small, "--out", "week")
    assert outcome.code == 0
    assert "PUE" in outcome.out
    assert "week/report.html" in outcome.out
    assert "warning: site.grid_mw = 2 MW" in outcome.err
    assert "reading demand, weather and prices" in outcome.err
    assert "writing tables and report" in outcome.err
    for path in sorted(path for path in small_run.rglob("*") if path.is_file()):
        name = path.relative_to(small_run)
        assert (tmp_path / "week" / name).read_bytes() == path.read_bytes(), name


def test_run_with_options_and_json(inside: Callable[..., Any], small: str, tmp_path: Path) -> None:
    """--days, --seed and --set reach the scenario; --json is all there is on standard output."""
    outcome = inside(
        "run", small, "--days", "1", "--seed", "7", "--set", "site.grid_mw=1.9", "--set", "policy.recall=false", "--json"
    )  # fmt: skip
    assert outcome.code == 0
    document = one_document(outcome.out)
    assert document["folder"] == "runs/small-1"
    assert document["summary"]["gpu_hours_installed"] == 720 * 24
    record = json.loads((tmp_path / "runs/small-1/run.json").read_text(encoding="utf-8"))
    assert (record["days"], record["seed"]) == (1, 7)
    assert record["scenario"]["site"]["grid_mw"] == 1.9
    assert record["scenario"]["policy"]["recall"] is False
    assert record["summary"] == document["summary"]
    assert record["warnings"] == [
        line.removeprefix("kvandal: warning: ") for line in outcome.err.splitlines() if "warning" in line
    ]
    again = inside("run", small, "--days", "1", "--quiet")
    assert (again.code, again.out) == (0, "")
    assert (tmp_path / "runs/small-2/run.json").exists()


def test_show_answers_whether_the_gpus_fit(inside: Callable[..., Any]) -> None:
    """100,000 GPUs fit 230 MW; with racks at their peak and a high PUE they do not."""
    outcome = inside("show", "stargate-norway")
    assert outcome.code == 0
    assert "Do 100,000 GPUs fit 230 MW?  yes" in outcome.out
    assert "latitude 68.5°" in outcome.out
    assert "United Kingdom" in outcome.out
    document = one_document(inside("show", "stargate-norway", "--json").out)
    assert document["racks"] == 1389
    assert document["fits"] is True
    assert document["site_power_mw"] + document["headroom_mw"] == pytest.approx(230)
    assert 198 < document["it_power_mw"] < 199
    assert [tenant["tenant"] for tenant in document["tenants"]][-1] == "northern-europe"
    tight = one_document(inside("show", "stargate-norway", "--set", "site.grid_mw=200", "--json").out)
    assert tight["fits"] is False
    assert "NO" in inside("show", "stargate-norway", "--set", "site.grid_mw=200").out


@pytest.mark.parametrize("preset", kv.presets())
def test_show_knows_every_preset(inside: Callable[..., Any], preset: str) -> None:
    """Each preset is shown without a warning."""
    outcome = inside("show", preset)
    assert (outcome.code, outcome.err) == (0, "")
    if preset.endswith("build-out"):
        assert "from month 10" in outcome.out


def test_show_prints_a_run(inside: Callable[..., Any], small_run: Path) -> None:
    """A run folder shows what it came to; unknown numbers are called so."""
    outcome = inside("show", str(small_run))
    assert "Small site: 3 days from 2027-01-01T00:00:00+00:00, seed 1" in outcome.out
    assert "wait_p50_s.uk" in outcome.out
    document = one_document(inside("show", "--json", str(small_run)).out)
    assert document == json.loads((small_run / "run.json").read_text(encoding="utf-8"))["summary"]


def test_show_prefers_a_preset_to_a_folder_of_its_name(
    inside: Callable[..., Any], small_run: Path, tmp_path: Path
) -> None:
    """The same rule for every command, and a word about it."""
    shutil.copytree(small_run, tmp_path / "stargate-norway")
    outcome = inside("show", "stargate-norway")
    assert "Do 100,000 GPUs fit" in outcome.out
    assert "the folder is ./stargate-norway" in outcome.err
    assert "Small site: 3 days" in inside("show", "./stargate-norway").out


def test_show_refuses_changes_to_a_run(inside: Callable[..., Any], small_run: Path) -> None:
    """A run cannot be changed after the fact."""
    outcome = inside("show", str(small_run), "--set", "run.days=3")
    assert outcome.code == 2
    assert "--set: belongs to a scenario, but this is a run folder" in outcome.err


def test_show_tells_what_became_of_the_gpu_hours(inside: Callable[..., Any], small_run: Path) -> None:
    """Tables by tenant, size of job and cause, and the same as JSON; the sums are those of the summary."""
    outcome = inside("show", str(small_run), "--goodput")
    assert outcome.code == 0
    for heading in (
        "GPU-hours by tenant and cause of loss",
        "(ETTR), by size of job",
        "Interruptions",
    ):
        assert heading in outcome.out
    found = one_document(inside("show", str(small_run), "--goodput", "--json").out)["goodput"]
    summary = json.loads((small_run / "run.json").read_text(encoding="utf-8"))["summary"]
    for cause, hours in summary["gpu_hours_lost"].items():
        assert sum(row[f"gpu_hours_lost_{cause}"] for row in found["tenants"]) == pytest.approx(hours)
    assert sum(row["gpu_hours_useful"] for row in found["sizes"]) == pytest.approx(
        summary["gpu_hours_useful"]
    )
    assert found["interruptions"] == summary["interruptions"]
    assert all(0 <= row["ettr"] <= 1 for row in found["sizes"])
    outcome = inside("show", "stargate-norway", "--goodput")
    assert outcome.code == 2
    assert "--goodput: belongs to a run folder" in outcome.err


def test_show_tells_what_bound_and_what_is_next(inside: Callable[..., Any], small_run: Path) -> None:
    """Nothing binds the small site; every limit is listed with its room, the nearest first."""
    outcome = inside("show", str(small_run), "--binding")
    assert outcome.code == 0
    assert "nothing was ever bound; the least room comes first" in outcome.out
    rows = one_document(inside("show", str(small_run), "--binding", "--json").out)["constraints"]
    assert {row["constraint"] for row in rows} == {
        "grid_connection", "curtailment", "hv_transformer", "heat_rejection", "hall_air", "power_block", "cdu",
        "coolant_supply", "junction", "start_ramp",
    }  # fmt: skip
    known = [row["least_headroom_mw"] for row in rows if row["least_headroom_mw"] is not None]
    assert known == sorted(known)
    assert rows[0]["least_headroom_mw"] is not None
    assert (
        next(row["remark"] for row in rows if row["constraint"] == "hv_transformer") == "never the tightest"
    )


def test_show_tells_faults_and_hours_bound(inside: Callable[..., Any], small: str) -> None:
    """An order of four hours binds the site; what it did to whom is told."""
    order = 'faults=[{kind="curtailment", after_h=6, duration_h=4, limit_mw=0.7}]'
    assert inside("run", small, "--days", "1", "--set", order, "--out", "order", "-q").code == 0
    both = inside("show", "order", "--binding", "--faults").out
    assert "hours bound" in both
    assert "Never bound" in both
    assert "curtailment to 0.7 MW" in both
    document = one_document(inside("show", "order", "--binding", "--faults", "--json").out)
    first = document["constraints"][0]
    assert (first["constraint"], first["worst_node"]) == ("curtailment", "site")
    assert 3 < first["hours_bound_worst"] <= 4
    (fault,) = document["faults"]
    assert fault["start_utc"] == "2027-01-01T06:00:00+00:00"
    assert fault["slowed_gpu_h"] == pytest.approx(sum(cost["slowed_gpu_h"] for cost in fault["tenants"]))
    quiet = inside("show", "order", "--faults").out
    assert "most to" in quiet


def test_show_tells_what_power_held_back_and_what_it_cost(inside: Callable[..., Any], small: str) -> None:
    """The tenants' costs sum to the run's; bands of the duration curve sum to a year."""
    order = 'faults=[{kind="curtailment", after_h=6, duration_h=4, limit_mw=0.7}]'
    assert inside("run", small, "--days", "1", "--set", order, "--out", "bound", "-q").code == 0
    told = inside("show", "bound", "--power").out
    for words in ("nameplate MW", "loans recalled for power", "What it cost whom", "Hours a year"):
        assert words in told
    document = one_document(inside("show", "bound", "--power", "--json").out)["power"]
    assert document["nameplate_mw"] > 1.4  # ten racks of 132 kW and their network
    assert 0.1 < document["power_bound_time_fraction"] < 0.3
    assert document["shed_cost_usd"] == pytest.approx(sum(row["cost_usd"] for row in document["tenants"]))
    assert sum(band["hours_per_year"] for band in document["bands"]) == pytest.approx(8760)


def test_show_wants_a_run_for_its_limits(inside: Callable[..., Any]) -> None:
    """A scenario has no hours yet."""
    outcome = inside("show", "stargate-norway", "--binding")
    assert outcome.code == 2
    assert "--binding: belongs to a run folder" in outcome.err


def test_params_prints_value_range_label_and_source(inside: Callable[..., Any]) -> None:
    """All of them, some of them, or a word about what there is."""
    everything = one_document(inside("params", "--json").out)
    assert {"key", "value", "unit", "minimum", "maximum", "label", "reference"} <= set(everything[0])
    cooling = inside("params", "TCS_supply")
    assert "cooling.tcs_supply_c" in cooling.out
    assert "30..45" in cooling.out
    assert "judgement" in cooling.out
    assert len(one_document(inside("params", "cooling", "--json").out)) < len(everything)
    outcome = inside("params", "nonsense")
    assert outcome.code == 2
    assert "no parameter matches 'nonsense'; groups are: site, rack" in outcome.err


def test_compare_puts_two_runs_side_by_side(
    inside: Callable[..., Any], small_run: Path, small: str, tmp_path: Path
) -> None:
    """With itself nothing differs; with another run the differences add up."""
    same = one_document(inside("compare", str(small_run), str(small_run), "--json").out)
    for part in ("rows", "summary"):
        assert {difference for row in same[part] for difference in row["differences"]} <= {0, None}
    assert inside("run", small, "--days", "1", "--out", "day", "-q").code == 0
    document = one_document(inside("compare", str(small_run), "day", "day", "--json").out)
    installed = next(row for row in document["summary"] if row["name"] == "gpu_hours_installed")
    one, *others = installed["values"]
    assert installed["differences"] == [0, *(other - one for other in others)] == [0, -34560, -34560]
    rows = {(row["chapter"], row["name"]): row for row in document["rows"]}
    assert {chapter for chapter, _ in rows} == {"Access", "Money", "Investment", "Heat", "Carbon", "Power"}
    assert rows["Access", "GPU-hours installed"]["values"] == installed["values"]
    table = inside("compare", str(small_run), "day").out
    assert "net present value" in table
    assert "-66.7%" in table
    assert "gpu_hours_installed" in inside("compare", str(small_run), "day", "--all").out
    alone = inside("compare", str(small_run))
    assert alone.code == 2
    assert "at least two run folders, got 1" in alone.err


def test_report_is_rendered_anew(inside: Callable[..., Any], small_run: Path, tmp_path: Path) -> None:
    """Into the run folder by default, the same page as before; or to another file."""
    run = Path(shutil.copytree(small_run, tmp_path / "run"))
    page = (run / "report.html").read_bytes()
    (run / "report.html").unlink()
    assert one_document(inside("report", "run", "--json").out) == {"report": "run/report.html"}
    assert (run / "report.html").read_bytes() == page
    assert inside("report", "run", "--out", "own.html").out == "own.html\n"
    assert (tmp_path / "own.html").read_bytes() == page


@pytest.mark.parametrize("name", ["philly", "lingjun"])
def test_trace_info_tells_what_a_trace_holds(inside: Callable[..., Any], name: str) -> None:
    """Shipped traces, as table and as JSON."""
    outcome = inside("trace", "info", name)
    assert outcome.code == 0
    assert "licence" in outcome.out
    document = one_document(inside("trace", "info", name, "--json").out)
    assert isinstance(document, dict)


def test_bench_times_a_run(inside: Callable[..., Any], small: str, tmp_path: Path) -> None:
    """Stages, speeds, sizes, the machine and versions; the same in a file; nothing else is left behind."""
    outcome = inside("bench", small, "--days", "1", "--json", "--out", "figures.json")
    document = one_document(outcome.out)
    assert json.loads((tmp_path / "figures.json").read_text()) == document
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]
    assert document["ticks"] == 1440
    assert document["rack_ticks_per_s"] > 1000
    assert document["kernels_cached"] in {True, False}
    assert {"kvandal_version", "numba_version", "python_version", "peak_mib", "wall_s"} <= set(document)
    assert document["wall_over_calibration"] == pytest.approx(
        document["wall_s"] / document["calibration_s"], rel=0.01
    )
    assert {"prepare", "loop", "attribution", "ledger", "writing", "report"} <= set(document["stages"])
    assert document["machine"]["floor_bytes_per_rack_tick"] == 24
    shown = inside("bench", small, "--days", "1", "--no-decision").out
    assert "numba_version" in shown
    assert "loop_over_floor" in shown
    assert "decision_p50_ms" not in shown


def test_bench_scale_fits_an_exponent_to_each_series(
    inside: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table names the runs and says whether cost grows in proportion."""
    from kvandal.bench import growth

    days = [growth.Member("ticks", f"{days} days", growth.site_changes(1_000, days)) for days in (1, 2)]
    monkeypatch.setattr(growth, "members", lambda: days)
    outcome = inside("bench", "--scale")
    assert "1 days" in outcome.out
    assert "in proportion" in outcome.out
    assert "ticks: 2 days" in outcome.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--year"], "--year: is the year of a million GPUs of --scale; give both"),
        (["--scale", "--days", "3"], "--days: is not for --scale, which chooses its own runs"),
        (["--scale", "--seed", "0"], "--seed: is not for --scale, which chooses its own runs"),
        (
            ["--out", "nowhere/figures.json"],
            "nowhere/figures.json: cannot be written: nowhere is not a folder",
        ),
    ],
)
def test_bench_refuses_what_does_not_go_together(
    inside: Callable[..., Any], options: list[str], said: str
) -> None:
    """Before anything is run."""
    outcome = inside("bench", *options)
    assert outcome.code == 2
    assert outcome.err == f"kvandal: {said}\n"


def test_the_week_of_the_readme_ends_within_seconds(kvandal: Callable[..., Any], tmp_path: Path) -> None:
    """``kvandal run stargate-norway --days 7``, in a process of its own."""
    import time

    began = time.monotonic()
    outcome = kvandal("run", "stargate-norway", "--days", "7", "--json")
    assert outcome.code == 0
    assert time.monotonic() - began < 60  # seconds on an idle machine; tests share theirs
    assert one_document(outcome.out)["summary"]["gpu_hours_installed"] == 1389 * 72 * 168
    assert (tmp_path / "runs/stargate-norway-1/report.html").exists()


def test_plan_says_what_it_is_worth_in_all(inside: Callable[..., Any], small: str) -> None:
    """The sentence and the document have the same numbers: net of deviations and of the tariff, beside their parts."""
    asked = (
        "plan",
        small,
        "--days",
        "2",
        "--set",
        "power.bess_power_mw=0.05",
        "--set",
        "power.bess_energy_mwh=0.1",
    )
    document = one_document(inside(*asked, "--json").out)
    parts = document["moved_eur"] + document["deviations_saved_eur"] + document["tariff_saved_eur"]
    assert document["value_eur"] == pytest.approx(parts)
    assert document["value_eur"] <= document["bound_eur"] + 1e-3
    shown = " ".join(inside(*asked).out.split())
    value = document["value_eur"]
    said = (
        f"{'saves' if value > 0 else 'costs'} {abs(value):,.0f} EUR"
        if abs(value) >= 0.5
        else "changes nothing"
    )
    assert f"In all the plan {said}" in shown
    assert "in the tariff for the highest hour it" in shown
    assert "deviations and tariff included" in shown
