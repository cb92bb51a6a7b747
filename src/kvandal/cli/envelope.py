"""`kvandal envelope`: the power that a running site may draw."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from kvandal.cli.options import JsonOption, emit, number, print_json
from kvandal.cli.server import (
    ReasonOption,
    ServerOption,
    TokenFileOption,
    connected,
    instant_of,
    megawatts_of,
    told_instant,
)

if TYPE_CHECKING:
    from kvandal.client.client import Client
    from kvandal.client.resources.site import SetPoint


def set_(
    power: Annotated[str, typer.Argument(metavar="POWER", help="At most this much: 180MW.")],
    reason: ReasonOption,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="When it ends by itself: 2027-01-12T06:00Z, or 6h from now (of the site's clock). Default: once it is cleared.",
            show_default=False,
        ),
    ] = None,
    server: ServerOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hold the site at an envelope: GPUs are capped first, loans recalled then, in the order of the rules."""
    value_mw = megawatts_of(power)
    with connected(server, token_file) as client:
        ends = None if until is None else instant_of(until, _now(client), "--until")
        _print(client.set_envelope(value_mw, reason=reason, until_utc=ends), as_json)


def show(
    server: ServerOption = None, token_file: TokenFileOption = None, as_json: JsonOption = False
) -> None:
    """Tell what is set, by whom, why and until when."""
    with connected(server, token_file) as client:
        _print(client.envelope(), as_json)


def clear(
    reason: ReasonOption,
    server: ServerOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take back what was set: the scenario's own envelope holds again."""
    with connected(server, token_file) as client:
        _print(client.clear_envelope(reason=reason), as_json)


def _now(client: Client) -> datetime:
    """Time at the site, which may run faster than this machine's."""
    return client.site().at_utc or datetime.now(UTC)


def _print(point: SetPoint, as_json: bool) -> None:
    if as_json:
        print_json(point.model_dump(mode="json"))
    elif point.value is None:
        emit(f"no envelope is set by hand; at most {number(point.maximum)} {point.unit} by the scenario")
    else:
        ends = "until it is cleared" if point.until_utc is None else f"until {told_instant(point.until_utc)}"
        emit(f"{number(point.value)} {point.unit} {ends}, set by {point.by}: {point.reason}")
