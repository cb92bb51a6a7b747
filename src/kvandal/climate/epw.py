"""Read EnergyPlus weather files (EPW): 8 header lines, then one line of 35 fields per hour."""

from __future__ import annotations

import calendar
import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kvandal.errors import SeriesError
from kvandal.series.regular import Float64, Series, clock, epoch_s, instant
from kvandal.series.table import read_bytes

HEADER_LINES = 8
FIELDS = 35
TEMP_LIMITS_C = (-90.0, 70.0)
"""Lowest and highest air temperature taken as possible [°C]; EPW itself ends at ±70."""
MISSING_TEMP_C = 99.9
MISSING_HUMIDITY_PCT = 999.0
TYPICAL_YEAR = 2001
"""Year given to a file whose months come from different years."""


@dataclass(frozen=True, slots=True)
class EpwWeather:
    """Temperature and, if the file has it, humidity of an EPW file."""

    place: str
    temp: Series
    relative_humidity_pct: Float64 | None


def read_epw(path: Path) -> EpwWeather:
    """Read an EPW file.

    Fields used: 1 year, 2 month, 3 day, 4 hour (1-24), 7 dry bulb [°C, missing 99.9], 9 relative humidity
    [%, missing 999]. Field 8, the dew point, is not needed. Hour *h* is taken as the instant *h*:00 of local
    standard time, hour 24 as midnight at the end of the day; the zone stands in field 9 of the header line LOCATION.

    Files of a typical year take their months from several years: the instants then get the year 2001, and the
    series can only be repeated by calendar.

    References
    ----------
    U.S. Department of Energy, "EnergyPlus Auxiliary Programs", chapter "EnergyPlus Weather File (EPW) Data
    Dictionary".

    Raises
    ------
    SeriesError
        Naming the line.

    """
    raw = read_bytes(path)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")  # older files hold place names in Latin-1; all else in them is ASCII
    lines = text.splitlines()
    place, zone_h = _location(lines, path)
    body = [
        (number, line)
        for number, line in enumerate(lines[HEADER_LINES:], start=HEADER_LINES + 1)
        if line.strip()
    ]
    if len(body) < 2:
        raise SeriesError(
            f"holds {len(body)} hours after its {HEADER_LINES} header lines; at least 2 are needed", file=path
        )
    temp_c = np.empty(len(body))
    humidity_pct = np.empty(len(body))
    years: set[int] = set()
    moments: list[tuple[int, int, int]] = []
    for row, (number, line) in enumerate(body):
        fields = next(csv.reader([line]))
        where = f"line {number}"
        if len(fields) != FIELDS:
            raise SeriesError(f"an hour has {FIELDS} fields, got {len(fields)}", file=path, key=where)
        year, month, day, hour = (
            _whole(fields[at], name, path, where) for at, name in enumerate(("year", "month", "day", "hour"))
        )
        if not (1 <= month <= 12 and 1 <= day <= 31 and 1 <= hour <= 24):
            raise SeriesError(
                f"month, day and hour must lie in 1-12, 1-31 and 1-24, got {month}, {day}, {hour}",
                file=path,
                key=where,
            )
        years.add(year)
        moments.append((month, day, hour))
        temp_c[row] = _dry_bulb(fields[6], path, where)
        humidity_pct[row] = _number(fields[8], "relative humidity (field 9)", path, where)
    start_s = _start_s(years, moments, body, path)
    humidity, notes = _humidity(humidity_pct, body, path)
    if len(years) > 1:
        notes += (f"a typical year: its months come from {min(years)}-{max(years)}",)
    series = Series(
        name=path.name,
        quantity="air temperature",
        unit="degC",
        start_utc=instant(start_s - round(zone_h * 3600)),
        step_s=3600,
        values=temp_c,
        source=str(path),
        licence="not stated",
        sha256=hashlib.sha256(raw).hexdigest(),
        synthetic=False,
        notes=notes,
    )
    return EpwWeather(place=place, temp=series, relative_humidity_pct=humidity)


def _location(lines: list[str], path: Path) -> tuple[str, float]:
    fields = next(csv.reader(lines[:1]), [])
    if not fields or fields[0].strip().upper() != "LOCATION":
        raise SeriesError("an EPW file begins with a line LOCATION,…", file=path, key="line 1")
    if len(fields) < 10:
        raise SeriesError(f"LOCATION has 10 fields, got {len(fields)}", file=path, key="line 1")
    zone_h = _number(fields[8], "the time zone (field 9)", path, "line 1")
    if not -12 <= zone_h <= 14 or zone_h * 4 % 1:
        raise SeriesError(
            f"the time zone must be hours from -12 to 14, got {fields[8].strip()}", file=path, key="line 1"
        )
    return fields[1].strip(), zone_h


def _start_s(
    years: set[int], moments: list[tuple[int, int, int]], body: list[tuple[int, str]], path: Path
) -> int:
    """Instant of the first hour as if local time were UTC; every further hour must follow the one before it."""
    leap = (2, 29) in {(month, day) for month, day, _ in moments}
    year = min(years) if len(years) == 1 else TYPICAL_YEAR
    if leap and not calendar.isleap(year):
        year = 2000
    if not 1900 <= year <= 2200:
        raise SeriesError(f"the year must lie in 1900-2200, got {year}", file=path, key=f"line {body[0][0]}")
    month, day, hour = moments[0]
    if day > calendar.monthrange(year, month)[1]:
        raise SeriesError(f"month {month} has no day {day}", file=path, key=f"line {body[0][0]}")
    start_s = epoch_s(instant(0).replace(year=year, month=month, day=day)) + hour * 3600
    time_s = start_s + 3600 * np.arange(len(moments), dtype=np.int64)
    for row, (found, expected_s) in enumerate(zip(moments, time_s - 3600, strict=True)):
        beginning = instant(int(expected_s))
        if found != (beginning.month, beginning.day, beginning.hour + 1):
            raise SeriesError(
                f"month {found[0]}, day {found[1]}, hour {found[2]} does not follow the hour before it; expected hour "
                f"{beginning.hour + 1} of {clock(int(expected_s))[:10]}",
                file=path,
                key=f"line {body[row][0]}",
            )
    return start_s


def _dry_bulb(text: str, path: Path, where: str) -> float:
    temp_c = _number(text, "dry bulb (field 7)", path, where)
    if temp_c == MISSING_TEMP_C:
        raise SeriesError(
            "dry bulb (field 7) is missing (99.9); fill it from the hours around it", file=path, key=where
        )
    if not TEMP_LIMITS_C[0] <= temp_c <= TEMP_LIMITS_C[1]:
        raise SeriesError(
            f"dry bulb (field 7) must lie in {TEMP_LIMITS_C[0]:g} to {TEMP_LIMITS_C[1]:g} °C, got {temp_c:g}",
            file=path,
            key=where,
        )
    return temp_c


def _humidity(
    humidity_pct: Float64, body: list[tuple[int, str]], path: Path
) -> tuple[Float64 | None, tuple[str, ...]]:
    missing = humidity_pct == MISSING_HUMIDITY_PCT
    if missing.all():
        return None, ("the file holds no relative humidity",)
    wrong = np.flatnonzero(missing | (humidity_pct < 0) | (humidity_pct > 110))
    if wrong.size:
        row = int(wrong[0])
        raise SeriesError(
            f"relative humidity (field 9) must lie in 0 to 110 % (999 means missing), got {humidity_pct[row]:g}",
            file=path,
            key=f"line {body[row][0]}",
        )
    return np.minimum(humidity_pct, 100.0), ()


def _number(text: str, name: str, path: Path, where: str) -> float:
    try:
        number = float(text.replace("_", "?"))
    except ValueError:
        number = np.nan
    if not np.isfinite(number):
        raise SeriesError(
            f"{name} must be a number, got {text.strip()[:40]!r}", file=path, key=where
        ) from None
    return number


def _whole(text: str, name: str, path: Path, where: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise SeriesError(
            f"the {name} must be a whole number, got {text.strip()[:40]!r}", file=path, key=where
        ) from None
