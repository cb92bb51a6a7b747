"""Carbon on its four bases on the page, and why they differ."""

from __future__ import annotations

from typing import Any

from kvandal.report.folder import RunFolder
from kvandal.report.text import amount, number, percent, table

CARBON = (
    "carbon_location_direct_t",
    "carbon_location_lifecycle_t",
    "carbon_market_direct_t",
    "carbon_market_lifecycle_t",
)


def carbon_block(folder: RunFolder, totals: dict[str, float]) -> str:
    """Tabulate emissions by accounting and scope."""
    summary = folder.summary
    site = totals["site_mwh"]
    rows = []
    for column in CARBON:
        kind, scope = column.split("_")[1:3]
        rows.append(
            [
                f"{kind.capitalize()}-based",
                "direct" if scope == "direct" else "life-cycle",
                number(totals[column], 1),
                number(totals[column] * 1000 / site if site else None, 2),
                number(_summed(summary, column), 1),
            ]
        )
    body = table(
        ["accounting", "emissions", "t CO<sub>2</sub>e", "g/kWh of site energy", "summary [t]"],
        rows,
        right=(2, 3, 4),
    )
    share = summary.get("cfe_score")
    return (
        f'<div class="block"><h3>Carbon</h3><p class="caption">Hour by hour, {percent(share)} of the consumption was matched with '
        f"carbon-free energy ({amount(totals['carbon_free_mwh'] / 1000, 'GWh')}); over the period, contracts and guarantees of origin "
        f"cover {percent(summary.get('annual_match_share'))} of it on paper. Guarantees were cancelled for "
        f"{amount(totals['goo_mwh'] / 1000, 'GWh')}.</p>{body}<p>{FACTOR_FIVE}</p></div>"
    )


def _summed(summary: dict[str, Any], column: str) -> float | None:
    """Total of a column in the summary, where direct emissions go without saying."""
    found = summary.get(column.replace("_direct", ""))
    return None if found is None else float(found)


FACTOR_FIVE = (
    "Why sources differ five-fold: for one and the same kilowatt-hour in Norway, the regulator's <em>direct</em> factor of what was "
    "physically delivered is 8 to 19 g; <em>life-cycle</em> factors, which count dams, turbines, fuel supply and imports, are 25 to 55 g "
    "for the zone NO4, whose gas is burnt in one plant in Finnmark; and the <em>residual mix</em> that a buyer without guarantees of "
    "origin must report under the market-based method is 400 to 600 g, because the guarantees of Norwegian water have been sold to "
    "buyers elsewhere. All four figures above are right on their own basis; none may be compared with another."
)
"""One paragraph on bases; figures from NVE, the supplier declarations and Electricity Maps (docs/energy.md)."""
