"""Print the tables of docs/economics.md: three decisions, each as runs side by side.

``python docs/economics.py [NAME ...]``; ``make economics`` calls this. Every column is a run that
``kvandal run SCENARIO`` repeats, and every row one of ``kvandal compare``.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kvandal as kv
from kvandal.ledger.books.investment import net_present_value
from kvandal.ledger.statements.item import of
from kvandal.ledger.statements.owners import investment
from kvandal.runs.books import opened
from kvandal.runs.economics import side_by_side

HERE = Path(__file__).parent / "economics"
MILLION = 1e6
NETWORK = "bjerkvik-district-heating"


@dataclass(frozen=True)
class Decision:
    """A question, the runs that answer it, and the rows that matter: (chapter, name, heading, divisor, decimals)."""

    scenarios: dict[str, str]
    rows: tuple[tuple[str, str, str, float, int], ...]


MONEY = (
    ("Money", "revenue, compute", "GPU-hours sold [million EUR]", MILLION, 2),
    ("Money", "revenue, take-or-pay", "take or pay [million EUR]", MILLION, 2),
    ("Money", "cost of electricity", "electricity [million EUR]", MILLION, 2),
    ("Money", "depreciation", "depreciation [million EUR]", MILLION, 2),
    ("Money", "result", "result of the owners [million EUR]", MILLION, 2),
    ("Investment", "capital", "capital [million EUR]", MILLION, 1),
    ("Investment", "net present value", "net present value [million EUR]", MILLION, 1),
    ("Investment", "internal rate of return", "internal rate of return", 1.0, 4),
)
ACCESS = (
    ("Access", "share of GPUs in use", "share of GPUs in use", 1.0, 4),
    ("Access", "GPU-hours of firm tenants", "GPU-hours, firm [million]", MILLION, 2),
    ("Access", "GPU-hours of assured tenants", "GPU-hours, assured [million]", MILLION, 2),
    ("Access", "GPU-hours of lent tenants", "GPU-hours, lent [million]", MILLION, 2),
    ("Access", "wait of firm tenants, 95 % at most", "wait of firm tenants, 95 % at most [s]", 1.0, 0),
    ("Access", "wait of lent tenants, 95 % at most", "wait of lent tenants, 95 % at most [s]", 1.0, 0),
)
DECISIONS = {
    "expansion": Decision(
        {
            "230 MW": "stargate-norway",
            "290 MW": "stargate-norway-290",
            "290 MW, demand of 230": "expansion-idle.toml",
        },
        (*ACCESS, *MONEY, ("Power", "highest power", "highest power [MW]", 1.0, 1),
         ("Carbon", "location-based, direct", "carbon, location-based, direct [t]", 1.0, 0)),
    ),
    "heat": Decision(
        {"45 °C": "heat-45.toml", "55 °C": "heat-55.toml"},
        (
            ("Heat", "sold", "heat sold, all customers [MWh]", 1.0, 0),
            ("Heat", "electricity of heat pumps", "electricity of heat pumps [MWh]", 1.0, 0),
            ("Heat", "energy reuse factor", "energy reuse factor", 1.0, 4),
            ("Money", "revenue, heat", "revenue from heat [thousand EUR]", 1e3, 1),
            ("Money", "cost of electricity", "electricity [thousand EUR]", 1e3, 1),
            ("Money", "result", "result of the owners [thousand EUR]", 1e3, 1),
            ("Investment", "capital", "capital [million EUR]", MILLION, 2),
            ("Investment", "net present value", "net present value [thousand EUR]", 1e3, 0),
        ),
    ),
    "guarantee": Decision(
        {"no priority": "no-priority.toml", "5 % guaranteed": "guarantee-5.toml"},
        (*ACCESS, ("Access", "recalls", "recalls", 1.0, 0), *MONEY),
    ),
}  # fmt: skip


def simulated(decision: Decision, folder: Path) -> list[Path]:
    """Simulate the runs of a decision into a folder."""
    runs = []
    for scenario in decision.scenarios.values():
        source = str(HERE / scenario) if scenario.endswith(".toml") else scenario
        runs.append(folder / f"run-{len(runs)}")
        kv.write_run(kv.simulate(kv.load(source)), runs[-1])
    return runs


def table(decision: Decision, found: list[dict[str, Any]]) -> list[list[str]]:
    """Write the rows of a decision, each with the value of every run."""
    known = {(row["chapter"], row["name"]): row["values"] for row in found}
    lines = []
    for chapter, name, heading, divisor, decimals in decision.rows:
        values = known[chapter, name]
        lines.append(
            [heading, *("not known" if v is None else f"{v / divisor:,.{decimals}f}" for v in values)]
        )
    return lines


def break_even_eur_per_mwh(runs: list[Path], customer: str) -> float:
    """Price of a customer's heat in the last run at which that run is worth as much as the first [EUR/MWh].

    A euro more in each year is worth its present value over the site's life, whoever pays it.
    """
    first, last = opened(runs[0]), opened(runs[-1])
    short_eur = investment(first).net_present_value_eur - investment(last).net_present_value_eur
    rate, years = investment(last).discount_rate, last.scenario.finance.site_life_years
    per_eur = net_present_value(rate, [0.0] + [1.0] * years)
    sold_mwh = float(of(last.tables["heat"], customer, "customer")["source_mwh"].sum())
    return float(last.scenario.heat.customers[customer].price_eur_per_mwh) + short_eur / per_eur / sold_mwh


def main(wanted: list[str]) -> None:
    """Print the tables in Markdown."""
    for name in wanted or DECISIONS:
        decision = DECISIONS[name]
        with tempfile.TemporaryDirectory(prefix="kvandal-economics-") as folder:
            runs = simulated(decision, Path(folder))
            lines = table(decision, side_by_side(runs))
            even = break_even_eur_per_mwh(runs, NETWORK) if name == "heat" else None
        print(f"| {name} | {' | '.join(decision.scenarios)} |")
        print(f"|---|{'--:|' * len(decision.scenarios)}")
        for line in lines:
            print(f"| {' | '.join(line)} |")
        if even is not None:
            print(f"\nBreak-even price of the heat at 55 °C: {even:.1f} EUR/MWh")
        print()


if __name__ == "__main__":
    main(sys.argv[1:])
