"""One piece of work of the office: in which transaction, for whom, when; and the history that every step goes into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, insert, select

from kvandal.client.resources.applications import OfficeEvent
from kvandal.control.identity.principal import Principal
from kvandal.control.office.rules import NotAllowedError
from kvandal.control.office.steps import OFFICE
from kvandal.control.office.terms import Terms
from kvandal.control.store.audit import record
from kvandal.control.store.tables.office import NOTICES, OFFICE_HISTORY

OFFICE_ITSELF = Principal(OFFICE, OFFICE)
"""Who acts where a rule acts by itself."""


@dataclass(frozen=True, slots=True)
class Desk:
    """One piece of work.

    Attributes
    ----------
    tx : transaction of the store
    who : who asks
    terms : of the site
    now_utc : time at the site

    """

    tx: Connection
    who: Principal
    terms: Terms
    now_utc: datetime

    def itself(self) -> Desk:
        """Return the same desk with nobody before it: a rule acts."""
        return replace(self, who=OFFICE_ITSELF)

    def demand(
        self, action: str, tenant: str | None = None, project: str | None = None, owner: str | None = None
    ) -> None:
        """Refuse what the caller's roles do not allow."""
        if not self.who.may(action, tenant, project, owner=owner):
            where = f" in {tenant}" if tenant else ""
            raise NotAllowedError(f"{self.who.name} may not do this: {action}{where}")

    def audit(self, what: str, subject: str, detail: Mapping[str, Any] | None = None) -> None:
        """Append to the audit trail."""
        record(self.tx, self.who.id, what, subject, detail, at_utc=self.now_utc)

    def remember(
        self, subject: str, kind: str, rule: str, state: str, body: Mapping[str, Any], reason: str = ""
    ) -> None:
        """Append a step to the history of an application or a grant, and to the audit trail."""
        written = plain(body)
        self.tx.execute(
            insert(OFFICE_HISTORY).values(
                subject=subject,
                kind=kind,
                by=self.who.id,
                at_utc=self.now_utc,
                rule=rule,
                reason=reason,
                state=state,
                body=written,
            )
        )
        noun = subject.split("_", 1)[0]
        self.audit(f"{noun}.{kind}", subject, {"rule": rule, "state": state, "reason": reason})

    def tell(self, project: str, subject: str, rule: str, text: str) -> None:
        """Tell a project something."""
        self.tx.execute(
            insert(NOTICES).values(
                project=project, subject=subject, rule=rule, text=text, at_utc=self.now_utc
            )
        )


def plain(document: Any) -> Any:
    """Return a document as JSON holds it: instants as text."""
    return orjson.loads(orjson.dumps(document, default=_dumped, option=orjson.OPT_NON_STR_KEYS))


def _dumped(part: Any) -> Any:
    return part.model_dump(mode="json")


def history(tx: Connection, subject: str) -> list[OfficeEvent]:
    """Return the steps of an application or a grant, the oldest first."""
    rows = tx.execute(
        select(OFFICE_HISTORY).where(OFFICE_HISTORY.c.subject == subject).order_by(OFFICE_HISTORY.c.number)
    )
    return [OfficeEvent.model_validate(row._asdict()) for row in rows]
