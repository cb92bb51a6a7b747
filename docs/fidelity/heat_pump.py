"""Heat pumps against vapour-compression cycles with CoolProp, and against the machines of Mäntsälä."""

from __future__ import annotations

from functools import cache
from typing import Any

import CoolProp
import numpy as np

from fidelity.figure import Figure, Panel, Series
from fidelity.row import Section, row
from kvandal.physics.heat_pump import KELVIN, carnot_cop, lorenz_cop
from kvandal.scenario.parameters import value

ISENTROPIC, MOTOR = 0.75, 0.95
PINCH_K, SUPERHEAT_K, SUBCOOLING_K, SOURCE_GLIDE_K, SINK_GLIDE_K = 4.0, 5.0, 5.0, 8.0, 25.0
SOURCES_C = (30.0, 40.0, 45.0, 50.0)
SINKS_C = (55.0, 60.0, 65.0, 70.0, 75.0, 80.0, 85.0, 90.0)
MANTSALA_COP, MANTSALA_SOURCE_C, MANTSALA_SINK_C = 3.4, 40.0, 85.0
PLACES = 13
"""Places along the condenser at which the distance to the water is looked at."""


class Cycle:
    """A single-stage cycle with one refrigerant: superheat, compression, condenser with subcooling."""

    def __init__(self, fluid: str) -> None:
        self.state: Any = CoolProp.AbstractState("HEOS", fluid)

    def _enthalpy(self, inputs: int, first: float, second: float) -> float:
        self.state.update(inputs, first, second)
        return float(self.state.hmass())

    def _pressure(self, saturated_c: float) -> float:
        self.state.update(CoolProp.QT_INPUTS, 1.0, saturated_c + KELVIN)
        return float(self.state.p())

    def cop(self, source_in_c: float, source_out_c: float, sink_in_c: float, sink_out_c: float) -> float:
        """Coefficient of performance, motor included.

        The evaporator lies the pinch below the cooled source; the condenser as low as the pinch to the water allows.
        """
        evaporating_c = min(source_out_c - PINCH_K, source_in_c - PINCH_K - SUPERHEAT_K)
        heat_1 = self._enthalpy(
            CoolProp.PT_INPUTS, self._pressure(evaporating_c), evaporating_c + SUPERHEAT_K + KELVIN
        )
        entropy = float(self.state.smass())
        cold, hot = max(sink_in_c, evaporating_c) + 1.0, sink_out_c + 2 * PINCH_K
        for _ in range(22):
            middle = 0.5 * (cold + hot)
            heat_2, heat_3 = self._high_side(middle, heat_1, entropy)
            shares = np.linspace(0.0, 1.0, PLACES)
            refrigerant_c = np.array([self._temp_c(heat_3 + share * (heat_2 - heat_3)) for share in shares])
            near = (refrigerant_c - sink_in_c - shares * (sink_out_c - sink_in_c)).min() < PINCH_K
            cold, hot = (middle, hot) if near else (cold, middle)
        heat_2, heat_3 = self._high_side(hot, heat_1, entropy)
        return MOTOR * (heat_2 - heat_3) / (heat_2 - heat_1)

    def _high_side(self, condensing_c: float, heat_1: float, entropy: float) -> tuple[float, float]:
        """Enthalpy behind the compressor and behind the subcooler [J/kg]."""
        self.high = self._pressure(condensing_c)
        ideal = self._enthalpy(CoolProp.PSmass_INPUTS, self.high, entropy)
        subcooled = self._enthalpy(CoolProp.PT_INPUTS, self.high, condensing_c - SUBCOOLING_K + KELVIN)
        return heat_1 + (ideal - heat_1) / ISENTROPIC, subcooled

    def _temp_c(self, enthalpy: float) -> float:
        self.state.update(CoolProp.HmassP_INPUTS, enthalpy, self.high)
        return float(self.state.T()) - KELVIN

    def series_cop(
        self, source_in_c: float, source_out_c: float, sink_in_c: float, sink_out_c: float
    ) -> float:
        """Two machines in series on both streams, in counterflow; each gives half of the heat."""
        source_c, sink_c = 0.5 * (source_in_c + source_out_c), 0.5 * (sink_in_c + sink_out_c)
        warm = self.cop(source_in_c, source_c, sink_c, sink_out_c)
        cold = self.cop(source_c, source_out_c, sink_in_c, sink_c)
        return 2.0 / (1.0 / warm + 1.0 / cold)


@cache
def section() -> Section:
    """Compare COP over source and sink for two refrigerants, for machines in series, and at the one published plant."""
    efficiency, ceiling, carnot = (
        value("heat.hp_lorenz_eff"),
        value("heat.hp_cop_max"),
        value("heat.hp_carnot_eff"),
    )
    points = [(a, b) for a in SOURCES_C for b in SINKS_C if b - SINK_GLIDE_K >= a - SOURCE_GLIDE_K]
    streams = [(a, a - SOURCE_GLIDE_K, b - SINK_GLIDE_K, b) for a, b in points]
    gentle, ammonia = Cycle("R1234ze(E)"), Cycle("Ammonia")
    ze = np.array([gentle.cop(*stream) for stream in streams])
    nh3 = np.array([ammonia.cop(*stream) for stream in streams])
    two = np.array([ammonia.series_cop(*stream) for stream in streams])
    lorenz = np.array([lorenz_cop(*stream, efficiency, ceiling) for stream in streams])
    simple = np.array([carnot_cop(stream[1], stream[3], carnot, ceiling) for stream in streams])
    ideal = np.array([lorenz_cop(*stream, 1.0, 1e9) for stream in streams])
    where = (
        f"source 30 to 50 °C (cooled by 8 K), supply 55 to 90 °C (return 25 K below), {len(points)} points"
    )
    glides = (MANTSALA_SOURCE_C, MANTSALA_SOURCE_C - 10.0, 50.0, MANTSALA_SINK_C)
    mantsala = carnot_cop(MANTSALA_SOURCE_C, MANTSALA_SINK_C, carnot, ceiling)
    rows = (
        row(
            "heat_pump_lorenz_ze", "heat pump, default model", "lorenz_cop", "CoolProp: one cycle, R1234ze(E)", where, "",
            lorenz, ze, "too favourable: one cycle heats all water from one condensing temperature, a Lorenz machine glides with it",
        ),
        row(
            "heat_pump_lorenz_nh3", "heat pump, default model", "lorenz_cop", "CoolProp: one cycle, ammonia", where, "",
            lorenz, nh3, "as above; ammonia gives up more heat above its condensing temperature",
        ),
        row(
            "heat_pump_series", "heat pump, default model", "lorenz_cop", "CoolProp: two ammonia cycles in series", where, "",
            lorenz, two, "nearer with every stage, but still too favourable: pinch and compressor are not in a constant efficiency",
        ),
        row(
            "heat_pump_carnot", "heat pump, model carnot", "carnot_cop", "CoolProp: one cycle, ammonia", where, "",
            simple, nh3, "too careful: it takes the coldest source and the hottest sink for all heat",
        ),
        row(
            "heat_pump_mantsala", "heat pumps of Mäntsälä, model carnot", "carnot_cop", "published: COP 3.4, 3.6 to 4 MW, 40 to 85 °C",
            "1 point", "", mantsala, MANTSALA_COP, f"our efficiency is {carnot:g} of Carnot, the plant has 0.43: the least of our range",
        ),
        row(
            "heat_pump_mantsala_lorenz", "heat pumps of Mäntsälä, default model", "lorenz_cop", "published: COP 3.4",
            "1 point, glides assumed", "", lorenz_cop(*glides, efficiency, ceiling), MANTSALA_COP,
            "too favourable, as against the cycles; glides are not published, 40 to 30 °C and 50 to 85 °C are assumed",
        ),
    )  # fmt: skip
    picked = [i for i, (source, _) in enumerate(points) if source == 45.0]
    supplies = [points[i][1] for i in picked]
    figure = Figure(
        "heat-pump",
        "COP of a heat pump over supply temperature by our two models and by CoolProp cycles, and the differences.",
        (
            Panel(
                "Source 45 to 37 °C, return 25 K below supply", "supply [°C]", "COP",
                (
                    Series("lorenz (ours)", supplies, list(lorenz[picked])),
                    Series("carnot (ours)", supplies, list(simple[picked]), "second", dashed=True),
                    Series("R1234ze(E)", supplies, list(ze[picked]), "reference", marks=True),
                    Series("ammonia", supplies, list(nh3[picked]), "third", marks=True),
                    Series("two ammonia cycles in series", supplies, list(two[picked]), "grey", marks=True),
                ),
            ),
            Panel(
                "Difference to one ammonia cycle", "supply [°C]", "ours less cycle [COP]",
                (
                    Series("lorenz", supplies, list((lorenz - nh3)[picked])),
                    Series("carnot", supplies, list((simple - nh3)[picked]), "second", dashed=True),
                    Series("lorenz, two in series", supplies, list((lorenz - two)[picked]), "grey"),
                ),
                zero=True,
            ),
        ),
    )  # fmt: skip
    text = (
        f"Single-stage cycles: isentropic efficiency {ISENTROPIC}, motor {MOTOR}, pinch {PINCH_K:g} K, superheat {SUPERHEAT_K:g} K, "
        f"subcooling {SUBCOOLING_K:g} K, the condenser as cold as the pinch along its whole length allows. **This is where we are furthest "
        "off.** Over Lorenz the cycles reach "
        f"{(ze / ideal).mean():.2f} (R1234ze(E)), {(nh3 / ideal).mean():.2f} (ammonia) and {(two / ideal).mean():.2f} (two in series) on "
        f"average, least where the lift is small; we take {efficiency:g} of a range of 0.4 to 0.6. The default model therefore asks for too "
        f"little electricity at the customer's heat pump: at the mean COP, {lorenz.mean():.1f} instead of {nh3.mean():.1f}, a megawatt of "
        f"heat takes {1000 / lorenz.mean():.0f} kW instead of {1000 / nh3.mean():.0f} kW, and the site hands over "
        f"{100 * ((1 - 1 / lorenz.mean()) / (1 - 1 / nh3.mean()) - 1):.0f} % too much heat for it. The pump is the customer's: PUE and the "
        "site's power do not change. The model `carnot` errs the other way; set `heat.heat_pump_model` or "
        "`heat.lorenz_efficiency` for a net that is to be planned. The single ammonia cycle says "
        f"{ammonia.cop(*glides):.2f} for Mäntsälä with the glides assumed; what the published figure includes is not said."
    )
    return Section(rows, figure, text)
