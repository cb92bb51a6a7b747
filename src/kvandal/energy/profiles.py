"""What plants deliver by the hour, over what is installed: the wind and the water behind pay-as-produced contracts."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from functools import cache
from importlib import resources

import numpy as np

from kvandal.climate.weather import shipped_wind
from kvandal.scenario.parameters import value
from kvandal.scenario.supply import PROFILES
from kvandal.series.alignment import on_run
from kvandal.series.reading import read_series
from kvandal.series.regular import Float64, Series

WIND, HYDRO = PROFILES
CUT_IN_M_S, RATED_M_S, CUT_OUT_M_S = 3.0, 12.5, 25.0


def turbine_fraction(wind_m_s: Float64) -> Float64:
    r"""Power of a wind turbine over its rating, from the wind at the hub [m/s].

    .. math:: f = \frac{v^3 - v_i^3}{v_r^3 - v_i^3} \quad (v_i \le v < v_r)

    1 from rated wind to cut-out, 0 outside. Cubic curve of textbooks (e.g. Manwell, McGowan, Rogers, *Wind Energy
    Explained*, 2009), cut-in 3, rated 12.5, cut-out 25 m/s; valid for any wind.

    >>> turbine_fraction(np.array([2.0, 8.0, 12.5, 25.0])).round(3).tolist()
    [0.0, 0.252, 1.0, 0.0]
    """
    cubic = (wind_m_s**3 - CUT_IN_M_S**3) / (RATED_M_S**3 - CUT_IN_M_S**3)
    running = (wind_m_s >= CUT_IN_M_S) & (wind_m_s < CUT_OUT_M_S)
    fraction: Float64 = np.where(running, np.clip(cubic, 0.0, 1.0), 0.0)
    return fraction


@cache
def wind_north() -> Series:
    """Wind power by the hour: the shape of a real year of wind, scaled to the mean of a northern wind farm."""
    source = shipped_wind()
    scaled = source.values * (value("supply.wind_hub_mean_m_s") / source.values.mean())
    fraction = turbine_fraction(scaled) * (1.0 - value("supply.wind_losses"))
    return Series(
        name="wind of Tromsø 2021, scaled to a northern wind farm",
        quantity="wind power",
        unit="1",
        start_utc=source.start_utc,
        step_s=3600,
        values=fraction,
        source=source.source,
        licence=source.licence,
        sha256=source.sha256,
        synthetic=False,
        notes=(
            f"10 m wind scaled to a mean of {value('supply.wind_hub_mean_m_s'):g} m/s at the hub, cubic power curve",
        ),
    )


@cache
def hydro_norway() -> Series:
    """Hydro power by the hour: daily Norwegian production of 2021, about nine tenths of it hydro, over its largest day."""
    text = resources.files("kvandal.energy").joinpath("norway_production_daily_2021.csv").read_text("utf-8")
    daily = np.array([float(row["production_mwh"]) for row in csv.DictReader(text.splitlines())])
    return Series(
        name="Norwegian production 2021",
        quantity="hydro power",
        unit="1",
        start_utc=datetime(2021, 1, 1, tzinfo=UTC),
        step_s=3600,
        values=np.repeat(daily / daily.max(), 24),
        source="Statnett, daily production of Norway 2021 (one missing day filled between its neighbours)",
        licence="MIT (collection), NLOD (Statnett)",
        sha256="",
        synthetic=False,
        notes=("all of Norway's production, about 90 % hydro; constant over the day",),
    )


def delivered_fraction(
    profile: str, start_utc: datetime, days: int, step_s: int
) -> tuple[Float64, Series, str]:
    """Return what a plant delivers over what is installed, one value for each step of a run.

    Parameters
    ----------
    profile
        ``wind-north``, ``hydro-norway`` or a CSV or Parquet file with a zone-aware time column and ``fraction`` (0 to 1).
    start_utc, days, step_s
        The run and its grid.

    Raises
    ------
    SeriesError
        If the file cannot be used: local time, gaps, values beyond 0 to 1, a run that leaves it.

    """
    if profile in PROFILES:
        series = wind_north() if profile == WIND else hydro_norway()
        fraction, rule = on_run(series, start_utc, days * 86_400, 3600, "repeat", "hold")
        return np.repeat(fraction, 3600 // step_s), series, rule
    series = read_series(profile, ("fraction",), quantity="delivered fraction", unit="1", limits=(0.0, 1.0))
    if series.end_s - series.start_s >= 8760 * 3600:
        fraction, rule = on_run(series, start_utc, days * 86_400, step_s, "repeat", "hold")
    else:
        way_out = "or give a profile of a whole year: it is repeated by calendar"
        fraction, rule = on_run(series, start_utc, days * 86_400, step_s, "refuse", "hold", way_out=way_out)
    return fraction, series, rule
