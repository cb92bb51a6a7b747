"""Wet bulb: Stull's fit and psychrometry against psychrolib and CoolProp's real moist air, and what it does to water."""

from __future__ import annotations

from functools import cache

import numpy as np
import psychrolib
from CoolProp.CoolProp import HAPropsSI

from fidelity.figure import Figure, Panel, Series
from fidelity.row import Float64, Section, row, short
from kvandal.climate import normal_year
from kvandal.climate.wet_bulb import wet_bulb_c, wet_bulb_psychrolib_c
from kvandal.physics.heat_pump import KELVIN
from kvandal.physics.water import adiabatic_air_c
from kvandal.scenario.parameters import value

PRESSURE_PA = 101_325.0
TEMPS_C = np.arange(-40.0, 50.1, 2.5)
HUMIDITIES_PCT = np.array([1.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 99.0, 100.0])


def _psychrolib(temps_c: Float64, humidities_pct: Float64) -> Float64:
    psychrolib.SetUnitSystem(psychrolib.SI)
    found = [
        psychrolib.GetTWetBulbFromRelHum(float(temp_c), float(humidity) / 100, PRESSURE_PA)
        for temp_c, humidity in zip(temps_c, humidities_pct, strict=True)
    ]
    return np.array(found)


def _coolprop(temps_c: Float64, humidities_pct: Float64) -> Float64:
    found = []
    for temp_c, humidity in zip(temps_c, humidities_pct, strict=True):
        wet = HAPropsSI("B", "T", float(temp_c) + KELVIN, "R", float(humidity) / 100, "P", PRESSURE_PA)
        found.append(wet - KELVIN)
    return np.array(found)


@cache
def section() -> Section:
    """Compare the wet bulb over the whole range, in Stull's own range, and where the pads are wet."""
    grid_c, grid_pct = (part.ravel() for part in np.meshgrid(TEMPS_C, HUMIDITIES_PCT))
    stull, exact = wet_bulb_c(grid_c, grid_pct), wet_bulb_psychrolib_c(grid_c, grid_pct)
    reference = _psychrolib(grid_c, grid_pct)
    own = (grid_c >= -20) & (grid_pct >= 5) & (grid_pct <= 99)
    pads = (grid_c >= 26) & (grid_c <= 35) & (grid_pct >= 20) & (grid_pct <= 80)
    thawed = (grid_c >= 2.5) & (grid_pct < 100)
    real = _coolprop(grid_c[thawed], grid_pct[thawed])
    warm = real > 0.5  # below, ice: the two take another state of the wick
    effect = value("cooling.adiabatic_effectiveness")
    behind_pads = np.vectorize(adiabatic_air_c, otypes=[float])
    air = [behind_pads(grid_c[pads], wet[pads], effect) for wet in (stull, reference)]
    assumed = value("climate.relative_humidity_pct")
    hot = np.arange(26.0, 33.1, 1.0)
    humid = [
        wet_bulb_psychrolib_c(hot, np.full(hot.shape, pct))
        for pct in (assumed - 20.0, assumed, assumed + 30.0)
    ]
    spread_k = float((behind_pads(hot, humid[2], effect) - behind_pads(hot, humid[0], effect)).max())
    above = int((normal_year()[1] > value("cooling.adiabatic_on_c")).sum())
    rows = (
        row(
            "wet_bulb_exact", "wet bulb, default model", "wet_bulb_psychrolib_c", "psychrolib, point by point",
            f"-40 to 50 °C, 1 to 100 %, {len(grid_c)} points", "°C", exact, reference, "the same equations, called on arrays", floor=1e9,
        ),
        row(
            "wet_bulb_real", "wet bulb, default model", "wet_bulb_psychrolib_c", "CoolProp, moist air as a real gas (ASHRAE RP-1485)",
            f"wet bulb above 0.5 °C, up to 50 °C, {int(warm.sum())} points", "°C", exact[thawed][warm], real[warm],
            "ideal gas against real gas", floor=1e9,
        ),
        row(
            "wet_bulb_stull", "wet bulb, model stull", "wet_bulb_c", "psychrolib", f"-20 to 50 °C, 5 to 99 %, {int(own.sum())} points",
            "°C", stull[own], reference[own], "a fit of one line; its author states -1 to +0.65 K except in air both cold and dry", floor=1e9,
        ),
        row(
            "wet_bulb_stull_all", "wet bulb, model stull", "wet_bulb_c", "psychrolib",
            f"-40 to 50 °C, 1 to 100 %, {len(grid_c)} points", "°C", stull, reference,
            "beyond its range it is held; worst in air both cold and dry, and below freezing, where it knows no ice", floor=1e9,
        ),
        row(
            "wet_bulb_pads", "air behind wet pads, model stull", "adiabatic_air_c", "psychrolib", f"26 to 35 °C, 20 to 80 %, {int(pads.sum())} points",
            "°C", air[0], air[1], "where pads are wet the fit is good: a tenth of the dry cooler's approach", floor=1e9,
        ),
    )  # fmt: skip
    picked = HUMIDITIES_PCT[1:-1]
    lines = [
        (temp_c, role, stull[(grid_c == temp_c) & (grid_pct >= 5) & (grid_pct <= 99)] - reference[(grid_c == temp_c) & (grid_pct >= 5) & (grid_pct <= 99)])
        for temp_c, role in ((30.0, "ours"), (10.0, "third"), (-10.0, "second"), (-20.0, "grey"))
    ]  # fmt: skip
    at_30 = grid_c == 30.0
    figure = Figure(
        "wet-bulb",
        "Wet bulb at 30 °C over humidity by Stull, psychrometry and psychrolib; error of Stull at four temperatures.",
        (
            Panel(
                "Air of 30 °C, 1013 hPa", "relative humidity [%]", "wet bulb [°C]",
                (
                    Series("psychrometric (ours)", list(grid_pct[at_30]), list(exact[at_30])),
                    Series("stull (ours)", list(grid_pct[at_30]), list(stull[at_30]), "second", dashed=True),
                    Series("psychrolib", list(grid_pct[at_30]), list(reference[at_30]), "reference", marks=True),
                ),
            ),
            Panel(
                "Stull less psychrolib", "relative humidity [%]", "error [K]",
                tuple(Series(f"{temp_c:.0f} °C", list(picked), list(error), role) for temp_c, role, error in lines),
                zero=True,
            ),
        ),
    )  # fmt: skip
    text = (
        "The default model calls psychrolib, so the first line checks our use of it; the second compares with CoolProp's moist air, "
        "which takes air and steam as real gases. Water: the pads evaporate in proportion to the heat rejected while they are wet, and "
        "the wet bulb only sets how cold the air behind them is. There Stull's fit is off by "
        f"{short(abs(rows[4].maximum))} K at most. What matters more is that no humidity was found for northern Norway: {assumed:.0f} % is "
        f"assumed, and between {assumed - 20:.0f} and {assumed + 30:.0f} % the air behind the pads differs by up to "
        f"{short(spread_k)} K. In the shipped year "
        f"the air is above 26 °C for {above} h."
    )
    return Section(rows, figure, text)
