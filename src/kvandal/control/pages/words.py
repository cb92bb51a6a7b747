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
HAPPENINGS = {
    "accepted": "accepted",
    "hold": "waits",
    "start": "started",
    "notice": "called back",
    "move": "its loan moved to another lender",
    "promote": "runs on its tenant's own share now",
    "demote": "runs on a loan now",
    "take": "taken off its nodes",
    "end": "ended",
    "refuse": "refused",
}
"""Each kind of event of a job; one that is not here is told by its name."""
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


def happening(kind: str, detail: Mapping[str, Any] | None) -> str:
    r"""Tell what happened to a job, in words and numbers.

    >>> happening("start", {"attempt": 2, "tier": "firm", "gpus": 8, "shares": [["r1n01", 4], ["r1n02", 4]]})
    'started, attempt 2, firm, 8 GPUs on 2 nodes'
    >>> happening("end", {"attempt": 1, "outcome": "finished", "used_gpu_s": 5400})
    'ended, finished, 1.5\xa0GPU-h used'
    """
    known = dict(detail or {})
    said = [HAPPENINGS.get(kind, kind)]
    if words := known.pop("text", ""):
        return f"{said[0]}: {words}"
    shares, gpus = known.pop("shares", None), known.get("gpus")
    for key, value in known.items():
        if key == "attempt":
            said += [f"attempt {value}"] if isinstance(value, int) and value > 1 else []
        elif key in {"tier", "outcome"}:
            said.append(str(value))
        elif key == "gpus" and shares:
            said.append(f"{number(gpus)} GPUs on {number(len(shares))} nodes")
        elif key.endswith("_gpu_s") and isinstance(value, int | float):
            said.append(f"{hours(value)} {key.removesuffix('_gpu_s')}")
        elif isinstance(value, str | int | float):
            said.append(
                f"{key.replace('_', ' ')} {number(value) if isinstance(value, int | float) else value}"
            )
    return ", ".join(said)
