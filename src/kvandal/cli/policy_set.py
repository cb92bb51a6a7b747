"""`kvandal policy set`: change the policy of a running site, after seeing what it does to whom."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from kvandal.cli.options import JsonOption, changes_of, emit, note, print_json
from kvandal.cli.server import ReasonOption, ServerOption, TokenFileOption, connected
from kvandal.cli.weighed import print_weighed
from kvandal.errors import InputError


def set_(
    changes: Annotated[
        list[str], typer.Argument(metavar="KEY=VALUE", help="Keys of the policy and their new values.")
    ],
    reason: ReasonOption,
    days: Annotated[float, typer.Option(help="How far the what-if looks [days].")] = 1.0,
    yes: Annotated[bool, typer.Option("--yes", help="Apply it without asking.")] = False,
    server: ServerOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Weigh a change of the policy on the live state, show what it would do to whom, ask, and apply it."""
    parsed, _ = changes_of(changes)
    if not yes and not (sys.stdin is not None and sys.stdin.isatty()):
        raise InputError("is needed where nobody can be asked: it applies the change", key="--yes")
    with connected(server, token_file) as client:
        note("the twin weighs the change on the live state ...")
        proposed = client.propose_policy_change(parsed, reason=reason, days=days)
        if not as_json:
            print_weighed(proposed.whatif)
        if not yes and not typer.confirm(f"Apply {', '.join(changes)}?", err=True):
            emit(f"{proposed.id}  not applied")
            return
        applied = client.apply_policy_change(proposed)
    if as_json:
        print_json(applied.model_dump(mode="json"))
        return
    emit(f"{applied.id}  applied")
