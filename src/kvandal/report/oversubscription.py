"""Oversubscription on the page: more GPUs than the connection powers at TDP, how often that hurts, and what it costs."""

from __future__ import annotations

from typing import Any

from kvandal.report.chart import Figure, Section
from kvandal.report.folder import RunFolder
from kvandal.report.shedding import shedding
from kvandal.report.text import DASH, escape, number, percent, quantity, table, words

TITLE = "Oversubscription: how often and what it costs"
HEADS = ("tenant", "tier", "slowed by caps [GPU-h]", "stopped for power [GPU-h]", "USD/GPU-h", "cost [USD]")


def oversubscription_section(folder: RunFolder) -> Section:
    """Show nameplate against envelope, and what the difference cost whom."""
    found = shedding(folder)
    return Section(
        "oversubscription",
        TITLE,
        lead=_lead(found),
        parts=[table(("", ""), _facts(found), right=(1,)), _tenants(found), _duration(found)],
    )


def _lead(found: dict[str, Any]) -> str:
    ratio = found["oversubscription"]
    if ratio is None:
        return ""
    fits = (
        f"{percent(ratio - 1)} more than the envelope powers"
        if ratio > 1
        else f"{percent(1 - ratio)} less than the envelope"
    )
    return (
        f"{number(found['gpus'])} GPUs at TDP would draw {quantity(found['nameplate_mw'], 'MW', 1)} at the run's PUE: {fits}. "
        f"Power held somebody back in {percent(found['power_bound_time_fraction'])} of the time; in "
        f"{percent(found['shed_time_fraction'], 2)} jobs were stopped or recalled for it."
    )


def _facts(found: dict[str, Any]) -> list[list[str]]:
    capped, lost = found["capped_time_fraction"], found["gpu_hours_lost_to_power"]
    return [
        ["Nameplate: every rack at TDP", quantity(found["nameplate_mw"], "MW", 1)],
        ["Envelope: largest power that the meter may show", quantity(found["envelope_mw"], "MW", 1)],
        ["Highest power of a tick", quantity(found["peak_site_mw"], "MW", 1)],
        ["Mean power", quantity(found["mean_site_mw"], "MW", 1)],
        *(
            [f"Time in which {tier} work was capped", percent(share, 2)]
            for tier, share in sorted(capped.items(), key=lambda item: -item[1])
        ),
        ["Jobs shed at once", number(found["jobs_shed"])],
        ["Loans recalled for power", number(found["recalls_for_power"])],
        ["GPU-hours lost to caps", number(lost.get("capped"))],
        ["GPU-hours lost when work was stopped", number(lost.get("stopped"))],
        ["Cost at the tenants' prices", quantity(found["shed_cost_usd"], "USD")],
    ]


def _tenants(found: dict[str, Any]) -> str:
    rows = [
        [
            escape(words(row["tenant"])),
            escape(str(row["tier"])),
            number(row["capped_gpu_h"], 1),
            number(row["stopped_gpu_h"], 1),
            number(row["price_usd_per_gpu_hour"], 2),
            number(row["cost_usd"]),
        ]
        for row in found["tenants"]
    ]
    return table(HEADS, rows or [[DASH] * len(HEADS)], right=(2, 3, 4, 5))


def _duration(found: dict[str, Any]) -> Figure:
    bands = found["bands"]
    ends = [*(band["from_fraction"] for band in bands[1:]), None]
    labels = [
        f"{band['from_fraction'] * 100:g} to {end * 100:g} %"
        if end
        else f"{band['from_fraction'] * 100:g} % and more"
        for band, end in zip(bands, ends, strict=True)
    ]
    hours = [band["hours_per_year"] for band in bands]
    return Figure(
        "duration",
        "Hours a year by site power over envelope",
        "Means of ticks at the meter, as a year of such days. What stands at the right is where the next GPU finds no power.",
        {
            "kind": "columns",
            "labels": labels,
            "series": [
                {"name": "hours a year", "role": "it", "values": [round(value, 1) for value in hours]}
            ],
            "unit": "h",
        },
        table(
            ("site power over envelope", "hours a year"),
            [[label, number(value, 1)] for label, value in zip(labels, hours, strict=True)],
            right=(1,),
        ),
    )
