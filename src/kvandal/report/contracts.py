"""The contracts for electricity on the page: what each delivered, what was used and sold, what it cost."""

from __future__ import annotations

from decimal import Decimal

import polars as pl

from kvandal.report.folder import RunFolder
from kvandal.report.text import DASH, escape, exact, number, table, words

COLUMNS = ["contract", "kind", "seller", "buyer", "delivered_mwh", "used_mwh", "sold_mwh", "cost_eur"]
HEADS = (
    "contract", "kind", "seller", "buyer", "delivered [MWh]", "used [MWh]", "sold [MWh]", "EUR/MWh", "cost [EUR]",
)  # fmt: skip


def contracts_block(folder: RunFolder) -> str:
    """Tabulate the contracts, each with its part of what was used and sold; empty in a run without contracts."""
    rows = (
        folder.scan("contracts", COLUMNS)
        .group_by("contract", "kind", "seller", "buyer", maintain_order=True)
        .agg(pl.col("delivered_mwh", "used_mwh", "sold_mwh", "cost_eur").sum())
        .collect()
    )
    if rows.is_empty():
        return ""
    listed, total = [], Decimal(0)
    for row in rows.to_dicts():
        cost, delivered = Decimal(str(row["cost_eur"])), row["delivered_mwh"]
        total += cost
        listed.append(
            [
                escape(words(row["contract"])),
                escape(words(row["kind"])),
                escape(row["seller"] or DASH),
                escape(words(row["buyer"])) if row["buyer"] else "the site",
                *(number(row[name], 1) for name in ("delivered_mwh", "used_mwh", "sold_mwh")),
                number(float(cost) / delivered, 2) if delivered else DASH,
                exact(cost),
            ]
        )
    delivered = float(rows["delivered_mwh"].sum())
    foot = [
        "in all",
        *[DASH] * 3,
        *(number(float(rows[name].sum()), 1) for name in ("delivered_mwh", "used_mwh", "sold_mwh")),
        number(float(total) / delivered, 2) if delivered else DASH,
        exact(total),
    ]
    body = table(HEADS, listed, right=range(4, 9), total=foot, kind="limits")
    return (
        '<div class="block"><h3>Contracts</h3><p class="caption">Each is paid for what it delivers. What all of them deliver beyond the '
        f"site's need is sold at spot, of contracts without guarantees of origin first; that income is not in the cost here.</p>{body}</div>"
    )
