"""The engine that the settings ask for."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from kvandal.control.loop.clock import SteadyClock
from kvandal.control.loop.opening import epoch_of
from kvandal.control.settings import Settings, SlurmSettings
from kvandal.engines.live.protocol import Engine
from kvandal.engines.live.twin import Fault, TwinEngine
from kvandal.errors import SettingsError
from kvandal.physics.rack import capped_speed
from kvandal.scenario.model import Scenario
from kvandal.twin.failures import draw_failures
from kvandal.twin.reliability_state import CAUSE_RACK, CAUSE_TRAY

if TYPE_CHECKING:
    from kvandal.engines.live.slurm import SlurmEngine

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


def slurm_engine(settings: SlurmSettings, clock: Callable[[], float]) -> SlurmEngine:
    """Return the Slurm cluster of the settings.

    Raises
    ------
    SettingsError
        If a secret or the folder of records cannot be used.

    """
    from kvandal.engines.live.slurm import SlurmEngine
    from kvandal.engines.live.slurm_cluster import SlurmCluster

    if settings.token_file is not None:
        settings.secret()  # says at once which file is at fault
    cluster = SlurmCluster(
        rest_url=settings.rest_url,
        token_file=settings.token_file,
        token="" if settings.token is None else settings.token.get_secret_value(),
        token_command=tuple(shlex.split(settings.token_command)),
        service_user=settings.user,
        commands=settings.commands,
        conf=settings.conf,
        user=settings.job_user or None,
        account=settings.account,
        partition=settings.partition,
        qos=settings.qos,
        gpu_type=settings.gpu_type or None,
        working_directory=settings.working_directory,
        output=settings.output,
        record_folder=settings.record_folder,
        timeout_s=settings.timeout_s,
    )
    try:
        return SlurmEngine(cluster, clock)
    except OSError as error:
        raise SettingsError(
            f"cannot be used: {error.strerror}", file=settings.record_folder, key="slurm.record_folder"
        ) from None


def engine_of(settings: Settings, scenario: Scenario, clock: SteadyClock, now_utc: datetime) -> Engine:
    """Return the engine that the settings ask for."""
    if settings.engine == "slurm":
        assert settings.slurm is not None  # the settings have been checked
        return slurm_engine(settings.slurm, clock)
    return twin_engine(settings, scenario, now_utc, clock)
