"""District heating against a measured year of a campus."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

from fidelity.figure import Figure, Panel, Series
from fidelity.row import DataMissingError, Float64, Section, row, short
from kvandal.physics.heat_demand import LocalHours, degree_hours_shape, signature_shape
from kvandal.scenario.heat import Heat

ROOT = Path(__file__).parents[2]
FITTED = np.arange(8760) < 4380
"""The half that the signature was fitted to: 11 June to 10 December 2017."""


def shared_folder() -> Path:
    """Real data that is not shipped: ``$KVANDAL_SHARED_DATA``, else ``shared/data`` beside the checkout."""
    folder = Path(os.environ.get("KVANDAL_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        raise DataMissingError(f"real data not found at {folder} (set KVANDAL_SHARED_DATA)")
    return folder


def _models(frame: pl.DataFrame) -> dict[str, Float64]:
    day, hour = (frame[name].to_numpy().astype(np.int64) for name in ("day_of_week", "hour_of_day"))
    temp_c, heat = frame["outdoor_temp_c"].to_numpy(), Heat()
    signature = signature_shape(
        temp_c, LocalHours(hour, hour, day, hour), temp_c, heat.signature_limit_c,
        heat.signature_hot_water_share, heat.signature_working_factor,
    )  # fmt: skip
    degrees = degree_hours_shape(temp_c, temp_c, heat.degree_hours_limit_c, heat.degree_hours_hot_water_share)
    return {"signature": signature, "degree_hours": degrees}


@cache
def section() -> Section:
    """Compare hours of the half-year that nothing was fitted to, scaled to the energy of the other half."""
    frame = pl.read_parquet(shared_folder() / "heat/ntnu_gloshaugen_campus_district_heating_hourly.parquet")
    load_mw = frame["heat_load_total_kw"].to_numpy() / 1000
    held = ~FITTED
    scaled = {
        name: shape * load_mw[FITTED].mean() / shape[FITTED].mean() for name, shape in _models(frame).items()
    }
    measured, mean = load_mw[held], load_mw[held].mean()
    signature, degrees = scaled["signature"][held], scaled["degree_hours"][held]
    where = f"11 December to 10 June, {int(held.sum())} hours"
    source = "NTNU campus Gløshaugen, measured"
    rows = (
        row(
            "heat_signature", "district heating, hour by hour, default model", "signature_shape", source, where, "MW", signature, measured,
            "a building's day is not only its working hours; peaks are exaggerated", floor=0.5 * mean,
        ),
        row(
            "heat_energy", "the same, energy of the half-year", "signature_shape", source, "1 point", "GWh", signature.sum() / 1000,
            measured.sum() / 1000, "scaled on the other half", places=2,
        ),
        row(
            "heat_peak", "the same, peak", "signature_shape", source, "1 point", "MW", signature.max(), measured.max(),
            "linear in temperature up to the coldest hour, the building is not",
        ),
        row(
            "heat_degree_hours", "district heating, model degree_hours", "degree_hours_shape", source, where, "MW", degrees, measured,
            "judgement for dwellings, not for a campus: a limit of 17 °C and 18 % hot water spread the heat over the year", floor=0.5 * mean,
        ),
    )  # fmt: skip
    hours = np.linspace(0, 4379, 80).astype(int)
    percent = list(100 * hours / 4379)
    curves = {name: np.sort(part)[::-1] for name, part in (("m", measured), ("s", signature), ("d", degrees))}
    figure = Figure(
        "heat-demand",
        "Load-duration curve of a campus's heat, measured and by our two models, and their differences.",
        (
            Panel(
                "Heat of a campus, half-year not fitted to", "share of hours [%]", "heat load [MW]",
                (
                    Series("signature (ours)", percent, list(curves["s"][hours])),
                    Series("degree-hours (ours)", percent, list(curves["d"][hours]), "second", dashed=True),
                    Series("measured", percent[::3], list(curves["m"][hours][::3]), "reference", marks=True),
                ),
                zero=True,
            ),
            Panel(
                "Difference of the curves", "share of hours [%]", "ours less measured [MW]",
                (
                    Series("signature", percent, list((curves["s"] - curves["m"])[hours])),
                    Series("degree-hours", percent, list((curves["d"] - curves["m"])[hours]), "second", dashed=True),
                ),
                zero=True,
            ),
        ),
    )  # fmt: skip
    text = (
        f"The RMS error by hour is {short(100 * rows[0].rms / mean)} % of the mean load for the default model, "
        f"{short(100 * rows[3].rms / mean)} % for the simpler one; relative errors in the table are of hours above half the mean. More "
        "about it, and what was tried and left out, in [series](series.md#heat-demand). One campus of one year; no open measurement of a "
        "Norwegian town was found."
    )
    return Section(rows, figure, text)
