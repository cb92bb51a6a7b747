"""Grants: GPU-hours that a tenant may use, in periods, with carry-over and expiry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, Field, field_validator, model_validator

from kvandal.scenario.base import Part
from kvandal.scenario.demand import Demand
from kvandal.scenario.tenants import Tenant

Period = Literal["none", "month", "quarter", "year"]
MONTHS: dict[Period, int] = {"month": 1, "quarter": 3, "year": 12}
MILLION = 1_000_000
"""Fractions are kept in whole millionths, so that books are exact."""


class Grant(Part):
    """GPU-hours that a tenant may use. A tenant without a grant is not limited by one.

    A job reserves the GPU-seconds of its run-time limit when it is submitted and is charged what it used when a run
    ends. It draws on one grant: of those that hold enough, the one that expires first.
    """

    tenant: str
    """Tenant that may use it; one that submits jobs, not a group."""
    project: str = ""
    """Project of the tenant that alone may use it, and is limited by it; left out, all are. Jobs of a simulated demand belong to
    no project."""
    gpu_hours: Annotated[float, Field(gt=0, le=1e12)]
    """GPU-hours of each period."""
    start_utc: AwareDatetime | None = None
    """First instant, with its offset from UTC; left out, it holds when the run starts, its present period untouched."""
    end_utc: AwareDatetime | None = None
    """Instant of its expiry, with its offset from UTC; left out, it does not expire during the run."""
    period: Period = "none"
    """*none* (all at once), or calendar *month*, *quarter* or *year* in the site's time zone."""
    carry_over_fraction: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Part of what is left at the end of a period that goes on into the next; the rest expires."""
    lose_after_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Part of a period after which its use is looked at; left out, never."""
    lose_below_fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    """Part of the period's GPU-hours that must be used or reserved by then, lest all is withdrawn but a share in
    proportion to the time that is left."""
    expiry: Literal["hard", "soft"] = "soft"
    """At `end_utc`: *hard* stops what still runs, after the tenant's notice; *soft* lets it finish. Nothing new starts."""
    demand: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Classes of demand that the grant is for; empty means all of the tenant's."""

    @field_validator("start_utc", "end_utc")
    @classmethod
    def _whole_seconds(cls, moment: datetime | None) -> datetime | None:
        if moment is not None and moment.microsecond:
            raise ValueError(f"must be a whole second, got {moment.isoformat()}")
        return moment

    @model_validator(mode="after")
    def _holds_together(self) -> Grant:
        if self.start_utc is not None and self.end_utc is not None and self.end_utc <= self.start_utc:
            raise ValueError(
                f"end_utc ({self.end_utc.isoformat()}) must come after start_utc ({self.start_utc.isoformat()})"
            )
        if (self.lose_after_fraction is None) != (self.lose_below_fraction is None):
            raise ValueError("give lose_after_fraction and lose_below_fraction together, or neither")
        if self.gpu_s < 1:
            raise ValueError(f"gpu_hours must make at least one GPU-second, got {self.gpu_hours:g}")
        return self

    @property
    def gpu_s(self) -> int:
        """GPU-seconds of a whole period."""
        return round(self.gpu_hours * 3600)

    def binds(self, demand: str) -> bool:
        """Whether jobs of a class of demand draw on it."""
        return not self.demand or demand in self.demand


@dataclass(frozen=True, slots=True)
class GrantPeriod:
    """One period of a grant.

    Attributes
    ----------
    start_s, end_s : first instant and end, from the start of the run [s]; the first may lie before it
    gpu_s : what it brings [GPU-seconds]

    """

    start_s: int
    end_s: int
    gpu_s: int


def next_boundary(moment: datetime, period: Period, time_zone: str) -> datetime:
    """First boundary of a calendar period after an instant, in UTC.

    >>> next_boundary(datetime(2027, 3, 31, 22, tzinfo=UTC), "quarter", "Europe/Oslo").isoformat()
    '2027-06-30T22:00:00+00:00'
    """
    months, zone = MONTHS[period], ZoneInfo(time_zone)
    local = moment.astimezone(zone)
    index = (local.year * 12 + local.month - 1) // months * months + months
    return datetime(index // 12, index % 12 + 1, 1, tzinfo=zone).astimezone(UTC)


def last_boundary(moment: datetime, period: Period, time_zone: str) -> datetime:
    """Last boundary of a calendar period at or before an instant, in UTC."""
    months, zone = MONTHS[period], ZoneInfo(time_zone)
    local = moment.astimezone(zone)
    index = (local.year * 12 + local.month - 1) // months * months
    return datetime(index // 12, index % 12 + 1, 1, tzinfo=zone).astimezone(UTC)


def periods_of(grant: Grant, start_utc: datetime, days: int, time_zone: str) -> list[GrantPeriod]:
    """Periods of a grant that a run sees, in order.

    A period that `start_utc` or `end_utc` of the grant cuts short brings its GPU-seconds in proportion to the time that
    is left of it, rounded down. Where they are left out nothing is cut: the first period is whole, and so is the last.

    Parameters
    ----------
    grant
        The grant.
    start_utc, days
        The run.
    time_zone
        IANA name of the site's time zone.

    """
    run_end = start_utc + timedelta(days=days)
    opens, closes = grant.start_utc or start_utc, grant.end_utc or run_end
    if opens >= run_end or closes <= start_utc:
        return []

    def seconds(moment: datetime) -> int:
        return int((moment - start_utc).total_seconds())

    if grant.period == "none":
        return [GrantPeriod(seconds(opens), seconds(closes), grant.gpu_s)]
    found = []
    first = last_boundary(max(opens, start_utc), grant.period, time_zone)
    while first < min(closes, run_end):
        after = next_boundary(first, grant.period, time_zone)
        begin = first if grant.start_utc is None else max(first, grant.start_utc)
        end = after if grant.end_utc is None else min(after, grant.end_utc)
        gpu_s = grant.gpu_s * (seconds(end) - seconds(begin)) // (seconds(after) - seconds(first))
        found.append(GrantPeriod(seconds(begin), seconds(end), gpu_s))
        first = after
    return found


def refuse_unknown(
    grants: Mapping[str, Grant], tenants: Mapping[str, Tenant], groups: set[str], demand: Mapping[str, Demand]
) -> None:
    """Refuse grants of tenants or for classes of demand that are not there.

    Parameters
    ----------
    grants, tenants, demand
        Parts of the scenario.
    groups
        Names of the tenants that are groups.

    """
    leaves = ", ".join(name for name in tenants if name not in groups) or "none"
    for name, grant in grants.items():
        if grant.tenant not in tenants:
            raise ValueError(f"grants.{name}.tenant: no tenant {grant.tenant!r}; tenants are: {leaves}")
        if grant.tenant in groups:
            raise ValueError(
                f"grants.{name}.tenant: {grant.tenant!r} is a group and submits no jobs; tenants are: {leaves}"
            )
        own = [key for key, entry in demand.items() if grant.tenant in entry.tenants]
        for key in grant.demand:
            if key not in own:
                what = f"{grant.tenant} submits no jobs of" if key in demand else "no"
                raise ValueError(
                    f"grants.{name}.demand: {what} class {key!r}; its classes are: {', '.join(own) or 'none'}"
                )


def idle_grants(
    grants: Mapping[str, Grant], demand: Mapping[str, Demand], start_utc: datetime, days: int, time_zone: str
) -> Iterator[str]:
    """Say which grants, or keys of them, change nothing, and why."""
    for name, grant in grants.items():
        if not any(grant.tenant in entry.tenants and grant.binds(key) for key, entry in demand.items()):
            yield f"grants.{name} has no effect: {grant.tenant} submits no jobs"
        if not periods_of(grant, start_utc, days, time_zone):
            yield f"grants.{name} has no effect: it lies outside the run"
        if grant.expiry == "hard" and grant.end_utc is None:
            yield f"grants.{name}.expiry has no effect without end_utc"
        if grant.carry_over_fraction and grant.period == "none":
            yield f'grants.{name}.carry_over_fraction has no effect with period = "none"'


def unusable_grants(
    grants: Mapping[str, Grant],
    ceilings_gpus: Mapping[str, int],
    start_utc: datetime,
    days: int,
    time_zone: str,
) -> Iterator[str]:
    """Say which grants hold more than their tenant could use in a period with all GPUs of its ceiling.

    Parameters
    ----------
    grants
        The grants.
    ceilings_gpus
        Most GPUs that each tenant may hold.
    start_utc, days, time_zone
        The run, and the time zone of the site.

    """
    for name, grant in grants.items():
        most_gpus = ceilings_gpus[grant.tenant]
        for period in periods_of(grant, start_utc, days, time_zone):
            usable_h = most_gpus * (period.end_s - period.start_s) / 3600
            if period.gpu_s > usable_h * 3600:
                first = start_utc + timedelta(seconds=period.start_s)
                yield (
                    f"grants.{name}.gpu_hours: {period.gpu_s / 3600:,.0f} GPU-h from {first:%Y-%m-%d} are more than "
                    f"{grant.tenant} could use in the period: its ceiling of {most_gpus:,} GPUs gives {usable_h:,.0f}"
                )
                break
