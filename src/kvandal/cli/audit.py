"""`kvandal audit`: who did what, and whether the record of it is as it was written."""

from __future__ import annotations

from typing import Annotated

import typer

from kvandal.cli.database import ConfigOption, DatabaseOption, database_url, serve_extra
from kvandal.cli.options import JsonOption, emit, print_json, print_table


def verify(
    database: DatabaseOption = None,
    expect: Annotated[
        str | None,
        typer.Option(
            metavar="HASH", help="A hash that an earlier verification printed and that was noted elsewhere."
        ),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find rows of the audit trail that were changed, removed or put in, and postings that do not add up; exit 1 if any."""
    with serve_extra("audit"):
        from kvandal.control.store.database import open_store
        from kvandal.control.store.verification import verify as follow
    with open_store(database_url(database, config), create=False) as store, store.read() as tx:
        verdict = follow(tx, expect)
    if as_json:
        print_json(
            {
                "sound": verdict.sound,
                "rows": verdict.rows,
                "head_hash": verdict.head_hash,
                "transactions": verdict.transactions,
                "findings": list(verdict.findings),
            }
        )
    else:
        for finding in verdict.findings:
            emit(finding)
        emit(
            f"{store.name}: {'sound' if verdict.sound else 'NOT SOUND'}; audit trail of {verdict.rows:,} rows, "
            f"head {verdict.head_hash}; ledger of {verdict.transactions:,} transactions"
        )
    if not verdict.sound:
        raise typer.Exit(1)


def list_(
    database: DatabaseOption = None,
    last: Annotated[int, typer.Option(min=1, help="How many rows at most.")] = 50,
    subject: Annotated[str | None, typer.Option(metavar="ID", help="Only what was done to this.")] = None,
    who: Annotated[str | None, typer.Option(metavar="ID", help="Only what this principal did.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the last rows of the audit trail."""
    import json

    with serve_extra("audit"):
        from kvandal.control.store.audit import entries
        from kvandal.control.store.database import open_store
    with open_store(database_url(database, config), create=False) as store, store.read() as tx:
        rows = entries(tx, last=last, subject=subject, who=who)
    if as_json:
        print_json([row | {"at_utc": row["at_utc"].isoformat()} for row in rows])
        return
    print_table(
        store.name,
        [
            ("row", "right"),
            ("at (UTC)", "left"),
            ("who", "left"),
            ("what", "left"),
            ("of", "left"),
            ("detail", "left"),
        ],
        [
            (
                str(row["number"]),
                f"{row['at_utc']:%Y-%m-%d %H:%M:%S}",
                row["who"],
                row["what"],
                row["subject"],
                json.dumps(row["detail"], ensure_ascii=False) if row["detail"] else "",
            )
            for row in rows
        ],
    )
