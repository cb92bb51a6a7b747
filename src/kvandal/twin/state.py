"""The state of a run as tables of plain records: it can be copied, saved, forked and replayed."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kvandal.compiled.tables import by_reference
from kvandal.demand.jobs import JobTable
from kvandal.physics.rack import capped_speed
from kvandal.policy.acting import ACTION
from kvandal.policy.budget import JOB_GRANT
from kvandal.policy.drawdown import LIMIT_COLUMNS, take_limits
from kvandal.policy.lending import PART
from kvandal.policy.links import unused_records
from kvandal.policy.placement import Room, empty_room
from kvandal.policy.rules import HOLDS
from kvandal.policy.tree import TENANT, largest_job, renew_shares
from kvandal.scenario.demand import Demand
from kvandal.scenario.model import Scenario
from kvandal.scenario.tenants import TIERS, Policy
from kvandal.scenario.tree import groups_of, limit_steps, path_text
from kvandal.twin import reliability_state as repair
from kvandal.twin.columns import BLOCK, filled, seldom
from kvandal.twin.grant_list import grant_order, grant_tables
from kvandal.twin.heaps import END, ENTRY
from kvandal.twin.records import (
    DEMAND,
    EVENT,
    JOB,
    KINDS,
    LOAN,
    LOSSES,
    MODEL,
    NOTHING_YET,
    PARTS_OF_LOSSES,
    PLACEMENT,
    POWER_TIERS,
    QUEUE,
    RACK,
    RACK_TIER,
    RULES,
    SPEED,
    SPEED_CLASSES,
    STINT,
    TALLY,
    THERMAL,
    TIER_MODEL,
    TIER_NOW,
    spare_records,
)
from kvandal.twin.site import SiteArrays, gpu_load_mw

Array = Any


@by_reference
class State(NamedTuple):
    """A run at one instant: tables whose rows the record types above describe.

    `lost_gpu_s` is float64 (6, jobs), `part_gpu_s` (3, jobs) parts of it, `interruptions` int32 (5, jobs) by cause, `waits` int32 (rules in HOLDS, jobs): most
    of their entries stay zero, and take no memory.
    `fault_cost` float64 (faults, tenants + 1, 3), `node_room_kw` float64 (nodes), power that each node of the plant has
    to spare; `limit_steps` float64 (steps, tenants, 6), limits that hold from `limit_steps_s` on; `recent_s` int64
    (trays, n), times of the last failures of each tray; `touched` int64 (racks,), racks in which something changed in this
    tick; `pod_mw` and `group_mw` int64 (pods or power groups, tiers of use, rack
    models), sums of RACK_TIER.mw; `leaving` int64 (rows of tenants, 2), to work in: GPUs that come back
    to each row after notice (:func:`kvandal.policy.lending.count_leaving`); `own_jobs` int32 (4, GPUs + 1), jobs that run on
    their tenant's share (:data:`kvandal.policy.acting.OWN_END` and the following).
    """

    jobs: Array
    lost_gpu_s: Array
    part_gpu_s: Array
    interruptions: Array
    waits: Array
    actions: Array
    parts: Array
    stints: Array
    placements: Array
    node_room_kw: Array
    limit_steps: Array
    limit_steps_s: Array
    queues: Array
    room: Room
    tenants: Array
    ends: Array
    agenda: Array
    loans: Array
    events: Array
    racks: Array
    rack_tiers: Array
    touched: Array
    pod_mw: Array
    group_mw: Array
    lent_jobs: Array
    own_jobs: Array
    leaving: Array
    models: Array
    demands: Array
    load_mw: Array
    tier_models: Array
    tiers: Array
    speeds: Array
    failures: Array
    works: Array
    repair_queues: Array
    recent_s: Array
    faults: Array
    fault_cost: Array
    grants: Array
    grant_periods: Array
    grant_order: Array
    job_grants: Array
    tally: Array
    rules: Array


def new_loans(rows: int) -> Array:
    """Return room for loans."""
    return np.zeros(rows, LOAN)


def new_stints(rows: int) -> Array:
    """Return room for runs that were interrupted."""
    return np.zeros(rows, STINT)


def new_placements(rows: int) -> Array:
    """Return room for GPUs of jobs in racks."""
    return np.zeros(rows, PLACEMENT)


def new_events(rows: int) -> Array:
    """Return room for events."""
    return np.zeros(rows, EVENT)


def model_table(site: SiteArrays) -> Array:
    """Kinds of rack on the site: MODEL table."""
    return filled(
        MODEL,
        len(site.model_names),
        idle_kw=site.idle_kw,
        tdp_kw=site.tdp_kw,
        gpu_kw=site.gpu_kw,
        liquid_fraction=site.liquid_fraction,
        **dict(zip(THERMAL, site.thermal.T, strict=True)),
    )


def limit_rows(scenario: Scenario) -> tuple[Array, Array]:
    """Limits of all tenants as a step function of time.

    Returns
    -------
    Instants [s after the start], int64 (steps,), and the limits that hold from them, float64 (steps, tenants, 6): shares
    and fixed numbers of guarantee, deserved and ceiling.

    """
    run = scenario.run
    steps = limit_steps(scenario.tenants, run.start_utc, run.days, scenario.site.time_zone)
    rows = [
        [
            [
                number
                for limit in (own.guarantee, own.deserved, own.ceiling)
                for number in (limit.share, limit.gpus)
            ]
            for own in limits.values()
        ]
        for _, limits in steps
    ]
    table = np.array(rows, np.float64).reshape(len(steps), len(scenario.tenants), LIMIT_COLUMNS)
    return np.array([start_s for start_s, _ in steps], np.int64), table


def tenant_table(scenario: Scenario, gpus: int) -> Array:
    """Rows of tenants and groups, and the root: TENANT table with the shares of the finished site of `gpus` GPUs."""
    names = list(scenario.tenants)
    root = len(names)
    table = np.zeros(root + 1, TENANT)
    table["parent"], table["holder"] = root, -1
    table["parent"][root] = -1
    table["is_group"][root] = True
    table["ranked"] = [*sorted(range(root), key=names.__getitem__), root]
    groups = groups_of(scenario.tenants)
    for row, (name, tenant) in zip(table, scenario.tenants.items(), strict=False):
        if tenant.parent is not None:
            row["parent"] = names.index(tenant.parent)
        row["depth"] = path_text(scenario.tenants, name).count("/") + 1
        row["is_group"] = name in groups
        row["weight"] = tenant.weight
        row["notice_s"] = tenant.notice_s
        row["minimum_run_s"] = tenant.minimum_run_s
        row["tier"] = TIERS.index(tenant.tier)
        row["admitted"] = not tenant.residency or bool(set(tenant.residency) & set(scenario.site.regions))
    _, steps = limit_rows(scenario)
    largest = np.zeros(root, np.int64)
    for limits in steps[::-1]:  # the first ones stay in the table
        take_limits(table, limits)
        renew_shares(table, gpus)
        largest = np.maximum(largest, [largest_job(table, index) for index in range(root)])
    table["largest_job"][:root] = largest
    return table


def own_speed(demand: Demand, policy: Policy) -> float:
    """Speed of the jobs of a class under their own power cap, over their speed without it."""
    exponent = demand.perf_exponent
    if exponent is None:
        exponent = (
            policy.training_perf_exponent if demand.kind == "training" else policy.inference_perf_exponent
        )
    return capped_speed(demand.gpu_cap_fraction, exponent, policy.perf_offset_fraction)


def time_limits_s(scenario: Scenario, table: JobTable, interval_s: Array) -> Array:
    """Run time that each job asks for [s]: `time_limit_h` of its class, else what it needs, checkpoints included, times its factor."""
    demands = scenario.demand.values()
    checkpoint_s = np.array(
        [round(repair.checkpoint_s(demand, scenario.reliability)) for demand in demands] or [0]
    )[table.demand]
    needed_s = table.work_s + checkpoint_s * np.where(
        interval_s > 0, (table.work_s - 1) // np.maximum(interval_s, 1), 0
    )
    factor = np.array([demand.limit_factor for demand in demands] or [1.0])[table.demand]
    given_s = np.array([(demand.time_limit_h or 0.0) * 3600 for demand in demands] or [0.0])[table.demand]
    limit_s = np.where(given_s > 0, np.round(given_s), np.ceil(needed_s * factor - 1e-9))
    return np.clip(limit_s, 1, 2**31 - 1).astype(np.int32)


def job_records(
    scenario: Scenario, table: JobTable, queue_of: Array, tenants: Array, interval_s: Array
) -> Array:
    """Return the records of jobs, written block by block so that each stays in the processor's cache meanwhile."""
    jobs = np.zeros(len(table), JOB)
    protected = np.array([not tenant.may_be_curtailed for tenant in scenario.tenants.values()], bool)
    nobody = filled(
        JOB, 1, start_s=-1, first_start_s=-1, end_s=-1, deadline_s=-1, loan=-1, first_part=-1, list_position=-1,
        heap_position=-1, next_job=-1, last_loss=-1, use_tier=-1, slow=1.0,
    )  # fmt: skip
    plain = np.dtype((np.void, JOB.itemsize))  # whole records at once, not column by column
    for first in range(0, len(table), BLOCK):
        some = table.rows(first, first + BLOCK)
        block, between_s = jobs[first : first + BLOCK], interval_s[first : first + BLOCK]
        block.view(plain)[:] = nobody.view(plain)
        for name in ("submit_s", "gpus", "work_s", "tenant", "demand"):
            block[name] = getattr(some, name)
        block["asked_gpus"], block["remaining_s"] = some.gpus, some.work_s
        block["interval_s"], block["limit_s"] = between_s, time_limits_s(scenario, some, between_s)
        block["protected"] = protected[some.tenant]
        needs_loan = some.gpus > tenants["deserved"][some.tenant]
        block["queue"] = queue_of[some.tenant, some.demand, needs_loan.astype(np.int8)]
    return jobs


def queue_tables(scenario: Scenario, tenants: Array) -> tuple[Array, Array]:
    """Queues, and the queue of each (tenant, class of demand, whether the job is larger than the tenant's share)."""
    names, classes = list(scenario.tenants), list(scenario.demand)
    keys = sorted(
        (int(tenants[names.index(name)]["tier"]), name, demand_name, needs_loan)
        for demand_name, demand in scenario.demand.items()
        for name in demand.tenants
        for needs_loan in (0, 1)
    )
    queue_of = np.full((max(len(names), 1), max(len(classes), 1), 2), -1, np.int32)
    queues = filled(QUEUE, len(keys), head=-1, tail=-1, last_claim=-1)
    for row, (_, name, demand_name, needs_loan) in enumerate(keys):
        queues[row]["tenant"], queues[row]["demand"] = names.index(name), classes.index(demand_name)
        queue_of[names.index(name), classes.index(demand_name), needs_loan] = row
    return queues, queue_of


def new_state(
    scenario: Scenario,
    site: SiteArrays,
    table: JobTable,
    interval_s: Array,
    failures: Array,
    faults: Array,
    job_kw_maximum: float,
) -> State:
    """Return the state at the start: nothing runs, no rack is delivered.

    Parameters
    ----------
    scenario, site : what is simulated
    table : jobs
    interval_s : int (jobs,), work between two checkpoints [s]; 0: none
    failures : FAILURE table, in order of time
    faults : FAULT table
    job_kw_maximum : most power above idle that one job can ever get [kW]

    """
    racks, models = site.racks, len(site.model_names)
    tenants = tenant_table(scenario, site.gpus)
    queues, queue_of = queue_tables(scenario, tenants)
    jobs = job_records(scenario, table, queue_of, tenants, interval_s)
    grants, grant_periods = grant_tables(scenario)
    limit_steps_s, limits = limit_rows(scenario)
    renew_shares(tenants, 0)
    spare = spare_records(racks)
    policy, reliability = scenario.policy, scenario.reliability
    return State(
        jobs=jobs,
        lost_gpu_s=seldom((len(LOSSES), len(table)), np.float64),
        part_gpu_s=seldom((len(PARTS_OF_LOSSES), len(table)), np.float64),
        interruptions=seldom((len(repair.CAUSES), len(table)), np.int32),
        waits=seldom((len(HOLDS), len(table)), np.int32),
        actions=np.zeros(4 * site.gpus + 1024, ACTION),
        parts=unused_records(PART, site.gpus + len(tenants)),
        stints=new_stints(2 * spare),
        placements=new_placements(2 * spare),
        node_room_kw=np.full(1 + site.halls + site.groups + site.pods, np.inf),
        limit_steps=limits,
        limit_steps_s=limit_steps_s,
        queues=queues,
        room=empty_room(racks, len(table)),
        tenants=tenants,
        ends=np.zeros((SPEED_CLASSES, site.gpus + 1), END),
        agenda=np.zeros(2 * spare + len(limit_steps_s) * (1 + len(scenario.tenants)), ENTRY),
        loans=new_loans(2 * spare),
        events=new_events(2 * spare),
        racks=filled(
            RACK,
            racks,
            model=site.model,
            cdu=site.cdu,
            pod=site.pod,
            group=site.group,
            hall=site.hall,
            part=1.0,
        ),
        rack_tiers=np.zeros((racks, POWER_TIERS), RACK_TIER),
        touched=np.zeros(racks, np.int64),
        pod_mw=np.zeros((site.pods, POWER_TIERS, models), np.int64),
        group_mw=np.zeros((site.groups, POWER_TIERS, models), np.int64),
        lent_jobs=np.zeros(site.gpus + 1, np.int64),
        own_jobs=np.zeros((4, site.gpus + 1), np.int32),
        leaving=np.zeros((len(tenants), 2), np.int64),
        models=model_table(site),
        demands=filled(
            DEMAND,
            len(scenario.demand),
            kind=[KINDS.index(demand.kind) for demand in scenario.demand.values()],
            checkpoint_s=[
                round(repair.checkpoint_s(demand, reliability)) for demand in scenario.demand.values()
            ],
            restart_s=[round(repair.restart_s(demand, reliability)) for demand in scenario.demand.values()],
            speed=[own_speed(demand, policy) for demand in scenario.demand.values()],
            elastic_minimum=[demand.elastic_minimum_fraction for demand in scenario.demand.values()],
            deadline_s=[round((demand.deadline_h or 0.0) * 3600) for demand in scenario.demand.values()],
            timed=[demand.time_limit_h is not None for demand in scenario.demand.values()],
        ),
        load_mw=gpu_load_mw(scenario, site),
        tier_models=filled(TIER_MODEL, POWER_TIERS * models, factor=1.0).reshape(POWER_TIERS, models),
        tiers=filled(TIER_NOW, POWER_TIERS, cap=1.0),
        speeds=filled(SPEED, SPEED_CLASSES, rate=1.0),
        failures=failures,
        works=np.zeros(19 * racks, repair.WORK),
        repair_queues=repair.new_repair_queues(),
        recent_s=np.zeros((18 * racks, max(1, reliability.lemon_failures)), np.int64),
        faults=faults,
        fault_cost=np.zeros((len(faults), len(tenants), 3)),
        grants=grants,
        grant_periods=grant_periods,
        grant_order=grant_order(scenario, grants),
        job_grants=seldom(len(table), JOB_GRANT),
        tally=filled(TALLY, 1, **NOTHING_YET),
        rules=filled(
            RULES,
            1,
            tick_s=scenario.run.tick_s,
            segment_trays=policy.segment_trays,
            **repair.repair_rules(scenario),
            rest_s=round(policy.rest_after_recall_s),
            rack_restart_s=round(reliability.rack_restart_min * 60),
            ups_autonomy_s=scenario.power.ups_autonomy_min * 60,
            recall=policy.recall,
            envelope_kw=scenario.site.grid_mw * 1000 * (1 - scenario.power.site_cap_margin_fraction),
            cap_minimum=max(scenario.rack_models[name].cap_minimum_fraction for name in site.model_names),
            perf_offset=policy.perf_offset_fraction,
            training_exponent=policy.training_perf_exponent,
            inference_exponent=policy.inference_perf_exponent,
            net_kw=site.net_kw,
            ramp_kw_per_min=scenario.grid.start_ramp_mw_per_min * 1000,
            job_kw_maximum=job_kw_maximum,
            spare_records=spare,
            backfill_depth=policy.backfill_depth,
            reservations=policy.reservations,
            aging_s=round(policy.aging_h * 3600),
            by_use=policy.order == "fair_tree",
            use_decay=0.5 ** (scenario.run.tick_s / (policy.half_life_h * 3600)),
            halls=site.halls,
            groups=site.groups,
        ),
    )
