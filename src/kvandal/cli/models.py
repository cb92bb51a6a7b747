"""`kvandal models`: models of one quantity side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from kvandal.cli.options import JsonOption, number, print_json, print_table
from kvandal.errors import InputError

if TYPE_CHECKING:
    from kvandal.physics.models import Quantity


def models(
    quantity: Annotated[str, typer.Argument(metavar="[QUANTITY]", help="A quantity, e.g. pump.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Print the models that a scenario can choose from: equation, validity, source, and values at the same points."""
    from kvandal.climate.models import WET_BULB
    from kvandal.physics.models import QUANTITIES

    known = {each.name: each for each in (*QUANTITIES, WET_BULB)}
    if quantity and quantity not in known:
        raise InputError(f"no quantity {quantity!r}; quantities are: {', '.join(known)}", key="QUANTITY")
    wanted = [known[quantity]] if quantity else list(known.values())
    if as_json:
        print_json([_document(each) for each in wanted])
        return
    for each in wanted:
        _print(each)


def _document(quantity: Quantity) -> dict[str, Any]:
    return {
        "quantity": quantity.name,
        "key": quantity.key,
        "what": quantity.what,
        "points": quantity.points,
        "point_unit": quantity.point_unit,
        "models": [
            {
                "name": model.name,
                "values": [model.value_at(point) for point in quantity.points],
                "equation": model.equation,
                "validity": model.validity,
                "reference": model.reference,
            }
            for model in quantity.models
        ],
    }


def _print(quantity: Quantity) -> None:
    points = [(f"{point:g} {quantity.point_unit}", "right") for point in quantity.points]
    print_table(
        f"{quantity.name}: {quantity.what}",
        [(quantity.key, ""), *points, ("equation", ""), ("valid", ""), ("source", "")],
        [
            (
                model.name,
                *(number(round(model.value_at(point), 2)) for point in quantity.points),
                model.equation,
                model.validity,
                model.reference,
            )
            for model in quantity.models
        ],
    )
