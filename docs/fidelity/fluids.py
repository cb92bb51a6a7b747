"""The table of PG25 against CoolProp over the whole range, and against the ASHRAE correlation for the same mixture."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from CoolProp.CoolProp import PropsSI

from fidelity.figure import Figure, Panel, Series
from fidelity.row import Float64, Section, row, short
from kvandal.physics.coolant import (
    conductivity_w_per_m_k,
    coolant_table,
    density_kg_per_m3,
    heat_capacity_kj_per_kg_k,
    viscosity_pa_s,
)
from kvandal.physics.heat_pump import KELVIN

FLUID, ASHRAE, PRESSURE_PA = "INCOMP::MPG[0.25]", "INCOMP::APG[0.25]", 400_000.0
TEMPS_C = np.round(np.arange(-9.0, 100.001, 0.05), 2)
PROPERTIES: tuple[tuple[str, str, Callable[[Float64, float], float], float, str, int], ...] = (
    ("density", "D", density_kg_per_m3, 1.0, "kg/m³", 2),
    ("heat capacity", "C", heat_capacity_kj_per_kg_k, 1e-3, "kJ/(kg K)", 4),
    ("viscosity", "V", viscosity_pa_s, 1e3, "mPa s", 4),
    ("conductivity", "L", conductivity_w_per_m_k, 1.0, "W/(m K)", 4),
)


def _coolprop(name: str, fluid: str, temps_c: Float64, scale: float) -> Float64:
    found = [
        scale * PropsSI(name, "T", float(temp_c) + KELVIN, "P", PRESSURE_PA, fluid) for temp_c in temps_c
    ]
    return np.array(found)


@cache
def section() -> Section:
    """Compare four properties between the rows of the table, and with a second correlation."""
    table, rows, panels = coolant_table(), [], []
    worst: dict[str, list[float]] = {}
    second: dict[str, float] = {}
    coarse = np.arange(0.0, 100.1, 2.5)
    for title, name, model, scale, unit, places in PROPERTIES:
        factor = 1e3 if title == "viscosity" else 1.0
        ours = np.array([factor * model(table, float(temp_c)) for temp_c in TEMPS_C])
        theirs = _coolprop(name, FLUID, TEMPS_C, scale)
        rows.append(
            row(
                title.replace(" ", "_"),
                f"PG25, {title}",
                model.__name__,
                "CoolProp, MPG 25 % by mass",
                f"-9 to 100 °C, {len(TEMPS_C)} points",
                unit,
                ours,
                theirs,
                "linear between whole degrees",
                places=places,
            )
        )
        worst[title] = list(100 * (ours / theirs - 1))
        ours_coarse = np.array([factor * model(table, float(temp_c)) for temp_c in coarse])
        ashrae = _coolprop(name, ASHRAE, coarse, scale)
        second[title] = float(np.abs(ours_coarse / ashrae - 1).max())
        if title in {"heat capacity", "viscosity"}:
            rows.append(
                row(
                    f"ashrae_{title.replace(' ', '_')}",
                    f"PG25, {title}",
                    model.__name__,
                    "ASHRAE's correlation, 25 % by volume (CoolProp, APG)",
                    f"0 to 100 °C, {len(coarse)} points",
                    unit,
                    ours_coarse,
                    ashrae,
                    "another correlation, and 25 % by volume are about 26 % by mass",
                    places=places,
                )
            )
    freezing_c = PropsSI("T_freeze", "T", 300.0, "P", PRESSURE_PA, FLUID) - KELVIN
    viscosity = [1e3 * viscosity_pa_s(table, float(temp_c)) for temp_c in TEMPS_C[::20]]
    panels = (
        Panel(
            "Viscosity of PG25", "temperature [°C]", "viscosity [mPa s]",
            (
                Series("table (ours)", list(TEMPS_C[::20]), viscosity),
                Series(
                    "CoolProp", list(TEMPS_C[::100]), list(_coolprop("V", FLUID, TEMPS_C[::100], 1e3)), "reference", marks=True
                ),
                Series("ASHRAE", list(coarse), list(_coolprop("V", ASHRAE, coarse, 1e3)), "third", dashed=True),
            ),
            zero=True,
        ),
        Panel(
            "Difference to CoolProp, half-way between rows", "temperature [°C]", "ours less CoolProp [%]",
            tuple(
                Series(title, list(TEMPS_C[10::20]), worst[title][10::20], role)
                for title, role in (("viscosity", "reference"), ("heat capacity", "ours"), ("conductivity", "third"))
            ),
            zero=True,
        ),
    )  # fmt: skip
    figure = Figure(
        "fluids", "Viscosity of PG25 by our table, CoolProp and ASHRAE, and the error of the table.", panels
    )
    text = (
        "The table was made with CoolProp, so the first lines check reading and interpolation, not the fluid. Independent of it is "
        "the correlation of ASHRAE, which CoolProp also has: heat capacity differs by at most "
        f"{short(100 * second['heat capacity'])} %, density by {short(100 * second['density'])} %, conductivity by "
        f'{short(100 * second["conductivity"])} %, viscosity by {short(100 * second["viscosity"])} %; "PG25" may be meant by mass or by '
        f"volume. Below freezing ({short(freezing_c)} °C) CoolProp refuses, our functions hold the values of "
        f"-9 °C: at -20 °C still {1e3 * viscosity_pa_s(table, -20.0):.1f} mPa s. Loops of 30 °C and more never get there; a site that "
        "stands still in winter would, and ice is not modelled."
    )
    return Section(tuple(rows), figure, text)
