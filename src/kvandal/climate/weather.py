"""The weather of a run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np

from kvandal.climate.epw import TEMP_LIMITS_C, read_epw
from kvandal.climate.shift import narvik_normals_c, shifted
from kvandal.climate.wet_bulb import wet_bulb_c
from kvandal.errors import SeriesError
from kvandal.scenario.plant import Climate
from kvandal.series.alignment import on_run
from kvandal.series.reading import read_many, read_series
from kvandal.series.regular import Float64, Series

SHIPPED = "tromso-2021-era5"
_SHIPPED_NAME = "Tromsø 2021 ERA5"
_NORMAL_YEAR_START = datetime(2021, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, eq=False)
class Weather:
    """Hourly weather of a run; instants from its start to its end, both included.

    Attributes
    ----------
    name : place, year and shift, for reports
    start_utc : start of the run (aware)
    temp_c : air temperature [°C], ``days * 24 + 1`` values, linear between
    wet_bulb_c : wet-bulb temperature [°C], or None where humidity is not known
    relative_humidity_pct : relative humidity [%], or None where it is not known
    series : the temperatures (shifted, if so asked) before they were laid over the run, with their provenance
    rule : how the series was laid over the run

    """

    name: str
    start_utc: datetime
    temp_c: Float64
    wet_bulb_c: Float64 | None
    relative_humidity_pct: Float64 | None
    series: Series
    rule: str


def load_weather(climate: Climate, start_utc: datetime, days: int) -> Weather:
    """Load, shift and align the weather that a scenario asks for.

    Parameters
    ----------
    climate
        The scenario's part: ``weather`` is ``tromso-2021-era5`` or the path of an EPW, CSV or Parquet file (time
        column with zone, ``temp_c`` [°C], and if known ``relative_humidity_pct`` [%]).
    start_utc, days
        The run.

    Raises
    ------
    SeriesError
        If the file cannot be used, or the run leaves it and ``climate.at_end`` is ``"refuse"``.

    """
    name, series, humidity = _read(climate.weather)
    rules = []
    if climate.shift_to == "narvik":
        series = replace(
            series,
            values=shifted(series, narvik_normals_c()),
            notes=(
                *series.notes,
                "monthly means shifted to the normals of Narvik; variance and extremes are not shifted",
            ),
        )
        name += ", shifted to Narvik monthly normals"
        rules.append("shifted to the monthly normals of Narvik")
    duration_s = days * 86_400
    temp_c, rule = on_run(series, start_utc, duration_s, 3600, climate.at_end, "linear")
    rules.append(rule)
    humidity_pct = wet_c = None
    if humidity is not None:
        humidity_pct, _ = on_run(humidity, start_utc, duration_s, 3600, climate.at_end, "linear")
        wet_c = wet_bulb_c(temp_c, humidity_pct)
        note = "wet bulb from relative humidity after Stull (2011)"
        if climate.shift_to == "narvik":
            note += "; relative humidity is not shifted with the temperature"
        series = replace(series, notes=(*series.notes, note))
    else:
        series = replace(series, notes=(*series.notes, "humidity is not known, so neither is the wet bulb"))
    return Weather(
        name=name,
        start_utc=start_utc,
        temp_c=temp_c,
        wet_bulb_c=wet_c,
        relative_humidity_pct=humidity_pct,
        series=series,
        rule="; ".join(rules),
    )


@cache
def normal_year() -> tuple[datetime, Float64]:
    """Start and 8,760 hourly temperatures [°C] of a normal year in Narvik: the shipped year, shifted."""
    weather = load_weather(Climate(), _NORMAL_YEAR_START, 365)
    temp_c = weather.temp_c[:-1]
    temp_c.flags.writeable = False
    return weather.start_utc, temp_c


def _read(weather: str) -> tuple[str, Series, Series | None]:
    """Name, temperatures and, if known, relative humidity."""
    if weather == SHIPPED:
        return _SHIPPED_NAME, _shipped(), None
    path = Path(weather)
    suffix = path.suffix.lower()
    if suffix == ".epw":
        epw = read_epw(path)
        name = f"{epw.place} ({path.name})" if epw.place else path.name
        if epw.relative_humidity_pct is None:
            return name, epw.temp, None
        humidity = replace(epw.temp, quantity="relative humidity", unit="%", values=epw.relative_humidity_pct)
        return name, epw.temp, humidity
    if suffix not in {".csv", ".parquet"}:
        raise SeriesError(
            f"no such weather; give {SHIPPED!r} or the path of an .epw, .csv or .parquet file, got {path.name!r}",
            key="climate.weather",
        )
    temp, found = read_many(
        path,
        [
            (("temp_c",), "air temperature", "degC", TEMP_LIMITS_C),
            (("relative_humidity_pct", "rh_pct"), "relative humidity", "%", (0.0, 110.0)),
        ],
    )
    assert temp is not None
    if found is not None:
        found = replace(found, values=np.minimum(found.values, 100.0))
    return path.name, temp, found


@cache
def shipped_wind() -> Series:
    """Wind of the shipped year [m/s, 10 m above the ground]."""
    found = _shipped_column("wind_kmh", "wind", "km/h", (0.0, 400.0))
    return replace(found, unit="m/s", values=found.values / 3.6)


@cache
def _shipped() -> Series:
    return _shipped_column("temp_c", "air temperature", "degC", TEMP_LIMITS_C)


def _shipped_column(column: str, quantity: str, unit: str, limits: tuple[float, float]) -> Series:
    with resources.as_file(resources.files("kvandal.climate").joinpath("tromso_2021_era5.parquet")) as path:
        found = read_series(
            path,
            (column,),
            quantity=quantity,
            unit=unit,
            limits=limits,
            licence="CC-BY-4.0 (Open-Meteo); contains modified Copernicus Climate Change Service information",
        )
    return replace(
        found,
        name=SHIPPED,
        source="Open-Meteo archive API, ERA5 reanalysis, grid cell 69.75 N 18.75 E, shipped with the product",
        notes=("reanalysis of a grid cell, not a measurement; about 155 km from Narvik",),
    )
