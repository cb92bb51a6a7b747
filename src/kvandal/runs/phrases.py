"""Times, durations and amounts in words, as the life of a job is told in them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo


def duration(time: timedelta | float) -> str:
    """Write a time span, to the second.

    >>> duration(0), duration(150), duration(3 * 3600 + 600), duration(90_061)
    ('0 s', '2 min 30 s', '3 h 10 min', '1 d 1 h 1 min 1 s')
    """
    seconds = round(time.total_seconds() if isinstance(time, timedelta) else time)
    parts = []
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count:,} {unit}")
    return " ".join(parts) or "0 s"


def gpus(count: int) -> str:
    """Write a number of GPUs.

    >>> gpus(1), gpus(1024)
    ('1 GPU', '1,024 GPUs')
    """
    return counted(count, "GPU")


def counted(count: int, noun: str) -> str:
    """Write a number of things.

    >>> counted(1, "recall"), counted(3, "recall")
    ('1 recall', '3 recalls')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def gpu_hours(gpu_s: float) -> str:
    """Write GPU-seconds as GPU-hours; what is smaller than a hundredth shows that it is there.

    >>> gpu_hours(0), gpu_hours(3600), gpu_hours(9_000_000), gpu_hours(1)
    ('0 GPU-h', '1.00 GPU-h', '2,500 GPU-h', 'under 0.01 GPU-h')
    """
    hours = gpu_s / 3600
    if hours == 0:
        return "0 GPU-h"
    if hours < 0.01:
        return "under 0.01 GPU-h"
    return f"{hours:,.0f} GPU-h" if hours >= 1000 else f"{hours:,.2f} GPU-h"


def listed(parts: Sequence[str]) -> str:
    """Join parts as a sentence does.

    >>> listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])
    ('a', 'a and b', 'a, b and c')
    """
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


class Clock:
    """Instants in the time of a place; a day is named when it is another than that of the instant before.

    >>> from datetime import UTC
    >>> clock = Clock("Europe/Oslo")
    >>> clock.at(datetime(2027, 1, 12, 6, 0, tzinfo=UTC)), clock.at(datetime(2027, 1, 12, 6, 41, 5, tzinfo=UTC))
    ('12 January 2027 07:00', '07:41:05')
    """

    def __init__(self, time_zone: str) -> None:
        self._zone = ZoneInfo(time_zone)
        self._last: datetime | None = None

    def at(self, instant: datetime) -> str:
        """Write an instant; seconds only where it has some."""
        local = instant.astimezone(self._zone)
        text = f"{local:%H:%M:%S}" if local.second else f"{local:%H:%M}"
        before, self._last = self._last, local
        if before is not None and before.date() == local.date():
            return text
        year = "" if before is not None and before.year == local.year else f" {local.year}"
        return f"{local.day} {local:%B}{year} {text}"
