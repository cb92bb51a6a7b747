"""Options that take several values: ``--subject-to A B`` is ``--subject-to A --subject-to B``."""

from __future__ import annotations

from typing import Any

import typer.core

MARKS = {"--subject-to": "<>", "--over": "=", "--vary": "="}
"""Options by name, with letters one of which every value of theirs holds; an argument without is none of theirs."""


class SeveralValues(typer.core.TyperCommand):
    """A command whose options of `MARKS` may be followed by several values."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments of the command line."""
        return super().parse_args(ctx, spread(args))


def spread(args: list[str]) -> list[str]:
    """Repeat the name of an option before each of its values.

    >>> spread(["--subject-to", "a < 1", "b > 2", "--trials", "9"])
    ['--subject-to', 'a < 1', '--subject-to', 'b > 2', '--trials', '9']
    """
    out: list[str] = []
    option, taken = "", False
    for place, one in enumerate(args):
        if one == "--":
            return out + args[place:]
        if one.startswith("-"):
            option, taken = (one if one in MARKS else ""), False
        elif option:
            if taken and any(letter in one for letter in MARKS[option]):
                out.append(option)
            elif taken:
                option = ""
            taken = True
        out.append(one)
    return out
