"""Make the table of coolant properties that the package ships, with CoolProp (from the `test` extra).

    .venv/bin/python docs/coolant.py

writes src/kvandal/physics/propylene_glycol_25.csv.
"""

from __future__ import annotations

from pathlib import Path

import CoolProp
from CoolProp.CoolProp import PropsSI

FLUID = "INCOMP::MPG[0.25]"
PRESSURE_PA = 400_000.0
TARGET = Path(__file__).parent.parent / "src/kvandal/physics/propylene_glycol_25.csv"
HEAD = f"""\
# PG25: water with 25 % propylene glycol by mass, at {PRESSURE_PA / 1000:g} kPa; freezes at -9.8 degC.
# Made by docs/coolant.py with CoolProp {CoolProp.__version__}, fluid {FLUID}: the correlation of A. Melinder,
# "Properties of Secondary Working Fluids for Indirect Systems", International Institute of Refrigeration, 2010.
# CoolProp: I. H. Bell et al., Ind. Eng. Chem. Res. 53, 2014, doi:10.1021/ie4033999 (MIT licence).
temp_c,density_kg_per_m3,heat_capacity_kj_per_kg_k,viscosity_pa_s,conductivity_w_per_m_k
"""


def row(temp_c: int) -> str:
    """One line of the table."""
    density, heat, viscosity, conductivity = (
        PropsSI(name, "T", temp_c + 273.15, "P", PRESSURE_PA, FLUID) for name in "DCVL"
    )
    return f"{temp_c},{density:.3f},{heat / 1000:.6f},{viscosity:.6e},{conductivity:.6f}\n"


if __name__ == "__main__":
    TARGET.write_text(HEAD + "".join(row(temp_c) for temp_c in range(-9, 101)), encoding="utf-8")
