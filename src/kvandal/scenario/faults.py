"""Things that go wrong at given times."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, model_validator

from kvandal.scenario.base import Part

FaultKind = Literal[
    "cdu_pump",
    "cdu",
    "dry_cooler_bank",
    "transformer",
    "ups_block",
    "grid_dip",
    "curtailment",
    "leak",
    "hot_week",
]

PLACES: dict[str, str] = {
    "cdu_pump": "pod",
    "cdu": "pod",
    "dry_cooler_bank": "hall",
    "ups_block": "group",
    "leak": "rack",
}
"""Where a fault strikes; the others strike the site."""

AMOUNTS: dict[str, str] = {
    "grid_dip": "residual_voltage_pu",
    "curtailment": "limit_mw",
    "hot_week": "warmer_k",
}


class Fault(Part):
    """One event: what, when, where, how much."""

    kind: FaultKind
    """What goes wrong."""
    at_utc: AwareDatetime | None = None
    """When, with its offset from UTC; or give `after_h`."""
    after_h: Annotated[float, Field(ge=0, le=1e6)] | None = None
    """Hours after the start of the run; or give `at_utc`."""
    duration_h: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """Until it is over or repaired [h]; without it, the repair time of `reliability`, or one week for a hot week."""
    duration_s: Annotated[float, Field(gt=0, le=3600)] | None = None
    """Length of a grid dip [s]."""
    place: Annotated[int, Field(ge=0)] = 0
    """Index of the pod, hall, power group or rack that is struck."""
    count: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Units that fail together: pumps, CDUs, banks, transformers, blocks."""
    limit_mw: Annotated[float, Field(gt=0, le=100_000)] | None = None
    """Power that a curtailment order leaves [MW at the meter]."""
    residual_voltage_pu: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Voltage left during a grid dip [pu]."""
    warmer_k: Annotated[float, Field(ge=-30, le=30)] | None = None
    """How much warmer a hot week is [K]."""

    @model_validator(mode="after")
    def _holds_together(self) -> Fault:
        if (self.at_utc is None) == (self.after_h is None):
            raise ValueError("give either at_utc or after_h")
        for kind, key in AMOUNTS.items():
            if (getattr(self, key) is not None) != (self.kind == kind):
                verb = "needs" if self.kind == kind else "has no"
                raise ValueError(f"{self.kind} {verb} {key}")
        if (self.duration_s is not None) != (self.kind == "grid_dip"):
            raise ValueError(f"{self.kind} {'needs' if self.kind == 'grid_dip' else 'has no'} duration_s")
        if self.kind == "grid_dip" and self.duration_h is not None:
            raise ValueError("a grid_dip lasts duration_s, not duration_h")
        if self.kind == "curtailment" and self.duration_h is None:
            raise ValueError("curtailment needs duration_h")
        if self.count > 1 and self.kind not in (*PLACES, "transformer"):
            raise ValueError(f"{self.kind} has no count: it comes alone")
        if self.kind == "hot_week" and self.duration_h is not None and self.duration_h < 1:
            raise ValueError("weather is known by the hour: a hot_week needs a duration_h of at least 1")
        if self.place and self.kind not in PLACES:
            raise ValueError(f"{self.kind} strikes the site: it has no place")
        return self
