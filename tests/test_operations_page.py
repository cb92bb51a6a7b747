"""docs/operations.md says what is so: its tables are those of the settings, the figures and the alerts."""

from __future__ import annotations

import re

import operations_tables
from kvandal.control.settings_sources import keys


def test_the_tables_are_up_to_date() -> None:
    """If not: python docs/operations_tables.py."""
    page = operations_tables.PAGE.read_text(encoding="utf-8")

    assert operations_tables.written(page) == page


def test_every_setting_stands_in_the_page() -> None:
    told = set(re.findall(r"(?m)^\| `([\w.]+)` \|", operations_tables.settings()))

    assert set(keys()) - told == set(operations_tables.HIDDEN)


def test_files_that_the_page_names_are_there() -> None:
    root = operations_tables.PAGE.parent.parent
    named = set(re.findall(r"`(deploy/[^`]+)`", operations_tables.PAGE.read_text(encoding="utf-8")))

    assert len(named) >= 6
    assert [name for name in named if not (root / name).exists()] == []
