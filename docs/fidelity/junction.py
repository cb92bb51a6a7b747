"""Junction temperature and loss of flow against the published times and temperatures."""

from __future__ import annotations

from functools import cache

from scipy.integrate import solve_ivp

from fidelity.figure import Figure, Panel, Series
from fidelity.row import Section, number, row
from kvandal.physics.junction import (
    flow_loss_times_s,
    gpu_power_limit_w,
    junction_temp_c,
    thermal_resistance_k_per_w,
)
from kvandal.scenario.parameters import value

POWER_W, IDLE_W = 1400.0, 200.0
SUPPLIES_C = (30.0, 32.5, 35.0, 37.5, 40.0, 42.5, 45.0)


def times(supply_c: float, power_w: float = POWER_W) -> tuple[float, float, float]:
    """Time to throttling and to the trip by our model [s]."""
    return flow_loss_times_s(
        supply_c, power_w, IDLE_W, value("gpu.rth_junction"), value("gpu.rth_convective_share"),
        POWER_W / value("cooling.tcs_delta_t_k"), value("gpu.cold_plate_s"), value("gpu.rack_loop_s"),
        value("cooling.flow_coast_s"), value("cooling.natural_flow_fraction"), value("gpu.t_throttle_c"),
        value("gpu.t_trip_c"), 0.1, 900.0,
    )  # fmt: skip


def solved_s(supply_c: float) -> float:
    """Time to throttling from the same two masses, by scipy's adaptive Runge-Kutta instead of our implicit steps [s]."""
    resistance, share = value("gpu.rth_junction"), value("gpu.rth_convective_share")
    rate, plate, loop = (
        POWER_W / value("cooling.tcs_delta_t_k"),
        value("gpu.cold_plate_s"),
        value("gpu.rack_loop_s"),
    )
    coast, natural, limit = (
        value("cooling.flow_coast_s"),
        value("cooling.natural_flow_fraction"),
        value("gpu.t_throttle_c"),
    )

    def slope(time_s: float, state: list[float]) -> list[float]:
        flow = max(natural, 2.718281828459045 ** (-time_s / coast))
        heat = (state[0] - supply_c - state[1]) / (resistance * (1 - share + share * flow**-0.8))
        return [
            (POWER_W - heat) * resistance / plate,
            ((1 - flow) * heat - flow * rate * state[1]) / (loop * rate),
        ]

    def reached(_: float, state: list[float]) -> float:
        return state[0] - limit

    reached.terminal = True  # type: ignore[attr-defined]
    start = [supply_c + POWER_W * resistance, 0.0]
    found = solve_ivp(slope, (0.0, 300.0), start, events=reached, rtol=1e-9, atol=1e-9)
    return float(found.t_events[0][0])


@cache
def section() -> Section:
    """Compare the published points and the integration in time."""
    resistance, share, limit = (
        value("gpu.rth_junction"),
        value("gpu.rth_convective_share"),
        value("gpu.t_throttle_c"),
    )
    ours, solved = [times(supply)[0] for supply in SUPPLIES_C], [solved_s(supply) for supply in SUPPLIES_C]
    rows = (
        row(
            "junction", "junction of a GPU of 1,400 W at 45 °C", "junction_temp_c", "81 °C (the design basis; R_th is judgement)", "1 point", "°C",
            junction_temp_c(45.0, POWER_W, resistance), 81.0, "45 + 36.4 K, printed without the decimal", places=1, floor=1e9,
        ),
        row(
            "junction_margin", "power at which throttling starts, 45 °C", "gpu_power_limit_w", "the power at which 45 + P R reaches 85 °C", "1 point",
            "W", gpu_power_limit_w(45.0, limit, resistance), 40.0 / 0.026, "by hand, 40 K over 0.026 K/W", places=0,
        ),
        row(
            "flow_loss", "loss of flow to throttling, 1,400 W, 40 °C", "flow_loss_times_s", "10 to 25 s at full power (judgement of the design basis)",
            "1 point", "s", times(40.0)[0], 10.0, "the run-down of the flow (20 s) was chosen so; not an independent check", high=25.0, places=1,
        ),
        row(
            "flow_loss_warm", "the same at 45 °C", "flow_loss_times_s", "10 to 25 s", "1 point", "s", times(45.0)[0], 10.0,
            "only 3.6 K of margin are left at 45 °C; the published range names no temperature", high=25.0, places=1,
        ),
        row(
            "flow_loss_solver", "loss of flow to throttling", "flow_loss_times_s", "the same equations by scipy's Runge-Kutta",
            f"supply 30 to 45 °C, {len(SUPPLIES_C)} points", "s", ours, solved, "implicit steps of 0.1 s", places=2,
        ),
    )  # fmt: skip
    percent = list(range(10, 121, 5))
    temps = [
        junction_temp_c(40.0, POWER_W, thermal_resistance_k_per_w(flow / 100, resistance, share))
        for flow in percent
    ]
    figure = Figure(
        "junction",
        "Time from the loss of flow to throttling over supply temperature with the published band; junction temperature over flow.",
        (
            Panel(
                "Loss of flow at 1,400 W (shaded: published)", "coolant supply [°C]", "time to throttling [s]",
                (
                    Series("ours", SUPPLIES_C, ours),
                    Series("scipy, same equations", SUPPLIES_C, solved, "reference", marks=True),
                ),
                band=(10.0, 25.0), zero=True,
            ),
            Panel(
                "Junction at 1,400 W, 40 °C supply", "coolant flow over design [%]", "junction [°C]",
                (Series("ours", percent, temps), Series("start of throttling", [10, 120], [limit, limit], "grey", dashed=True)),
            ),
        ),
    )  # fmt: skip
    text = (
        "There is no open measurement of a GB300 that loses its coolant. What can be checked is that the code solves its own equations "
        "(last line) and gives what the design basis states. An open model of an H100 (thermal-mcp-server) has 0.066 K/W at 8 L/min and "
        f"25 °C inlet, 2.5 times our {number(resistance, 3)} K/W: another package, another cold plate, half the power; with it a GPU of "
        "1,400 W could not be cooled at 40 °C at all, so the two are not to be compared."
    )
    return Section(rows, figure, text)
