"""What a line of the fidelity page is: our values beside those of a reference, and how far apart they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fidelity.figure import Figure

Float64 = npt.NDArray[np.float64]


class DataMissingError(Exception):
    """The real data beside the checkout are not there."""


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison.

    Attributes
    ----------
    key : short name for tests
    quantity : what is compared
    model : our function
    reference : what it is compared with
    where : range and number of points
    unit : of the values
    ours, low, high : our values; the reference as a range, or as points where both ends are equal
    verdict : why we are off, in one sentence
    places : decimals of the values
    floor : a relative error is stated for references larger than this

    """

    key: str
    quantity: str
    model: str
    reference: str
    where: str
    unit: str
    ours: Float64
    low: Float64
    high: Float64
    verdict: str
    places: int = 2
    floor: float = 0.0

    @property
    def error(self) -> Float64:
        """Ours less the reference; 0 inside a range."""
        return np.asarray(self.ours - np.clip(self.ours, self.low, self.high), dtype=np.float64)

    @property
    def relative(self) -> Float64:
        """Error over the reference (over the nearer end of a range)."""
        nearer = np.clip(self.ours, self.low, self.high)
        enough = np.abs(nearer) > self.floor
        return np.asarray(self.error[enough] / nearer[enough], dtype=np.float64)

    @property
    def worst(self) -> int:
        """Place of the largest error."""
        return int(np.argmax(np.abs(self.error)))

    @property
    def maximum(self) -> float:
        """Largest error, with its sign."""
        return float(self.error[self.worst])

    @property
    def rms(self) -> float:
        """Root mean square of the error."""
        return float(np.sqrt(np.mean(self.error**2)))

    @property
    def maximum_pct(self) -> float:
        """Largest relative error [%], with its sign; NaN where none can be stated."""
        return (
            100 * float(self.relative[np.argmax(np.abs(self.relative))])
            if self.relative.size
            else float("nan")
        )

    @property
    def rms_pct(self) -> float:
        """Root mean square of the relative error [%]."""
        return 100 * float(np.sqrt(np.mean(self.relative**2))) if self.relative.size else float("nan")

    def cells(self) -> str:
        """Write the row as cells of the table, from the second on."""
        i, unit = self.worst, f" {self.unit}" if self.unit else ""
        low, high = number(self.low[i], self.places), number(self.high[i], self.places)
        reference = low if low == high else f"{low} to {high}"
        share = "" if np.isnan(self.maximum_pct) else f" ({signed(self.maximum_pct)} %)"
        mean_share = "" if np.isnan(self.rms_pct) else f" ({short(self.rms_pct)} %)"
        cells = (
            self.quantity,
            f"`{self.model}`",
            self.reference,
            self.where,
            f"{number(self.ours[i], self.places)} / {reference}{unit}",
            f"{signed(self.maximum)}{unit}{share}",
            f"{short(self.rms)}{unit}{mean_share}",
            self.verdict,
        )
        return " | ".join(cells) + " |"


@dataclass(frozen=True, slots=True)
class Section:
    """Rows of one part of the plant, their figure, and what is to be known about them."""

    rows: Sequence[Row]
    figure: Figure
    text: str


Group = Callable[[], Section]


def row(
    key: str,
    quantity: str,
    model: str,
    reference: str,
    where: str,
    unit: str,
    ours: npt.ArrayLike,
    low: npt.ArrayLike,
    verdict: str,
    high: npt.ArrayLike | None = None,
    places: int = 2,
    floor: float = 0.0,
) -> Row:
    """Build a row from numbers or arrays; a reference without `high` is a point."""
    values = np.atleast_1d(np.asarray(ours, dtype=np.float64)).ravel()
    lows = np.atleast_1d(np.asarray(low, dtype=np.float64)).ravel()
    highs = lows if high is None else np.atleast_1d(np.asarray(high, dtype=np.float64)).ravel()
    return Row(key, quantity, model, reference, where, unit, values, lows, highs, verdict, places, floor)


def number(value: float, places: int) -> str:
    """Write a number with its decimals and a true minus sign; never minus zero."""
    text = f"{value:.{places}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "\u2212")


def short(value: float) -> str:
    """Two significant digits without an exponent; what is below a thousandth is not spelled out."""
    if abs(value) < 1e-3:
        return "0" if abs(value) < 1e-9 else "< 0.001"
    places = max(0, 1 - int(np.floor(np.log10(abs(value)))))
    return number(value, places)


def signed(value: float) -> str:
    """As :func:`short`, with a plus sign where it is positive."""
    text = short(value)
    return text if text[0] in "0<\u2212" and value < 1e-3 else f"+{text}"
