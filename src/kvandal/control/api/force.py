"""The scenario in force: the one that the store was made with, and the changes of policy since."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, bindparam, func, select

from kvandal.control.api.problems import Refusal
from kvandal.control.store.tables.loop import INBOX, SITE
from kvandal.errors import KvandalError
from kvandal.scenario.loading import changed, from_json
from kvandal.scenario.model import Scenario
from kvandal.scenario.tree import Limits, groups_of, limit_steps

_LATEST = select(func.coalesce(func.max(INBOX.c.id), 0))
_CHANGES = (
    select(INBOX.c.id, INBOX.c.body)
    .where(INBOX.c.id > bindparam("seen"), INBOX.c.kind == "policy")
    .order_by(INBOX.c.id)
)


@dataclass(frozen=True)
class InForce:
    """A scenario and what is asked of it often.

    Attributes
    ----------
    version : number of the last change of policy; 0: none
    scenario : what holds

    """

    version: int
    scenario: Scenario

    @cached_property
    def leaves(self) -> tuple[str, ...]:
        """Tenants that submit jobs."""
        groups = groups_of(self.scenario.tenants)
        return tuple(name for name in self.scenario.tenants if name not in groups)

    @cached_property
    def limits(self) -> dict[str, Limits]:
        """Limits of every tenant at the start of the scenario; those of its schedule are the loop's business."""
        run, site = self.scenario.run, self.scenario.site
        return limit_steps(self.scenario.tenants, run.start_utc, 1, site.time_zone)[0][1]

    @cached_property
    def installed_gpus(self) -> int:
        """GPUs of the finished site."""
        return self.scenario.site.racks * 72

    def classes_of(self, tenant: str) -> tuple[str, ...]:
        """Classes of work that a tenant may submit."""
        return tuple(name for name, demand in self.scenario.demand.items() if tenant in demand.tenants)

    def most_gpus(self, tenant: str, demand: str) -> int:
        """Largest job of a class that a tenant could ever start: its ceiling, the class and the site bound it."""
        ceiling = self.limits[tenant].ceiling.of(self.installed_gpus)
        return max(1, min(ceiling, self.scenario.demand[demand].maximum_gpus, self.installed_gpus))


class Force:
    """Knows the scenario in force, and builds it anew when the policy changes.

    Parameters
    ----------
    given
        The scenario that the store was made with; None: it is read from there.

    """

    def __init__(self, given: Scenario | None = None) -> None:
        self._given = self._known = None if given is None else InForce(0, given)
        self._seen = 0  # row of the inbox up to which the known one holds
        self._lock = threading.Lock()

    def __call__(self, tx: Connection) -> InForce:
        """Return what is in force as this transaction sees it, or something newer."""
        latest = tx.execute(_LATEST).scalar_one()
        known = self._known
        if known is not None and latest <= self._seen:
            return known
        with self._lock:
            found = self._known or InForce(0, self._read(tx))
            if latest > self._seen:
                for row in tx.execute(_CHANGES, {"seen": self._seen}):
                    found = InForce(row.id, _with(found.scenario, row.body["changes"]))
            self._known, self._seen = found, max(latest, self._seen)
            return found

    def forget(self) -> None:
        """Read all of it anew next time."""
        with self._lock:
            self._known, self._seen = self._given, 0

    @staticmethod
    def _read(tx: Connection) -> Scenario:
        row = tx.execute(select(SITE.c.scenario)).one_or_none()
        if row is None:
            raise Refusal(503, "the site is not set up yet", headers={"retry-after": "2"})
        return from_json(row.scenario)


def _with(scenario: Scenario, changes: dict[str, Any]) -> Scenario:
    """Lay changes over a scenario; those that the loop refuses change nothing."""
    try:
        return changed(scenario, changes)
    except KvandalError:
        return scenario
