"""A regular series and its provenance."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

ALLOWED_STEPS_S = (900, 1800, 3600)
"""Steps that a series may have [s]: 15, 30 and 60 minutes."""


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Values at a constant step, in UTC, and where they came from.

    Attributes
    ----------
    name : short name for reports
    quantity : what is measured, e.g. ``"air temperature"``
    unit : unit of `values`, e.g. ``"degC"``
    start_utc : instant of the first value (aware)
    step_s : step [s]
    values : float64; a price holds from its instant for one step, a temperature is true at its instant
    source, licence : where the values came from and under which terms
    sha256 : checksum of the file (of the values, for a generated series)
    synthetic : True if no measurement or market stands behind the values
    notes : what a reader of the results must know

    """

    name: str
    quantity: str
    unit: str
    start_utc: datetime
    step_s: int
    values: Float64
    source: str
    licence: str
    sha256: str
    synthetic: bool
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.start_utc.utcoffset() is None:
            raise ValueError(f"start_utc must carry its offset from UTC, got {self.start_utc.isoformat()}")
        if self.step_s not in ALLOWED_STEPS_S:
            raise ValueError(f"step_s must be one of {ALLOWED_STEPS_S}, got {self.step_s}")

    def __len__(self) -> int:
        return int(self.values.shape[0])

    @property
    def start_s(self) -> int:
        """Instant of the first value [s since 1970-01-01 UTC]."""
        return epoch_s(self.start_utc)

    @property
    def end_s(self) -> int:
        """End of the last value's step, exclusive [s since 1970-01-01 UTC]."""
        return self.start_s + len(self) * self.step_s

    def time_s(self) -> Int64:
        """Instants of the values [s since 1970-01-01 UTC]."""
        return self.start_s + np.arange(len(self), dtype=np.int64) * self.step_s


def epoch_s(time_utc: datetime) -> int:
    """Whole seconds since 1970-01-01 UTC of an aware instant.

    Examples
    --------
    >>> epoch_s(datetime(2027, 1, 1, tzinfo=UTC))
    1798761600

    """
    if time_utc.utcoffset() is None:
        raise ValueError(f"an instant must carry its offset from UTC, got {time_utc.isoformat()}")
    return (time_utc - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)


def instant(time_s: int) -> datetime:
    """Aware instant of `time_s` seconds since 1970-01-01 UTC."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(time_s))


def clock(time_s: int) -> str:
    """Write an instant for a person.

    Examples
    --------
    >>> clock(1798761600)
    '2027-01-01 00:00 UTC'

    """
    text = str(np.datetime_as_string(np.datetime64(int(time_s), "s"))).replace("T", " ")
    return f"{text.removesuffix(':00')} UTC"
