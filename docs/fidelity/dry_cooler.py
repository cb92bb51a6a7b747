"""Dry coolers: the effectiveness of crossflow against its exact series; the simpler model against the exact one."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import ive

from fidelity.figure import Figure, Panel, Series
from fidelity.row import Section, row, short
from kvandal.physics.dry_cooler import (
    AIR_EXPONENT,
    dry_cooler_airflow_for,
    dry_cooler_design,
    dry_cooler_heat_kw,
)
from kvandal.physics.heat_exchanger import effectiveness_crossflow
from kvandal.physics.water import dry_cooler_airflow
from kvandal.scenario.parameters import value

UNITS = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0)
RATIOS = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
LOADS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
AMBIENTS_C = (-20.0, 0.0, 10.0, 20.0, 26.0)


def exact_effectiveness(units: float, ratio: float) -> float:
    """Crossflow, both streams unmixed, without approximation: the series of Bessel functions of Baclić (1978)."""
    argument = 2.0 * units * ratio**0.5
    scale = np.exp(argument - (1.0 + ratio) * units)
    series = sum(ratio ** (n / 2) * ive(n, argument) for n in range(2, 80))
    lost = ive(0, argument) + ratio**0.5 * ive(1, argument) - (1.0 - ratio) / ratio * series
    return float(1.0 - scale * lost)


def exact_heat_kw(
    airflow: float, water_kw_per_k: float, water_c: float, air_c: float, design: tuple[float, float]
) -> float:
    """Heat of a dry cooler with the exact effectiveness; conductance over airflow as in our model."""
    air_kw_per_k = airflow * design[1]
    smaller, larger = min(water_kw_per_k, air_kw_per_k), max(water_kw_per_k, air_kw_per_k)
    units = design[0] * airflow**AIR_EXPONENT / smaller
    return exact_effectiveness(units, smaller / larger) * smaller * (water_c - air_c)


@cache
def section() -> Section:
    """Compare effectiveness, heat over airflow, and the airflow that a heat needs by both models."""
    supply_c = value("cooling.tcs_supply_c") - value("cooling.cdu_approach_k")
    range_k, design_c = value("cooling.fws_delta_t_k"), supply_c - value("cooling.drycooler_approach_k")
    warm_c, rate = supply_c + range_k, 1000.0 / range_k
    design = dry_cooler_design(1000.0, rate, warm_c, design_c, value("cooling.drycooler_air_rise_k"))
    pairs = [(units, ratio) for units in UNITS for ratio in RATIOS]
    ours = [effectiveness_crossflow(*pair) for pair in pairs]
    theirs = [exact_effectiveness(*pair) for pair in pairs]
    flows = np.arange(0.1, 1.21, 0.1)
    cases = [(float(flow), ambient) for ambient in AMBIENTS_C for flow in flows]
    heat = [dry_cooler_heat_kw(flow, rate, warm_c, ambient, *design) for flow, ambient in cases]
    exact = [exact_heat_kw(flow, rate, warm_c, ambient, design) for flow, ambient in cases]

    needed: dict[str, list[float]] = {"ours": [], "exact": [], "simple": []}
    loads = [(load, ambient) for ambient in AMBIENTS_C for load in LOADS]
    for load, ambient in loads:
        heat_kw, water = 1000.0 * load, rate * load
        needed["ours"].append(dry_cooler_airflow_for(heat_kw, water, warm_c, ambient, *design))
        needed["exact"].append(
            brentq(
                lambda a, q=heat_kw, c=water, t=ambient: exact_heat_kw(a, c, warm_c, t, design) - q, 1e-3, 3.0
            )
        )
        needed["simple"].append(dry_cooler_airflow(heat_kw, 1000.0 / (warm_c - design_c), warm_c - ambient))
    airflow = {name: 100 * np.array(values) for name, values in needed.items()}
    rows = (
        row(
            "crossflow", "effectiveness of crossflow", "effectiveness_crossflow", "Baclić's exact series",
            f"NTU 0.25 to 6, ratios 0.1 to 1, {len(pairs)} points", "", ours, theirs, "the usual closed form is an approximation", places=4,
        ),
        row(
            "cooler_heat", "dry cooler, heat over airflow", "dry_cooler_heat_kw", "the same cooler with the exact series",
            f"air -20 to 26 °C, airflow 10 to 120 %, {len(cases)} points", "kW", heat, exact, "as above", places=1,
        ),
        row(
            "cooler_airflow", "dry cooler, airflow for a heat", "dry_cooler_airflow_for", "the same cooler with the exact series",
            f"air -20 to 26 °C, heat 20 to 100 %, {len(loads)} points", "% of design", airflow["ours"], airflow["exact"], "as above",
        ),
        row(
            "cooler_simple", "dry cooler, airflow, model temperature_difference", "dry_cooler_airflow",
            "the same cooler with the exact series", f"air -20 to 26 °C, heat 20 to 100 %, {len(loads)} points", "% of design",
            airflow["simple"], airflow["exact"], "takes the air for endless: far too little airflow at low load and on cold days, right only near the design point",
        ),
    )  # fmt: skip
    at_10 = [i for i, (_, ambient) in enumerate(loads) if ambient == 10.0]
    percent = [100 * loads[i][0] for i in at_10]
    figure = Figure(
        "dry-cooler",
        "Airflow that a dry cooler needs over its heat load at 10 °C by our two models and by the exact series, and the errors.",
        (
            Panel(
                f"Dry cooler, air 10 °C, water {warm_c:.0f} to {supply_c:.0f} °C", "heat over design [%]", "airflow over design [%]",
                (
                    Series("effectiveness (ours)", percent, list(airflow["ours"][at_10])),
                    Series("simple (ours)", percent, list(airflow["simple"][at_10]), "second", dashed=True),
                    Series("exact series", percent, list(airflow["exact"][at_10]), "reference", marks=True),
                ),
                zero=True,
            ),
            Panel(
                "Difference to the exact series", "heat over design [%]", "ours less exact [% of design airflow]",
                (
                    Series("effectiveness", percent, list((airflow["ours"] - airflow["exact"])[at_10])),
                    Series("simple", percent, list((airflow["simple"] - airflow["exact"])[at_10]), "second", dashed=True),
                ),
                zero=True,
            ),
        ),
    )  # fmt: skip
    upper = max(abs(a / b - 1) for a, b, (units, _) in zip(ours, theirs, pairs, strict=True) if units >= 1)
    known = zip(ours, theirs, pairs, strict=True)
    upper = max(abs(mine / exactly - 1) for mine, exactly, (units, _) in known if units >= 1.0)
    fans = float(np.abs((airflow["ours"] / 100) ** 3 - (airflow["exact"] / 100) ** 3).max())
    text = (
        "Independent here is the heat exchange, not the cooler: conductance over airflow to the power of 0.6 and the fans' cube law are "
        "the same on both sides, for no maker's curves are open. The textbooks' closed form is within "
        f"{short(100 * upper)} % from one transfer unit upwards (our cooler has {short(design[0] / min(design[1], rate))} at design) and "
        f"{short(abs(rows[0].maximum_pct))} % off below. The approximation costs at most "
        f"{short(100 * fans)} % of fan power at design, {short(fans * value('cooling.drycooler_fan_kw_per_mw') / 10)} % of the heat rejected. "
        "The simpler model is kept for comparison only."
    )
    return Section(rows, figure, text)
