"""A member of a sweep or of a search: what it changes, and what its simulation came to; the part that workers run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from kvandal.errors import InputError
from kvandal.runs.members import peak_bytes

if TYPE_CHECKING:
    import polars as pl

    from kvandal.ledger.told import Told

WAITS = (("wait_p50_s", 0.50), ("wait_p95_s", 0.95))
"""Waits over all started jobs of the site; the summary has them by tenant."""
NEVER = "jobs_not_started"
"""Jobs that never started, in all and by tenant. A wait is that of started jobs; these have none, and are told beside it."""
NO_RESULT = ("cli", "report")
"""Folders of the package on which no number depends."""


@dataclass(frozen=True, slots=True)
class Base:
    """What all members have in common.

    Attributes
    ----------
    document : scenario as :func:`kvandal.scenario.loading.resolved` gives it
    name : what errors call it

    """

    document: Mapping[str, Any]
    name: str


@dataclass(frozen=True, slots=True)
class Member:
    """One simulation.

    Attributes
    ----------
    name : of its file
    changes : new values by key
    draws : numbers drawn from their ranges, by the steps of their keys; set after the changes

    """

    name: str
    changes: Mapping[str, Any]
    draws: tuple[tuple[tuple[str | int, ...], float], ...] = ()


@dataclass(frozen=True, slots=True)
class Simulated:
    """What became of a member.

    Attributes
    ----------
    summary : flat summary, None if the member was refused
    reason : why it was refused
    peak_bytes : largest memory of the process so far; no part of the result

    """

    summary: dict[str, Any] | None
    reason: str | None = None
    peak_bytes: int | None = field(default=None, compare=False)


class Workers(Protocol):
    """Who simulates members: processes of this machine, or of a Ray cluster."""

    def run(self, members: Iterable[Member]) -> Iterator[tuple[Member, Simulated]]:
        """Simulate members; give them back as they are finished."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End; at once if there was an error."""


Watch = Callable[[], None]
"""Called several times a second while members are simulated; what it raises ends everything."""


class Simulator:
    """Simulates members of one base in one process; what several members need is made once."""

    def __init__(self, base: Base) -> None:
        from kvandal.demand.reuse import DemandShelf

        self._base = base
        self.shelf = DemandShelf()

    def simulate(self, member: Member) -> Simulated:
        """Simulate a member."""
        from kvandal.ledger.told import Gathered
        from kvandal.runs import sampling
        from kvandal.runs.contract import without_nan
        from kvandal.runs.run import simulate
        from kvandal.scenario.loading import from_resolved

        try:
            scenario = from_resolved(self._base.document, member.changes, name=self._base.name)
            if member.draws:
                scenario = sampling.with_values(scenario, dict(member.draws))
            jobs = Gathered("tenant", "wait_s", "start_utc")

            def take(name: str, table: pl.DataFrame | Told) -> None:
                if name == "jobs":
                    jobs.complete(table)

            run = simulate(scenario, demand=self.shelf.demand(scenario), summary_only=True, take=take)
        except InputError as error:
            return Simulated(None, str(error), peak_bytes())
        return Simulated(without_nan(flat_numbers(run.summary, jobs)), None, peak_bytes())


def flat_numbers(summary: dict[str, Any], jobs: Any) -> dict[str, Any]:
    """Flat summary of a run, its texts left out, and the waits of the whole site."""
    import polars as pl

    from kvandal.runs.compare import flatten

    flat = {key: value for key, value in flatten(summary).items() if not isinstance(value, str | bool)}
    for name, share in WAITS:
        wait_s = jobs["wait_s"].quantile(share, "nearest")
        flat[name] = None if wait_s is None else float(wait_s)
    never = (
        jobs.select("tenant", "start_utc")
        .filter(pl.col("start_utc").is_null())
        .group_by(pl.col("tenant").cast(pl.String))
        .len()
    )
    by_tenant = dict(never.iter_rows())
    flat[NEVER] = sum(by_tenant.values())
    return flat | {f"{NEVER}.{tenant}": by_tenant.get(tenant, 0) for tenant in summary["wait_p95_s"]}


@cache
def sources_hash() -> str:
    """Hash of all files of the package on which a number can depend."""
    import kvandal

    package = Path(kvandal.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        place = path.relative_to(package)
        if path.is_file() and "__pycache__" not in place.parts and place.parts[0] not in NO_RESULT:
            digest.update(str(place).encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
