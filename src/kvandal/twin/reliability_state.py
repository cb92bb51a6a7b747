"""Tables of failures and repairs, and the constants of a run that go with them."""

from __future__ import annotations

from typing import Any

import numpy as np

from kvandal.scenario.demand import Demand
from kvandal.scenario.model import Scenario
from kvandal.scenario.plant import Reliability

CAUSE_TRAY, CAUSE_HOST, CAUSE_NETWORK, CAUSE_RACK, CAUSE_PLANT = range(5)
CAUSES = ("tray", "host", "network", "rack", "plant")
"""What interrupts jobs: failures drawn by GPU-hours, and faults of the plant that switch racks off."""

FAILURE = np.dtype(
    [
        ("time_s", "i8"), ("gpu", "i8"), ("cause", "i8"),
        ("repair_s", "i8"),  # 0: the mean of its kind
        ("excess", "?"),  # it would not have happened if its tray were as good as the others
    ],
    align=True,
)  # fmt: skip
WORK = np.dtype(
    [
        ("out_since_s", "i8"), ("ordered_s", "i8"), ("repair_s", "i8"), ("next_unit", "i8"), ("failures", "i8"),
        ("is_out", "?"), ("has_crew", "?"), ("replaced", "?"),
    ],
    align=True,
)  # fmt: skip
"""Repair of a unit: first all trays, then all racks. `is_out` is used of racks, `failures` and `replaced` of trays."""
REPAIR_QUEUE = np.dtype([("head", "i8"), ("tail", "i8")], align=True)
"""Units that wait for a crew, linked by `WORK.next_unit`: racks, trays."""

REPAIR_RULES: tuple[tuple[str, str], ...] = (
    ("spare_trays", "i8"), ("spare_restart_s", "i8"), ("repair_s", "i8"), ("rack_repair_s", "i8"), ("replacement_s", "i8"),
    ("repair_crews", "i8"), ("lemon_failures", "i8"), ("lemon_window_s", "i8"),
)  # fmt: skip
"""Columns of the constants of a run (:data:`kvandal.twin.records.RULES`) that :func:`repair_rules` fills."""


def repair_rules(scenario: Scenario) -> dict[str, Any]:
    """Constants of a run that say how it fails and is repaired."""
    reliability = scenario.reliability
    return {
        "spare_trays": scenario.policy.spare_trays_per_rack,
        "spare_restart_s": round(reliability.spare_restart_s),
        "repair_s": max(1, round(reliability.tray_repair_h * 3600)),
        "rack_repair_s": max(1, round(reliability.rack_repair_h * 3600)),
        "replacement_s": max(1, round(reliability.tray_replacement_days * 86_400)),
        "repair_crews": reliability.repair_crews,
        "lemon_failures": reliability.lemon_failures,
        "lemon_window_s": round(reliability.lemon_window_days * 86_400),
    }


def new_repair_queues() -> Any:
    """Return two empty queues."""
    queues = np.zeros(2, REPAIR_QUEUE)
    queues["head"] = queues["tail"] = -1
    return queues


def checkpoint_s(demand: Demand, reliability: Reliability) -> float:
    """Time in which the jobs of a class write a checkpoint [s]."""
    return reliability.checkpoint_s if demand.checkpoint_s is None else demand.checkpoint_s


def restart_s(demand: Demand, reliability: Reliability) -> float:
    """Time from an interruption of a job of a class until its work goes on [s]."""
    return reliability.restart_s if demand.restart_s is None else demand.restart_s
