"""Figures of the site, read from the store whenever Prometheus asks: what the loop last wrote of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import func, select

from kvandal.control.operations.reading import Reads, site_now
from kvandal.control.store.errors import StoreError
from kvandal.control.store.tables.loop import CYCLES, INBOX

MEGA = 1e6

Row = tuple[tuple[str, ...], float | None]

TENANT_GPUS = ("guarantee", "deserved", "ceiling", "own", "on_loan", "lent_out")
TIERS = ("firm", "assured", "lent")


def _number(view: Any, *keys: str) -> float | None:
    """Return what stands at a place of the view; None where it is not known."""
    for key in keys:
        view = view.get(key) if isinstance(view, Mapping) else None
    return float(view) if isinstance(view, int | float) else None


def _watts(view: Any, *keys: str) -> float | None:
    megawatts = _number(view, *keys)
    return None if megawatts is None else megawatts * MEGA


def _family(name: str, says: str, rows: list[Row], labels: tuple[str, ...] = ()) -> GaugeMetricFamily:
    """Return a family without the values that are not known."""
    family = GaugeMetricFamily(name, says, labels=labels)
    for values, value in rows:
        if value is not None:
            family.add_metric(values, value)
    return family


class SiteFigures(Collector):
    """The site as the loop last saw it, and whether the store answers.

    Parameters
    ----------
    store : the database

    """

    def __init__(self, store: Reads) -> None:
        self._store = store

    def describe(self) -> list[GaugeMetricFamily]:
        """Name nothing beforehand: registering must not need the database."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Read the store and tell what it says."""
        view: Mapping[str, Any] | None = None
        waiting, reached = None, 0.0
        try:
            with self._store.read() as tx:
                now = site_now(tx)
                view = None if now is None else now.view
                asked = tx.scalar(select(func.max(INBOX.c.id))) or 0
                taken = tx.scalar(select(CYCLES.c.inbox_to).order_by(CYCLES.c.number.desc()).limit(1)) or 0
                waiting, reached = float(max(0, asked - taken)), 1.0
        except StoreError:
            pass  # it is what kvandal_store_up tells
        yield _family("kvandal_store_up", "1: the database answers.", [((), reached)])
        if waiting is not None:
            yield _family(
                "kvandal_store_inbox_waiting", "Commands that the loop has not taken yet.", [((), waiting)]
            )
        if view is not None:
            for family in FAMILIES:
                yield family(view)


def _plain(name: str, says: str, read: Callable[[Any], float | None]) -> Callable[[Any], GaugeMetricFamily]:
    return lambda view: _family(name, says, [((), read(view))])


def _by(
    name: str, says: str, label: str, read: Callable[[Any], list[Row]]
) -> Callable[[Any], GaugeMetricFamily]:
    return lambda view: _family(name, says, read(view), (label,))


def _tenants(view: Any) -> list[Mapping[str, Any]]:
    return [one for one in view.get("tenants") or [] if isinstance(one, Mapping)]


def _tenant_gpus(view: Any) -> GaugeMetricFamily:
    rows: list[Row] = [
        ((str(one.get("name")), kind), _number(one, kind)) for one in _tenants(view) for kind in TENANT_GPUS
    ]
    return _family(
        "kvandal_tenant_gpus", "GPUs of a tenant: its shares, its use, its loans.", rows, ("tenant", "kind")
    )


def _each_tenant(key: str) -> Callable[[Any], list[Row]]:
    return lambda view: [((str(one.get("name")),), _number(one, key)) for one in _tenants(view)]


def _customers(view: Any) -> list[Row]:
    heat = view.get("heat")
    customers = heat.get("customers") if isinstance(heat, Mapping) else None
    return [((str(one.get("name")),), _watts(one, "delivered_mw")) for one in customers or []]


def _nodes_down(view: Any) -> float | None:
    nodes = view.get("nodes_down")
    return None if nodes is None else float(len(nodes))


FAMILIES: tuple[Callable[[Any], GaugeMetricFamily], ...] = (
    _plain("kvandal_site_power_watts", "Power that the site draws from the grid.", lambda v: _watts(v, "site_power_mw")),
    _plain("kvandal_it_power_watts", "Power of the computers.", lambda v: _watts(v, "it_power_mw")),
    _plain("kvandal_envelope_watts", "Power that the site may draw now.", lambda v: _watts(v, "envelope_mw")),
    _plain("kvandal_pue_ratio", "Site power over power of the computers.", lambda v: _number(v, "pue")),
    _plain("kvandal_gpus_installed", "GPUs at the site.", lambda v: _number(v, "gpus", "installed")),
    _plain("kvandal_gpus_broken", "GPUs that take no work.", lambda v: _number(v, "gpus", "broken")),
    _plain("kvandal_gpus_free", "GPUs that nobody uses.", lambda v: _number(v, "gpus", "free")),
    _by(
        "kvandal_gpus_used", "GPUs in use, by tier.", "tier", lambda v: [((t,), _number(v, "gpus", t)) for t in TIERS]
    ),
    _by(
        "kvandal_power_cap_ratio", "Cap of power of running work, by tier; 1: none.", "tier",
        lambda v: [((t,), _number(v, "caps", t)) for t in TIERS],
    ),
    _by(
        "kvandal_jobs", "Jobs by state.", "state",
        lambda v: [((s,), _number(v, "jobs", s)) for s in ("running", "queued", "recalled")],
    ),
    _plain("kvandal_queued_gpus", "GPUs that queued jobs ask for.", lambda v: _number(v, "jobs", "queued_gpus")),
    _by(
        "kvandal_water_temperature_celsius", "Temperature of the water.", "place",
        lambda v: [
            ((p,), _number(v, "water", f"{p}_c"))
            for p in ("tcs_supply", "tcs_return", "facility_supply", "facility_return")
        ],
    ),
    _plain("kvandal_ambient_temperature_celsius", "Temperature of the air outside.", lambda v: _number(v, "ambient_c")),
    _plain("kvandal_heat_wanted_watts", "Heat that customers want.", lambda v: _watts(v, "heat", "wanted_mw")),
    _plain("kvandal_heat_delivered_watts", "Heat that customers get.", lambda v: _watts(v, "heat", "delivered_mw")),
    _by("kvandal_heat_customer_watts", "Heat that one customer gets.", "customer", _customers),
    _plain(
        "kvandal_electricity_price_euros_per_megawatt_hour", "Price of electricity.",
        lambda v: _number(v, "price_eur_per_mwh"),
    ),
    _plain(
        "kvandal_grid_carbon_grams_per_kilowatt_hour", "Carbon dioxide equivalent of the grid's electricity.",
        lambda v: _number(v, "carbon_g_per_kwh"),
    ),
    _plain(
        "kvandal_fail_safe", "1: telemetry is lost; no new lent work, caps stay.", lambda v: float(bool(v.get("fail_safe")))
    ),
    _plain(
        "kvandal_engine_reachable", "1: the engine answers.",
        lambda v: None if not isinstance(v.get("engine"), Mapping) else float(bool(v["engine"].get("reachable"))),
    ),
    _plain("kvandal_nodes_down", "Nodes that take no work.", _nodes_down),
    _tenant_gpus,
    _by("kvandal_tenant_queued_gpus", "GPUs that a tenant's queued jobs ask for.", "tenant", _each_tenant("queued_gpus")),
    _by("kvandal_tenant_queued_jobs", "Queued jobs of a tenant.", "tenant", _each_tenant("queued_jobs")),
    _by("kvandal_tenant_running_jobs", "Running jobs of a tenant.", "tenant", _each_tenant("running_jobs")),
)  # fmt: skip
"""What is told of the view of the site; a quantity that is not known is absent, never zero."""
