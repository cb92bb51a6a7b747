"""Records of the twin's tables, and what their numbers mean."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kvandal.twin import reliability_state as repair

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
PART_RESTORED, PART_CAPPED, PART_CUT = range(3)
PARTS_OF_LOSSES = ("restart_recall", "capped", "stopped")
"""Parts of losses that are told apart: restarts that followed a recall; what caps on the job's tier took, of what shedding
lost; work lost when a job was shed, or recalled, for power."""

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
        ("submit_s", "i4"),
        ("work_s", "i8"),  # run time at full speed
        ("remaining_s", "i8"),  # useful work still to do
        ("start_s", "i4"),  # of the run that goes on now
        ("left_s", "i4"),  # end of its last run
        ("placed_s", "i4"),  # since when it runs where and in the tier in which it runs now
        ("first_start_s", "i4"),  # -1: never
        ("end_s", "i4"),  # -1: not finished
        (
            "until_s",
            "i8",
        ),  # while it runs: expected end; while racks are reserved for it: when they should be free
        ("held_since_s", "i4"),  # since when the rule `held_by` holds it back
        ("deadline_s", "i4"),  # end of the notice, or -1
        ("virtual_start_s", "f8"),  # reading of the speed clock at the start
        ("slow", "f8"),  # its speed over that of its class: limits of the plant slow it down
        ("allocated_gpu_s", "i8"),
        ("useful_gpu_s", "f8"),
        ("recall_cost", "f8"),  # what a planned recall would lose [GPU-seconds; for power, per kW]
        ("clock_start_s", "f8"),  # reading of the speed clock at the start of the run that goes on now
        ("gpus", "i4"),  # now; an elastic job may run on fewer than it asked for
        ("asked_gpus", "i4"),  # `work_s` and `remaining_s` are seconds on so many
        ("limit_s", "i4"),  # run time that its owner asked for
        ("queue", "i2"),
        ("interval_s", "i4"),  # work between two checkpoints; 0: none are written
        ("restore_s", "i4"),  # of the run that goes on now, before its work goes on
        ("first_part", "i4"),  # of the loan that it runs on, or -1
        ("loan", "i4"),  # record of that part, or -1
        (
            "list_position",
            "i4",
        ),  # where it stands among the jobs on loan, or among those on their tenant's share
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
        ("jobs", "i8"), ("gpus", "i8"), ("tenant", "i8"), ("demand", "i8"), ("head", "i8"), ("tail", "i8"),
        ("last_claim", "i8"),  # the jobs from the head to this one have racks claimed or reserved; -1: none
        ("recheck_s", "i8"),  # when its reservations are looked at afresh
        ("seen_freed", "i8"), ("scanned", "i8"),  # what had come free and which jobs had come at the last look for backfill
        ("changes", "i8"),  # times that a job has left it, or has come in anywhere but at its end
        # as it was when nobody of it could start for want of its tenant's share: GPUs left of the share, what is deserved, ...
        ("vain_left", "i8"), ("vain_deserved", "i8"), ("vain_holder", "i8"), ("vain_shadow_s", "i8"), ("vain_changes", "i8"),
        ("vain_tail", "i8"), ("vain_held", "i8"),  # ... the rule that held its head back
        ("vain", "?"), ("blocked", "?"),
    ],
    align=True,
)  # fmt: skip
"""Queues in order of tier, name of the tenant, name of the class of demand. Jobs larger than their tenant's share, which can only run on a
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

PLACEMENT = np.dtype(
    [("start_s", "u4"), ("end_s", "u4"), ("job", "i4"), ("rack", "i2"), ("gpus", "u1"), ("tier", "i1")]
)
"""GPUs of a job in one rack, in one tier of use, from when to when: what attribution follows energy down to racks by."""

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
        ("energy_kwh", "f8"),  # up to the start of the tick `steady_from`
        ("counted_kwh", "f8"),  # of these, up to the last full hour
        ("steady_kw", "f8"), ("steady_from", "i8"),  # mean power of every tick from that one on
        ("peak_kw", "f8"),  # of the tick means
        ("part", "f8"),  # of its power above idle that the plant leaves it
        ("extra_kw", "f8"),  # correction of this tick's mean for power switched on or off inside it
        ("dry_part", "f8"),  # the same on average from the loss of its coolant to its trip
        ("off_since_s", "i8"),
        ("model", "i8"), ("cdu", "i8"), ("pod", "i8"), ("group", "i8"), ("hall", "i8"),
        ("lent_gpus", "i8"),
        ("failures", "i8"),
        ("replaced", "i8"),  # trays that failed too often
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
        ("events", "i8"), ("agenda_size", "i8"), ("agenda_sequence", "i8"), ("lent_jobs", "i8"), ("own_jobs", "i8"),
        ("touched", "i8"),  # racks in which something changed in this tick
        ("all_racks", "i8"), ("all_booked", "i8"),  # the power of all racks is to be reckoned; it was, in this tick
        ("running_jobs", "i8"), ("queued_jobs", "i8"), ("queued_gpus", "i8"), ("draining", "i8"),
        ("installed_gpus", "i8"), ("broken_gpus", "i8"), ("installed_gpu_s", "i8"), ("broken_gpu_s", "i8"),
        ("power_wait", "i8"),  # somebody waits for power
        ("shares_renewed", "i8"),  # racks arrived: lenders may owe a few GPUs
        ("tick_is_open", "i8"),  # the loop paused inside a tick
        ("wake_s", "i8"),  # decide at this instant even if nothing else happens
        ("wanted_tier", "i8"), ("wanted_kw", "f8"),  # the first firm or assured job that does
        ("at_envelope", "i8"), ("limited", "i8"), ("slowed_racks", "i8"), ("active_faults", "i8"),
        ("curtailed_kw", "f8"), ("set_point_kw", "f8"),  # by faults, and by who runs the site
        ("unexplained_kw", "f8"), ("telemetry_lost", "i8"),  # what a meter shows above what the model says; whether it is silent
        ("meter_limit_kw", "f8"), ("battery_room_kw", "f8"), ("meter_constraint", "i8"), ("site_fault", "i8"),
        ("curtailment", "i8"), ("transformer", "i8"),  # fault behind either limit of the site, or -1
        ("dark_racks", "i8"), ("over_limit", "i8"), ("crews_busy", "i8"), ("repairs_waiting", "i8"),
        ("planned_cap", "f8"),  # on lent work, by the day-ahead plan
        ("actions", "i8"),  # decided at this instant
        ("reservations", "i8"),  # jobs that racks are reserved for
        ("freed", "i8"),  # times that GPUs, share or power have come free
        ("stints", "i8"), ("placements", "i8"), ("tight", "i8"),  # some racks are closed to new jobs: their nodes have no power to spare
        ("opened", "i8"),  # some of them are open again
        ("recovering", "i8"),  # after a trip: 1 racks are dark, 2 they return
        ("dark_kw", "f8"), ("before_trip_kw", "f8"),  # TDP of the dark racks; the meter before they tripped
        ("schedule_kw", "f8"), ("ramp_limit_kw", "f8"),  # what may be started, and shown by the meter, while it recovers
        ("next_return_s", "f8"), ("last_meter_kw", "f8"), ("earlier_meter_kw", "f8"),
        ("it_now_kw", "f8"), ("it_envelope_kw", "f8"), ("last_it_kw", "f8"), ("last_site_kw", "f8"), ("base_kw", "f8"),
    ],
    align=True,
)  # fmt: skip
"""Counters of this instant (one row)."""
NOTHING_YET: dict[str, float] = dict.fromkeys(
    ("curtailed_kw", "set_point_kw", "schedule_kw", "ramp_limit_kw"), math.inf
)
NOTHING_YET["planned_cap"] = 1.0
NOTHING_YET |= dict.fromkeys(("site_fault", "curtailment", "transformer"), -1)

RULES = np.dtype(
    [
        ("tick_s", "i8"), ("segment_trays", "i8"), *repair.REPAIR_RULES, ("rest_s", "i8"), ("rack_restart_s", "i8"), ("recall", "?"), ("envelope_kw", "f8"),
        ("cap_minimum", "f8"), ("perf_offset", "f8"), ("ups_autonomy_s", "f8"),
        ("training_exponent", "f8"), ("inference_exponent", "f8"), ("net_kw", "f8"), ("ramp_kw_per_min", "f8"),
        ("job_kw_maximum", "f8"),  # most power above idle that one job can ever get
        ("spare_records", "i8"),
        ("told", "?"),  # jobs run on an engine, which tells when they end
        ("backfill_depth", "i8"), ("reservations", "i8"), ("aging_s", "i8"), ("by_use", "?"), ("use_decay", "f8"),
        ("halls", "i8"), ("groups", "i8"),
    ],
    align=True,
)  # fmt: skip
"""Constants of the run (one row)."""
