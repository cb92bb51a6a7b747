"""Set-points on a schedule: other water and air temperatures in some months or hours."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from kvandal.scenario.base import Part


class SetPoint(Part):
    """Set-points that hold in some months and hours; later entries override earlier ones."""

    months: Annotated[tuple[Annotated[int, Field(ge=1, le=12)], ...], Field(strict=False)] = ()
    """Months in which it holds, 1 to 12; empty means all."""
    hours_local: Annotated[tuple[Annotated[int, Field(ge=0, le=24)], ...], Field(strict=False)] = ()
    """First hour and the hour at which it ends, in local time: [22, 6] is the night; empty means all hours."""
    tcs_supply_c: Annotated[
        float | None, Field(ge=5, le=60, json_schema_extra={"parameter": "cooling.tcs_supply_c"})
    ] = None
    """Supply of the technology cooling system [°C]; left out, it stays as it is."""
    hall_air_c: Annotated[
        float | None, Field(ge=5, le=45, json_schema_extra={"parameter": "cooling.hall_air_c"})
    ] = None
    """Supply air of the halls [°C]; left out, it stays as it is."""

    @model_validator(mode="after")
    def _holds_together(self) -> SetPoint:
        if self.tcs_supply_c is None and self.hall_air_c is None:
            raise ValueError("sets nothing; give tcs_supply_c, hall_air_c or both")
        if len(self.hours_local) not in {0, 2}:
            raise ValueError(
                f"hours_local must hold two hours, e.g. [22, 6], or none, got {len(self.hours_local)}"
            )
        if self.hours_local and self.hours_local[0] % 24 == self.hours_local[1] % 24:
            if self.hours_local == (0, 24):
                return self
            raise ValueError(
                f"hours_local must end at another hour than it starts, got {list(self.hours_local)}; "
                "for all hours leave it out"
            )
        return self
