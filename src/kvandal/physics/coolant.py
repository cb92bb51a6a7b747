"""PG25, water with 25 % of propylene glycol by mass: the coolant of the racks.

The table ``propylene_glycol_25.csv`` beside this file was made with CoolProp by ``docs/coolant.py``; its head names
version, fluid and source. Values between rows are linear, values beyond the table are those of its ends.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

import numpy as np
import numpy.typing as npt

from kvandal.compiled import kernel, large_kernel

Float64 = npt.NDArray[np.float64]

DENSITY, HEAT_CAPACITY, VISCOSITY, CONDUCTIVITY = 1, 2, 3, 4
"""Columns of the table, behind the temperature in column 0."""


@cache
def coolant_table() -> Float64:
    """Properties of PG25 over temperature, one row per kelvin; read-only.

    Returns
    -------
    Rows of temperature [°C], density [kg/m³], heat capacity [kJ/(kg K)], viscosity [Pa s], conductivity [W/(m K)].

    Examples
    --------
    >>> coolant_table().shape, coolant_table()[[0, -1], 0].tolist()
    ((110, 5), [-9.0, 100.0])

    """
    text = resources.files("kvandal.physics").joinpath("propylene_glycol_25.csv").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line and not line.startswith("#")]
    table = np.array([[float(cell) for cell in row.split(",")] for row in rows[1:]])
    table.flags.writeable = False
    return table


@large_kernel
def coolant_property(table: Float64, column: int, temp_c: float) -> float:
    """Read one column of the table at a temperature; held at the ends.

    >>> coolant_property(coolant_table(), 0, 41.5)
    41.5
    """
    last = table.shape[0] - 1
    place = (temp_c - table[0, 0]) / (table[1, 0] - table[0, 0])
    place = min(max(place, 0.0), float(last))
    row = min(int(place), last - 1)
    share = place - row
    return float(table[row, column] * (1.0 - share) + table[row + 1, column] * share)


@kernel
def density_kg_per_m3(table: Float64, temp_c: float) -> float:
    """Density of PG25 [kg/m³]; valid from -9 to 100 °C, held at the ends.

    Å. Melinder, *Properties of Secondary Working Fluids for Indirect Systems*, IIR 2010, through CoolProp.

    >>> round(density_kg_per_m3(coolant_table(), 40.0), 1)
    1009.9
    """
    return coolant_property(table, DENSITY, temp_c)


@kernel
def heat_capacity_kj_per_kg_k(table: Float64, temp_c: float) -> float:
    """Heat capacity of PG25 [kJ/(kg K)]; valid from -9 to 100 °C, held at the ends.

    Å. Melinder, *Properties of Secondary Working Fluids for Indirect Systems*, IIR 2010, through CoolProp.

    A flow of 1.5 L/min per kW rises by 10 K:

    >>> cp, rho = heat_capacity_kj_per_kg_k(coolant_table(), 45.0), density_kg_per_m3(coolant_table(), 45.0)
    >>> round(cp, 3), round(60e3 / (cp * rho * 10), 2)
    (3.981, 1.5)
    """
    return coolant_property(table, HEAT_CAPACITY, temp_c)


@kernel
def viscosity_pa_s(table: Float64, temp_c: float) -> float:
    """Dynamic viscosity of PG25 [Pa s]; valid from -9 to 100 °C, held at the ends.

    Å. Melinder, *Properties of Secondary Working Fluids for Indirect Systems*, IIR 2010, through CoolProp.

    Six times as viscous at the freezing point as in the loop:

    >>> [round(viscosity_pa_s(coolant_table(), temp_c) * 1000, 2) for temp_c in (-9.0, 20.0, 40.0)]
    [8.69, 2.45, 1.35]
    """
    return coolant_property(table, VISCOSITY, temp_c)


@kernel
def conductivity_w_per_m_k(table: Float64, temp_c: float) -> float:
    """Thermal conductivity of PG25 [W/(m K)]; valid from -9 to 100 °C, held at the ends.

    Å. Melinder, *Properties of Secondary Working Fluids for Indirect Systems*, IIR 2010, through CoolProp.

    >>> round(conductivity_w_per_m_k(coolant_table(), 40.0), 3)
    0.486
    """
    return coolant_property(table, CONDUCTIVITY, temp_c)
