"""`kvandal plan`: what a day-ahead plan is worth."""

from __future__ import annotations

from typing import Annotated, Any

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
    ("heat_eur", "heat not delivered, from a boiler"),
    ("deviations_eur", "deviations from what was bought"),
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
    from kvandal.errors import InputError
    from kvandal.runs.plan_value import plan_value

    signals.hold()
    if any(change.partition("=")[0].strip() == "plan.enabled" for change in changes or []):
        raise InputError(
            "both are simulated, with and without the plan; leave it out", key="--set plan.enabled"
        )
    asked = ["plan.enabled=true", *(changes or []), *([f"run.days={days}"] if days is not None else [])]
    loaded = scenario_of(scenario, asked)
    found = plan_value(loaded)
    if as_json:
        print_json(found)
        return
    print_table(
        f"{loaded.site.title}, {days_of(found['days'])}: the plan and what it is worth [EUR]",
        [("", "left"), ("without", "right"), ("with the plan", "right"), ("perfect foresight", "right")],
        [
            (label, *(number(case[key]) if key in case else "" for case in found["cases"]))
            for key, label in ROWS
        ],
    )
    emit("\n" + sentence(found))


def sentence(found: dict[str, Any]) -> str:
    """Say what a plan is worth in all, what that is made of, and how near it comes to foresight."""
    value, bound = found["value_eur"], found["bound_eur"]
    share = f"{value / bound:.0%} of" if bound > 0 else "against"
    hours = found["gpu_hours_useful"]
    less = hours["without"] - hours["with"]
    work = (
        "Useful work is the same in both runs."
        if abs(less) < 0.5
        else f"Useful work: {abs(less):,.0f} GPU-hours {'less' if less > 0 else 'more'} with the plan."
    )
    return (
        f"In all the plan {_saves(value)}: by moving energy and selling reserves it {_saves(found['moved_eur'])}, in deviations it "
        f"{_saves(found['deviations_saved_eur'])}, in the tariff for the highest hour it {_saves(found['tariff_saved_eur'])}. That is "
        f"{share} the {bound:,.0f} EUR that perfect foresight of prices, load, heat and calls could have saved at most with the same "
        f"battery, stores, lent work and reserves, deviations and tariff included. {work}"
    )


def _saves(eur: float) -> str:
    if abs(eur) < 0.5:
        return "changes nothing"
    return f"{'saves' if eur >= 0 else 'costs'} {abs(eur):,.0f} EUR"
