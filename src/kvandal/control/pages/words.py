"""How pages write numbers, times and states; templates use these as filters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from markupsafe import Markup

from kvandal.report import text

STATES = {
    "accepted": "accepted",
    "queued": "waits",
    "running": "runs",
    "recalled": "called back",
    "finished": "finished",
    "failed": "failed",
    "cancelled": "cancelled",
    "timeout": "over its limit",
    "refused": "refused",
    "stopped": "stopped",
}
"""Each state of a job in a word or two."""
GROUPS: Mapping[str, tuple[str, ...]] = {
    "waiting": ("accepted", "queued"),
    "running": ("running", "recalled"),
    "ended": ("finished", "failed", "cancelled", "timeout", "refused", "stopped"),
}
"""States as the page of jobs groups them."""
WATER = {
    "tcs_supply_c": "cold plates, supply",
    "tcs_return_c": "cold plates, return",
    "facility_supply_c": "facility, supply",
    "facility_return_c": "facility, return",
}
UNKNOWN = Markup(text.NOT_KNOWN)  # noqa: S704  (a constant of ours)


def number(value: float | None, decimals: int = 0) -> str:
    """Write a number with groups of three digits."""
    return UNKNOWN if value is None else text.number(value, decimals)


def quantity(value: float | None, unit: str, decimals: int = 0) -> str:
    """Write a number with its unit."""
    return UNKNOWN if value is None else text.quantity(value, unit, decimals)


def percent(share: float | None, decimals: int = 0) -> str:
    """Write a share of 1 in percent."""
    return quantity(None if share is None else share * 100, "%", decimals)


def span(seconds: float | None) -> str:
    """Write a time span in the unit that fits it."""
    return UNKNOWN if seconds is None else text.duration(seconds)


def hours(gpu_seconds: float | None) -> str:
    """Write GPU-seconds as GPU-hours."""
    return quantity(None if gpu_seconds is None else gpu_seconds / 3600, "GPU-h", 1)


def clock(zone: ZoneInfo) -> Callable[[Any], Markup | str]:
    """Return what writes an instant in the time of the site; UTC stands in its title."""

    def written(at: Any) -> Markup | str:
        if isinstance(at, str):
            try:
                at = datetime.fromisoformat(at)
            except ValueError:
                return UNKNOWN
        if not isinstance(at, datetime):
            return UNKNOWN
        local, utc = at.astimezone(zone), at.astimezone(UTC)
        return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(
            f"{utc:%Y-%m-%dT%H:%M:%SZ}", f"{text.day(utc)} {utc:%H:%M:%S}", f"{text.day(local)} {local:%H:%M}"
        )

    return written
