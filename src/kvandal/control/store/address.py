"""Where a store is: the URL of its database."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from kvandal.errors import InputError

ALLOWED = "sqlite:///FILE or postgresql://USER:PASSWORD@HOST:PORT/NAME"
KEY = "database"


def address_of(url: str) -> URL:
    """Read the URL of a database: ``sqlite:///FILE`` or ``postgresql://…`` (also ``postgres://…``).

    Raises
    ------
    InputError
        It is none of these. The message never holds more of it than its scheme: there may be a password in it.

    """
    scheme = url.split("://", 1)[0] if "://" in url else ""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise InputError(f"is not the URL of a database; allowed: {ALLOWED}", key=KEY) from None
    kind = parsed.get_backend_name()
    if kind in {"postgresql", "postgres"}:
        if not parsed.database:
            raise InputError(f"names no database; allowed: {ALLOWED}", key=KEY)
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername in {"sqlite", "sqlite+pysqlite"}:
        if not parsed.database or parsed.database == ":memory:" or parsed.query:
            raise InputError(f"a store is kept in a file; allowed: {ALLOWED}", key=KEY)
        return parsed.set(drivername="sqlite")
    raise InputError(f"{scheme}:// is not a database that a store can be in; allowed: {ALLOWED}", key=KEY)


def name_of(address: URL) -> str:
    """Write an address for people: without its password and options.

    >>> name_of(address_of("postgresql://kvandal:secret@localhost/site"))
    'postgresql://kvandal:***@localhost/site'
    """
    return address.set(drivername=address.get_backend_name(), query={}).render_as_string(hide_password=True)


def file_of(address: URL) -> Path | None:
    """Return the file of an SQLite database; None for another."""
    if address.get_backend_name() != "sqlite" or address.database is None:
        return None
    return Path(address.database)
