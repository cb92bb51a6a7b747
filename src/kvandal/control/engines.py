"""The engine that the settings ask for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from kvandal.control.loop.clock import SteadyClock
from kvandal.control.loop.opening import epoch_of
from kvandal.control.settings import Settings
from kvandal.engines.live.protocol import Engine
from kvandal.engines.live.twin import Fault, TwinEngine
from kvandal.physics.rack import capped_speed
from kvandal.scenario.model import Scenario
from kvandal.twin.failures import draw_failures
from kvandal.twin.reliability_state import CAUSE_RACK, CAUSE_TRAY

FAULT_DAYS = 400
"""How far ahead outages of an emulated site are drawn [days]."""


def node_names(racks: int) -> list[str]:
    """Names of the trays of an emulated site.

    >>> node_names(2)[:2], len(node_names(2))
    (['r0001n01', 'r0001n02'], 36)
    """
    return [f"r{rack + 1:04d}n{tray + 1:02d}" for rack in range(racks) for tray in range(18)]


def twin_engine(
    settings: Settings, scenario: Scenario, now_utc: datetime, clock: Callable[[], float]
) -> Engine:
    """Return the emulated cluster of a scenario; it goes on where it was left."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    racks = scenario.site.racks
    names = node_names(racks)
    policy = scenario.policy

    def speed_at(cap: float) -> float:
        return float(capped_speed(cap, policy.training_perf_exponent, policy.perf_offset_fraction))

    return TwinEngine(
        names,
        file=settings.data_dir / "twin.sqlite",
        start_utc=epoch_of(now_utc),
        speed=settings.speed,
        speed_at=speed_at,
        faults=_faults(scenario, names) if scenario.reliability.failures else (),
        wall=clock,
    )


def _faults(scenario: Scenario, names: list[str]) -> list[Fault]:
    """Draw outages of trays and racks at the published rates."""
    reliability = scenario.reliability
    drawn = draw_failures(scenario.run.seed, FAULT_DAYS, 4 * len(names), reliability)
    found = []
    for one in drawn:
        tray = int(one["gpu"]) // 4
        if one["cause"] == CAUSE_TRAY:
            repair_s = float(one["repair_s"]) or reliability.tray_repair_h * 3600
            found.append(Fault(float(one["time_s"]), repair_s, names[tray]))
        elif one["cause"] == CAUSE_RACK:
            repair_s = float(one["repair_s"]) or reliability.rack_repair_h * 3600
            first = tray // 18 * 18
            found += [Fault(float(one["time_s"]), repair_s, name) for name in names[first : first + 18]]
    return found


def slurm_engine(settings: Settings, clock: Callable[[], float]) -> Engine:
    """Return the Slurm cluster of the settings."""
    from kvandal.engines.live import slurm

    return slurm.from_settings(settings.slurm, clock)


def engine_of(settings: Settings, scenario: Scenario, clock: SteadyClock, now_utc: datetime) -> Engine:
    """Return the engine that the settings ask for."""
    if settings.engine == "slurm":
        return slurm_engine(settings, clock)
    return twin_engine(settings, scenario, now_utc, clock)
