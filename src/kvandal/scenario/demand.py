"""Who asks for GPUs: one entry per class of demand."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from kvandal.scenario.base import Part
from kvandal.scenario.parameters import parameter, value

WorkKind = Literal["training", "batch", "inference"]
JobGpus = Annotated[int, Field(ge=1, le=5_000_000)]


class Demand(Part):
    """One class of demand: a source of jobs, the tenants that submit them, how hard they drive the GPUs.

    `source` is one of

    ``philly``, ``lingjun``
        bootstrap of a shipped trace to `mean_gpus` (GPUs busy on average if every job started at once);
    ``file``
        a trace of the user's own (`path`), replayed as it is, or scaled when `mean_gpus` is given;
    ``frontier``
        few very large training jobs, drawn (synthetic) until `mean_gpus` are busy on average;
    ``diurnal``
        replicas that follow the hours of the day (synthetic), `mean_gpus` busy on average.
    """

    source: Literal["philly", "lingjun", "file", "frontier", "diurnal"]
    """Where the jobs come from."""
    tenants: Annotated[dict[str, Annotated[float, Field(gt=0, le=1e6)]], Field(min_length=1)]
    """Tenants that submit these jobs, with their weights."""
    kind: WorkKind = "training"
    """How the jobs load the GPUs and answer to a power cap."""
    mean_gpus: Annotated[float, Field(gt=0, le=5_000_000)] | None = None
    """GPUs busy on average if every job started at once and never failed."""
    size_multiplier: Annotated[int, Field(ge=1, le=64)] = 1
    """Multiplies every traced job's GPUs (bigger models than in the trace's year)."""
    maximum_gpus: JobGpus = 32_768
    """Larger jobs are cut to this size."""
    path: str | None = None
    """Trace file for `source = "file"` (relative to the scenario file)."""
    sizes_gpus: Annotated[tuple[JobGpus, ...], Field(strict=False)] = (4096, 8192, 16384)
    """Sizes drawn from by `source = "frontier"`."""
    median_duration_h: float = parameter("workload.frontier_median_h", gt=0, le=100_000)
    sigma_log_duration: float = parameter("workload.frontier_sigma", ge=0, le=3)
    replica_gpus: Annotated[int, Field(ge=1, le=72)] = 16
    """GPUs of one replica for `source = "diurnal"`."""
    diurnal_amplitude_fraction: float = parameter("workload.diurnal_amp", ge=0, lt=1)
    peak_hour_local: float = parameter("workload.peak_hour_local", ge=0, lt=24)
    weekend_fraction: float = parameter("workload.weekend_fraction", gt=0, le=2)
    load_fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    """Mean rack power over TDP while these jobs run; default by kind."""
    gpu_cap_fraction: Annotated[float, Field(ge=0.15, le=1)] = 1.0
    """Power cap of every GPU that these jobs use, over its TDP; they draw less and work slower."""
    perf_exponent: Annotated[float, Field(gt=0, le=2)] | None = None
    """Exponent of their speed over that cap: 0.13 (tuned) to 0.65 (dense compute); default by kind."""
    limit_factor: float = parameter("workload.limit_factor", ge=1, le=1000)
    time_limit_h: Annotated[float, Field(gt=0, le=100_000)] | None = None
    """Most run time of one start [h]; who needs more is ended there. Left out, the limit is `limit_factor` times the need."""
    deadline_h: Annotated[float, Field(gt=0, le=100_000)] | None = None
    """Time after submission by which the jobs should have finished [h]; the closer it comes, the earlier they start."""
    elastic_minimum_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Smallest part of its GPUs with which a job can run, slower; 1: all or nothing (a gang)."""
    checkpoint: bool = True
    """Whether jobs save their state and resume from it."""
    checkpoint_interval_s: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    """Work between two checkpoints [s]; default by Daly's rule from each job's own size."""
    checkpoint_s: Annotated[float, Field(ge=0, le=86_400)] | None = None
    """Blocking time of a checkpoint [s]; default `reliability.checkpoint_s`."""
    restart_s: Annotated[float, Field(ge=0, le=864_000)] | None = None
    """Time from an interruption until work goes on [s]; default `reliability.restart_s`."""

    @model_validator(mode="after")
    def _holds_together(self) -> Demand:
        if self.source == "file" and self.path is None:
            raise ValueError('source = "file" needs a path')
        if self.source != "file" and self.path is not None:
            raise ValueError(f'path belongs to source = "file", not to source = "{self.source}"')
        if self.source != "file" and self.mean_gpus is None:
            raise ValueError(f'source = "{self.source}" needs mean_gpus')
        if self.source == "frontier" and not self.sizes_gpus:
            raise ValueError("sizes_gpus must not be empty")
        if not self.checkpoint and self.checkpoint_interval_s is not None:
            raise ValueError("checkpoint = false writes no checkpoints: leave checkpoint_interval_s out")
        return self

    @property
    def rack_load_fraction(self) -> float:
        """Mean rack power over TDP while these jobs run."""
        if self.load_fraction is not None:
            return self.load_fraction
        return value("workload.rack_load_infer" if self.kind == "inference" else "workload.rack_load_train")
