"""The table of events (docs/run-folder.md)."""

from __future__ import annotations

import numpy as np
import polars as pl

from kvandal.ledger.columns import counted, named, times_utc
from kvandal.ledger.grants import rule_ids
from kvandal.twin import plant_state as plant
from kvandal.twin.records import EVENTS
from kvandal.twin.simulate import Trajectory

EVENT_TEXTS = {
    "delivery": "rack delivered",
    "failure": "GPU failed, tray out of service",
    "repair": "tray repaired",
    "recall": "loan under notice",
    "shed": "job shed",
    "envelope": "power capped",
    "fault": "fault of the plant begins",
    "fault_over": "fault of the plant is over",
    "throttle": "GPUs of a rack throttle: their coolant stands still",
    "trip": "rack switched off, job stopped",
    "power_on": "rack back in service",
    "limit": "a limit of the plant holds racks back",
    "limit_over": "the limit holds nothing back any more",
    "overload": "the meter shows more than it may, though everything that can be shed is",
    "overload_over": "the meter shows no more than it may",
    "host_fault": "software or host failed, job stopped",
    "network_fault": "network failed, job stopped",
    "rack_failure": "NVLink switches failed, rack out of service",
    "rack_repair": "NVLink switches repaired",
    "repair_begins": "repair crew begins",
    "tray_replaced": "tray fails too often and is replaced",
    "recovery": "racks return after a trip, and power rises no faster than the ramp",
    "recovery_over": "the site is back from its trip",
    "expiry_notice": "job told that its grant ends",
    "expiry": "job stopped: its grant is over",
}


def events_table(run: Trajectory) -> pl.DataFrame:
    """One row per event, in order of time."""
    events = run.state.events[: int(run.state.tally["events"][0])]
    events = events[
        np.argsort(events["time_s"], kind="stable")
    ]  # throttling is foreseen when the coolant stops
    kinds = named(events["kind"], EVENTS)
    return pl.DataFrame(
        {
            "time_utc": times_utc(run.scenario.run.start_utc, events["time_s"]),
            "kind": kinds,
            "rack": counted(events["rack"]),
            "tray": counted(events["tray"]),
            "job": counted(events["job"]),
            "gpus": np.ascontiguousarray(events["gpus"]),
            "fault": counted(events["fault"]),
            "node": named(events["node"], plant.node_names(run.site)),
            "constraint": named(events["constraint"], plant.CONSTRAINTS),
            "rule": named(events["rule"], rule_ids()),
            "text": kinds.cast(pl.String).replace_strict(
                EVENT_TEXTS, return_dtype=pl.Enum(list(EVENT_TEXTS.values()))
            ),
        }
    )
