"""Is the forecast honest? Real jobs of a run are forecast from what was known before them, and then looked up.

``make forecast`` writes the tables of docs/forecast.md; the test of the same name does it on a small site.
"""

from __future__ import annotations

import argparse
import itertools
import math
import re
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import kvandal as kv

DAY_S = 86_400
TIERS = ("firm", "assured", "lent")
MARK = "<!-- calibration: make forecast -->"


@dataclass(frozen=True)
class Case:
    """A job of the run: what was forecast, and what happened.

    `start_s` and `recalled` are None where the run ended before they were known; `starts_s` holds infinity for futures
    without a start.
    """

    demand: str
    tier: str
    starts_s: tuple[float, ...]
    p50_s: float
    p90_s: float
    recall: float
    start_s: float
    recalled: bool | None


def picked(folder: Path, first_day: int, last_day: int, count: int, seed: int = 1) -> list[dict[str, Any]]:
    """Jobs submitted between two days, drawn at random, as many of each tier as there are; in order of submission."""
    jobs = pl.read_parquet(folder / "jobs.parquet")
    begin = jobs["submit_utc"].min().replace(hour=0, minute=0, second=0, microsecond=0)
    inside = jobs.filter(
        (pl.col("submit_utc") >= begin + timedelta(days=first_day))
        & (pl.col("submit_utc") < begin + timedelta(days=last_day))
        & (pl.col("state") != "refused")
    )
    tiers = inside["tier"].unique().sort().to_list()
    shares = [inside.filter(pl.col("tier") == tier) for tier in tiers]
    chosen = [
        share.sample(min(share.height, math.ceil(count / len(tiers))), seed=seed, shuffle=True)
        for share in shares
    ]
    return pl.concat(chosen).sort("submit_utc", "job").to_dicts()


def forecast_one(folder: Path, job: dict[str, Any], samples: int, days: int) -> Case:
    """Forecast a job of the run from one second before its submission."""
    at = job["submit_utc"] - timedelta(seconds=1)
    words = {
        "tenant": job["tenant"],
        "gpus": job["gpus"],
        "hours": job["work_s"] / 3600,
        "class": job["demand"],
    }
    found = kv.forecast(folder, words, at=at, samples=samples, days=days, workers=1)
    started = job["start_utc"]
    return Case(
        demand=str(job["demand"]),
        tier=str(job["tier"]),
        starts_s=tuple(
            math.inf if one["start_s"] is None or one["start_s"] > days * DAY_S else one["start_s"]
            for one in found["futures"]
        ),
        p50_s=_late(found["start"]["p50_s"]),
        p90_s=_late(found["start"]["p90_s"]),
        recall=found["recall"]["probability"],
        start_s=math.inf if started is None else (started - at).total_seconds() - 1,
        recalled=job["recalls"] > 0 if job["state"] == "finished" else None,
    )


def _late(seconds: float | None) -> float:
    return math.inf if seconds is None else seconds


def place(case: Case, chance: float) -> float:
    """Where the true start lies among those of the futures, 0 to 1: uniform if the forecast is honest.

    Among equal starts its place is drawn (a randomised probability integral transform), since nine jobs of ten start
    at once, in truth and in every future.
    """
    starts = np.array(case.starts_s)
    true = case.start_s
    below, equal = int((starts < true).sum()), int((starts == true).sum())
    return (below + chance * (equal + 1)) / (len(starts) + 1)


def covered(cases: list[Case]) -> dict[str, float]:
    """Share of true starts at or before P50 and P90, and of places below 0.5 and 0.9; all, and those who had to wait."""
    chance = np.random.default_rng(7).random(len(cases))
    places = np.array([place(case, one) for case, one in zip(cases, chance, strict=True)])
    return {
        "jobs": len(cases),
        "at_p50": float(np.mean([case.start_s <= case.p50_s for case in cases])),
        "at_p90": float(np.mean([case.start_s <= case.p90_s for case in cases])),
        "place_50": float((places <= 0.5).mean()),
        "place_90": float((places <= 0.9).mean()),
    }


def waited(case: Case) -> bool:
    """Whether a job waited, or might have by its forecast: for the others nothing is at stake."""
    return case.start_s > 0 or max(case.starts_s) > 0


RELIABILITY = (0.0, 0.05, 0.2, 0.5, 1.01)
"""Bounds of the groups of predicted probabilities."""


def reliability(pairs: list[tuple[float, bool]]) -> dict[str, Any]:
    """Predicted against observed: Brier score, that of always saying the base rate, and groups of like predictions.

    The Brier score is the mean square of (probability - outcome); lower is better.
    """
    said = np.array([probability for probability, _ in pairs])
    came = np.array([float(outcome) for _, outcome in pairs])
    groups = []
    for low, high in itertools.pairwise(RELIABILITY):
        chosen = (said >= low) & (said < high)
        if chosen.any():
            groups.append(
                (
                    low,
                    min(high, 1.0),
                    int(chosen.sum()),
                    float(said[chosen].mean()),
                    float(came[chosen].mean()),
                )
            )
    return {
        "jobs": len(pairs),
        "said": float(said.mean()),
        "came": float(came.mean()),
        "brier": float(((said - came) ** 2).mean()),
        "brier_base": float(came.mean() * (1 - came.mean())),
        "groups": groups,
    }


def recall_table(cases: list[Case]) -> dict[str, Any]:
    """Reliability of the probability of recall, of jobs whose end is known."""
    return reliability([(case.recall, case.recalled) for case in cases if case.recalled is not None])


def hour_table(cases: list[Case]) -> dict[str, Any]:
    """Reliability of the probability to start within an hour."""
    return reliability(
        [(float(np.mean([one <= 3600 for one in case.starts_s])), case.start_s <= 3600) for case in cases]
    )


def page(cases: list[Case], what: str) -> str:
    """Tables of one run in Markdown."""
    lines = [f"**{what}**", "", "| jobs | number | true start at or before P50 | P90 | place ≤ 0.5 | place ≤ 0.9 |", "|---|---|---|---|---|---|"]  # fmt: skip
    at_stake = [case for case in cases if waited(case)]
    groups = {"all": cases, "waited, or might have": at_stake}
    groups |= {f"… of tier {tier}": [case for case in at_stake if case.tier == tier] for tier in TIERS}
    for name, group in groups.items():
        if group:
            found = covered(group)
            shares = " | ".join(f"{found[key]:.0%}" for key in ("at_p50", "at_p90", "place_50", "place_90"))
            lines.append(f"| {name} | {len(group)} | {shares} |")
    for name, table in (
        ("recalled before its end", recall_table(cases)),
        ("starts within an hour", hour_table(cases)),
    ):
        lines += [
            "",
            (
                f"Probability: *{name}*, {table['jobs']} jobs: said {table['said']:.1%} on average, came "
                f"{table['came']:.1%}; Brier score {table['brier']:.4f}, of the base rate {table['brier_base']:.4f}."
            ),
            "",
            "| said | jobs | said, mean | came |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {low:.0%} to {high:.0%} | {number} | {said:.0%} | {came:.0%} |"
            for low, high, number, said, came in table["groups"]
        ]
    return "\n".join(lines)


def main() -> None:
    """Forecast jobs of a run, look them up, and write the tables between the marks of a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--what", required=True, help="Heading of the tables; tables under it are replaced.")
    parser.add_argument("--days", type=int, nargs=2, required=True, help="Jobs submitted between these days.")
    parser.add_argument("--jobs", type=int, default=120)
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    jobs = picked(asked.run, *asked.days, asked.jobs)
    # not forked: polars holds locks in threads that a fork would not take along
    with ProcessPoolExecutor(asked.workers, mp_context=get_context("spawn")) as pool:
        waiting = [pool.submit(forecast_one, asked.run, job, asked.samples, 14) for job in jobs]
        cases = [one.result() for one in waiting]
    text = page(cases, asked.what)
    print(text)
    file = Path(__file__).with_name("forecast.md")
    before, mark, after = file.read_text(encoding="utf-8").partition(MARK)
    if mark:
        parts = [part for part in re.split(r"(?m)^(?=\*\*)", after) if part.startswith("**")]
        kept = [part.strip() for part in parts if not part.startswith(f"**{asked.what}**")]
        file.write_text(before + mark + "\n\n" + "\n\n".join([*kept, text]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
