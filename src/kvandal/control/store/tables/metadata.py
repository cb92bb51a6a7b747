"""What all tables share: one registry of them, times, ids."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Dialect, Integer, MetaData
from sqlalchemy.types import TypeDecorator

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)
"""All tables of the store."""
APPEND_ONLY = {"append_only": True}
"""Given as `info` of a table: the database refuses to change or remove its rows."""
SEQUENCE = BigInteger().with_variant(Integer, "sqlite")
"""Numbers that the database counts up by itself."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


class UtcTime(TypeDecorator[datetime]):
    """An instant as whole microseconds since 1970 in UTC, so that every database keeps and orders it alike."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Turn an aware time into microseconds."""
        del dialect
        return None if value is None else (value - EPOCH) // MICROSECOND

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Turn microseconds into an aware time."""
        del dialect
        return None if value is None else EPOCH + value * MICROSECOND


def new_id(kind: str) -> str:
    """Return a new id: the kind, the time in milliseconds, 80 random bits; later ids sort behind earlier ones.

    >>> new_id("job").startswith("job_")
    True
    """
    number = time.time_ns() // 1_000_000 << 80 | secrets.randbits(80)
    return f"{kind}_" + "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))
