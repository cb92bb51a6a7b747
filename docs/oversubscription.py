"""Print the table of docs/oversubscription.md: more and more GPUs behind one connection, with as much more work.

``python docs/oversubscription.py [DAYS]``; ``make oversubscription`` calls this. Every column is one run, which
``kvandal run stargate-norway --set site.fleet.main.gpus=GPUS --set demand_multiplier=TIMES --days DAYS`` repeats.
"""

from __future__ import annotations

import sys
from typing import Any

import kvandal as kv

GPUS = (100_000, 110_000, 120_000, 130_000, 140_000)
DAYS = 7
DEMAND = {"as planned": 1.0, "full": 1.4}
"""Work over that of the preset for as many GPUs: with 1.4 times the plan somebody always waits."""


def measure(gpus: int, demand: float, days: int) -> dict[str, Any]:
    """Summary of a run with so many GPUs and as much more work."""
    changes = {
        "site.fleet.main.gpus": gpus,
        "demand_multiplier": round(demand * gpus / GPUS[0], 4),
        "run.days": days,
    }
    return kv.simulate(kv.load("stargate-norway", changes)).summary


def rows(found: dict[int, dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """Write lines of the table: what, and its value with each number of GPUs."""

    def line(name: str, value: Any) -> tuple[str, list[str]]:
        return name, [value(summary) for summary in found.values()]

    def lost(summary: dict[str, Any]) -> float:
        return sum(summary["gpu_hours_lost_to_power"].values())

    return [
        line("mean, highest power [MW]", lambda s: f"{s['mean_site_mw']:.1f}, {s['peak_site_mw']:.1f}"),
        line("power held somebody back", lambda s: f"{s['power_bound_time_fraction']:.1%}"),
        line("lent work capped", lambda s: f"{s['capped_time_fraction']['lent']:.1%}"),
        line("assured work capped", lambda s: f"{s['capped_time_fraction']['assured']:.1%}"),
        line("firm work capped", lambda s: f"{s['capped_time_fraction']['firm']:.1%}"),
        line("jobs stopped or under notice for power", lambda s: f"{s['shed_time_fraction']:.2%}"),
        line("jobs shed, loans recalled for power", lambda s: f"{s['jobs_shed']:,}, {s['recalls_for_power']:,}"),
        line("GPU-hours lost to caps", lambda s: f"{s['gpu_hours_lost_to_power']['capped']:,.0f}"),
        line("GPU-hours lost when stopped", lambda s: f"{s['gpu_hours_lost_to_power']['stopped']:,.0f}"),
        line("of the GPU-hours in use", lambda s: f"{lost(s) / s['gpu_hours_allocated']:.2%}"),
        line("cost [USD]", lambda s: f"{s['shed_cost_usd']:,.0f}"),
        line("hours a year above 95 % of the envelope", lambda s: f"{s['hours_per_year_near_envelope']['95_pct']:,.0f}"),
        line("useful GPU-hours", lambda s: f"{s['gpu_hours_useful']:,.0f}"),
        line("income from GPU-hours [USD]", lambda s: f"{s['compute_income_usd']:,.0f}"),
    ]  # fmt: skip


def main(days: int) -> None:
    """Print the tables in Markdown."""
    for name, demand in DEMAND.items():
        found = {gpus: measure(gpus, demand, days) for gpus in GPUS}
        sys.stdout.write(
            f"| demand {name}, {days} days | " + " | ".join(f"{gpus:,}" for gpus in GPUS) + " |\n"
        )
        sys.stdout.write("|---|" + "---:|" * len(GPUS) + "\n")
        for text, cells in rows(found):
            sys.stdout.write(f"| {text} | " + " | ".join(cells) + " |\n")
        sys.stdout.write("\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else DAYS)
