"""`kvandal store`: the database of the control plane, brought up to date, saved and restored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kvandal.cli import signals
from kvandal.cli.database import ConfigOption, DatabaseOption, database_url, serve_extra
from kvandal.cli.options import JsonOption, emit, print_json

if TYPE_CHECKING:
    from kvandal.control.store.backup import Copy


def upgrade(database: DatabaseOption = None, config: ConfigOption = None) -> None:
    """Make the tables of the store, or bring those of an older version up to date. kvandal serve does so by itself."""
    with serve_extra("store"):
        from kvandal.control.store import schema
        from kvandal.control.store.database import open_store
    signals.hold()
    with open_store(database_url(database, config)) as store:
        emit(f"{store.name}: version {schema.newest()}")


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; it must not be there yet.")],
    database: DatabaseOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Save the store to one file, a consistent snapshot, while kvandal serve goes on; the file is verified."""
    with serve_extra("store"):
        from kvandal.control.store.backup import back_up
        from kvandal.control.store.database import open_store
    with open_store(database_url(database, config), create=False, older=True) as store:
        copied = back_up(store, file)
    _say(f"{file}: saved {store.name}", copied, as_json=as_json)


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Written by kvandal store backup.")],
    database: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="Where to: sqlite:///FILE or postgresql://USER@HOST/NAME; it must hold nothing yet.",
        ),
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Replace all that the database holds of a store.")
    ] = False,
    unverified: Annotated[
        bool, typer.Option("--unverified", help="Take a backup whose audit trail or ledger is not sound.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a saved store into a database of either kind, all of it or nothing, and verify it there."""
    with serve_extra("store"):
        from kvandal.control.store.address import address_of, name_of
        from kvandal.control.store.backup import restore as put_back
    url = database_url(database, config)
    copied = put_back(file, url, force=force, unverified=unverified)
    _say(f"{name_of(address_of(url))}: restored from {file}", copied, as_json=as_json)


def _say(what: str, copied: Copy, *, as_json: bool) -> None:
    """Print what was copied; the hash is to be noted elsewhere."""
    verdict = copied.verdict
    if as_json:
        document: dict[str, Any] = {
            "version": copied.version,
            "rows": copied.rows,
            "tables": copied.counts,
            "audit": {
                "rows": verdict.rows,
                "head_hash": verdict.head_hash,
                "findings": list(verdict.findings),
            },
        }
        print_json(document)
        return
    emit(f"{what}: {copied.rows:,} rows in {len(copied.counts)} tables, version {copied.version}")
    emit(f"audit trail: {verdict.rows:,} rows, head {verdict.head_hash}")
    for finding in verdict.findings:
        emit(finding)
