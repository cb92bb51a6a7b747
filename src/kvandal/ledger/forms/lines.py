"""Lines of a form, and the figures of a run that several forms ask for."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from kvandal.scenario.model import Scenario

METER = "grid meter at the 132 kV connection, and the generators' busbar"
RACKS = "input of racks, network and storage"
UPS = "output of the UPS"
HAND_OVER = "hand-over of the heat, before heat pumps"


@dataclass(frozen=True)
class Line:
    """A line of a form.

    Attributes
    ----------
    part : chapter of the form
    code : short name, as in the regulation or standard
    name : what it is
    value : number or text; None where it is missing
    unit : unit of a number
    status : `simulated` (by the twin), `given` (in the scenario), `derived` (from those) or `missing`
    measured_at : measuring point
    how : how it was derived
    point : where the regulation or standard asks for it

    """

    part: str
    code: str
    name: str
    value: float | str | None
    unit: str = ""
    status: str = "missing"
    measured_at: str = ""
    how: str = ""
    point: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Source:
    """A run as forms read it.

    Attributes
    ----------
    record : run.json
    scenario : its scenario
    tables : its tables by name

    """

    record: dict[str, Any]
    scenario: Scenario
    tables: dict[str, pl.DataFrame]

    @property
    def summary(self) -> dict[str, Any]:
        """Headline numbers of the run."""
        found: dict[str, Any] = self.record["summary"]
        return found

    @property
    def years(self) -> float:
        """Length of the run in years of 365 days."""
        return float(self.record["days"]) / 365

    def total_mwh(self, column: str) -> float:
        """Sum of a column of energy.parquet."""
        return float(self.tables["energy"][column].sum())

    def hours(self) -> float:
        """Length of a tick in hours."""
        return float(self.record["tick_s"]) / 3600

    def site_mwh(self, column: str) -> float:
        """Energy of a column of site.parquet, which holds mean powers."""
        return float(self.tables["site"][column].sum()) * self.hours()

    def site_mean(self, column: str) -> float | None:
        """Mean over time of a column of site.parquet; None where it is empty."""
        mean = self.tables["site"][column].drop_nans().mean()
        return float(mean) if isinstance(mean, (int, float)) else None

    def ups_output_mwh(self) -> float | None:
        """Energy at the output of the UPS; None where the site has none."""
        if self.scenario.power.ups_mode == "none":
            return None
        return float(self.summary["it_energy_mwh"]) + self.site_mwh("busway_loss_mw")


def given(
    part: str, code: str, name: str, value: float | str | None, unit: str = "", point: str = "", key: str = ""
) -> Line:
    """Return a line of what the scenario says under a key; missing where it does not."""
    where = key or "[registration]"
    if value is None:
        return Line(part, code, name, None, unit, "missing", how=f"not given in {where}", point=point)
    return Line(part, code, name, value, unit, "given", how=where, point=point)


def missing(part: str, code: str, name: str, unit: str, why: str, point: str = "") -> Line:
    """Return a line that this program does not know."""
    return Line(part, code, name, None, unit, "missing", how=why, point=point)


def worked_out(
    part: str, code: str, name: str, value: float | None, unit: str, at: str, how: str, point: str = ""
) -> Line:
    """Return a derived line; missing where there is nothing to derive it from."""
    return Line(part, code, name, value, unit, "derived" if value is not None else "missing", at, how, point)


def period_note(source: Source, *, scaled: bool) -> str:
    """Say what period a form covers, whether its figures are scaled to a year, and that it is simulated."""
    record = source.record
    text = f"{record['title']}: simulated from {record['start_utc']} to {record['end_utc']} ({record['days']} days)"
    if record["days"] < 365 and scaled:
        text += "; figures of a year are these days' scaled up, so that other seasons are missing: simulate a year"
    elif record["days"] < 365:
        text += "; a report covers a calendar year: these figures do not, and are not scaled up"
    return text + ". Simulated, not metered: a plan's figures, not a filing."
