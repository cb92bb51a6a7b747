"""The same two hundred jobs through the twin and through a real Slurm: the same starts, in the same order and places, the same recalls."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import pytest
from live_sites import PARITY_TENANTS, SlurmSite
from living import Living
from small_sites import group, small_site, tenant
from sqlalchemy import insert, select

from kvandal.control.loop.replay import replay
from kvandal.control.store.database import open_store
from kvandal.control.store.tables.loop import CYCLES, INBOX, JOBS
from kvandal.engines.live.protocol import Observation, Share

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.xdist_group("slurm-live")]

STEP_S = 20
COUNTRIES = PARITY_TENANTS[6:]
TENANTS = {
    PARITY_TENANTS[0]: tenant("firm", 0.3, ceiling=0.6),
    "national": group("assured", ceiling=0.7),
    **{name: tenant("assured", 0.1, ceiling=0.4, parent="national") for name in PARITY_TENANTS[1:6]},
    **{name: tenant("lent", notice_s=60, weight=1.0 + place) for place, name in enumerate(COUNTRIES)},
}
KINDS = ("start", "notice", "take", "end", "refuse", "lend", "loan_end")


@dataclass
class Run:
    """A run in the time of the test."""

    attempt: int
    sequence: int
    started_s: float
    shares: list[Share]
    warned: bool = False


class Paced:
    """Slurm in the time of the test: a job really runs until its file appears, which is when its work would be done."""

    name = "slurm"

    def __init__(self, engine, wall, folder):
        self.engine, self.wall, self.folder = engine, wall, folder
        self.work_s, self.runs, self.sequence = {}, {}, itertools.count()
        self.told = Counter()
        folder.mkdir()
        folder.chmod(0o755)

    def now(self):
        return self.at(self.wall())

    def at(self, seconds):
        return datetime.fromtimestamp(seconds, UTC)

    def observe(self):
        seen = self.engine.observe()
        return Observation(self.now(), seen.nodes, seen.jobs)

    def hold(self, order, attempt):
        if attempt == 0:
            self.work_s[order.key] = order.run_time_s
            script = f"until [ -e {self.folder}/{order.key} ]; do sleep 0.1; done\n"
            self.engine.hold(replace(order, script=script), 0)
            return
        run = self.runs.pop(order.key, None)
        if run is not None and run.warned:
            self.work_s[order.key] -= self.wall() - run.started_s
        self.engine.hold(order, attempt)

    def start(self, order, attempt, shares):
        self.engine.start(order, attempt, shares)
        self.runs[order.key] = Run(attempt, next(self.sequence), self.wall(), list(shares))

    def recall(self, order, attempt, deadline_utc):
        self.engine.recall(order, attempt, deadline_utc)
        self.runs[order.key].warned = True

    def events(self, cursor):
        """End what is done by now, and tell its end when Slurm has told it."""
        due = {
            key: (run.started_s + self.work_s[key], run.sequence)
            for key, run in self.runs.items()
            if run.started_s + self.work_s[key] <= self.wall()
        }
        for key in due:
            (self.folder / key).touch()
        found, ended, limit = [], set(), time.monotonic() + 60
        while True:
            events, cursor = self.engine.events(cursor)
            found += events
            ended |= {event.key for event in events if event.kind == "ended"}
            if ended >= due.keys():
                break
            assert time.monotonic() < limit, f"{sorted(due.keys() - ended)} have not ended"
            time.sleep(0.03)
        assert ended == due.keys(), [
            event for event in found if event.key not in due and event.kind == "ended"
        ]
        for key in due:
            del self.runs[key]
        self.told.update((event.kind, event.outcome) for event in found)
        found.sort(key=lambda event: due.get(event.key, (self.wall(), -1)))
        at = {key: self.at(seconds) for key, (seconds, _) in due.items()}
        return [replace(event, at_utc=at.get(event.key, self.now())) for event in found], cursor

    def where_they_run(self):
        """Check that Slurm runs on the chosen nodes what it runs."""
        for key, job in self.engine.observe().jobs.items():
            if job.state == "running" and key in self.runs:
                assert sorted(share.node for share in job.shares) == sorted(
                    s.node for s in self.runs[key].shares
                )
                assert job.attempt == self.runs[key].attempt

    def __getattr__(self, name):
        return getattr(self.engine, name)


def drawn():
    """Two hundred jobs: those abroad come first and fill the site, then those with rights of their own."""
    random = np.random.default_rng(7)
    for number in range(200):
        abroad = number < 90
        names = COUNTRIES if abroad else PARITY_TENANTS[:6]
        submit_s = int(random.integers(0, 300) if abroad else random.integers(200, 900))
        gpus = int(random.choice((1, 2, 4, 8, 16) if abroad else (1, 4, 8, 16, 24)))
        yield submit_s, f"job-{number:04d}", names[number % 6], gpus, int(random.integers(60, 240))


def submit(site, submit_s, job, name, gpus, run_time_s):
    values = {
        "id": job, "tenant": name, "project": "p", "person": "test", "name": job, "demand": "batch", "gpus": gpus,
        "limit_s": 3600, "run_time_s": run_time_s, "state": "accepted", "submitted_utc": site.now(),
    }  # fmt: skip
    with site.store.begin() as tx:
        tx.execute(insert(JOBS).values(**values))
        tx.execute(insert(INBOX).values(at_utc=site.now(), by="test", kind="submit", body={"job": job}))


def decided(store):
    """Return what was decided, in order: where, by which rule, for how long."""
    with store.read() as tx:
        rows = tx.execute(select(CYCLES.c.time_s, CYCLES.c.actions).order_by(CYCLES.c.number)).all()
    return [(row.time_s, one) for row in rows for one in row.actions if one["do"] in KINDS]


def test_slurm_and_the_twin_are_told_to_do_the_same_and_do_it(slurm: SlurmSite, tmp_path):
    scenario = small_site(TENANTS, racks=2)
    urls = [f"sqlite:///{tmp_path / name}.db" for name in ("twin", "slurm")]
    for url in urls:
        open_store(url).close()
    (tmp_path / "twin").mkdir()
    twin = Living(urls[0], tmp_path / "twin", scenario)
    paced = Paced(slurm.engine, twin.wall, slurm.folder / "work")
    real = Living(urls[1], tmp_path, scenario, engine=paced)
    paced.wall = real.wall
    waiting = sorted(drawn())
    for turn in range(400):
        now_s = twin.wall.now_s + STEP_S - twin.loop.epoch_utc.timestamp()
        arrived = [job for job in waiting if job[0] <= now_s]
        waiting = waiting[len(arrived) :]
        for site in (twin, real):
            for job in arrived:
                submit(site, *job)
            report = site.turn(STEP_S)
            while report.open_intentions:
                report = site.turn(0)
        if turn % 4 == 0:
            paced.where_they_run()
        if not waiting and {row.state for row in twin.jobs()} <= {"finished", "refused"}:
            break
    assert {row.state for row in real.jobs()} == {"finished"}
    here, there = decided(twin.store), decided(real.store)
    assert [one for one in there if one[1]["do"] == "start"] == [
        one for one in here if one[1]["do"] == "start"
    ]
    assert there == here
    kinds = Counter(one["do"] for _, one in there)
    assert kinds["start"] >= 200
    assert min(kinds["notice"], kinds["take"]) >= 5
    assert len({one["borrower"] for _, one in there if one["do"] == "lend"}) >= 6
    assert paced.told["ended", "completed"] == 200
    assert paced.told["started", None] == kinds["start"]
    for site in (twin, real):
        assert replay(site.store).difference is None
        site.down()
