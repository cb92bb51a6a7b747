"""A living site for tests: a store, the twin as its engine, and a wall clock that goes when it is told to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from small_sites import group, small_site, tenant
from sqlalchemy import func, insert, select

from kvandal.control.loop.opening import open_loop
from kvandal.control.store.database import open_store
from kvandal.control.store.tables.loop import CYCLES, INBOX, JOBS
from kvandal.control.store.tables.metadata import new_id
from kvandal.engines.live.twin import TwinEngine
from kvandal.scenario.loading import resolved

START = datetime(2027, 3, 1, 8, tzinfo=UTC)
NODES = [f"r{rack + 1:04d}n{tray + 1:02d}" for rack in range(2) for tray in range(18)]
TENANTS = {
    "anchor": tenant("firm", 0.5, ceiling=0.9),
    "national": group("assured", ceiling=0.6),
    "startups": tenant("assured", 0.25, ceiling=0.5, parent="national"),
    "research": tenant("assured", 0.15, ceiling=0.5, parent="national"),
    "abroad": tenant("lent", notice_s=120),
    "nordics": tenant("lent", notice_s=60, weight=2.0),
}


class Wall:
    """Seconds since 1970 that go when they are told to."""

    def __init__(self):
        self.now_s = START.timestamp()

    def __call__(self):
        return self.now_s


class Living:
    """A site on a store that can be left and taken up again; the engine lives on."""

    def __init__(self, store_url, folder, scenario=None, engine=None, **options):
        self.url, self.folder, self.options = store_url, folder, options
        self.scenario = scenario or small_site(TENANTS, racks=2)
        self.wall = Wall()
        self.engine = engine or self.new_engine()
        self.up()

    def new_engine(self, **options):
        return TwinEngine(
            NODES, file=self.folder / "engine.sqlite", start_utc=START, wall=self.wall, **options
        )

    def up(self):
        self.store = open_store(self.url)
        self.loop = open_loop(
            self.store, self.engine, "test", resolved(self.scenario), clock=self.wall, **self.options
        )
        return self.loop

    def down(self):
        self.loop.close()
        self.store.close()

    def again(self):
        self.down()
        return self.up()

    def ask(self, kind, **body):
        with self.store.begin() as tx:
            tx.execute(insert(INBOX).values(at_utc=self.now(), by="test", kind=kind, body=body))

    def submit(self, tenant_name, gpus=8, run_time_s=600, limit_s=None, demand="batch", project="p"):
        job = new_id("job")
        with self.store.begin() as tx:
            tx.execute(
                insert(JOBS).values(
                    id=job, tenant=tenant_name, project=project, person="test", name="test", demand=demand, gpus=gpus,
                    limit_s=limit_s or run_time_s + 60, run_time_s=run_time_s, state="accepted", submitted_utc=self.now(),
                )
            )  # fmt: skip
            tx.execute(insert(INBOX).values(at_utc=self.now(), by="test", kind="submit", body={"job": job}))
        return job

    def now(self):
        return START + timedelta(seconds=self.wall.now_s - START.timestamp())

    def turn(self, seconds=0):
        self.wall.now_s += seconds
        return self.loop.turn()

    def run(self, seconds, step=10):
        for _ in range(0, seconds, step):
            self.turn(step)

    def job(self, job):
        with self.store.read() as tx:
            return tx.execute(select(JOBS).where(JOBS.c.id == job)).one()

    def jobs(self):
        with self.store.read() as tx:
            return tx.execute(select(JOBS).order_by(JOBS.c.number)).all()

    def cycles(self):
        with self.store.read() as tx:
            return tx.execute(select(func.count()).select_from(CYCLES)).scalar_one()

    def view(self):
        from kvandal.control.store.tables.loop import SITE_NOW

        with self.store.read() as tx:
            return tx.execute(select(SITE_NOW)).one().view
