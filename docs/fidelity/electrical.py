"""Losses between meter and rack: the published points, and the chain from end to end."""

from __future__ import annotations

from functools import cache

import numpy as np

from fidelity.figure import Figure, Panel, Series
from fidelity.row import Section, row, short
from kvandal.physics.electrical import (
    curve_loss_fraction,
    it_path_efficiency,
    loss_curve,
    transformer_loss_kw,
)
from kvandal.scenario.parameters import curve, value

UPS_LOADS, TRANSFORMER_LOADS, SHELF_LOADS = (
    (0.1, 0.25, 0.5, 0.75, 1.0),
    (0.25, 0.5, 0.75, 1.0),
    (0.2, 0.5, 1.0),
)
DOUBLE, ECO = (91.0, 95.5, 96.8, 97.0, 96.7), (95.5, 97.5, 98.8, 99.0, 99.0)
TRANSFORMER, SHELF = (99.0, 99.3, 99.2, 99.1), (96.0, 97.5, 97.0)
"""Efficiencies [%] as the design basis prints them, copied by hand: a slip in the parameter file shows."""
CHAINS = ((1.0, 1.9), ("power.eta_ups_eco", 3.1), ("power.eta_ups_double", 5.4))
FRONTIER_RECTIFIER_PCT = 96.0
"""ExaDigiT RAPS, config/frontier.yaml."""


def efficiency_pct(load: float, loads: str, efficiencies: str) -> float:
    """Efficiency at a load from the loss curve of the parameter file [%]."""
    knots, losses = loss_curve(curve(loads), curve(efficiencies))
    return 100 * load / (load + curve_loss_fraction(load, knots, losses))


@cache
def section() -> Section:
    """Compare curves with their points, claims and the chain."""
    double = [efficiency_pct(load, "ups_load", "ups_eta_double") for load in UPS_LOADS]
    eco = [efficiency_pct(load, "ups_load", "ups_eta_eco") for load in UPS_LOADS]
    transformer = [efficiency_pct(load, "mv_tx_load", "mv_tx_eta") for load in TRANSFORMER_LOADS]
    shelf = [efficiency_pct(load, "psu_load", "psu_eta") for load in SHELF_LOADS]
    hv, mv, busway = (value(f"power.eta_{name}") for name in ("hv_transformer", "mv_transformer", "busway"))
    chains = []
    for ups, _ in CHAINS:
        eta = ups if isinstance(ups, float) else value(str(ups))
        chains.append(100 * (1 / it_path_efficiency(hv, mv, eta, busway) - 1))
    full = 100 / (
        1
        + transformer_loss_kw(
            1.0, 1.0, value("power.hv_no_load_fraction"), value("power.hv_load_loss_fraction")
        )
    )
    fine = np.linspace(0.05, 1.0, 39)
    fine_double = [efficiency_pct(float(load), "ups_load", "ups_eta_double") for load in fine]
    fine_eco = [efficiency_pct(float(load), "ups_load", "ups_eta_eco") for load in fine]
    rows = (
        row(
            "ups_double", "UPS, double conversion", "curve_loss_fraction", "the design basis's points (judgement, peak by makers' claims)",
            "10 to 100 % load, 5 points", "%", double, DOUBLE, "not independent: the model interpolates these points",
        ),
        row(
            "ups_eco", "UPS, eco mode", "curve_loss_fraction", "the design basis's points", "10 to 100 % load, 5 points", "%", eco, ECO,
            "as above",
        ),
        row(
            "ups_claims", "UPS, best efficiency", "curve_loss_fraction", "makers' claims: up to 97 % and up to 99 %", "2 points", "%",
            [max(fine_double), max(fine_eco)], [97.0, 99.0], "claims are best cases; measured curves of the units to be bought would replace them",
        ),
        row(
            "transformer", "MV transformer", "curve_loss_fraction", "the design basis's points", "25 to 100 % load, 4 points", "%",
            transformer, TRANSFORMER, "as above",
        ),
        row(
            "transformer_hv", "HV transformer at full load", "transformer_loss_kw", "the design basis: 99.6 % (99.4 to 99.8)", "1 point", "%",
            full, 99.4, "0.03 % and 0.35 % of its rating", high=99.8,
        ),
        row(
            "shelf", "power shelf of a rack", "curve_loss_fraction", "Open Rack V3 class: 96.0, 97.5, 97.0 %", "20, 50, 100 % load, 3 points",
            "%", shelf, SHELF, "as above",
        ),
        row(
            "shelf_frontier", "power shelf of a rack, best", "curve_loss_fraction", "Frontier's rectifier: 96 % (ExaDigiT RAPS)", "1 point", "%",
            max(shelf), FRONTIER_RECTIFIER_PCT, "newer hardware; Frontier's constant is for all loads",
        ),
        row(
            "chain", "meter to rack, overhead over IT power", "it_path_efficiency", "1.9, 3.1, 5.4 % (no UPS, eco, double conversion)", "3 points",
            "%", chains, [printed for _, printed in CHAINS], "rounding of the printed figures",
        ),
    )  # fmt: skip
    loads = [100 * float(load) for load in fine]
    errors = (
        Series("UPS double", [100 * x for x in UPS_LOADS], list(np.array(double) - DOUBLE), "ours"),
        Series("UPS eco", [100 * x for x in UPS_LOADS], list(np.array(eco) - ECO), "second", dashed=True),
        Series("transformer", [100 * x for x in TRANSFORMER_LOADS], list(np.array(transformer) - TRANSFORMER), "third", marks=True),
        Series("shelf", [100 * x for x in SHELF_LOADS], list(np.array(shelf) - SHELF), "reference", marks=True),
    )  # fmt: skip
    figure = Figure(
        "electrical",
        "Efficiency of UPS over load by our curves and the points they were made from; the differences at these points are zero.",
        (
            Panel(
                "Efficiency of a UPS", "load [%]", "efficiency [%]",
                (
                    Series("double conversion (ours)", loads, fine_double),
                    Series("eco mode (ours)", loads, fine_eco, "second", dashed=True),
                    Series("points", [100 * x for x in UPS_LOADS] * 2, list(DOUBLE + ECO), "reference", marks=True),
                ),
            ),
            Panel("Difference at the points", "load [%]", "ours less printed [% points]", errors, band=(-0.05, 0.05)),
        ),
    )  # fmt: skip
    text = (
        "No independent curve of the site's equipment exists, so most lines only prove that the printed points come out of the code. "
        "Between points the losses are linear, below the first point the line is drawn on to the loss of idle equipment: a UPS in "
        f"double conversion is at {short(fine_double[0])} % at 5 % load. The shaded band in the figure is the rounding of the printed points."
    )
    return Section(rows, figure, text)
