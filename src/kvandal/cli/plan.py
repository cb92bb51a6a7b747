"""`kvandal plan`: what a day-ahead plan is worth."""

from __future__ import annotations

from typing import Annotated

import typer

from kvandal.cli import signals
from kvandal.cli.options import (
    JsonOption,
    SetOption,
    days_of,
    emit,
    number,
    print_json,
    print_table,
    scenario_of,
)

ROWS = (
    ("energy_eur", "energy, losses, tax, heat pumps"),
    ("reserves_eur", "less: reserves sold"),
    ("wear_eur", "wear of the battery"),
    ("lent_eur", "GPU-hours that caps cost lent work"),
    ("moved_eur", "what a plan can move"),
    ("deviations_eur", "deviations from the plan"),
    ("tariff_eur", "tariff for the highest hour"),
    ("total_eur", "in all"),
)


def plan(
    scenario: Annotated[str, typer.Argument(help="A preset or a TOML file.")],
    changes: SetOption = None,
    days: Annotated[int | None, typer.Option(help="Days to simulate instead of the scenario's.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Simulate a scenario without and with its day-ahead plan, and bound both by perfect foresight."""
    from kvandal.runs.plan_value import plan_value

    signals.hold()
    asked = ["plan.enabled=true", *(changes or []), *([f"run.days={days}"] if days is not None else [])]
    loaded = scenario_of(scenario, asked)
    found = plan_value(loaded)
    if as_json:
        print_json(found)
        return
    cases = found["cases"]
    print_table(
        f"{loaded.site.title}, {days_of(found['days'])}: the plan and what it is worth [EUR]",
        [("", "left"), ("without", "right"), ("with the plan", "right"), ("perfect foresight", "right")],
        [
            (
                label,
                *(
                    ""
                    if case["name"] == "foresight" and key not in {"moved_eur", "tariff_eur"}
                    else number(case[key])
                    for case in cases
                ),
            )
            for key, label in ROWS
        ],
    )
    share = found["value_eur"] / found["bound_eur"] if found["bound_eur"] > 0 else 0.0
    emit(
        f"\nThe plan saves {found['value_eur']:,.0f} EUR, {share:.0%} of the {found['bound_eur']:,.0f} EUR that perfect foresight of "
        f"prices, load, heat and calls could have saved with the same battery, stores, lent work and reserves."
    )
