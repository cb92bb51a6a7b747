"""Jobs that are drawn once and used for every scenario that asks for the same, within one process.

Members of a sweep mostly differ in what their demand does not depend on (a connection, a set-point, a contract) and share
their seeds. What is kept is told by its content, so that a result never depends on what was simulated before it.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from dataclasses import fields
from pathlib import Path

from kvandal.demand.build import DemandReport, build_demand, placeable_gpus
from kvandal.demand.jobs import JobTable
from kvandal.demand.trace import Trace
from kvandal.scenario.model import Scenario

KEPT = 2
"""Tables of jobs that a process keeps; one of a year of the whole site holds some tens of MB."""

Demand = tuple[JobTable, list[DemandReport]]


class DemandShelf:
    """The jobs that a process drew last.

    Attributes
    ----------
    drawn, reused : how often jobs were drawn, and how often they were there already

    """

    def __init__(self) -> None:
        self.drawn = 0
        self.reused = 0
        self._tables: OrderedDict[str, Demand] = OrderedDict()
        self._traces: dict[str, Trace] = {}
        self._files: list[tuple[str, int, int]] | None = None

    def demand(self, scenario: Scenario) -> Demand:
        """Return the jobs of a scenario, as :func:`kvandal.demand.build.build_demand` does; they cannot be written to.

        Raises
        ------
        InputError
            If a trace cannot be read, or a class asks for an absurd number of jobs.

        """
        files = _files(scenario)
        if files != self._files:  # also when a trace has changed on disk
            self._traces.clear()
            self._files = files
        mark = demand_mark(scenario)
        if mark in self._tables:
            self.reused += 1
            self._tables.move_to_end(mark)
            return self._tables[mark]
        found = build_demand(scenario, self._traces)
        for field in fields(JobTable):
            getattr(found[0], field.name).flags.writeable = False
        self.drawn += 1
        self._tables[mark] = found
        while len(self._tables) > KEPT:
            self._tables.popitem(last=False)
        return found


def demand_mark(scenario: Scenario) -> str:
    """Tell scenarios apart that may ask for different jobs: a hash of all that :func:`build_demand` reads.

    Examples
    --------
    >>> demand_mark(Scenario()) == demand_mark(Scenario(demand_multiplier=2.0))
    False

    """
    read = {
        "start": scenario.run.start_utc.isoformat(),
        "days": scenario.run.days,
        "seed": scenario.run.seed,
        "multiplier": scenario.demand_multiplier,
        "demand": [[name, one.model_dump(mode="json")] for name, one in scenario.demand.items()],
        "tenants": list(scenario.tenants),
        "time_zone": scenario.site.time_zone,
        "placeable_gpus": placeable_gpus(scenario),
        "files": _files(scenario),
    }
    return hashlib.sha256(json.dumps(read).encode()).hexdigest()


def _files(scenario: Scenario) -> list[tuple[str, int, int]]:
    """Path, time of change and size of every trace of the user's own; one that cannot be told is left to its reader."""
    found = []
    for one in scenario.demand.values():
        if one.path is not None:
            try:
                stat = Path(one.path).stat()
            except (OSError, ValueError):
                continue
            found.append((one.path, stat.st_mtime_ns, stat.st_size))
    return found
