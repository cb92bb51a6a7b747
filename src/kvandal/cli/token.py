"""`kvandal token`: tokens of programs, made and revoked on the database of the control plane itself."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from kvandal.cli.database import ConfigOption, DatabaseOption, database_url, serve_extra
from kvandal.cli.options import JsonOption, emit, note, print_json, print_table


def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is for.")],
    person: Annotated[
        str,
        typer.Option(
            metavar="WHO", help="In whose name: an address, an id, or a new name together with --role."
        ),
    ],
    role: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE[:TENANT[/PROJECT]]",
            help="A role that the person is given, e.g. operator or member:norway-research. Repeatable.",
        ),
    ] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ACTION", help="What the token may do. Repeatable. [default: all that the person may]"
        ),
    ] = None,
    tenant: Annotated[str | None, typer.Option(metavar="NAME", help="Only for this tenant.")] = None,
    project: Annotated[str | None, typer.Option(metavar="NAME", help="Only for this project.")] = None,
    days: Annotated[int, typer.Option(help="How long it lives [d]; 366 at most.")] = 90,
    database: DatabaseOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a token and print it, once: it is kept nowhere. Also how a site gets its first operator."""
    from datetime import UTC, datetime

    with serve_extra("token"):
        from kvandal.control.identity.by_hand import create_by_hand
        from kvandal.control.store.database import open_store
    with open_store(database_url(database, config)) as store, store.begin() as tx:
        row, token = create_by_hand(
            tx,
            name=name,
            who=person,
            roles=role or (),
            scopes=scope or (),
            tenant=tenant,
            project=project,
            days=days,
            now=datetime.now(UTC),
        )
        told = _document(dict(row))
    if as_json:
        print_json({**told, "token": token})
    else:
        note(
            f"token {told['prefix']}... of {person}, until {told['expires_utc'][:10]}; it is shown this once:"
        )
        emit(token)


def list_(database: DatabaseOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show all tokens, without their secrets."""
    with serve_extra("token"):
        from kvandal.control.identity.by_hand import tokens_by_hand
        from kvandal.control.store.database import open_store
    with open_store(database_url(database, config), create=False) as store, store.read() as tx:
        rows = [_document(row) for row in tokens_by_hand(tx)]
    if as_json:
        print_json(rows)
        return
    headings = ("begins with", "name", "person", "for", "state", "expires", "last used", "may")
    print_table(
        store.name,
        [(heading, "left") for heading in headings],
        [
            (
                row["prefix"],
                row["name"],
                row["person_name"],
                "/".join(part for part in (row["tenant"], row["project"]) if part) or "all",
                row["state"],
                row["expires_utc"][:10],
                (row["used_utc"] or "never")[:16].replace("T", " "),
                ", ".join(row["scopes"]),
            )
            for row in rows
        ],
    )


def revoke(
    token: Annotated[
        str, typer.Argument(metavar="TOKEN", help="Its id, or how it begins: kvd_ and eight letters.")
    ],
    reason: Annotated[str, typer.Option(help="Why, for the audit trail.")] = "",
    database: DatabaseOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Revoke a token, for good; a service that runs refuses it within seconds."""
    from datetime import UTC, datetime

    with serve_extra("token"):
        from kvandal.control.identity.by_hand import revoke_by_hand
        from kvandal.control.store.database import open_store
    with open_store(database_url(database, config), create=False) as store, store.begin() as tx:
        told = _document(dict(revoke_by_hand(tx, token, now=datetime.now(UTC), reason=reason)))
    if as_json:
        print_json(told)
    else:
        emit(f"token {told['prefix']}... ({told['name']}) is revoked")


def _document(row: dict[str, Any]) -> dict[str, Any]:
    from datetime import UTC, datetime

    over = "expired" if row["expires_utc"] <= datetime.now(UTC) else "valid"
    told = {name: row[name] for name in row if name != "digest"}
    instants = {name: value.isoformat() for name, value in told.items() if isinstance(value, datetime)}
    return {**told, **instants, "state": "revoked" if row["revoked_utc"] else over}
