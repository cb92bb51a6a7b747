"""Back-up generators: their test runs feed the site."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np

from kvandal.scenario.supply import Supply

Array = Any
HVO_KWH_PER_L = 9.5
"""Lower heating value of HVO: 44 MJ/kg at 0.78 kg/L (EN 15940, class A)."""


def trial_runs_mwh(supply: Supply, start_utc: datetime, days: int) -> Array:
    """Energy that test runs feed into the site, float64 (hours,) [MWh].

    On the first day of every month that the run holds, from 10:00 UTC on, all generators run for the asked time at the
    asked load; a part of an hour counts as that part.

    >>> from datetime import UTC
    >>> supply = Supply(generators_mw=20.0)
    >>> trial_runs_mwh(supply, datetime(2027, 1, 1, tzinfo=UTC), 31).nonzero()[0].tolist()
    [10]
    """
    fed_mwh = np.zeros(days * 24)
    power_mw = supply.generators_mw * supply.generator_test_load_fraction
    for hour in range(days * 24):
        moment = start_utc + timedelta(hours=hour)
        part_h = min(1.0, supply.generator_test_h_per_month - (moment.hour - 10))
        if moment.day == 1 and moment.hour >= 10 and part_h > 0:
            fed_mwh[hour] = power_mw * part_h
    return fed_mwh


def fuel_kwh(fed_mwh: Array, efficiency: float) -> Array:
    """Fuel that generators burn [kWh, lower heating value].

    >>> fuel_kwh(np.array([10.0]), 0.4).tolist()
    [25000.0]
    """
    burnt: Array = np.asarray(fed_mwh) * 1000 / efficiency
    return burnt
