"""What became of GPU-hours, by hand."""

import polars as pl
import pytest

from kvandal.report import goodput
from kvandal.twin.records import LOSSES
from kvandal.twin.reliability_state import CAUSES


def jobs(*rows):
    """Jobs from (tenant, GPUs, starts, GPU-s allocated, lost to failure, lost to restart, failures); the rest is useful."""
    zero = dict.fromkeys(goodput.COLUMNS, 0)
    return pl.DataFrame(
        [
            {
                **zero, "tenant": tenant, "gpus": gpus, "starts": starts, "gpu_s_allocated": allocated,
                "gpu_s_useful": float(allocated - failure - restart), "gpu_s_lost_failure": float(failure),
                "gpu_s_lost_restart": float(restart), "gpu_s_restart_recall": restart / 2, "failures": failures,
                "failures_host": failures,
            }
            for tenant, gpus, starts, allocated, failure, restart, failures in rows
        ]
    )  # fmt: skip


TABLE = jobs(
    ("a", 8, 1, 7200, 0, 0, 0),
    ("a", 8, 3, 14_400, 3600, 1800, 2),
    ("a", 9, 0, 0, 0, 0, 0),
    ("b", 1000, 1, 3_600_000, 0, 360_000, 1),
)


def test_losses_and_goodput_of_tenants():
    rows = {row["tenant"]: row for row in goodput.by_tenant(TABLE).to_dicts()}
    assert rows["a"]["jobs"] == 3
    assert rows["a"]["gpu_hours_allocated"] == 6.0
    assert rows["a"]["gpu_hours_lost_failure"] == 1.0
    assert rows["a"]["gpu_hours_lost_restart"] == 0.5
    assert rows["a"]["gpu_hours_restart_recall"] == 0.25
    assert rows["a"]["goodput"] == pytest.approx(4.5 / 6)
    assert rows["b"]["goodput"] == pytest.approx(0.9)
    assert goodput.interruptions(TABLE) == {**dict.fromkeys(CAUSES, 0), "host": 3, "recall": 0, "shed": 0}


def test_useful_share_by_size():
    """Jobs that never started are in no class; wall time, not GPU-hours, weighs the ETTR."""
    small, large = goodput.by_size(TABLE).to_dicts()
    assert (small["size"], small["jobs"], small["hours_running"]) == ("1-8", 2, 0.75)
    assert small["ettr"] == small["goodput"] == pytest.approx(4.5 / 6)
    assert small["gpu_hours_per_failure"] == 3.0
    assert (large["size"], large["ettr"]) == ("513-2,048", pytest.approx(0.9))
    mixed = goodput.by_size(jobs(("a", 1, 1, 3600, 1800, 0, 0), ("a", 8, 1, 28_800, 0, 0, 0))).to_dicts()[0]
    assert mixed["ettr"] == 0.75
    assert mixed["goodput"] == pytest.approx(8.5 / 9)
    assert mixed["gpu_hours_per_failure"] is None
    assert goodput.by_size(TABLE.head(0)).height == 0


def test_edges_of_the_classes():
    table = jobs(
        *[("a", gpus, 1, 3600, 0, 0, 0) for gpus in (1, 8, 9, 72, 73, 512, 2048, 8192, 32_768, 32_769)]
    )
    assert dict(zip(*goodput.by_size(table).select("size", "jobs").get_columns(), strict=True)) == {
        "1-8": 2, "9-72": 2, "73-512": 2, "513-2,048": 1, "2,049-8,192": 1, "8,193-32,768": 1, "over 32,768": 1,
    }  # fmt: skip


def test_the_names_are_those_of_the_twin():
    assert goodput.LOSSES == LOSSES
    assert goodput.CAUSES == CAUSES
