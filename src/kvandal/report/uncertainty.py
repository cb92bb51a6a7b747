"""How sure the numbers are: their bands over the ranges of the parameters, and the parameters that matter."""

from __future__ import annotations

from typing import Any

import polars as pl

from kvandal.report.chart import Figure, Section
from kvandal.report.folder import RunFolder
from kvandal.report.text import DASH, NOT_KNOWN, escape, fold, number, significant, table

HEADLINES = (
    ("peak_site_mw", "Peak site power", "MW"),
    ("site_energy_mwh", "Site energy", "MWh"),
    ("pue", "PUE", ""),
    ("allocation_share", "GPUs allocated, share", ""),
    ("gpu_hours_useful", "Useful GPU-hours", ""),
    ("jobs_finished", "Jobs finished", ""),
    ("recalls", "Loans recalled", ""),
    ("heat_exported_mwh", "Heat exported", "MWh"),
    ("erf", "ERF", ""),
    ("wue_l_per_kwh", "WUE", "L/kWh"),
    ("energy_cost_eur", "Energy cost", "EUR"),
    ("carbon_location_t", "CO2e, location-based", "t"),
    ("carbon_market_t", "CO2e, market-based", "t"),
    ("cfe_score", "CFE score", ""),
)
"""Numbers of the head of the page; the table below holds all."""
DRAWN = 24
"""Parameters in the chart at most."""
NAMED = 4
"""Parameters named beside a number."""


def uncertainty_section(folder: RunFolder) -> Section | None:
    """Tabulate and draw how sure the numbers are; None for a run without ``--samples``."""
    found = folder.run.get("uncertainty")
    if not isinstance(found, dict):
        return None
    bands: dict[str, dict[str, Any]] = found["bands"]
    named = {one["key"]: str(one["name"]) for one in found["varied"]}
    refused = sum(one["members"] for one in found["refused"])
    lead = (
        f"{number(found['samples'])} members of this run were drawn: {number(len(named))} parameters at once, each uniformly "
        f"over its plausible range (Latin hypercube, seed {found['seed']}), with the same demand, weather and prices but for "
        f"what the parameters change. {number(found['kept'])} were simulated in full. P10 and P90 hold four fifths of them."
    )
    headlines = [(key, label, unit) for key, label, unit in HEADLINES if key in bands]
    parts: list[str | Figure] = [_refused(found["refused"], refused)] if refused else []
    parts.append(_bands(found, headlines))
    figure = _figure(folder, found, headlines)
    if figure is not None:
        parts.append(figure)
    others = [(key, key, "") for key in bands if key not in {name for name, _, _ in headlines}]
    parts.append(fold("All other numbers of run.json", _bands(found, others)))
    parts.append(fold(f"The {number(len(named))} parameters that were drawn", _varied(found["varied"])))
    parts.append(
        fold(
            f"{number(len(found['fixed']))} parameters with a range that were not drawn, and why",
            table(
                ["parameter", "value", "why"],
                [
                    [f"<code>{escape(one['key'])}</code>", significant(one["value"]), escape(one["reason"])]
                    for one in found["fixed"]
                ],
                right=(1,),
            ),
        )
    )
    return Section("uncertainty", "How sure are we?", lead, parts)


def _refused(reasons: list[dict[str, Any]], refused: int) -> str:
    items = "".join(f"<li>{number(one['members'])}: {escape(one['reason'])}</li>" for one in reasons[:5])
    more = f"<li>and {number(len(reasons) - 5)} more reasons</li>" if len(reasons) > 5 else ""
    return (
        f'<div class="notice warning"><b>{number(refused)} members were refused:</b> their values do not hold together. '
        f"They are missing from all numbers below.<ul>{items}{more}</ul></div>"
    )


def _bands(found: dict[str, Any], listed: list[tuple[str, str, str]]) -> str:
    rows = []
    for key, label, unit in listed:
        band = found["bands"][key]
        matters = [one for one in found["rank_correlation"].get(key, []) if one["matters"]][:NAMED]
        told = ", ".join(f"<code>{escape(one['key'])}</code>\u00a0{_signed(one['rho'])}" for one in matters)
        known = band["members"]
        less = f"<br><small>known to {number(known)} members</small>" if known < found["kept"] else ""
        name = escape(label) if label != key else f"<code>{escape(key)}</code>"
        rows.append(
            [
                f"{name}{f' [{escape(unit)}]' if unit else ''}{less}",
                *(significant(band[quantile], 5) for quantile in ("base", "p10", "p50", "p90")),
                told or (NOT_KNOWN if band["rho_distinguishable"] is None else DASH),
            ]
        )
    heads = ["number", "as asked", "P10", "P50", "P90", "what matters, with its rank correlation"]
    return table(heads, rows, right=(1, 2, 3, 4))


def _signed(rho: float) -> str:
    return f"{'+' if rho > 0 else chr(0x2212)}{abs(rho):.2f}"


def _figure(folder: RunFolder, found: dict[str, Any], headlines: list[tuple[str, str, str]]) -> Figure | None:
    """Draw the rank correlation of each headline number with each parameter that matters to one of them."""
    keys = [one["key"] for one in found["varied"]]
    listed = [
        (key, label) for key, label, _ in headlines if found["rank_correlation"].get(key)
    ]  # the others do not change
    rho = _correlations(folder, keys, [key for key, _ in listed])
    least = {key: found["bands"][key]["rho_distinguishable"] for key, _ in listed}

    def matters(key: str, name: str) -> bool:
        value, limit = rho[key, name], least[name]
        return value is not None and limit is not None and abs(value) >= limit - 1e-9

    strength = {key: max((abs(rho[key, name] or 0) for name, _ in listed), default=0.0) for key in keys}
    chosen = [key for key in keys if any(matters(key, name) for name, _ in listed)]
    chosen = sorted(chosen, key=lambda key: (-strength[key], key))
    if not chosen:
        return None
    more = len(chosen) - DRAWN
    chosen = chosen[:DRAWN]
    cells = [
        [column, row, None if (value := rho[key, name]) is None else round(value, 3), matters(key, name)]
        for row, key in enumerate(chosen)
        for column, (name, _) in enumerate(listed)
    ]
    spec = {"kind": "ranks", "rows": chosen, "columns": [label for _, label in listed], "cells": cells}
    body = [
        [
            f"<code>{escape(key)}</code>",
            *(
                DASH if (value := rho[key, name]) is None else _signed(value) if matters(key, name)
                else f'<span class="fraction">{_signed(value)}</span>'
                for name, _ in listed
            ),
        ]
        for key in chosen
    ]  # fmt: skip
    limits = [limit for limit in least.values() if limit is not None]
    caption = (
        "Spearman rank correlation of each number (across) with each parameter (down) over the members: +1 if the number "
        "always rises with the parameter, \u22121 if it always falls. Figures stand where chance is ruled out with "
        f"{found['confidence'] * 100:g}\u00a0% for all {number(len(keys))} parameters of a number together, which takes "
        f"{min(limits):.2f} with so many members; more members tell more. "
        f"Parameters that matter for none of these numbers are left out{f', and {number(more)} weaker ones' if more > 0 else ''}."
    )
    return Figure(
        "ranks",
        "Which parameters matter",
        caption,
        spec,
        table(["parameter", *(escape(label) for _, label in listed)], body, right=range(1, len(listed) + 1)),
    )


def _correlations(
    folder: RunFolder, keys: list[str], names: list[str]
) -> dict[tuple[str, str], float | None]:
    """Reckon the rank correlations again, from the table of members."""
    frame = folder.table("samples", [*keys, *names])
    out: dict[tuple[str, str], float | None] = {}
    for name in names:
        known = frame.filter(pl.col(name).is_not_null()).select(pl.all().rank("average"))
        row = known.select(pl.corr(key, name).fill_nan(None).alias(key) for key in keys).row(0, named=True)
        out |= {(key, name): row[key] for key in keys}
    return out


def _varied(varied: list[dict[str, Any]]) -> str:
    rows = [
        [
            f"<code>{escape(one['key'])}</code><br><small>{escape(one['name'])}</small>",
            f"{one['base']:g}",
            f"{one['minimum']:g} to {one['maximum']:g}",
            "" if one["unit"] == "1" else escape(one["unit"]),
            f'<span class="tag {escape(one["label"])}">{escape(one["label"])}</span>',
        ]
        for one in varied
    ]
    return table(["parameter", "as asked", "drawn from", "unit", "kind"], rows, right=(1, 2))
