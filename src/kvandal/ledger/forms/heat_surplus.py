"""Surplus heat of a run: how much, how warm, when, and how much of it is used."""

from __future__ import annotations

import polars as pl

from kvandal.ledger.forms.lines import HAND_OVER, Line, Source, missing, worked_out
from kvandal.ledger.indicators import ratio

SURPLUS, MONTHS = "Surplus heat", "Surplus heat by month"
FWS = "facility water, before the heat exchangers"
AIR = "hall air, at the fan walls"


def hourly_surplus(source: Source) -> pl.DataFrame:
    """Surplus heat of every hour: means `used_mw`, `left_mw` (both in the water), `air_mw`, `water_c`, `air_c`.

    Water gives its heat to customers first and to the coolers after. What is rejected and not through the coolers is the heat of
    the hall air, which leaves through the fan walls: no customer can have it.
    """
    site = (
        source.tables["site"]
        .group_by_dynamic("time_utc", every="1h")
        .agg(pl.col("heat_export_mw", "heat_rejected_mw", "fws_return_c", "hall_air_c").mean())
    )
    halls = source.tables["halls"].group_by("time_utc").agg(pl.col("heat_rejected_mw").sum().alias("left_mw"))
    left = pl.col("left_mw").fill_null(0.0)
    joined = site.join(halls, on="time_utc", how="left").sort("time_utc")
    return joined.select(
        "time_utc",
        pl.col("heat_export_mw").alias("used_mw"),
        left,
        (pl.col("heat_rejected_mw") - left).alias("air_mw"),
        pl.col("fws_return_c").alias("water_c"),
        pl.col("hall_air_c").alias("air_c"),
    )


def surplus_lines(source: Source) -> list[Line]:
    """Return what there is in a year, and month by month what the run held."""
    hours = hourly_surplus(source)
    used, left, air = (float(hours[name].sum()) for name in ("used_mw", "left_mw", "air_mw"))
    years, most = source.years, float((hours["used_mw"] + hours["left_mw"]).max() or 0.0)  # type: ignore[arg-type]
    scaled = "scaled to 365 days"
    return [
        Line(SURPLUS, "H", "Surplus heat in the facility water, in a year", (used + left) / years, "MWh", "simulated", FWS, f"exported and rejected by the coolers, {scaled}"),
        Line(SURPLUS, "H used", "Of it used", used / years, "MWh", "simulated", HAND_OVER, f"exported, {scaled}"),
        Line(SURPLUS, "H left", "Of it left unused", left / years, "MWh", "simulated", FWS, f"rejected by the coolers, {scaled}"),
        worked_out(SURPLUS, "share", "Share used", ratio(used, used + left), "1", FWS, "H used / H"),
        Line(SURPLUS, "H peak", "Largest surplus heat of an hour", most, "MW", "simulated", FWS, "exported and rejected"),
        worked_out(SURPLUS, "T", "Temperature of the water, mean", source.site_mean("fws_return_c"), "°C", FWS, "mean over time of fws_return_c"),
        worked_out(SURPLUS, "T lowest", "Lowest of an hour", _number(hours["water_c"].min()), "°C", FWS, "fws_return_c"),
        worked_out(SURPLUS, "T highest", "Highest of an hour", _number(hours["water_c"].max()), "°C", FWS, "fws_return_c"),
        Line(SURPLUS, "H air", "Surplus heat in the air of the halls, in a year", air / years, "MWh", "simulated", AIR, f"rejected through the fan walls, {scaled}; no exchanger takes it up"),
        worked_out(SURPLUS, "T air", "Temperature of the air, mean", source.site_mean("hall_air_c"), "°C", AIR, "mean over time of hall_air_c, the warmest hall's supply"),
        *_by_month(hours),
    ]  # fmt: skip


def _by_month(hours: pl.DataFrame) -> list[Line]:
    by_month = (
        hours.group_by_dynamic("time_utc", every="1mo")
        .agg(pl.col("used_mw", "left_mw").sum(), pl.col("water_c").mean(), pl.len().alias("hours"))
        .sort("time_utc")
    )
    lines: list[Line] = []
    seen: set[int] = set()
    for row in by_month.iter_rows(named=True):
        month, days = row["time_utc"].strftime("%Y-%m"), row["hours"] / 24
        seen.add(row["time_utc"].month)
        how = f"{days:g} days of the month, as simulated"
        lines += [
            Line(MONTHS, f"H {month}", f"Surplus heat, {month}", row["used_mw"] + row["left_mw"], "MWh", "simulated", FWS, how),
            Line(MONTHS, f"H used {month}", f"Of it used, {month}", row["used_mw"], "MWh", "simulated", HAND_OVER, how),
            worked_out(MONTHS, f"T {month}", f"Temperature of the water, {month}", _number(row["water_c"]), "°C", FWS, how),
        ]  # fmt: skip
    absent = [f"{month:02d}" for month in range(1, 13) if month not in seen]
    if absent:
        lines.append(missing(MONTHS, "other months", f"Months {', '.join(absent)}", "MWh", "not in the run: simulate a year"))  # fmt: skip
    return lines


def _number(found: object) -> float | None:
    return float(found) if isinstance(found, (int, float)) else None
