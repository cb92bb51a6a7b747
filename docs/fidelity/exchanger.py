"""Heat exchanger of a CDU against TESPy: a network with one exchanger, both streams PG25 with its real properties."""

from __future__ import annotations

import logging
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from tespy.components import HeatExchanger, Sink, Source
from tespy.connections import Connection
from tespy.networks import Network

from fidelity.figure import Figure, Panel, Series
from fidelity.row import Section, row, short
from kvandal.physics.coolant import coolant_table, heat_capacity_kj_per_kg_k
from kvandal.physics.exchanger_flow import cold_flow_fraction_for
from kvandal.physics.heat_exchanger import conductance_two_sided, design_conductance, exchanger_heat_kw

FLUID = {"INCOMP::MPG[0.25]|mass": 1}
"""PG25 for TESPy: water with 25 % propylene glycol by mass, CoolProp's correlation."""

HEAT_KW, HOT_IN_C, COLD_IN_C = 1300.0, 50.0, 36.0
FLOWS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
INLETS_C = ((50.0, 36.0), (50.0, 20.0), (55.0, 41.0), (40.0, 30.0), (60.0, 10.0))


class CduNetwork:
    """The CDU as TESPy sees it: two sources, two sinks, one exchanger, no pressure drop."""

    def __init__(self, hot_kg_per_s: float, cold_kg_per_s: float, conductance_kw_per_k: float) -> None:
        logging.disable(logging.WARNING)
        self.design_kg_per_s = (hot_kg_per_s, cold_kg_per_s)
        self.network = Network(iterinfo=False)
        self.network.units.set_defaults(
            temperature="degC",
            pressure="bar",
            pressure_difference="bar",
            heat="kW",
            heat_transfer_coefficient="kW/K",
        )
        self.exchanger = HeatExchanger("cdu")
        hot, cold = Source("hot in"), Source("cold in")
        self.hot_in = Connection(hot, "out1", self.exchanger, "in1")
        self.cold_in = Connection(cold, "out1", self.exchanger, "in2")
        self.network.add_conns(
            self.hot_in,
            self.cold_in,
            Connection(self.exchanger, "out1", Sink("hot out"), "in1"),
            Connection(self.exchanger, "out2", Sink("cold out"), "in1"),
        )
        self.hot_in.set_attr(fluid=FLUID, T=HOT_IN_C, p=4, m=hot_kg_per_s)
        self.cold_in.set_attr(fluid=FLUID, T=COLD_IN_C, p=4, m=cold_kg_per_s)
        self.exchanger.set_attr(pr1=1, pr2=1, UA=conductance_kw_per_k, design=["UA"], offdesign=["UA_char"])
        self.network.solve("design")
        with tempfile.NamedTemporaryFile(suffix=".json", delete=False) as file:
            self.design = file.name
        self.network.save(self.design)

    def heat_kw(self, hot: float, cold: float, inlets_c: tuple[float, float], own_part_load: bool) -> float:
        """Heat at part flows; with TESPy's own curves of part load, or with the conductance held."""
        self.hot_in.set_attr(T=inlets_c[0], m=self.design_kg_per_s[0] * hot)
        self.cold_in.set_attr(T=inlets_c[1], m=self.design_kg_per_s[1] * cold)
        options: dict[str, Any] = (
            {"mode": "offdesign", "design_path": self.design} if own_part_load else {"mode": "design"}
        )
        self.network.solve(**options)
        if self.network.status != 0:
            raise RuntimeError(f"TESPy found no solution at flows {hot}, {cold}, inlets {inlets_c}")
        return -float(self.exchanger.Q.val)

    def conductance_kw_per_k(self) -> float:
        """Conductance of the last solution."""
        return float(self.exchanger.UA.val)

    def close(self) -> None:
        """Remove the file of the design."""
        Path(self.design).unlink()


def _ours_kw(
    conductance: float, flows: tuple[float, float], design: tuple[float, float], inlets_c: tuple[float, float]
) -> float:
    """Heat by our function, with the heat capacity at the mean temperature of either stream."""
    table, heat = coolant_table(), 0.0
    outlets = [inlets_c[0], inlets_c[1]]
    for _ in range(20):
        rates = [
            flow * mass * heat_capacity_kj_per_kg_k(table, 0.5 * (inlet + outlet))
            for flow, mass, inlet, outlet in zip(flows, design, inlets_c, outlets, strict=True)
        ]
        heat = exchanger_heat_kw(conductance, rates[0], rates[1], *inlets_c)
        outlets = [inlets_c[0] - heat / rates[0], inlets_c[1] + heat / rates[1]]
    return float(heat)


@cache
def section() -> Section:
    """Compare heat at constant conductance, at part flow with either law, and the flow that a heat needs."""
    table = coolant_table()
    hot_kg = HEAT_KW / 10.0 / heat_capacity_kj_per_kg_k(table, 45.0)
    cold_kg = HEAT_KW / 9.0 / heat_capacity_kj_per_kg_k(table, 40.5)
    hot_rate, cold_rate = HEAT_KW / 10.0, HEAT_KW / 9.0
    conductance = design_conductance(HEAT_KW, hot_rate, cold_rate, HOT_IN_C, COLD_IN_C)
    network = CduNetwork(hot_kg, cold_kg, conductance)
    held = [(a, b, inlets) for inlets in INLETS_C for a in (1.0, 0.8, 0.6, 0.4) for b in (1.0, 0.8, 0.6, 0.4)]
    theirs = [network.heat_kw(*case, own_part_load=False) for case in held]
    ours = [_ours_kw(conductance, (a, b), (hot_kg, cold_kg), inlets) for a, b, inlets in held]

    def part(inlets_both: bool) -> tuple[list[float], list[float], list[float], list[float]]:
        found: tuple[list[float], list[float], list[float], list[float]] = ([], [], [], [])
        network.exchanger.set_attr(UA=conductance)
        for flow in FLOWS:
            cold = flow if inlets_both else 1.0
            clean = conductance_two_sided(conductance, flow, cold, 0.0)
            found[0].append(_ours_kw(clean, (flow, cold), (hot_kg, cold_kg), (HOT_IN_C, COLD_IN_C)))
            found[2].append(clean / conductance)
            found[1].append(network.heat_kw(flow, cold, (HOT_IN_C, COLD_IN_C), own_part_load=True))
            found[3].append(network.conductance_kw_per_k() / conductance)
        return found

    both, one = part(inlets_both=True), part(inlets_both=False)
    flows_ours, flows_theirs = _inverse(network, conductance, hot_kg, cold_kg)
    network.close()
    flows_pct = [100 * flow for flow in FLOWS]
    rows = (
        row(
            "exchanger_held", "CDU, heat at constant conductance", "exchanger_heat_kw", "TESPy `HeatExchanger`, UA held",
            f"flows 40 to 100 % on either side, 5 pairs of inlets from 10 to 60 °C, {len(held)} points", "kW", ours, theirs,
            "TESPy integrates the heat capacity of PG25 over temperature, we take it at the mean of each stream", places=1,
        ),
        row(
            "exchanger_flow", "CDU, facility water for a heat", "cold_flow_fraction_for", "TESPy, UA held: flow at the same heat",
            f"half to full heat, {len(flows_ours)} points", "% of design", 100 * np.array(flows_ours), 100 * np.array(flows_theirs),
            "our conductance falls with the flow, TESPy's was set to the same value at each point; the rest is heat capacity", places=2,
        ),
        row(
            "exchanger_one_flow", "CDU, heat at part flow of one side", "conductance_two_sided", "TESPy's own curves (`UA_char`)",
            f"warm side at 30 to 100 %, {len(FLOWS)} points", "kW", one[0], one[1],
            "TESPy's default curves are generic, ours is convection to the power of 0.7 on either side of plates", places=1,
        ),
        row(
            "exchanger_both_flows", "CDU, heat at part flow of both sides", "conductance_two_sided", "TESPy's own curves (`UA_char`)",
            f"both sides at 30 to 100 %, {len(FLOWS)} points", "kW", both[0], both[1],
            "as above; both sides fall together, so both laws are at their steepest", places=1,
        ),
    )  # fmt: skip
    figure = Figure(
        "exchanger",
        "Heat of a CDU over flow by our function and by TESPy, and their conductance over design.",
        (
            Panel(
                "Heat of a CDU, 50 and 36 °C at the inlets", "flow over design [%]", "heat [kW]",
                (
                    Series("ours, both sides", flows_pct, both[0]),
                    Series("TESPy", flows_pct, both[1], "reference", marks=True),
                    Series("ours, warm side only", flows_pct, one[0], "second"),
                    Series("", flows_pct, one[1], "reference", marks=True),
                ),
            ),
            Panel(
                "Difference to TESPy", "flow over design [%]", "ours less TESPy [%]",
                (
                    Series("both sides", flows_pct, _percent(both[0], both[1])),
                    Series("warm side only", flows_pct, _percent(one[0], one[1]), "second"),
                    Series("conductance, both sides", flows_pct, _percent(both[2], both[3]), "third", dashed=True),
                ),
                zero=True,
            ),
        ),
    )  # fmt: skip
    text = (
        f"The CDU of the plant ({HEAT_KW:.0f} kW, 50 to 40 °C against 36 to 45 °C, {conductance:.0f} kW/K) as a network of "
        "TESPy with one counterflow exchanger and PG25 on both sides. With the conductance held the two agree to "
        f"{short(rows[0].rms_pct)} % (RMS): the equations are the same, only the heat capacity is treated differently. The part-load "
        f"laws differ: at 30 % flow on both sides we have {100 * both[2][-1]:.0f} % of the conductance and TESPy's default curves "
        f"have {100 * both[3][-1]:.0f} %, which is {short(abs(_percent(both[0], both[1])[-1]))} % of heat. Maker's curves of a plate "
        "exchanger would decide; we are on the careful side. Below about a quarter of the flow TESPy's logarithmic mean "
        "temperature no longer converges (an end of the exchanger closes to a few millikelvin); ours has an answer for every flow."
    )
    return Section(rows, figure, text)


def _percent(ours: list[float], theirs: list[float]) -> list[float]:
    return [100 * (a / b - 1) for a, b in zip(ours, theirs, strict=True)]


def _inverse(
    network: CduNetwork, conductance: float, hot_kg: float, cold_kg: float
) -> tuple[list[float], list[float]]:
    """Facility water for a heat by our inverse; and the flow at which TESPy has that heat at our conductance."""
    table, ours, theirs = coolant_table(), [], []
    for load in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0):
        heat = load * HEAT_KW
        hot_rate = load * hot_kg * heat_capacity_kj_per_kg_k(table, HOT_IN_C - 5.0)
        cold_rate = cold_kg * heat_capacity_kj_per_kg_k(table, 40.5)
        flow = cold_flow_fraction_for(
            heat, hot_rate, HOT_IN_C, COLD_IN_C, cold_rate, conductance, load, 0.0, 0.0, 2.0
        )
        network.exchanger.set_attr(UA=conductance_two_sided(conductance, load, flow, 0.0))
        low, high = 0.8 * flow, 1.2 * flow
        for _ in range(22):
            middle = 0.5 * (low + high)
            less = network.heat_kw(load, middle, (HOT_IN_C, COLD_IN_C), own_part_load=False) < heat
            low, high = (middle, high) if less else (low, middle)
        ours.append(float(flow))
        theirs.append(0.5 * (low + high))
    network.exchanger.set_attr(UA=conductance)
    return ours, theirs
