"""The state of a run as tables of plain records: it can be copied, saved, forked and replayed."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from kvandal.demand.jobs import JobTable
from kvandal.physics.rack import capped_speed
from kvandal.policy.acting import ACTION
from kvandal.policy.drawdown import LIMIT_COLUMNS, take_limits
from kvandal.policy.lending import empty_parts
from kvandal.policy.placement import Room, empty_room
from kvandal.policy.rules import HOLDS
from kvandal.policy.tree import TENANT, largest_job, renew_shares
from kvandal.scenario.demand import Demand
from kvandal.scenario.model import Scenario
from kvandal.scenario.tenants import TIERS, Policy
from kvandal.scenario.tree import groups_of, limit_steps, path_text
from kvandal.twin import reliability_state as repair
from kvandal.twin.grant_list import grant_order, grant_tables, job_grants
from kvandal.twin.heaps import END, ENTRY
from kvandal.twin.site import SiteArrays, gpu_load_mw

Array = Any

FUTURE, QUEUED, RUNNING, FINISHED, REFUSED, STOPPED = range(6)
STATES = ("future", "queued", "running", "finished", "refused", "stopped")
"""A job that a rule ends is *refused* when it never ran, else *stopped*."""
KINDS = ("training", "batch", "inference")
POWER_TIERS = 4
"""Tiers that are capped apart: firm, assured, lent, and firm work whose contract does not let it be curtailed."""
SPEED_CLASSES = 3 * POWER_TIERS
"""Tier of use times kind of work: jobs of one class slow down alike under a cap."""

LOST_FAILURE, LOST_RECALL, LOST_SHED, LOST_CHECKPOINT, LOST_RESTART, LOST_EXPIRY = range(6)
LOSSES = ("failure", "recall", "shed", "checkpoint", "restart", "expiry")

(
    REPAIR,
    DELIVERY,
    DRAIN,
    REST,
    FAULT_OVER,
    FAULT_START,
    THROTTLE,
    TRIP,
    POWER_ON,
    TIMEOUT,
    RECALLABLE,
    DRAW_DOWN,
    LIMITS,
) = range(1, 14)
"""Priorities in the agenda; ends of jobs come before, failures and arrivals after."""

(
    EVENT_DELIVERY, EVENT_FAILURE, EVENT_REPAIR, EVENT_RECALL, EVENT_SHED, EVENT_ENVELOPE, EVENT_FAULT, EVENT_FAULT_OVER,
    EVENT_THROTTLE, EVENT_TRIP, EVENT_POWER_ON, EVENT_LIMIT, EVENT_LIMIT_OVER, EVENT_OVERLOAD, EVENT_OVERLOAD_OVER,
    EVENT_HOST_FAULT, EVENT_NETWORK_FAULT, EVENT_RACK_FAILURE, EVENT_RACK_REPAIR, EVENT_REPAIR_BEGINS, EVENT_TRAY_REPLACED,
    EVENT_RECOVERY, EVENT_RECOVERY_OVER, EVENT_EXPIRY_NOTICE, EVENT_EXPIRY,
) = range(25)  # fmt: skip
EVENTS = (
    "delivery", "failure", "repair", "recall", "shed", "envelope", "fault", "fault_over", "throttle", "trip", "power_on",
    "limit", "limit_over", "overload", "overload_over", "host_fault", "network_fault", "rack_failure", "rack_repair",
    "repair_begins", "tray_replaced", "recovery", "recovery_over", "expiry_notice", "expiry",
)  # fmt: skip

LOAN_FINISHED, LOAN_RECALLED, LOAN_FAILURE, LOAN_SHED, LOAN_TRANSFERRED, LOAN_PROMOTED, LOAN_EXPIRED = range(
    7
)
LOAN_REASONS = ("finished", "recalled", "failure", "shed", "transferred", "promoted", "expired")


def spare_records(racks: int) -> int:
    """Loans, events and agenda entries kept free for one instant; the loop pauses for more when fewer are left."""
    return 1024 + 4 * 72 * racks


JOB = np.dtype(
    [
        ("submit_s", "i8"),
        ("work_s", "i8"),  # run time at full speed
        ("remaining_s", "i8"),  # useful work still to do
        ("start_s", "i8"),  # of the run that goes on now
        ("left_s", "i8"),  # end of its last run
        ("first_start_s", "i8"),  # -1: never
        ("end_s", "i8"),  # -1: not finished
        (
            "until_s",
            "i8",
        ),  # while it runs: expected end; while racks are reserved for it: when they should be free
        ("held_since_s", "i8"),  # since when the rule `held_by` holds it back
        ("deadline_s", "i8"),  # end of the notice, or -1
        ("virtual_start_s", "f8"),  # reading of the speed clock at the start
        ("slow", "f8"),  # its speed over that of its class: limits of the plant slow it down
        ("allocated_gpu_s", "i8"),
        ("useful_gpu_s", "f8"),
        ("restored_gpu_s", "f8"),  # spent on restarts that followed a recall
        ("recall_cost", "f8"),  # what a planned recall would lose [GPU-seconds; for power, per kW]
        ("clock_start_s", "f8"),  # reading of the speed clock at the start of the run that goes on now
        ("capped_gpu_s", "f8"),  # lost to caps on its tier; part of what shedding lost
        ("cut_gpu_s", "f8"),  # work lost when it was shed, or recalled, for power
        ("gpus", "i4"),  # now; an elastic job may run on fewer than it asked for
        ("asked_gpus", "i4"),  # `work_s` and `remaining_s` are seconds on so many
        ("limit_s", "i4"),  # run time that its owner asked for
        ("queue", "i4"),
        ("interval_s", "i4"),  # work between two checkpoints; 0: none are written
        ("restore_s", "i4"),  # of the run that goes on now, before its work goes on
        ("first_part", "i4"),  # of the loan that it runs on, or -1
        ("loan", "i4"),  # record of that part, or -1
        ("lent_position", "i4"),  # where it stands among the jobs on loan
        ("heap_position", "i4"),
        ("next_job", "i4"),  # behind it in the queue
        ("starts", "i4"),
        ("failures", "i4"),
        ("recalls", "i4"),
        ("sheds", "i4"),
        ("racks", "i4"),  # of the last placement
        ("tenant", "i2"),
        ("demand", "i2"),
        ("state", "i1"),
        ("held_by", "i1"),  # rule that holds it back while it waits
        ("start_rule", "i1"),  # rule by which it started last
        ("end_rule", "i1"),  # of the notice that it is under, or of the last one
        ("refused_rule", "i1"),
        ("last_loss", "i1"),  # why its last run ended (a LOST_ constant)
        ("use_tier", "i1"),  # tier of use: a borrower's is lent; PROTECTED is firm
        ("resumes", "?"),  # the next start restores a checkpoint first
        ("on_loan", "?"),
        ("recallable", "?"),  # on loan, and beyond its minimum run
        ("reserved", "?"),  # racks are kept for it until their jobs should have ended
        ("draining", "?"),  # under notice
        ("named", "?"),  # chosen for the recall that is being planned
        ("for_power", "?"),  # under notice for power
        ("protected", "?"),  # its contract does not let it be curtailed
    ],
    align=True,
)

QUEUE = np.dtype(
    [
        ("jobs", "i8"), ("gpus", "i8"), ("tenant", "i4"), ("demand", "i4"), ("head", "i4"), ("tail", "i4"),
        ("last_claim", "i4"),  # the jobs from the head to this one have racks claimed or reserved; -1: none
        ("recheck_s", "i8"),  # when its reservations are looked at afresh
        ("seen_freed", "i8"), ("scanned", "i8"),  # what had come free and which jobs had come at the last look for backfill
        ("blocked", "?"),
    ],
    align=True,
)  # fmt: skip
"""Queues in order of tier, tenant, class of demand. Jobs larger than their tenant's share, which can only run on a
loan, have a queue of their own, so that they do not hold up the others."""

LOAN = np.dtype(
    [
        ("start_s", "i8"), ("noticed_s", "i8"), ("deadline_s", "i8"), ("returned_s", "i8"), ("job", "i4"),
        ("gpus", "i4"), ("claimant", "i4"), ("lender", "i2"), ("borrower", "i2"), ("reason", "i1"),
    ],
    align=True,
)  # fmt: skip
"""Loans in order of their start; -1 where a time has not come."""

STINT = np.dtype(
    [
        ("start_s", "i8"), ("end_s", "i8"), ("job", "i4"), ("gpus", "i4"), ("rack", "i4"), ("lender", "i2"), ("tier", "i1"),
        ("start_rule", "i1"), ("cause", "i1"), ("end_rule", "i1"),
    ],
    align=True,
)  # fmt: skip
"""Runs of jobs that ended before the job did: when, on whose share, why they started and what ended them."""

EVENT = np.dtype(
    [
        ("time_s", "i8"), ("rack", "i4"), ("tray", "i4"), ("job", "i4"), ("gpus", "i4"), ("fault", "i4"), ("node", "i4"),
        ("kind", "i1"), ("rule", "i1"), ("constraint", "i1"),
    ],
    align=True,
)  # fmt: skip

RACK = np.dtype(
    [
        ("gpu_s", "i8"),  # GPU-seconds allocated; while jobs run, less their GPUs times their start
        ("broken_gpu_s", "i8"),
        ("waited_gpu_s", "i8"),  # of these, before a repair crew came
        ("energy_kwh", "f8"),
        ("peak_kw", "f8"),  # of the tick means
        ("part", "f8"),  # of its power above idle that the plant leaves it
        ("extra_kw", "f8"),  # correction of this tick's mean for power switched on or off inside it
        ("dry_part", "f8"),  # the same on average from the loss of its coolant to its trip
        ("off_since_s", "i8"),
        ("model", "i4"), ("cdu", "i4"), ("pod", "i4"), ("group", "i4"), ("hall", "i4"),
        ("lent_gpus", "i4"),
        ("failures", "i4"),
        ("replaced", "i4"),  # trays that failed too often
        ("delivered", "?"),
        ("is_off", "?"),
        ("returns", "?"),  # it is off, and will be powered again
        ("is_touched", "?"),  # something changed inside this tick
    ],
    align=True,
)  # fmt: skip

RACK_TIER = np.dtype([("mw", "i8"), ("tick_kw", "f8")], align=True)
"""Power above idle of a rack by tier of use, without caps: milliwatts, and the correction of this tick's mean [kW].

Whole milliwatts, because power is added and taken away a million times a year and must come back to nothing.
"""

MODEL = np.dtype(
    [
        ("idle_kw", "f8"), ("tdp_kw", "f8"), ("gpu_kw", "f8"), ("liquid_fraction", "f8"), ("gpu_idle_w", "f8"),
        ("gpu_tdp_w", "f8"), ("junction_k_per_w", "f8"), ("convective_share", "f8"), ("throttle_c", "f8"),
        ("trip_c", "f8"), ("cold_plate_s", "f8"), ("rack_loop_s", "f8"),
    ],
    align=True,
)  # fmt: skip
THERMAL = tuple(MODEL.names or ())[4:]
"""Columns of MODEL that :attr:`SiteArrays.thermal` holds."""
TIER_MODEL = np.dtype([("mw", "i8"), ("factor", "f8")], align=True)
"""Sum of RACK_TIER.mw by tier and rack model; power above idle under the cap, relative."""
TIER_NOW = np.dtype([("gpus", "i8"), ("gpu_s", "i8"), ("cap", "f8")], align=True)
"""GPUs in use by tier of use, GPU-seconds of this tick, GPU power cap."""
SPEED = np.dtype([("rate", "f8"), ("clock_s", "f8"), ("at_s", "f8"), ("running", "i8")], align=True)
"""A speed class: its speed, the reading of its clock and when it was taken, its running jobs."""
DEMAND = np.dtype(
    [
        ("kind", "i8"), ("checkpoint_s", "i8"), ("restart_s", "i8"), ("speed", "f8"), ("elastic_minimum", "f8"),
        ("deadline_s", "i8"), ("timed", "?"),
    ],
    align=True,
)  # fmt: skip
"""A class of demand: kind of work, time of a checkpoint and of a restart, speed of its jobs under their own power cap,
smallest part of its GPUs on which a job runs, time after submission by which it should have finished (0: none), whether
its jobs are ended at their limit."""

FAULT = np.dtype(
    [
        ("kind", "i8"), ("start_s", "i8"), ("end_s", "i8"), ("place", "i8"), ("count", "i8"),
        ("amount", "f8"),  # limit of a curtailment [kW], voltage of a dip [pu], warmer air of a hot week [K]
        ("seconds", "f8"),  # length of a dip
        ("drawn", "?"),  # at the published rates, not given
        ("active", "?"), ("ridden_through", "?"),
        ("racks_tripped", "i8"), ("throttle_s", "f8"), ("trip_s", "f8"),  # after its start, the first of them; -1: none
        ("bound_until_s", "i8"), ("bound_s", "i8"),  # time in which a limit that it set held something back
    ],
    align=True,
)  # fmt: skip
"""A fault of the plant and what it did; what it did to each tenant stands in `State.fault_cost`."""
(
    FAULT_CDU_PUMP, FAULT_CDU, FAULT_BANK, FAULT_TRANSFORMER, FAULT_UPS_BLOCK, FAULT_GRID_DIP, FAULT_CURTAILMENT,
    FAULT_LEAK, FAULT_HOT_WEEK,
) = range(9)  # fmt: skip
"""In order of :data:`kvandal.scenario.faults.FaultKind`; the first two stop coolant."""
COST_JOBS, COST_LOST_GPU_S, COST_SLOWED_GPU_S = range(3)

TALLY = np.dtype(
    [
        ("now_s", "i8"), ("tick_start_s", "i8"), ("next_arrival", "i8"), ("next_failure", "i8"), ("loans", "i8"),
        ("events", "i8"), ("agenda_size", "i8"), ("agenda_sequence", "i8"), ("touched", "i8"), ("lent_jobs", "i8"),
        ("running_jobs", "i8"), ("queued_jobs", "i8"), ("queued_gpus", "i8"), ("draining", "i8"),
        ("installed_gpus", "i8"), ("broken_gpus", "i8"), ("installed_gpu_s", "i8"), ("broken_gpu_s", "i8"),
        ("power_wait", "i8"),  # somebody waits for power
        ("shares_renewed", "i8"),  # racks arrived: lenders may owe a few GPUs
        ("tick_is_open", "i8"),  # the loop paused inside a tick
        ("wake_s", "i8"),  # decide at this instant even if nothing else happens
        ("wanted_tier", "i8"), ("wanted_kw", "f8"),  # the first firm or assured job that does
        ("at_envelope", "i8"), ("limited", "i8"), ("slowed_racks", "i8"), ("active_faults", "i8"),
        ("curtailed_kw", "f8"), ("meter_limit_kw", "f8"), ("battery_room_kw", "f8"), ("meter_constraint", "i8"), ("site_fault", "i8"),
        ("curtailment", "i8"), ("transformer", "i8"),  # fault behind either limit of the site, or -1
        ("dark_racks", "i8"), ("over_limit", "i8"), ("crews_busy", "i8"), ("repairs_waiting", "i8"),
        ("actions", "i8"),  # decided at this instant
        ("reservations", "i8"),  # jobs that racks are reserved for
        ("freed", "i8"),  # times that GPUs, share or power have come free
        ("stints", "i8"), ("tight", "i8"),  # some racks are closed to new jobs: their nodes have no power to spare
        ("recovering", "i8"),  # after a trip: 1 racks are dark, 2 they return
        ("dark_kw", "f8"), ("before_trip_kw", "f8"),  # TDP of the dark racks; the meter before they tripped
        ("schedule_kw", "f8"), ("ramp_limit_kw", "f8"),  # what may be started, and shown by the meter, while it recovers
        ("next_return_s", "f8"), ("last_meter_kw", "f8"), ("earlier_meter_kw", "f8"),
        ("it_now_kw", "f8"), ("it_envelope_kw", "f8"), ("last_it_kw", "f8"), ("last_site_kw", "f8"), ("base_kw", "f8"),
    ],
    align=True,
)  # fmt: skip
"""Counters of this instant (one row)."""
NOTHING_YET: dict[str, float] = dict.fromkeys(("curtailed_kw", "schedule_kw", "ramp_limit_kw"), math.inf)
NOTHING_YET |= dict.fromkeys(("site_fault", "curtailment", "transformer"), -1)

RULES = np.dtype(
    [
        ("tick_s", "i8"), ("segment_trays", "i8"), *repair.REPAIR_RULES, ("rest_s", "i8"), ("rack_restart_s", "i8"), ("recall", "?"), ("envelope_kw", "f8"),
        ("cap_minimum", "f8"), ("perf_offset", "f8"), ("ups_autonomy_s", "f8"),
        ("training_exponent", "f8"), ("inference_exponent", "f8"), ("net_kw", "f8"), ("ramp_kw_per_min", "f8"),
        ("job_kw_maximum", "f8"),  # most power above idle that one job can ever get
        ("spare_records", "i8"),
        ("backfill_depth", "i8"), ("reservations", "i8"), ("aging_s", "i8"), ("by_use", "?"), ("use_decay", "f8"),
        ("halls", "i8"), ("groups", "i8"),
    ],
    align=True,
)  # fmt: skip
"""Constants of the run (one row)."""


class State(NamedTuple):
    """A run at one instant: tables whose rows the record types above describe.

    `lost_gpu_s` is float64 (jobs, 6), `interruptions` int32 (jobs, 5) by cause, `waits` int32 (jobs, rules in HOLDS),
    `fault_cost` float64 (faults, tenants + 1, 3), `node_room_kw` float64 (nodes), power that each node of the plant has
    to spare; `limit_steps` float64 (steps, tenants, 6), limits that hold from `limit_steps_s` on; `recent_s` int64
    (trays, n), times of the last failures of each tray.
    """

    jobs: Array
    lost_gpu_s: Array
    interruptions: Array
    waits: Array
    actions: Array
    parts: Array
    stints: Array
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
    lent_jobs: Array
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


def _table(dtype: np.dtype[Any], rows: int, **columns: Any) -> Array:
    table = np.zeros(rows, dtype)
    for name, values in columns.items():
        table[name] = values
    return table


def new_loans(rows: int) -> Array:
    """Return room for loans."""
    return _table(LOAN, rows, noticed_s=-1, deadline_s=-1, returned_s=-1, claimant=-1, reason=-1)


def new_stints(rows: int) -> Array:
    """Return room for runs that were interrupted."""
    return np.zeros(rows, STINT)


def new_events(rows: int) -> Array:
    """Return room for events."""
    return _table(EVENT, rows, fault=-1, node=-1, constraint=-1)


def model_table(site: SiteArrays) -> Array:
    """Kinds of rack on the site: MODEL table."""
    return _table(
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


def _jobs(scenario: Scenario, table: JobTable, queue_of: Array, tenants: Array, interval_s: Array) -> Array:
    jobs = _table(
        JOB, max(len(table), 1), start_s=-1, first_start_s=-1, end_s=-1, deadline_s=-1, loan=-1, first_part=-1,
        lent_position=-1, heap_position=-1, next_job=-1, last_loss=-1, use_tier=-1, slow=1.0,
    )  # fmt: skip
    if len(table):
        for name in ("submit_s", "gpus", "work_s", "tenant", "demand"):
            jobs[name] = getattr(table, name)
        jobs["asked_gpus"] = table.gpus
        jobs["remaining_s"] = table.work_s
        jobs["interval_s"] = interval_s
        jobs["limit_s"] = time_limits_s(scenario, table, interval_s)
        jobs["protected"] = np.array([not tenant.may_be_curtailed for tenant in scenario.tenants.values()])[
            table.tenant
        ]
        needs_loan = table.gpus > tenants["deserved"][table.tenant]
        jobs["queue"] = queue_of[table.tenant, table.demand, needs_loan.astype(np.int8)]
    return jobs[: len(table)]


def _queues(scenario: Scenario, tenants: Array) -> tuple[Array, Array]:
    """Queues, and the queue of each (tenant, class of demand, whether the job is larger than the tenant's share)."""
    names = list(scenario.tenants)
    keys = sorted(
        (int(tenants[names.index(name)]["tier"]), names.index(name), index, needs_loan)
        for index, demand in enumerate(scenario.demand.values())
        for name in demand.tenants
        for needs_loan in (0, 1)
    )
    queue_of = np.full((max(len(names), 1), max(len(scenario.demand), 1), 2), -1, np.int32)
    for row, (_, tenant, demand_index, needs_loan) in enumerate(keys):
        queue_of[tenant, demand_index, needs_loan] = row
    queues = _table(QUEUE, len(keys), head=-1, tail=-1, last_claim=-1)
    queues["tenant"] = [key[1] for key in keys]
    queues["demand"] = [key[2] for key in keys]
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
    queues, queue_of = _queues(scenario, tenants)
    jobs = _jobs(scenario, table, queue_of, tenants, interval_s)
    grants, grant_periods = grant_tables(scenario)
    limit_steps_s, limits = limit_rows(scenario)
    renew_shares(tenants, 0)
    spare = spare_records(racks)
    policy, reliability = scenario.policy, scenario.reliability
    return State(
        jobs=jobs,
        lost_gpu_s=np.zeros((len(table), len(LOSSES))),
        interruptions=np.zeros((len(table), len(repair.CAUSES)), np.int32),
        waits=np.zeros((len(table), len(HOLDS)), np.int32),
        actions=np.zeros(4 * site.gpus + 1024, ACTION),
        parts=empty_parts(site.gpus + len(tenants)),
        stints=new_stints(2 * spare),
        node_room_kw=np.full(1 + site.halls + site.groups + site.pods, np.inf),
        limit_steps=limits,
        limit_steps_s=limit_steps_s,
        queues=queues,
        room=empty_room(racks, len(table)),
        tenants=tenants,
        ends=np.zeros((SPEED_CLASSES, site.gpus + 1), END),
        agenda=np.zeros(2 * spare, ENTRY),
        loans=new_loans(2 * spare),
        events=new_events(2 * spare),
        racks=_table(
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
        touched=np.zeros(racks, np.int32),
        lent_jobs=np.zeros(site.gpus + 1, np.int32),
        models=model_table(site),
        demands=_table(
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
        tier_models=_table(TIER_MODEL, POWER_TIERS * models, factor=1.0).reshape(POWER_TIERS, models),
        tiers=_table(TIER_NOW, POWER_TIERS, cap=1.0),
        speeds=_table(SPEED, SPEED_CLASSES, rate=1.0),
        failures=failures,
        works=np.zeros(19 * racks, repair.WORK),
        repair_queues=repair.new_repair_queues(),
        recent_s=np.zeros((18 * racks, max(1, reliability.lemon_failures)), np.int64),
        faults=faults,
        fault_cost=np.zeros((len(faults), len(tenants), 3)),
        grants=grants,
        grant_periods=grant_periods,
        grant_order=grant_order(scenario, grants),
        job_grants=job_grants(scenario, jobs),
        tally=_table(TALLY, 1, **NOTHING_YET),
        rules=_table(
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
