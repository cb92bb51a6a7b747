"""Kvandal: the digital twin and control plane of a sovereign AI data centre.

>>> import kvandal as kv
>>> scenario = kv.load("stargate-norway", {"run.days": 7})
>>> scenario.site.racks
1389

``kv.simulate(scenario)`` gives a :class:`Run`; ``run.summary`` holds its headline numbers, ``run.queues`` and
``run.site`` are tables. ``kv.compare(run, other)`` puts two side by side; ``kv.whatif(scenario, changes)`` says what a
change does to whom; ``kv.why(run, job)`` tells the life of a job; ``kv.sweep`` and ``kv.optimise`` simulate many variants.
``kv.Client(server)`` asks a running control plane.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kvandal.client.client import Client
    from kvandal.errors import InputError, KvandalError, OutputError
    from kvandal.runs.compare import compare
    from kvandal.runs.folder import read_run, write_run
    from kvandal.runs.forecast import forecast
    from kvandal.runs.optimise import Optimum, optimise
    from kvandal.runs.run import Run, simulate
    from kvandal.runs.story import Why
    from kvandal.runs.sweep import Sweep, sweep
    from kvandal.runs.whatif import WhatIf, whatif
    from kvandal.runs.why import why
    from kvandal.scenario.loading import load, presets
    from kvandal.scenario.model import Scenario

    __version__: str
    """Version of the package."""

__all__ = [
    "Client",
    "InputError",
    "KvandalError",
    "Optimum",
    "OutputError",
    "Run",
    "Scenario",
    "Sweep",
    "WhatIf",
    "Why",
    "compare",
    "forecast",
    "load",
    "optimise",
    "presets",
    "read_run",
    "simulate",
    "sweep",
    "whatif",
    "why",
    "write_run",
]

_HOMES = {
    "Client": "kvandal.client.client",
    "InputError": "kvandal.errors",
    "KvandalError": "kvandal.errors",
    "Optimum": "kvandal.runs.optimise",
    "OutputError": "kvandal.errors",
    "Run": "kvandal.runs.run",
    "Scenario": "kvandal.scenario.model",
    "Sweep": "kvandal.runs.sweep",
    "WhatIf": "kvandal.runs.whatif",
    "Why": "kvandal.runs.story",
    "compare": "kvandal.runs.compare",
    "forecast": "kvandal.runs.forecast",
    "load": "kvandal.scenario.loading",
    "optimise": "kvandal.runs.optimise",
    "presets": "kvandal.scenario.loading",
    "read_run": "kvandal.runs.folder",
    "simulate": "kvandal.runs.run",
    "sweep": "kvandal.runs.sweep",
    "whatif": "kvandal.runs.whatif",
    "why": "kvandal.runs.why",
    "write_run": "kvandal.runs.folder",
}


def __getattr__(name: str) -> Any:
    """Import public names when they are first used, so that ``import kvandal`` costs nothing."""
    if name == "__version__":
        from importlib import metadata

        return metadata.version("kvandal")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'kvandal' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
