"""Accounting for the live site: who used which GPU-seconds, kilowatt-hours, euros and grams; booked by the hour.

The energy of the site is shared among its jobs by the IT power that each is reckoned to draw: its GPUs at work under the cap
of their tier, and their part of what racks draw when idle. A clock for every tier and kind of rack counts what a kilowatt
at work has come to, overheads of the site included, and another what an idle kilowatt has; a job remembers their readings
at its start. So a run costs one subtraction, however many ticks it lasts, and all jobs and what nobody used sum to the meter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Connection, bindparam, insert, select, update

from kvandal.control.loop.view import price_at
from kvandal.control.store.ledger import Posting, post
from kvandal.control.store.tables.accruals import ACCRUALS
from kvandal.control.store.tables.loop import JOBS
from kvandal.twin.plant_state import IT_KW, SITE_KW

if TYPE_CHECKING:
    from kvandal.control.loop.site import Document, LiveSite

MILLIWATT = 1e-6
"""Kilowatts in a milliwatt."""
RUNNING = ("running", "recalled")


class Accounts:
    """The meters of a live site.

    Parameters
    ----------
    site
        The site; its state says which tier, caps and racks a job has.
    tx
        Where the meters stood, and what running jobs remember of them, is read from.

    """

    def __init__(self, site: LiveSite, tx: Connection) -> None:
        tiers, models = site.state.tier_models.shape
        self._work = np.zeros((tiers, models))  # Wh for each kilowatt above idle
        self._idle = 0.0  # Wh for each kilowatt of idle racks
        self._hour_work, self._hour_idle = self._work.copy(), 0.0
        self._tick = 0
        self._pending: dict[str, float] = defaultdict(float)  # Wh of runs that ended in this hour, by tenant
        self._site_wh = self._site_ueur = 0.0
        self.marks: dict[str, Document] = {}
        row = tx.execute(select(ACCRUALS).where(ACCRUALS.c.id == 1)).first()
        if row is not None:
            self._restore(row.tick, row.body)
        running = select(JOBS.c.id, JOBS.c.energy_mark).where(JOBS.c.state.in_(RUNNING))
        for job in tx.execute(running):
            if job.energy_mark is not None:
                self.marks[job.id] = job.energy_mark
        self._changes: dict[str, tuple[float, Document | None]] = {}
        self._before: tuple[Any, ...] | None = None

    # -- clocks

    def tick(self, site: LiveSite) -> bool:
        """Take the ticks into account that have been closed; say whether there were any."""
        tick_s = int(site.state.rules["tick_s"][0])
        last = int(site.state.tally["tick_start_s"][0]) // tick_s
        if last <= self._tick:
            return False
        factor = site.state.tier_models["factor"]
        for tick in range(self._tick, last):
            site_kw, it_kw = (float(site.outputs.tick_real[tick, column]) for column in (SITE_KW, IT_KW))
            hours = tick_s / 3600.0
            if it_kw > 0.0:
                per_kw_wh = site_kw / it_kw * hours * 1000.0
                self._work += per_kw_wh * factor
                self._idle += per_kw_wh
            wh = site_kw * hours * 1000.0
            self._site_wh += wh
            self._site_ueur += wh * (
                price_at(site, tick * tick_s) or 0.0
            )  # EUR/MWh are millionths of a euro for a Wh
        self._tick = last
        return True

    def follow(self, site: LiveSite, effects: Iterable[Mapping[str, Any]]) -> None:
        """Read the clocks for jobs that started, changed their tier or left."""
        for one in effects:
            if one["do"] in ("take", "end", "promote", "demote"):
                self._leave(one["job"])
            if one["do"] in ("start", "promote", "demote"):
                self._enter(site, one["job"])

    def _enter(self, site: LiveSite, job: str) -> None:
        row = site.rows.get(job)
        if row is None or site.state.room.first_piece[row] < 0:
            return
        record, room = site.state.jobs[row], site.state.room
        model = int(site.state.racks["model"][room.pieces["rack"][room.first_piece[row]]])
        tier, gpus = int(record["use_tier"]), int(record["gpus"])
        idle_kw = float(site.state.models["idle_kw"][model]) + float(site.state.rules["net_kw"][0])
        mark = {
            "tenant": list(site.scenario.tenants)[int(record["tenant"])],
            "tier": tier,
            "model": model,
            "load_kw": gpus * float(site.state.load_mw[record["demand"], model]) * MILLIWATT,
            "idle_kw": gpus * idle_kw / 72,
            "work": float(self._work[tier, model]),
            "idle": self._idle,
        }
        self.marks[job] = mark
        before, _ = self._changes.get(job, (0.0, None))
        self._changes[job] = (before, mark)

    def _leave(self, job: str) -> None:
        mark = self.marks.pop(job, None)
        if mark is None:
            return
        self._pending[mark["tenant"]] += self._since_hour_wh(mark)
        before, _ = self._changes.get(job, (0.0, None))
        self._changes[job] = (before + self._run_wh(mark), None)

    def _run_wh(self, mark: Mapping[str, Any]) -> float:
        """Energy of a run so far [Wh]."""
        worked = float(self._work[mark["tier"], mark["model"]]) - mark["work"]
        return float(mark["load_kw"] * worked + mark["idle_kw"] * (self._idle - mark["idle"]))

    def _since_hour_wh(self, mark: Mapping[str, Any]) -> float:
        """Energy of a run since the last booking [Wh]."""
        place = mark["tier"], mark["model"]
        worked = float(self._work[place]) - max(mark["work"], float(self._hour_work[place]))
        return float(
            mark["load_kw"] * worked + mark["idle_kw"] * (self._idle - max(mark["idle"], self._hour_idle))
        )

    # -- books

    def write(
        self,
        tx: Connection,
        site: LiveSite,
        effects: Sequence[Mapping[str, Any]],
        at_utc: datetime,
        *,
        ticked: bool,
    ) -> None:
        """Write down what was read, book GPU-seconds of runs that ended, and, when an hour is full, its energy.

        It stands in the transaction that writes the turn, before the rows of its jobs are changed. That may not have been kept:
        until :meth:`written` is called, another call writes the same.
        """
        if self._before is not None:
            self._hour_work, self._hour_idle, self._pending, self._site_wh, self._site_ueur = self._before
        self._before = self._hour_work, self._hour_idle, self._pending, self._site_wh, self._site_ueur
        self._book_runs(tx, effects, at_utc)
        rows = [{"key": job, "more_wh": wh, "new_mark": mark} for job, (wh, mark) in self._changes.items()]
        if rows:
            energy_wh = JOBS.c.energy_wh + bindparam("more_wh")
            mark: Any = bindparam("new_mark", type_=JOBS.c.energy_mark.type)
            tx.execute(
                update(JOBS)
                .where(JOBS.c.id == bindparam("key"))
                .values(energy_wh=energy_wh, energy_mark=mark),
                rows,
            )
        ticks_per_hour = 3600 // int(site.state.rules["tick_s"][0])
        if ticked and self._site_wh and self._tick % ticks_per_hour == 0:
            self._book_hour(tx, site, at_utc)
        if ticked or self._pending:
            values = {"tick": self._tick, "body": self._body()}
            if tx.execute(update(ACCRUALS).where(ACCRUALS.c.id == 1).values(**values)).rowcount == 0:
                tx.execute(insert(ACCRUALS).values(id=1, **values))

    def written(self) -> None:
        """Forget what has been written."""
        self._changes, self._before = {}, None

    def _book_runs(self, tx: Connection, effects: Sequence[Mapping[str, Any]], at_utc: datetime) -> None:
        ended = [one for one in effects if one["do"] in ("take", "end") and one["used_gpu_s"]]
        if not ended:
            return
        columns = (
            JOBS.c.id,
            JOBS.c.tenant,
            JOBS.c.project,
            JOBS.c.tier,
            JOBS.c.used_gpu_s,
            JOBS.c.useful_gpu_s,
        )
        known = {
            row.id: row
            for row in tx.execute(select(*columns).where(JOBS.c.id.in_({one["job"] for one in ended})))
        }
        amounts: dict[str, int] = defaultdict(int)
        so_far = {job: (row.used_gpu_s, row.useful_gpu_s) for job, row in known.items()}
        for one in ended:
            row, (used, useful) = known[one["job"]], so_far[one["job"]]
            more, more_useful = one["used_gpu_s"] - used, one["useful_gpu_s"] - useful
            so_far[one["job"]] = one["used_gpu_s"], one["useful_gpu_s"]
            cause = one.get("cause", "overhead")
            amounts[f"tenant:{row.tenant}:project:{row.project}:use:{row.tier or 'lent'}"] += more_useful
            amounts[f"tenant:{row.tenant}:project:{row.project}:lost:{cause}"] += more - more_useful
            amounts["site:gpus"] -= more
        post(
            tx,
            at_utc,
            "runs that ended",
            [Posting(account, "gpu_s", amount) for account, amount in amounts.items()],
        )

    def _book_hour(self, tx: Connection, site: LiveSite, at_utc: datetime) -> None:
        """Share the energy of the hour, its price and its carbon among tenants and what nobody used."""
        by_tenant = defaultdict(float, self._pending)
        for mark in self.marks.values():
            by_tenant[mark["tenant"]] += self._since_hour_wh(mark)
        total_wh = round(self._site_wh)
        shares = {f"tenant:{name}:energy": round(wh) for name, wh in sorted(by_tenant.items())}
        shares["site:unused"] = total_wh - sum(shares.values())
        grams = float(site.scenario.carbon.location_direct_g_per_kwh) / 1000.0
        price = self._site_ueur / self._site_wh if self._site_wh else 0.0
        for unit, per_wh in (("wh", 1.0), ("ueur", price), ("g", grams)):
            amounts = {account: round(wh * per_wh) for account, wh in shares.items()}
            amounts["site:meter"] = -sum(amounts.values())
            post(
                tx,
                at_utc,
                "energy of an hour",
                [Posting(account, unit, amount) for account, amount in amounts.items()],
            )
        self._hour_work, self._hour_idle = self._work.copy(), self._idle
        self._pending, self._site_wh, self._site_ueur = defaultdict(float), 0.0, 0.0

    def _body(self) -> Document:
        return {
            "work": self._work.tolist(),
            "idle": self._idle,
            "hour_work": self._hour_work.tolist(),
            "hour_idle": self._hour_idle,
            "pending_wh": dict(self._pending),
            "site_wh": self._site_wh,
            "site_ueur": self._site_ueur,
        }

    def _restore(self, tick: int, body: Mapping[str, Any]) -> None:
        self._tick = tick
        self._work, self._idle = np.array(body["work"]), body["idle"]
        self._hour_work, self._hour_idle = np.array(body["hour_work"]), body["hour_idle"]
        self._pending = defaultdict(float, body["pending_wh"])
        self._site_wh, self._site_ueur = body["site_wh"], body["site_ueur"]
