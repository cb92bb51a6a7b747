"""The models of the weather, side by side; see :mod:`kvandal.physics.models`."""

from __future__ import annotations

import numpy as np

from kvandal.climate.wet_bulb import wet_bulb_c, wet_bulb_psychrolib_c
from kvandal.physics.models import Model, Quantity

_AIR_C = np.array([30.0])

WET_BULB = Quantity(
    "wet_bulb",
    "climate.wet_bulb_model",
    "wet-bulb temperature [°C], air at 30 °C and 1013 hPa, at relative humidity",
    (20.0, 40.0, 60.0, 80.0),
    "%",
    (
        Model(
            "psychrometric",
            "solves the energy balance of the wet bulb at the station's pressure",
            "-60 to +60 °C, 1 to 100 %",
            "ASHRAE Handbook - Fundamentals (2017), chapter 1; PsychroLib, doi:10.21105/joss.01137",
            lambda humidity_pct: float(wet_bulb_psychrolib_c(_AIR_C, np.array([humidity_pct]))[0]),
        ),
        Model(
            "stull",
            "fit in T and RH with arctangents, sea-level pressure",
            "-20 to +50 °C, 5 to 99 %; -1 to +0.65 K",
            "R. Stull, J. Appl. Meteorol. Climatol. 50, 2011, doi:10.1175/JAMC-D-11-0143.1",
            lambda humidity_pct: float(wet_bulb_c(_AIR_C, np.array([humidity_pct]))[0]),
        ),
    ),
)
"""Both models of the wet bulb."""
