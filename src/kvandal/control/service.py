"""The service, put together: store, identity, API and pages in one process, the loop in a thread of its own."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import structlog
from fastapi import FastAPI

from kvandal import __version__
from kvandal.compiled import mark_cached
from kvandal.control.api.application import close_streams, create_app
from kvandal.control.api.parts import ServiceParts
from kvandal.control.demand import SimulatedDemand
from kvandal.control.engines import engine_of
from kvandal.control.identity.gate import Identity
from kvandal.control.loop.clock import SteadyClock
from kvandal.control.loop.loop import Loop
from kvandal.control.loop.opening import known_site, open_loop
from kvandal.control.loop.ordering import LeadershipLostError
from kvandal.control.office.round import make_round
from kvandal.control.office.terms import terms_of
from kvandal.control.office.usage import lacks
from kvandal.control.operations.metrics import Metrics
from kvandal.control.operations.site_metrics import SiteFigures
from kvandal.control.operations.traces import Traces
from kvandal.control.operations.watch import Watch
from kvandal.control.settings import Settings
from kvandal.control.store.database import Store, open_store
from kvandal.control.store.errors import StoreUnavailableError
from kvandal.control.store.leader import leadership_of
from kvandal.control.store.maintenance import forget_answers, thin_keyframes, thin_site_ticks
from kvandal.control.whatif.live import LiveWhatIf, Taken
from kvandal.engines.live.protocol import Engine, EngineUnreachableError
from kvandal.errors import KvandalError
from kvandal.scenario.loading import from_resolved, resolved

BREATH_S = 0.005
"""Time between two turns that follow each other at once: others get their turn at processor and store too [s]."""
SWITCH_S = 0.0005
"""How long a thread may keep the interpreter while another waits: a request does so several times, and must not be held up by
as many turns of the loop [s]."""
SITE_FRESH_S = 0.02
"""How old the site may be that is told to people, beside what the loop itself takes: hundreds may ask in a second [s]."""
UPKEEP_S = 600.0
"""Time between two rounds of thinning what is kept [s]."""
OFFICE_S = 60.0
"""Time between two rounds of the access office [s]."""
TAKE_S = 10.0
"""How long a what-if waits for the end of a turn; then it takes the state from the store [s]."""
_log = structlog.get_logger("kvandal.loop")


class LoopThread(threading.Thread):
    """Turns the loop while this server leads; waits while another does, or while store or engine cannot be reached.

    Parameters
    ----------
    store, settings, watch
        Of the service.
    demand
        Whether the demand of the scenario is submitted by simulated tenants; only on an emulated site.

    """

    def __init__(self, store: Store, settings: Settings, watch: Watch, *, demand: bool = True) -> None:
        super().__init__(name="kvandal-loop", daemon=True)
        self.store, self.settings, self.watch = store, settings, watch
        self.stopping = threading.Event()
        self.failure: BaseException | None = None
        self.loop: Loop | None = None
        self._leader = leadership_of(store)
        self._clock = SteadyClock()
        self._demand_wanted = demand and settings.engine == "twin"
        self._demand: SimulatedDemand | None = None
        self._engine: Engine | None = None
        self._upkept = time.monotonic()
        self._attended: float | None = None
        self._told_waiting = ""
        self._turning = threading.Lock()

    def stop(self) -> None:
        """End after the cycle that is under way."""
        self.stopping.set()

    def now(self) -> datetime:
        """Time at the site."""
        engine = self._engine
        return engine.now() if engine is not None else datetime.now(UTC)

    def taken(self) -> Taken | None:
        """Copy the state between two turns, for a what-if; None: this server does not lead, or its loop is held up."""
        if not self._turning.acquire(timeout=TAKE_S):
            return None
        try:
            if self.loop is None:
                return None
            site = self.loop.site
            return Taken(self.loop.number, site.now_s, site.document, *site.forked())
        finally:
            self._turning.release()

    def run(self) -> None:
        """Lead, turn, wait."""
        try:
            while not self.stopping.is_set():
                began = time.monotonic()
                with self._turning:
                    more = self._once()
                wait_s = 0.0 if more else self.settings.cycle_s - (time.monotonic() - began)
                if self.stopping.wait(max(BREATH_S, wait_s)):
                    break
        except KvandalError as error:
            self.failure = error
            _log.error("the loop cannot go on", error=str(error))
        except Exception as error:  # noqa: BLE001 - told by who waits for the thread
            self.failure = error
            self.watch.metrics.cycle_failed("fault")
            _log.exception("the loop has failed")
        finally:
            self._leave()

    def _once(self) -> bool:
        """Turn the loop once if this server leads; tell whether it left something for a turn at once."""
        metrics = self.watch.metrics
        try:
            if not self._leader.is_leader() and not self._leader.acquire():
                metrics.leads(False)
                self._forget()
                self._wait_for(self._leader.why_not)
                return False
            metrics.leads(True)
            loop = self.loop or self._open()
            with self.watch.cycle(loop.number + 1) as turn:
                loop.step, loop.leads = turn.step, self._leader.is_leader
                if self._demand is not None:
                    self._demand.submit(loop.site.now_s)
                report = loop.turn()
                turn.open_intentions = report.open_intentions
                turn.actions = _by_rule(report.effects)
            if report.reachable:
                metrics.telemetry_seen()
            else:
                metrics.cycle_failed("engine")
            self._told_waiting = ""
            self._attend_office(loop)
            self._upkeep(loop)
        except LeadershipLostError as error:
            metrics.cycle_failed("store")
            self._forget()
            self._wait_for(str(error))
        except StoreUnavailableError as error:
            metrics.cycle_failed("store")
            self._wait_for(str(error))
            self.stopping.wait(min(2.0, self.settings.cycle_s))
        except EngineUnreachableError as error:
            metrics.cycle_failed("engine")
            self._wait_for(f"the engine does not answer: {error}")
            self.stopping.wait(2.0)
        else:
            return report.more
        return False

    def _open(self) -> Loop:
        settings = self.settings
        document = resolved(settings.scenario)
        known = known_site(self.store)
        scenario = from_resolved(known.scenario if known is not None else document, name=settings.scenario)
        if self._engine is None:
            self._engine = engine_of(settings, scenario, self._clock, datetime.now(UTC))
        loop = open_loop(
            self.store,
            self._engine,
            scenario.name,
            document,
            telemetry_timeout_s=settings.telemetry_timeout_s,
        )
        if self._demand_wanted:
            self._demand = SimulatedDemand(self.store, known_site(self.store).scenario, loop.epoch_utc)
        mark_cached("live")
        self.loop = loop
        settle()
        _log.info(
            "leads", engine=self._engine.name, cycle=loop.number, site_time=self._engine.now().isoformat()
        )
        return loop

    def _forget(self) -> None:
        """Let go of the state: who leads next has the truth."""
        if self.loop is not None:
            self.loop.close()
        self.loop = self._demand = None
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _leave(self) -> None:
        if self.loop is not None and self.failure is None and self._leader.is_leader():
            # if not, they are given again, and do nothing then
            with suppress(StoreUnavailableError, LeadershipLostError):
                self.loop.write_answers()
        self._forget()
        self._leader.release()
        self.watch.metrics.leads(False)

    def _wait_for(self, why: str) -> None:
        if why != self._told_waiting:
            self._told_waiting = why
            _log.warning("the loop waits", why=why)

    def _attend_office(self, loop: Loop) -> None:
        """Make the round of the access office now and then, at the site's time."""
        if self._attended is not None and time.monotonic() - self._attended < OFFICE_S:
            return
        self._attended = time.monotonic()
        make_round(self.store, terms_of(loop.site.scenario), self.now())

    def _upkeep(self, loop: Loop) -> None:
        """Thin out now and then what is kept of the past."""
        if time.monotonic() - self._upkept < UPKEEP_S:
            return
        self._upkept = time.monotonic()
        with self.store.begin() as tx:
            thin_site_ticks(tx, loop.site.now_s)
            forget_answers(tx, datetime.now(UTC))
            thin_keyframes(tx)


def settle() -> None:
    """Leave what has been loaded and built so far out of all later searches for garbage.

    There are hundreds of thousands of objects that stay until the end; looking through them holds up everybody for a sixth of
    a second, again and again. And look less often: what a request leaves behind is seldom garbage that has to be searched for.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _by_rule(effects: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in effects:
        if "rule" in one and one["do"] != "hold":
            found[one["rule"]] = found.get(one["rule"], 0) + 1
    return found


class Service:
    """Everything that one process serves.

    Parameters
    ----------
    settings
        Of the service.
    demand
        Whether simulated tenants submit the demand of the scenario; only on an emulated site.

    Attributes
    ----------
    app : the application
    loop : the thread of the loop, not started yet
    whatif : answers what-ifs
    store : the database
    identity : who is who

    """

    def __init__(self, settings: Settings, *, demand: bool = True) -> None:
        self.settings = settings
        self._nodes: frozenset[str] = frozenset()
        self.watch = Watch(Metrics(version=__version__), Traces.to(settings.otlp_endpoint, __version__))
        self.store = open_store(settings.database_url)
        self.watch.metrics.watch_store(self.store.engine)
        self.identity = Identity(self.store, settings)
        self.watch.metrics.add(SiteFigures(self.store))
        self.loop = LoopThread(self.store, settings, self.watch, demand=demand)
        self.whatif = LiveWhatIf(self.store, self.loop.taken, simulated=demand and settings.engine == "twin")
        self.app = self._app()

    def _app(self) -> FastAPI:
        from kvandal.control.operations.routes import operations_router
        from kvandal.control.pages.routes import router as pages_router

        parts = ServiceParts(
            store=self.store,
            settings=self.settings,
            identity=self.identity,
            now=self.loop.now,
            whatif=self.whatif,
            site_fresh_s=SITE_FRESH_S,
            may_use=lambda tx, tenant, project, gpus, limit_s: lacks(
                tx, tenant, project, gpus, limit_s, self.loop.now()
            ),
            knows_node=self._knows_node,
        )
        operations = operations_router(self.watch, self.store, self.settings)
        return create_app(parts, pages=[operations, pages_router])

    def _knows_node(self, name: str) -> bool:
        """Whether the engine of the site has a node of that name; a site that has not begun has none yet."""
        if not self._nodes:
            row = known_site(self.store)
            self._nodes = frozenset(row.nodes if row is not None else ())
        return name in self._nodes

    def stop(self) -> None:
        """End the loop after its cycle and let those go who follow the site; does not wait."""
        self.loop.stop()
        close_streams(self.app)

    def close(self, wait_s: float = 30.0) -> None:
        """Stop the loop after its cycle, and let go of the store."""
        self.loop.stop()
        if self.loop.is_alive():
            self.loop.join(wait_s)
        self.whatif.close()
        self.identity.close()
        self.store.close()


def run(settings: Settings, *, demand: bool = True, ready: Callable[[str], None] = lambda _: None) -> None:
    """Serve until told to stop.

    Parameters
    ----------
    settings, demand
        See :class:`Service`.
    ready
        Called with the address once the server listens.

    """
    from kvandal.control.operations.serving import bound_socket, serve

    listener = bound_socket(settings)
    host, port = listener.getsockname()[:2]
    settings = settings.model_copy(
        update={"port": port}
    )  # any free one was: now it is known, for sign-in and cookies
    service = Service(settings, demand=demand)
    sys.setswitchinterval(SWITCH_S)
    try:
        service.loop.start()
        ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")
        serve(
            service.app,
            settings,
            service.watch,
            listener=listener,
            on_stop=service.stop,
            has_failed=lambda: service.loop.failure is not None,
        )
    finally:
        service.close()
    if service.loop.failure is not None:
        raise service.loop.failure
