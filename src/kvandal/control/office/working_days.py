"""Working days in Norway: Monday to Friday without the public holidays."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import holidays

OSLO = ZoneInfo("Europe/Oslo")
MONTHS_OF_A_YEAR = 12


@lru_cache(maxsize=256)
def _off(year: int) -> frozenset[date]:
    return frozenset(holidays.country_holidays("NO", years=year))


def is_working_day(day: date) -> bool:
    """Tell whether offices are open on a day.

    >>> is_working_day(date(2027, 5, 17)), is_working_day(date(2027, 5, 18))
    (False, True)
    """
    return day.weekday() < 5 and day not in _off(day.year)


def after_working_days(moment: datetime, days: int) -> datetime:
    """Return the end of the office's day that lies so many working days after an instant, in its time zone.

    The day of the instant does not count.

    >>> after_working_days(datetime(2027, 3, 24, 12, tzinfo=OSLO), 2).isoformat()
    '2027-03-31T00:00:00+02:00'
    """
    day = moment.astimezone(OSLO).date()
    left = days
    while left > 0:
        day += timedelta(days=1)
        left -= is_working_day(day)
    return datetime.combine(day + timedelta(days=1), datetime.min.time(), tzinfo=OSLO)


def end_of_period(moment: datetime, periods_per_year: int) -> datetime:
    """Return the end of the last working day of the part of the year that an instant lies in.

    >>> end_of_period(datetime(2027, 2, 3, tzinfo=OSLO), 4).isoformat()
    '2027-04-01T00:00:00+02:00'
    """
    local = moment.astimezone(OSLO)
    months = max(MONTHS_OF_A_YEAR // periods_per_year, 1)
    index = local.year * MONTHS_OF_A_YEAR + (local.month - 1) // months * months + months
    day = date(index // MONTHS_OF_A_YEAR, index % MONTHS_OF_A_YEAR + 1, 1) - timedelta(days=1)
    while not is_working_day(day):
        day -= timedelta(days=1)
    return datetime.combine(day + timedelta(days=1), datetime.min.time(), tzinfo=OSLO)


def after_months(moment: datetime, months: int) -> datetime:
    """Return the same day and time of day some months later in Oslo; the last day of a month that is shorter.

    >>> after_months(datetime(2027, 11, 30, 9, tzinfo=OSLO), 3).isoformat()
    '2028-02-29T09:00:00+01:00'
    """
    local = moment.astimezone(OSLO)
    index = local.year * MONTHS_OF_A_YEAR + local.month - 1 + months
    year, month = index // MONTHS_OF_A_YEAR, index % MONTHS_OF_A_YEAR + 1
    following = date(year + month // MONTHS_OF_A_YEAR, month % MONTHS_OF_A_YEAR + 1, 1)
    last = (following - timedelta(days=1)).day
    return local.replace(year=year, month=month, day=min(local.day, last))
