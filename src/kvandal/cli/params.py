"""`kvandal params`: the registry of parameters."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from kvandal.cli.options import JsonOption, print_json, print_table
from kvandal.errors import InputError


def params(
    pattern: Annotated[
        str, typer.Argument(metavar="[PATTERN]", help="Part of a key, a name, a label or a symbol.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Print parameters with value, unit, plausible range, label, source, and whether the product reads them today."""
    from kvandal.scenario.parameters import parameters
    from kvandal.scenario.plausibility import keys_in_use

    wanted = pattern.casefold()
    found = [
        p for p in parameters().values() if wanted in f"{p.key} {p.name} {p.label} {p.symbol}".casefold()
    ]
    if not found:
        groups = ", ".join(dict.fromkeys(key.split(".")[0] for key in parameters()))
        raise InputError(f"no parameter matches {pattern!r}; groups are: {groups}", key="PATTERN")
    used = keys_in_use()
    if as_json:
        print_json([asdict(parameter) | {"in_use": parameter.key in used} for parameter in found])
        return
    print_table(
        f"{len(found)} parameters" if len(found) > 1 else "1 parameter",
        [
            ("key", ""),
            ("value", "right"),
            ("unit", ""),
            ("range", "right"),
            ("label", ""),
            ("in use", ""),
            ("what", ""),
            ("source", ""),
        ],
        [
            (
                p.key,
                f"{p.value:g}",
                p.unit,
                f"{p.minimum:g}..{p.maximum:g}",
                p.label,
                "yes" if p.key in used else "not yet",
                p.name,
                p.reference,
            )
            for p in found
        ],
    )
