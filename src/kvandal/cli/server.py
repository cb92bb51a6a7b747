"""What commands that ask a server share: its address, the token, times and powers as people write them."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kvandal.errors import InputError

if TYPE_CHECKING:
    from kvandal.client.client import Client

LOCAL = "http://127.0.0.1:8440"
"""Where `kvandal serve` listens unless it is told otherwise."""
ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        help=f"The server to ask; also KVANDAL_SERVER. Default: {LOCAL}.",
        show_default=False,
    ),
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        help="File with a token of Kvandal; also KVANDAL_TOKEN_FILE, or the token itself in KVANDAL_TOKEN. A local server "
        "needs none.",
        show_default=False,
    ),
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it goes into the audit trail.")]
PATIENCE_S = 5.0
"""How long a command tries again while the server does not answer [s]."""
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([a-zA-Z]*)")
_SECONDS = {"": 1.0, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_MEGAWATTS = {"MW": 1.0, "KW": 1e-3, "GW": 1e3}


def connected(server: str | None, token_file: Path | None) -> Client:
    """Return the client of the server that options and environment name."""
    from kvandal.client.client import Client

    address = server or os.environ.get("KVANDAL_SERVER") or LOCAL
    return Client(address, _token(token_file), patience_s=PATIENCE_S)


def _token(token_file: Path | None) -> str | None:
    named = os.environ.get("KVANDAL_TOKEN_FILE")
    if token_file is None:
        if (token := os.environ.get("KVANDAL_TOKEN")) is not None:
            return token.strip() or None
        if not named:
            return None
        token_file = Path(named)
    try:
        lines = token_file.read_text("utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        told = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InputError(f"cannot be read: {told}", file=token_file, key="--token-file") from None
    if len(lines) != 1:
        raise InputError(f"must hold one token and nothing else, got {len(lines)} words", file=token_file)
    return lines[0]


def seconds_of(text: str, option: str) -> int:
    """Read a duration: ``4h``, ``90min``, ``2d``, ``600`` (seconds).

    >>> seconds_of("4h", "--limit"), seconds_of("90 min", "--limit"), seconds_of("600", "--limit")
    (14400, 5400, 600)
    """
    found = _AMOUNT.fullmatch(text.strip())
    if found is None or found[2] not in _SECONDS:
        raise InputError(f"must be a duration such as 4h, 90min, 2d or 600s, got {text!r}", key=option)
    return round(float(found[1]) * _SECONDS[found[2]])


def megawatts_of(text: str) -> float:
    """Read a power: ``180MW``, ``1800 kW``, ``180`` (megawatts).

    >>> megawatts_of("180MW"), megawatts_of("1800 kW"), megawatts_of("180")
    (180.0, 1.8, 180.0)
    """
    found = _AMOUNT.fullmatch(text.strip())
    unit = "MW" if found is not None and not found[2] else "" if found is None else found[2].upper()
    if found is None or unit not in _MEGAWATTS:
        raise InputError(f"must be a power such as 180MW or 1800kW, got {text!r}", key="POWER")
    return float(found[1]) * _MEGAWATTS[unit]


def instant_of(text: str, now: datetime, option: str) -> datetime:
    """Read an instant: with its offset from UTC, or as a duration from now on.

    >>> noon = datetime(2027, 1, 1, 12, tzinfo=UTC)
    >>> instant_of("6h", noon, "--until").isoformat()
    '2027-01-01T18:00:00+00:00'
    >>> instant_of("2027-01-02T06:00+01:00", noon, "--until").isoformat()
    '2027-01-02T05:00:00+00:00'
    """
    found = _AMOUNT.fullmatch(text.strip())
    if found is not None and found[2] in _SECONDS and found[2]:
        try:
            return now + timedelta(seconds=seconds_of(text, option))
        except OverflowError:
            raise InputError(f"lies too far away: {text!r}", key=option) from None
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InputError(
            f"must be an instant with its offset from UTC, e.g. 2027-01-12T06:00Z, or a duration such as 6h, got {text!r}",
            key=option,
        )
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise InputError(f"lies too far away: {text!r}", key=option) from None


def told_instant(moment: datetime | None) -> str:
    """Write an instant for people, in UTC.

    >>> told_instant(datetime(2027, 1, 1, 12, 30, tzinfo=UTC)), told_instant(None)
    ('2027-01-01 12:30Z', '-')
    """
    return "-" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%MZ")
