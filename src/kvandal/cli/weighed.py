"""A what-if on the live state, as the terminal shows it: what comes of it in words, then whom it touches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kvandal.cli.options import emit, number, print_table

SHOWN = (
    ("wait_p95_s", "P95 wait, h", 1 / 3600),
    ("jobs_started", "jobs started", 1.0),
    ("jobs_refused", "refused", 1.0),
    ("recalls_suffered", "recalled", 1.0),
    ("gpu_hours_own", "own GPU-h", 1.0),
    ("gpu_hours_borrowed", "borrowed", 1.0),
    ("gpu_hours_lent", "lent", 1.0),
    ("gpu_hours_lost", "lost", 1.0),
    ("energy_cost_eur", "EUR", 1.0),
)
"""Numbers of each tenant that the table has room for: key, heading, factor; --json has all."""
OF_SITE = ("power_mean_mw", "power_peak_mw", "energy_mwh", "energy_cost_eur", "carbon_kg")
MOST_JOBS = 10


def print_weighed(answer: Mapping[str, Any] | None) -> None:
    """Print an answer; None: the server cannot say.

    Parameters
    ----------
    answer
        As `POST /v1/whatif` gives it (docs/whatif.md).

    """
    if answer is None:
        emit("this server cannot say what it would do")
        return
    for sentence in answer.get("headlines", ()):
        emit(sentence)
    tenants = answer.get("tenants", [])
    if tenants and all("measures" in entry for entry in tenants):
        columns = [("tenant", "left"), *((heading, "right") for _, heading, _ in SHOWN)]
        rows = ([entry["tenant"], *_differences(entry["measures"])] for entry in tenants)
        print_table(f"Differences over {number(answer.get('days'))} days, mean (base)", columns, rows)
    labels = {one["key"]: one for one in answer.get("metrics", ()) if one["of"] == "site"}
    site = answer.get("site", {})
    shown = [key for key in OF_SITE if key in site and key in labels]
    if shown:
        columns = [("site", "left"), ("base", "right"), ("changed", "right"), ("difference", "right")]
        columns += [("95 % from", "right"), ("to", "right")]
        rows = (
            [f"{labels[key]['label']}, {labels[key]['unit']}"]
            + [number(site[key][part]) for part in ("base", "changed", "difference", "low", "high")]
            for key in shown
        )
        print_table("Site", columns, rows)
    _print_queued(answer.get("queued", {}))
    for sentence in answer.get("assumptions", ()):
        emit(f"* {sentence}")
    drawn = answer.get("demand", {}).get("drawn_from")
    if drawn:
        emit(f"* Not yet submitted jobs are synthetic, drawn from {'; and '.join(drawn)}.")


def _differences(measures: Mapping[str, Mapping[str, float | None]]) -> list[str]:
    found = []
    for key, _, factor in SHOWN:
        base, difference = measures[key]["base"], measures[key]["difference"]
        if base is None or difference is None:
            found.append("-")
        else:
            sign = "+" if difference > 0 else ""
            told = f"{sign}{number(round(difference * factor, 3))}" if difference else "0"
            found.append(f"{told} ({number(round(base * factor, 3))})")
    return found


def _print_queued(queued: Mapping[str, Any]) -> None:
    jobs = queued.get("jobs", [])
    if not jobs:
        return
    columns = [("waiting job", "left"), ("tenant", "left"), ("GPUs", "right"), ("starts", "left")]
    columns += [("would start", "left"), ("shift, min", "right")]
    rows = (
        [
            one["job"] or "-",
            one["tenant"],
            number(one["gpus"]),
            _minute(one["base_start_utc"]),
            _minute(one["changed_start_utc"]),
            f"{one['shift_s'] / 60:+,.0f}",
        ]
        for one in jobs[:MOST_JOBS]
    )
    print_table("Jobs that wait now and start at another time", columns, rows)
    more = len(jobs) - MOST_JOBS + int(queued.get("left_off", 0))
    if more > 0:
        emit(f"and {more:,} more (--json tells {len(jobs):,})")


def _minute(instant: str | None) -> str:
    return "later than looked at" if instant is None else f"{instant[:16].replace('T', ' ')}Z"
