"""What a caller may see: lists are narrowed to it, and the rest is as if it were not there."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, and_, false, or_, true

from kvandal.control.identity.principal import Places


def seen(places: Places, tenant: Any, project: Any = None) -> ColumnElement[bool]:
    """Return the condition that narrows a table to some places, by its columns of tenants and projects."""
    if places.everywhere:
        return true()
    whole = sorted(name for name, part in places.some if part is None)
    parts = [] if project is None else sorted((name, part) for name, part in places.some if part is not None)
    conditions = [tenant.in_(whole)] if whole else []
    conditions += [and_(tenant == name, project == part) for name, part in parts]
    return or_(*conditions) if conditions else false()
