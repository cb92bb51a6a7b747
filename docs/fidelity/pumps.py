"""Pumps against TESPy: a pump, the CDU's own passages, a control valve and the rack's hoses and cold plates in a row."""

from __future__ import annotations

import logging
from functools import cache

import numpy as np
from tespy.components import Pipe, Pump, Sink, Source, Valve
from tespy.connections import Connection, Ref
from tespy.networks import Network

from fidelity.exchanger import FLUID
from fidelity.figure import Figure, Panel, Series
from fidelity.row import Section, row, short
from kvandal.physics.water import (
    pump_power_fraction,
    pump_power_kw,
    pump_system_power_fraction,
    rack_pressure_drop_kpa,
)
from kvandal.scenario.parameters import value

SUPPLY_C, FLOW_L_PER_S, PRESSURE_KPA, RACK_KPA, EFFICIENCY = 40.0, 1960 / 60, 250.0, 90.0, 0.60
FLOWS = (1.2, 1.1, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
RACKS, HOSE_M, HOSE_DIAMETER_M, ROUGHNESS_M = 12, 20.0, 0.04, 1.5e-6
"""Branches of the network; a smooth hose as a stand-in for hoses, manifolds and cold plates of a rack."""


class PumpNetwork:
    """Pump, fixed resistance and control head in a row, and the hose of one rack; the loop closes at 300 kPa."""

    def __init__(self, floor: float) -> None:
        logging.disable(logging.WARNING)
        self.network = Network(iterinfo=False)
        self.network.units.set_defaults(
            temperature="degC",
            pressure="kPa",
            pressure_difference="kPa",
            heat="kW",
            power="kW",
            volumetric_flow="l/s",
        )
        self.pump, self.head, self.friction = Pump("pump"), Valve("control head"), Pipe("friction")
        source, sink = Source("return"), Sink("end")
        self.inlet = Connection(source, "out1", self.pump, "in1")
        outlet = Connection(self.friction, "out1", sink, "in1")
        self.network.add_conns(
            self.inlet,
            Connection(self.pump, "out1", self.head, "in1"),
            Connection(self.head, "out1", self.friction, "in1"),
            outlet,
        )
        self.inlet.set_attr(fluid=FLUID, T=SUPPLY_C, p=300, v=FLOW_L_PER_S)
        outlet.set_attr(p=Ref(self.inlet, 1, 0))
        self.pump.set_attr(eta_s=EFFICIENCY)
        self.head.set_attr(dp=max(floor * PRESSURE_KPA, 1e-3))
        self.friction.set_attr(Q=0)
        self.pump.set_attr(dp=-PRESSURE_KPA)
        self.network.solve("design")
        zeta = float(self.friction.zeta_d4.val)
        self.pump.set_attr(dp=None)
        self.friction.set_attr(zeta_d4=zeta)

    def power_kw(self, flow: float) -> float:
        """Power of the pump at a part of the design flow, at its design efficiency."""
        self.inlet.set_attr(v=flow * FLOW_L_PER_S)
        self.network.solve("design")
        if self.network.status != 0:
            raise RuntimeError(f"TESPy found no solution at flow {flow}")
        return float(self.pump.P.val)


def hose_pressure_drop_kpa() -> list[float]:
    """Pressure drop of a smooth hose by TESPy (Darcy and Weisbach), scaled to that of a rack at design flow."""
    network = Network(iterinfo=False)
    network.units.set_defaults(
        temperature="degC",
        pressure="kPa",
        pressure_difference="kPa",
        heat="kW",
        volumetric_flow="l/s",
        length="m",
    )
    hose = Pipe("hose")
    inlet = Connection(Source("supply"), "out1", hose, "in1")
    outlet = Connection(hose, "out1", Sink("return"), "in1")
    network.add_conns(inlet, outlet)
    inlet.set_attr(fluid=FLUID, T=SUPPLY_C, p=600, v=FLOW_L_PER_S / RACKS)
    hose.set_attr(Q=0, L=HOSE_M, D=HOSE_DIAMETER_M, ks=ROUGHNESS_M)
    found = []
    for flow in FLOWS:
        inlet.set_attr(v=flow * FLOW_L_PER_S / RACKS)
        network.solve("design")
        found.append(600.0 - float(outlet.p.val))
    return [RACK_KPA * drop / found[FLOWS.index(1.0)] for drop in found]


@cache
def section() -> Section:
    """Compare design power, pressure drop of a rack, hydraulic power and electric power over flow."""
    floor = value("cooling.pump_pressure_floor")
    network = PumpNetwork(floor)
    hydraulic = np.array([network.power_kw(flow) for flow in FLOWS])
    design_kw = network.power_kw(1.0)
    curve = network.pump.eta_s_char.char_func
    theirs = hydraulic / design_kw / np.array([float(curve.evaluate(flow)) for flow in FLOWS])
    bare = PumpNetwork(0.0)
    without = np.array([bare.power_kw(flow) for flow in FLOWS]) / bare.power_kw(1.0)
    ours = np.array([pump_system_power_fraction(flow, floor) for flow in FLOWS])
    affinity = np.array([pump_power_fraction(flow) for flow in FLOWS])
    drops, hose = [rack_pressure_drop_kpa(flow, RACK_KPA) for flow in FLOWS], hose_pressure_drop_kpa()
    percent = [100 * flow for flow in FLOWS]
    exponent = float(np.log(hose[0] / hose[-1]) / np.log(FLOWS[0] / FLOWS[-1]))
    where = f"flows 30 to 120 %, {len(FLOWS)} points"
    rows = (
        row(
            "pump_design", "CDU pumps at design", "pump_power_kw", "TESPy `Pump`", "1,960 L/min, 250 kPa, 60 %", "kW",
            pump_power_kw(PRESSURE_KPA, FLOW_L_PER_S, EFFICIENCY), design_kw,
            "the same equation; neither compresses the fluid", places=3,
        ),
        row(
            "pump_rack", "pressure drop of a rack", "rack_pressure_drop_kpa", "TESPy `Pipe`, smooth hose, Darcy-Weisbach", where,
            "kPa", drops, hose, f"ours goes with the flow to the power of 1.8, the hose with {exponent:.2f} over this range", places=1,
        ),
        row(
            "pump_power", "pump power over flow, control head of 35 %", "pump_system_power_fraction",
            "TESPy: fixed resistance (flow squared), control head, its efficiency curve", where, "% of design", 100 * ours, 100 * theirs,
            "ours has 2 % of standby, friction to the power of 1.8 and another fall of efficiency: TESPy's curve knows no speed, a variable-speed pump keeps its efficiency longer", places=1,
        ),
        row(
            "pump_affinity", "pump power over flow, simple model", "pump_power_fraction", "the same network", where, "% of design",
            100 * affinity, 100 * theirs, "a fixed curve that knows nothing of the control head", places=1,
        ),
    )  # fmt: skip
    figure = Figure(
        "pumps",
        "Power of a pump over flow by our two models and by a TESPy network, and the differences.",
        (
            Panel(
                "Pump power over flow", "flow over design [%]", "power over design [%]",
                (
                    Series("system curve (ours)", percent, list(100 * ours)),
                    Series("affinity (ours)", percent, list(100 * affinity), "second", dashed=True),
                    Series("TESPy", percent, list(100 * theirs), "reference", marks=True),
                    Series("TESPy without control head or losses", percent, list(100 * without), "grey", dashed=True),
                ),
                zero=True,
            ),
            Panel(
                "Difference to TESPy", "flow over design [%]", "ours less TESPy [% of design]",
                (
                    Series("system curve", percent, list(100 * (ours - theirs))),
                    Series("affinity", percent, list(100 * (affinity - theirs)), "second", dashed=True),
                ),
                zero=True,
            ),
        ),
    )  # fmt: skip
    share = value("cooling.cdu_pump_w_per_kw") / 1000 * float(np.abs(ours - theirs).max())
    text = (
        "Pump, fixed resistance and the control head that the differential-pressure set-point keeps, in a row; the pump at its "
        "design efficiency, divided by TESPy's own curve of efficiency over flow. The largest difference of the default model, "
        f"{short(abs(rows[2].maximum))} % of design power, is {short(100 * share)} % of the heat that the pump moves, less than a thousandth of the PUE. "
        "Published fixed-flow operation that wastes more than 60 % of pump energy at low heat (prophetstor.com, after the OCP "
        f"guideline) fits: at half the flow we need {100 * pump_system_power_fraction(0.5, floor):.0f} % of the power. Plain friction "
        f"without a control head would need {100 * without[FLOWS.index(0.5)]:.0f} %."
    )
    return Section(rows, figure, text)
