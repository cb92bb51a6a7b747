"""What is not booked yet: readings of the energy clocks, and what has come together since the last full hour."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Integer, Table

from kvandal.control.store.tables.metadata import METADATA

ACCRUALS = Table(
    "accruals",
    METADATA,
    Column("id", Integer, primary_key=True),  # 1
    Column("tick", BigInteger, nullable=False),  # ticks taken into account
    Column("body", JSON, nullable=False),
)
"""State of the meters between two bookings (one row)."""
