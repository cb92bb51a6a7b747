"""What-ifs of a running service: where the live site stands is taken from its loop, or from the store, and asked about elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import select

from kvandal.control.loop.opening import Kept, kept_since
from kvandal.control.store.database import Store
from kvandal.control.store.tables.loop import SITE
from kvandal.control.whatif.asked import SEEDS, Document, Question, Standing, checked
from kvandal.control.whatif.chance import generated_classes
from kvandal.control.whatif.past import read_past, read_surroundings, usual_jobs
from kvandal.control.whatif.process import WhatIfProcess
from kvandal.errors import KvandalError
from kvandal.scenario.loading import from_resolved
from kvandal.scenario.model import Scenario
from kvandal.twin.fork import Fork


class Taken(NamedTuple):
    """The state of a live site after a cycle, as its loop gives it.

    Attributes
    ----------
    cycle, at_s : of the loop, and of the site [s]
    document : the scenario in force
    fork, extra : the state and what belongs to it

    """

    cycle: int
    at_s: int
    document: Document
    fork: Fork
    extra: Document


class LiveWhatIf:
    """Says what a change would do to everybody; called as :class:`kvandal.control.api.parts.WhatIf`.

    Parameters
    ----------
    store
        Of the site.
    take
        Gives the state of the loop between two turns; None where this server does not lead.
    simulated
        Whether simulated tenants submit the demand of the scenario.
    process
        Who computes; it is ended with this.

    """

    def __init__(
        self,
        store: Store,
        take: Callable[[], Taken | None],
        *,
        simulated: bool,
        process: WhatIfProcess | None = None,
    ) -> None:
        self._store, self._take, self._simulated = store, take, simulated
        self._process = process or WhatIfProcess()
        self._scenario: tuple[Document, Scenario] | None = None

    def __call__(
        self,
        *,
        changes: Mapping[str, Any],
        grants: Sequence[Mapping[str, Any]],
        envelope_mw: float | None,
        days: float,
        seeds: int = SEEDS,
    ) -> Document:
        """Answer tenant by tenant what a change would do.

        Raises
        ------
        InputError
            A key or a value is wrong; it names it and what is allowed.
        KvandalError
            There is no site yet, or no answer in time.

        """
        question = Question(changes, grants, envelope_mw, days, seeds)
        standing, question = self.standing(question)
        return self._process.ask(standing, question)

    def standing(self, question: Question) -> tuple[Standing, Question]:
        """Tell where the site stands, as far as a question needs it, and the question with its gaps filled."""
        with self._store.read() as tx:
            epoch_utc: datetime | None = tx.execute(select(SITE.c.epoch_utc)).scalar()
        if epoch_utc is None:
            raise KvandalError("the site has not begun yet; ask again in a moment")
        taken = self._take()
        kept: Kept | None = None
        if taken is None:
            kept = kept_since(self._store)
            cycle, at_s = kept.cycles[-1][:2] if kept.cycles else (kept.cycle, kept.time_s)
            document = kept.scenario  # tenants and classes of demand are those of any later one
        else:
            cycle, at_s, document = taken.cycle, taken.at_s, taken.document
        scenario = self._of(document)
        question = checked(question, scenario)
        simulated = generated_classes(scenario) if self._simulated else tuple(scenario.demand)
        again = [name for name in scenario.demand if name not in simulated]
        with self._store.read() as tx:
            standing = Standing(
                epoch_utc=epoch_utc,
                document=document,
                fork=taken.fork if taken is not None else None,
                extra=taken.extra if taken is not None else None,
                cycle=cycle,
                kept=kept,
                surroundings=read_surroundings(tx, epoch_utc),
                past=read_past(tx, epoch_utc, at_s, list(scenario.tenants), list(scenario.demand), again),
                usual=tuple(
                    usual_jobs(tx, grant["tenant"], str(grant.get("project") or ""))
                    for grant in question.grants
                ),
                simulated=self._simulated,
            )
        return standing, question

    def _of(self, document: Document) -> Scenario:
        """Return the scenario of a document; the last one is remembered."""
        if self._scenario is None or self._scenario[0] is not document:
            self._scenario = (document, from_resolved(document))
        return self._scenario[1]

    def close(self) -> None:
        """End the process that computes."""
        self._process.close()
