"""Making a live site, or taking one up where it was left: the last state that was kept, and all that was written since."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import insert, select

from kvandal.control.loop.loop import Loop
from kvandal.control.loop.site import Document, LiveSite
from kvandal.control.store.database import Store
from kvandal.control.store.tables.loop import CYCLES, KEYFRAMES, SITE
from kvandal.engines.live.protocol import Engine
from kvandal.errors import InputError

DAYS = 730
"""How long a site can live from its epoch on; two years of ticks of a minute are a million rows [days]."""
LOGGER = logging.getLogger(__name__)


def live_document(document: Mapping[str, Any], epoch_utc: datetime, days: int = DAYS) -> Document:
    """Return a scenario as the document of a site that lives from an instant on.

    Parameters
    ----------
    document : as :func:`kvandal.scenario.loading.resolved` gives it
    epoch_utc : second 0 of the loop
    days : how long it may live [days]

    """
    run = {**document.get("run", {}), "start_utc": epoch_utc.isoformat(), "days": days}
    return {**document, "run": run}


def epoch_of(now_utc: datetime) -> datetime:
    """Return the full hour before an instant: second 0 of a new site."""
    return now_utc.replace(minute=0, second=0, microsecond=0)


def known_site(store: Store) -> Any:
    """Return the row of the site that a store belongs to; None: it is new."""
    with store.read() as tx:
        return tx.execute(select(SITE).where(SITE.c.id == 1)).first()


def create_site(
    store: Store,
    engine_name: str,
    nodes: Sequence[str],
    name: str,
    document: Mapping[str, Any],
    epoch_utc: datetime,
) -> None:
    """Write a new site into a store: its first state, with the trays that the engine does not have taken out.

    Raises
    ------
    InputError
        If the engine has more nodes than the scenario has trays.

    """
    site = LiveSite(document)
    trays = 18 * site.start.site.racks
    if not nodes or len(nodes) > trays:
        raise InputError(
            f"the engine has {len(nodes):,} nodes, the scenario {trays:,} trays of four GPUs; allowed are 1 to {trays:,} nodes",
            key="scenario",
        )
    site.begin()
    site.turn(
        0,
        [{"kind": "tray_down", "time_s": 0, "tray": tray, "lost": True} for tray in range(len(nodes), trays)],
    )
    content, extra = site.kept()
    with store.begin() as tx:
        tx.execute(
            insert(SITE).values(
                id=1,
                scenario_name=name,
                scenario=dict(document),
                epoch_utc=epoch_utc,
                engine=engine_name,
                nodes=list(nodes),
                created_utc=epoch_utc,
            )
        )
        tx.execute(insert(KEYFRAMES).values(cycle=0, state=content, extra=extra, scenario=site.document))


class Kept(NamedTuple):
    """The last state that a store keeps of its site, and the cycles that followed, as plain values.

    Attributes
    ----------
    cycle, time_s, state, extra, scenario : of the kept state
    inbox_to, cursor : what had been taken by then
    cycles : number, time [s], what was told, what was decided, and what had been taken after it

    """

    cycle: int
    time_s: int
    state: bytes
    extra: Document
    scenario: Document
    inbox_to: int
    cursor: str
    cycles: list[tuple[int, int, list[Document], list[Document], int, str]]


def kept_since(store: Store, up_to: int | None = None) -> Kept:
    """Read from a store what its site stands on."""
    with store.read() as tx:
        query = select(KEYFRAMES).order_by(KEYFRAMES.c.cycle.desc()).limit(1)
        frame = tx.execute(query if up_to is None else query.where(KEYFRAMES.c.cycle <= up_to)).one()
        last = tx.execute(select(CYCLES).where(CYCLES.c.number == frame.cycle)).first()
        since = select(CYCLES).where(CYCLES.c.number > frame.cycle).order_by(CYCLES.c.number)
        rows = tx.execute(since if up_to is None else since.where(CYCLES.c.number <= up_to)).all()
    cycles = [(row.number, row.time_s, row.inputs, row.actions, row.inbox_to, row.cursor) for row in rows]
    time_s, inbox_to, cursor = (last.time_s, last.inbox_to, last.cursor) if last else (0, 0, "")
    return Kept(frame.cycle, time_s, frame.state, frame.extra, frame.scenario, inbox_to, cursor, cycles)


def followed(kept: Kept) -> LiveSite:
    """Return the site after the last of the cycles."""
    site = LiveSite.restored(kept.scenario, kept.state, kept.extra)
    for number, time_s, inputs, actions, _, _ in kept.cycles:
        turn = site.turn(time_s, inputs)
        if plain(turn.effects) != actions:
            LOGGER.error(
                "cycle %d: what was decided then is not what is decided now; run kvandal replay", number
            )
    return site


def taken_up(store: Store, up_to: int | None = None) -> tuple[LiveSite, int, int, str]:
    """Return the site of a store as its last cycle left it.

    Returns
    -------
    The site, the number of its last cycle, and what that had taken of the inbox and of the engine's events.

    """
    kept = kept_since(store, up_to)
    number, inbox_to, cursor = kept.cycle, kept.inbox_to, kept.cursor
    if kept.cycles:
        number, _, _, _, inbox_to, cursor = kept.cycles[-1]
    return followed(kept), number, inbox_to, cursor


def plain(value: Any) -> Any:
    """Return values as they come back from JSON."""
    import json

    return json.loads(json.dumps(value))


def open_loop(store: Store, engine: Engine, name: str, document: Mapping[str, Any], **options: Any) -> Loop:
    """Return the loop of a store's site; a new store gets the site of a scenario.

    Parameters
    ----------
    store, engine
        What it connects.
    name, document
        The scenario of a new site. A site that lives already keeps its own, with all that has been changed since.
    options
        Of :class:`Loop`.

    Raises
    ------
    InputError
        If the store belongs to a site on another kind of engine, or on other nodes.

    """
    row = known_site(store)
    observation = engine.observe()
    names = [node.name for node in observation.nodes]
    if row is None:
        epoch_utc = epoch_of(engine.now())
        create_site(store, engine.name, names, name, live_document(document, epoch_utc), epoch_utc)
        row = known_site(store)
    if row.engine != engine.name:
        raise InputError(
            f"{store.name} belongs to a site on {row.engine}; take that engine, or another database",
            key="engine",
        )
    if missing := [node for node in row.nodes if node not in set(names)]:
        LOGGER.warning("%d nodes of the site are unknown to the engine, e.g. %s", len(missing), missing[0])
    site, number, inbox_to, cursor = taken_up(store)
    return Loop(
        store,
        engine,
        site,
        row.epoch_utc,
        row.nodes,
        number=number,
        inbox_to=inbox_to,
        cursor=cursor,
        **options,
    )


def horizon_utc(loop: Loop) -> datetime:
    """Return when the site's time is over."""
    return loop.epoch_utc + timedelta(days=loop.site.scenario.run.days)
