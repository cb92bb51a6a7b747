"""The site as arrays, built from the scenario: racks in rows and halls, CDUs, deliveries."""

from __future__ import annotations

import calendar
import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from kvandal.physics.rack import cap_factor, load_for_power_fraction
from kvandal.scenario.model import Scenario
from kvandal.scenario.site import RackModelName

Array = Any


@dataclass(frozen=True, slots=True)
class SiteArrays:
    """Racks (n), in the order in which they are delivered.

    Attributes
    ----------
    hall, row, position, cdu : int32 (n,), counted from 0 over the site; position within the row
    pod : int32 (n,), the CDUs and racks on one manifold of coolant, within a hall
    group : int32 (n,), the rows that share power blocks, within a hall
    model : int32 (n,), index into `model_names`
    model_names : kinds of rack on the site
    delivered_s : int64 (n,), seconds after the start of the run (0: there from the start)
    idle_kw, tdp_kw, peak_kw, gpu_kw : float64 (models,), power of a rack idle, at TDP, its 1-s peak; of its GPUs at TDP
    liquid_fraction : float64 (models,), share of the rack's heat that the water takes
    thermal : float64 (models, 8), GPU power idle and at TDP [W], junction resistance [K/W] and its convective share,
        temperatures at which it throttles and trips [°C], time constants of cold plate and rack loop [s]
    net_kw : float, network, storage and management power per rack
    halls, rows, cdus, pods, groups : counts
    pod_hall, group_hall : int32 (pods,), (groups,)

    """

    hall: Array
    row: Array
    position: Array
    cdu: Array
    pod: Array
    group: Array
    model: Array
    model_names: tuple[RackModelName, ...]
    delivered_s: Array
    idle_kw: Array
    tdp_kw: Array
    peak_kw: Array
    gpu_kw: Array
    liquid_fraction: Array
    thermal: Array
    net_kw: float
    halls: int
    rows: int
    cdus: int
    pod_hall: Array
    group_hall: Array

    @property
    def pods(self) -> int:
        """Manifolds of coolant."""
        return int(self.pod_hall.shape[0])

    @property
    def groups(self) -> int:
        """Groups of power blocks."""
        return int(self.group_hall.shape[0])

    @property
    def racks(self) -> int:
        """Racks of the finished site."""
        return int(self.hall.shape[0])

    @property
    def gpus(self) -> int:
        """GPUs of the finished site: 72 a rack."""
        return self.racks * 72


def month_start_s(start_utc: datetime, month: int) -> int:
    """Seconds from `start_utc` to the same day and hour `month` months later (the month's last day if shorter).

    >>> from datetime import UTC
    >>> month_start_s(datetime(2027, 1, 31, tzinfo=UTC), 1) // 86400
    28
    """
    year, index = divmod(start_utc.year * 12 + start_utc.month - 1 + month, 12)
    day = min(start_utc.day, calendar.monthrange(year, index + 1)[1])
    return int((start_utc.replace(year=year, month=index + 1, day=day) - start_utc).total_seconds())


def build_site(scenario: Scenario) -> SiteArrays:
    """Stand the racks of a scenario in rows and halls."""
    site = scenario.site
    names = tuple(dict.fromkeys(block.model for block in site.fleet.values()))
    models = [scenario.rack_models[name] for name in names]
    model = np.concatenate(
        [
            np.full(math.ceil(block.gpus / 72), names.index(block.model), np.int32)
            for block in site.fleet.values()
        ]
    )
    racks = model.shape[0]
    index = np.arange(racks, dtype=np.int32)
    layout = site.layout
    row = index // layout.racks_per_row
    position = index % layout.racks_per_row
    cdus_per_row = math.ceil(layout.racks_per_row / layout.racks_per_cdu)
    cdu = row * cdus_per_row + position // layout.racks_per_cdu
    cdu = np.unique(cdu, return_inverse=True)[1].astype(np.int32)
    hall = row // layout.rows_per_hall
    cdus_per_hall = cdus_per_row * layout.rows_per_hall
    place_in_hall = (row % layout.rows_per_hall) * cdus_per_row + position // layout.racks_per_cdu
    pods_per_hall = math.ceil(cdus_per_hall / scenario.cooling.cdus_per_pod)
    pod, pod_hall = _numbered(
        hall * pods_per_hall + place_in_hall // scenario.cooling.cdus_per_pod, pods_per_hall
    )
    groups_per_hall = math.ceil(layout.rows_per_hall / layout.rows_per_group)
    group, group_hall = _numbered(
        hall * groups_per_hall + row % layout.rows_per_hall // layout.rows_per_group, groups_per_hall
    )

    delivered_s = np.zeros(racks, np.int64)
    standing = delivered_gpus = 0
    for delivery in site.build_out:
        delivered_gpus += delivery.gpus
        until = racks if delivered_gpus == site.gpus_asked else min(racks, delivered_gpus // 72)
        delivered_s[standing:until] = month_start_s(scenario.run.start_utc, delivery.month)
        standing = until

    return SiteArrays(
        hall=hall.astype(np.int32),
        row=row.astype(np.int32),
        position=position.astype(np.int32),
        cdu=cdu,
        pod=pod,
        group=group,
        model=model,
        model_names=names,
        delivered_s=delivered_s,
        idle_kw=np.array([m.rack_idle_kw for m in models], np.float64),
        tdp_kw=np.array([m.rack_tdp_kw for m in models], np.float64),
        peak_kw=np.array([m.rack_peak_kw for m in models], np.float64),
        gpu_kw=np.array([m.gpu_tdp_w * m.gpus_per_rack / 1000 for m in models], np.float64),
        liquid_fraction=np.array([m.liquid_fraction for m in models], np.float64),
        thermal=np.array(
            [
                (
                    m.gpu_idle_w,
                    m.gpu_tdp_w,
                    m.junction_k_per_w,
                    m.convective_share,
                    m.throttle_c,
                    m.trip_c,
                    m.cold_plate_s,
                    m.rack_loop_s,
                )
                for m in models
            ],
            np.float64,
        ),
        net_kw=scenario.network.net_storage_kw_per_gpu * 72,
        halls=int(hall[-1]) + 1,
        rows=int(row[-1]) + 1,
        cdus=int(cdu[-1]) + 1,
        pod_hall=pod_hall,
        group_hall=group_hall,
    )


def _numbered(place: Array, per_hall: int) -> tuple[Array, Array]:
    """Return the places of racks, numbered from 0, and the hall of each place."""
    places, number = np.unique(place, return_inverse=True)
    return number.astype(np.int32), (places // per_hall).astype(np.int32)


def cdus_in_a_pod(scenario: Scenario) -> int:
    """CDUs of a pod, spare ones included."""
    return scenario.cooling.cdus_per_pod + scenario.cooling.spare_cdus_per_pod


def banks_of_a_hall(scenario: Scenario) -> int:
    """Dry-cooler banks of a hall, spare ones included."""
    return scenario.cooling.banks_per_hall + scenario.cooling.spare_banks_per_hall


def connection_kw(scenario: Scenario, site: SiteArrays) -> float:
    """Power that the transformers are laid out for [kW]: the grid connection, or 1.3 times the racks' peak if that is less."""
    racks_kw = float((site.peak_kw[site.model] + site.net_kw).sum())
    return min(scenario.site.grid_mw * 1000, 1.3 * racks_kw)


def gpu_load_mw(scenario: Scenario, site: SiteArrays) -> Array:
    """Power above idle of one GPU at work, in whole milliwatts: int64 (classes of demand, rack models).

    Integers, because power is added and taken away a million times a year and must come back to nothing.
    """
    loads = np.zeros((max(len(scenario.demand), 1), len(site.model_names)), np.int64)
    for row, demand in enumerate(scenario.demand.values()):
        for column in range(len(site.model_names)):
            idle, tdp = float(site.idle_kw[column]), float(site.tdp_kw[column])
            load = load_for_power_fraction(idle, tdp, demand.rack_load_fraction)
            capped = cap_factor(idle, tdp, float(site.gpu_kw[column]), demand.gpu_cap_fraction)
            loads[row, column] = round(load * capped * (tdp - idle) / 72 * 1e6)
    return loads
