"""Run the recipes of this folder, keep their figures, and write docs/benchmarks.md from all that were kept.

``python benchmarks/benchmarks.py [--name NAME] [--note TEXT] [--scale] [--page] [RECIPE ...]``; ``make benchmarks`` calls this with
``--scale``. Every recipe is a scenario that ``kvandal bench`` runs in a process of its own. Figures go to
``results/NAME.json``; NAME is the version and the commit. Recipes that are not run again keep the figures they have there.
``--page`` runs nothing and only writes the page.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PAGE = HERE.parent / "docs" / "benchmarks.md"
PICTURE = HERE.parent / "docs" / "images" / "benchmarks.svg"
SHOWN = "default-year"
"""The recipe of the picture."""
STAGES = {
    "demand": "#8da0b3",
    "prepare": "#b3b3b3",
    "planning": "#e0a84e",
    "loop": "#2f6f9f",
    "saved states": "#9b7fb8",
    "attribution": "#5aa36f",
    "ledger": "#8fc7a0",
    "writing": "#c46a5a",
    "report": "#e3aaa0",
}
"""Stages in their order, and their colours."""
BAR, GAP, LEFT, WIDE = 26, 12, 170, 620


def recipes() -> list[str]:
    """Names of the recipes."""
    return sorted(path.stem for path in HERE.glob("*.toml"))


def bench(*arguments: str) -> dict[str, Any]:
    """Call ``kvandal bench`` and return its figures."""
    program = [sys.executable, "-m", "kvandal.cli.main", "bench", "--json", *arguments]
    finished = subprocess.run(program, check=True, stdout=subprocess.PIPE)  # noqa: S603 - words of our own
    figures: dict[str, Any] = json.loads(finished.stdout)
    return figures


def measure(name: str, wanted: list[str], scale: bool, note: str | None) -> None:
    """Run recipes and add their figures to ``results/NAME.json``."""
    target = RESULTS / f"{name}.json"
    kept = json.loads(target.read_text("utf-8")) if target.exists() else {"runs": {}}
    kept |= {
        "name": name,
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "processor": processor(),
    }
    if note is not None:
        kept["note"] = note
    for recipe in wanted:
        sys.stderr.write(f"{recipe} ...\n")
        kept["runs"][recipe] = bench(str(HERE / f"{recipe}.toml"))
    if scale:
        kept["scale"] = bench("--scale")
    RESULTS.mkdir(exist_ok=True)
    target.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")


def processor() -> str:
    """Name of the processor, as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or "not known"
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "not known"
    )


def commit_name() -> str:
    """Version and commit of this folder."""
    from kvandal import __version__

    program = ["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"]
    told = subprocess.run(program, check=False, capture_output=True, text=True)  # noqa: S603 - words of our own
    return f"{__version__}-{told.stdout.strip()}" if told.returncode == 0 else __version__


def results() -> list[dict[str, Any]]:
    """All figures that were kept, oldest first."""
    kept = [json.loads(path.read_text("utf-8")) for path in sorted(RESULTS.glob("*.json"))]
    return sorted(kept, key=lambda one: (one["date"], one.get("order", 0)))


def page(kept: list[dict[str, Any]]) -> str:
    """Write the page."""
    lines = [
        "# Benchmarks over versions",
        "",
        "Written by `make benchmarks` from `benchmarks/results/*.json`; not by hand. What the columns mean and how to measure:",
        "[performance](performance.md). Figures of different machines compare by their ratio to the calibration loop.",
        "",
        f"![Processor time of the default year over that of the calibration loop, by stage](images/{PICTURE.name})",
        "",
    ]
    names = dict.fromkeys(recipe for one in kept for recipe in one["runs"])
    for recipe in names:
        lines += [
            f"## {recipe}",
            "",
            "| version | date | wall s | CPU s | wall / calibration | CPU / calibration | loop ns per rack-tick | loop / bare sweep | peak MiB | jobs |",
            "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
        ]
        for one in kept:
            if recipe not in one["runs"]:
                continue
            run = one["runs"][recipe]
            lines.append(
                f"| {one['name']} | {one['date']} | {run['wall_s']:,.1f} | {run['cpu_s']:,.1f} "
                f"| {run['wall_over_calibration']:,.0f} | {run['cpu_over_calibration']:,.0f} "
                f"| {run['loop_ns_per_rack_tick']:.1f} | {run['machine']['loop_over_floor']:,.0f} "
                f"| {run['peak_mib'] or 0:,.0f} | {run['jobs']:,} |"
            )
        lines.append("")
    lines += [
        "## Growth",
        "",
        "Exponent of processor time over what grows, and that of the last step alone (`kvandal bench --scale`).",
        "",
        "| version | site | racks | jobs | ticks | peak of a week of 1,000,000 GPUs, MiB | of their year, MiB |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for one in kept:
        if "scale" in one:
            lines.append(growth_row(one["name"], one["scale"]))
    lines += ["", "## Where", "", "| version | processor | |", "|---|---|---|"]
    lines += [f"| {one['name']} | {one['processor']} | {one.get('note', '')} |" for one in kept]
    lines.append("")
    return "\n".join(lines)


def growth_row(name: str, scale: dict[str, Any]) -> str:
    """Write a version's row of the table of growth."""
    cells = [
        f"{one['exponent']:.2f} ({one['last_exponent']:.2f})"
        for one in (scale["series"][series] for series in ("site", "racks", "jobs", "ticks"))
    ]
    week = [run for run in scale["runs"] if run["series"] == "site"][-1]["peak_mib"]
    year = f"{scale['year']['peak_mib']:,.0f}" if "year" in scale else "not run"
    return f"| {name} | {' | '.join(cells)} | {week:,.0f} | {year} |"


def picture(kept: list[dict[str, Any]]) -> str:
    """Draw one bar a version: processor time of the default year over the calibration loop, by stage."""
    shown = [one for one in kept if SHOWN in one["runs"]]
    most = max((one["runs"][SHOWN]["cpu_over_calibration"] for one in shown), default=1.0)
    high = 60 + len(shown) * (BAR + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDE + 80} {high}" font-family="sans-serif" font-size="13">',
        f'<rect width="{LEFT + WIDE + 80}" height="{high}" fill="#ffffff"/>',
    ]
    place = LEFT
    for stage, colour in STAGES.items():
        parts.append(f'<rect x="{place}" y="12" width="11" height="11" fill="{colour}"/>')
        parts.append(f'<text x="{place + 15}" y="22" font-size="11" fill="#333333">{stage}</text>')
        place += 24 + 7 * len(stage)
    for row, one in enumerate(shown):
        run, top, x = one["runs"][SHOWN], 40 + row * (BAR + GAP), float(LEFT)
        parts.append(
            f'<text x="{LEFT - 8}" y="{top + 18}" text-anchor="end" fill="#222222">{one["name"]}</text>'
        )
        for stage, colour in STAGES.items():
            ratio = run["stages"].get(stage, {"cpu_s": 0.0})["cpu_s"] / run["calibration_s"]
            width = WIDE * ratio / most
            parts.append(
                f'<rect x="{x:.1f}" y="{top}" width="{width:.1f}" height="{BAR}" fill="{colour}"><title>{stage}: {ratio:,.0f}</title></rect>'
            )
            x += width
        parts.append(
            f'<text x="{x + 6:.1f}" y="{top + 18}" fill="#222222">{run["cpu_over_calibration"]:,.0f}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    """Run what is asked for, and write the page."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    asked.add_argument("recipes", nargs="*", choices=[[], *recipes()], help="default: all")
    asked.add_argument("--name", help="of the results; default: version and commit")
    asked.add_argument("--note", help="what else should be known, e.g. that the machine was shared")
    asked.add_argument("--scale", action="store_true", help="also measure growth")
    asked.add_argument("--page", action="store_true", help="only write the page")
    given = asked.parse_args()
    if not given.page:
        measure(given.name or commit_name(), given.recipes or recipes(), given.scale, given.note)
    kept = results()
    PAGE.write_text(page(kept), "utf-8")
    PICTURE.write_text(picture(kept), "utf-8")


if __name__ == "__main__":
    main()
