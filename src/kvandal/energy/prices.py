"""The day-ahead prices of a run: generated, or from the user's file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from kvandal.energy import price_generator
from kvandal.errors import SeriesError
from kvandal.scenario.market import Market
from kvandal.series.alignment import on_run
from kvandal.series.reading import read_series, split_column
from kvandal.series.regular import Float64, Series

SYNTHETIC = "synthetic-no4"
LIMITS_EUR_PER_MWH = (-100_000.0, 100_000.0)
"""Prices beyond these are taken as an error of the file; European day-ahead is harmonised at -500 to 4,000."""


@dataclass(frozen=True, slots=True, eq=False)
class Prices:
    """Prices of a run; each holds for its step.

    Attributes
    ----------
    name : for reports
    start_utc : start of the run (aware)
    step_s : 3600, or 900 if the series is finer than an hour [s]
    eur_per_mwh : one price for each step of the run [EUR/MWh]
    series : the series as read or generated, with its provenance
    rule : how the series was laid over the run
    synthetic : True if generated

    """

    name: str
    start_utc: datetime
    step_s: int
    eur_per_mwh: Float64
    series: Series
    rule: str
    synthetic: bool


def load_prices(market: Market, start_utc: datetime, days: int, seed: int) -> Prices:
    """Load or generate the prices that a scenario asks for.

    Parameters
    ----------
    market
        The scenario's part: ``prices`` is ``synthetic-no4`` or the path of a CSV or Parquet file with a column
        ``eur_per_mwh`` or a single ``*_eur_per_mwh``; ``file.parquet#COLUMN`` chooses among several.
    start_utc, days
        The run.
    seed
        Seed of the run, for the generator.

    Raises
    ------
    SeriesError
        If the file cannot be used, or the run leaves it and ``market.at_end`` is ``"refuse"``.

    """
    if market.prices == SYNTHETIC:
        return _generated(market.spot_mean_eur_per_mwh, start_utc, days, seed)
    path, column = split_column(market.prices)
    if path.suffix.lower() not in {".csv", ".parquet"}:
        raise SeriesError(
            f"no such prices; give {SYNTHETIC!r} or the path of a .csv or .parquet file, got {path.name!r}",
            key="market.prices",
        )
    if column is not None and not column.endswith("eur_per_mwh"):
        raise SeriesError(f"prices are in EUR/MWh: name a column *_eur_per_mwh, got {column!r}", file=path)
    try:
        series = read_series(
            path,
            ("eur_per_mwh",),
            quantity="day-ahead price",
            unit="EUR/MWh",
            suffix="_eur_per_mwh",
            column=column,
            limits=LIMITS_EUR_PER_MWH,
        )
        step_s = 3600 if series.step_s == 3600 else 900
        eur_per_mwh, rule = on_run(series, start_utc, days * 86_400, step_s, market.at_end, "hold")
    except SeriesError as error:
        raise error.of("market.prices") from None
    return Prices(
        name=series.name,
        start_utc=start_utc,
        step_s=step_s,
        eur_per_mwh=eur_per_mwh,
        series=series,
        rule=rule,
        synthetic=False,
    )


def _generated(mean_eur_per_mwh: float, start_utc: datetime, days: int, seed: int) -> Prices:
    eur_per_mwh = price_generator.prices_eur_per_mwh(start_utc, days * 24, mean_eur_per_mwh, seed)
    series = Series(
        name=price_generator.NAME,
        quantity="day-ahead price",
        unit="EUR/MWh",
        start_utc=start_utc,
        step_s=3600,
        values=eur_per_mwh,
        source=f"seeded generator of the product (seed {seed}, yearly mean {mean_eur_per_mwh:g} EUR/MWh)",
        licence="Apache-2.0",
        sha256=hashlib.sha256(eur_per_mwh.astype("<f8").tobytes()).hexdigest(),
        synthetic=True,
        notes=(
            "statistics of the zone NO4, not its history; not correlated with the weather of the run",
            "hourly, while the market clears per 15 minutes since 2025-10-01",
        ),
    )
    return Prices(
        name=price_generator.NAME,
        start_utc=start_utc,
        step_s=3600,
        eur_per_mwh=eur_per_mwh,
        series=series,
        rule="generated for the run; every calendar year (UTC) has the asked mean",
        synthetic=True,
    )
