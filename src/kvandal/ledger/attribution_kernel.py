"""The sweep over hours that follows energy from the meter down to the racks and jobs that drew it."""

from __future__ import annotations

import math

import numpy as np

from kvandal.compiled import kernel, large_kernel

SHARED = 7
"""Quantities that follow the use of IT energy: overhead [Wh], four of carbon [g], cost [cent], exported heat [Wh]."""
IT, IDLE, FIRST_SHARED = 0, 1, 2
COLUMNS = FIRST_SHARED + SHARED
"""IT energy that work drew, its share of what nobody used, then the shared quantities."""
MARKET = FIRST_SHARED + 3
"""First of the two columns of market-based carbon, direct and life-cycle."""

TOLD = 5
"""What is kept of every job: IT energy, all its energy (the first three columns), direct carbon by location and by market, cost."""
BY_LOCATION, COST = FIRST_SHARED + 1, FIRST_SHARED + 5

ACTIVE = np.dtype(
    [
        ("start_s", "i8"), ("end_s", "i8"),
        ("weight_w", "f8"),  # power of one of its GPUs at work, idle power included
        ("drawn", "f8"),  # energy in this hour, relative to the other placements
        ("job", "i4"), ("rack", "i4"), ("gpus", "i4"), ("tenant", "i4"), ("tier", "i8"),
    ],
    align=True,
)  # fmt: skip
"""A placement in the hour that is looked at."""


@large_kernel
def sweep(
    placements, order, weights_w, idle_w, tenant_of, demand_of, model_of, rack_wh, delivered_s, totals, market_g_per_wh, to_owners,
    watched, by_job, by_tenant, by_tier_gpu_s, detail, detail_hour, detail_rack, active, work, used_gpu_s, amounts, done, part,
    parts, whole_g, so_far_g,
):  # fmt: skip
    """Attribute every hour's totals to the jobs that ran in it; fills the tables it is given.

    Amounts are whole numbers below 2^53, which float64 holds exactly.

    Parameters
    ----------
    placements : PLACEMENT table
    order : int64 (placements,), the placements in order of start
    weights_w : float64 (classes of demand, rack models), power of a GPU at work, idle power included [W]
    idle_w : float64 (rack models), power of an idle GPU [W]
    tenant_of, demand_of : int16 (jobs,)
    model_of : int64 (racks,)
    rack_wh : int32 (hours, racks), IT energy of each rack
    delivered_s : int64 (racks,), when each rack came into service [s]
    totals : int64 (hours, 1 + SHARED), IT energy of the site [Wh], then the shared quantities, in whole units
    market_g_per_wh : float64 (hours, tenants + 1, 2), market-based carbon of everybody's energy where it differs, relative to
        each other [g/Wh]; no rows where it does not
    to_owners : whether idle GPUs are the owners' (else: of who works in the hour)
    watched : job whose hours and racks are written down, or -1
    by_job : int64 (jobs, TOLD), filled
    by_tenant : int64 (hours, tenants + 1, COLUMNS), filled; the last row is the owners'
    by_tier_gpu_s : int64 (hours, tenants, 3), filled: GPU-seconds firm, assured, lent
    detail : int64 (rows, COLUMNS), filled for the watched job, with its `detail_hour` and `detail_rack`
    active : ACTIVE (placements,), work : float64 (racks,), used_gpu_s : int64 (racks,), amounts, done, part :
        float64 (COLUMNS,), parts : float64 (tenants, COLUMNS), whole_g, so_far_g : float64 (2,), room to work in

    Returns
    -------
    Rows written to `detail`.

    """
    hours, racks = rack_wh.shape
    owners = by_tenant.shape[1] - 1
    running, following, written = 0, 0, 0
    weighted = market_g_per_wh.shape[0] > 0
    for hour in range(hours):
        first_s, last_s = hour * 3600, (hour + 1) * 3600
        running = _go_on(active, running, first_s)
        while following < placements.shape[0] and placements[order[following]].start_s < last_s:
            one = placements[order[following]]
            new = active[running]
            new.start_s, new.end_s = one.start_s, one.end_s
            new.weight_w = weights_w[demand_of[one.job], model_of[one.rack]]
            new.job, new.rack, new.gpus, new.tenant = one.job, one.rack, one.gpus, tenant_of[one.job]
            new.tier = one.tier if one.tier < 3 else 0
            running += 1
            following += 1
        work[:] = 0.0
        used_gpu_s[:] = 0
        for position in range(running):
            one = active[position]
            gpu_s = one.gpus * (min(one.end_s, last_s) - max(one.start_s, first_s))
            one.drawn = gpu_s * one.weight_w
            work[one.rack] += one.drawn
            used_gpu_s[one.rack] += gpu_s
            by_tier_gpu_s[hour, one.tenant, one.tier] += gpu_s
        idle_of_racks_wh = 0.0
        for rack in range(racks):
            energy_wh = np.float64(rack_wh[hour, rack])
            standing_s = max(0, last_s - max(first_s, delivered_s[rack]))
            idle = max(0, 72 * standing_s - used_gpu_s[rack]) * idle_w[model_of[rack]]
            whole = work[rack] + idle
            if whole > 0.0:
                work[rack] = energy_wh / whole  # from now on: energy per watt-second of weight
                idle_of_racks_wh += energy_wh * idle / whole
        drawn_wh = 0.0
        for position in range(running):
            one = active[position]
            one.drawn *= work[one.rack]
            drawn_wh += one.drawn

        # What is to be shared out: the energy that idle GPUs drew apart from that of work.
        total = totals[hour]
        whole_wh = drawn_wh + idle_of_racks_wh
        idle_share = idle_of_racks_wh / whole_wh if drawn_wh > 0.0 else 1.0
        idle_wh = np.int64(math.floor(total[0] * idle_share + 0.5))
        owned = by_tenant[hour, owners]
        if drawn_wh <= 0.0 or to_owners:
            owned[IDLE] += idle_wh
            idle_wh = np.int64(0)
        amounts[IT] = total[0] - idle_wh - owned[IDLE]
        amounts[IDLE] = idle_wh
        owned_share = idle_share if drawn_wh <= 0.0 or to_owners else 0.0
        whole_g[:] = 0.0
        so_far_g[:] = 0.0
        if weighted and drawn_wh > 0.0:
            for position in range(running):
                for basis in range(2):
                    whole_g[basis] += (
                        active[position].drawn * market_g_per_wh[hour, active[position].tenant, basis]
                    )
        for column in range(FIRST_SHARED, COLUMNS):
            part_owned = owned_share
            basis = column - MARKET
            if owned_share > 0.0 and 0 <= basis < 2 and whole_g[basis] > 0.0:
                idle_g = idle_of_racks_wh * market_g_per_wh[hour, owners, basis]
                part_owned = idle_g / (idle_g + whole_g[basis])
            owned[column] += np.int64(math.floor(total[column - 1] * part_owned + 0.5))
            amounts[column] = total[column - 1] - owned[column]
        if drawn_wh <= 0.0:
            continue
        done[:] = 0.0
        parts[:] = 0.0
        so_far_wh = 0.0
        for position in range(running):
            one = active[position]
            so_far_wh += one.drawn
            share, last = so_far_wh / drawn_wh, position == running - 1
            _share_out(amounts, share, last, 0, COLUMNS, done, part)
            if weighted:
                for basis in range(2):
                    if whole_g[basis] > 0.0:
                        so_far_g[basis] += one.drawn * market_g_per_wh[hour, one.tenant, basis]
                        column = MARKET + basis
                        done[column] -= part[column]
                        of_basis = so_far_g[basis] / whole_g[basis]
                        _share_out(amounts, of_basis, last, column, column + 1, done, part)
            row = by_job[one.job]
            row[0] += np.int64(part[IT])
            row[1] += np.int64(part[IT] + part[IDLE] + part[FIRST_SHARED])
            row[2] += np.int64(part[BY_LOCATION])
            row[3] += np.int64(part[MARKET])
            row[4] += np.int64(part[COST])
            for column in range(COLUMNS):
                parts[one.tenant, column] += part[column]
            if one.job == watched:
                for column in range(COLUMNS):
                    detail[written, column] = np.int64(part[column])
                detail_hour[written] = hour
                detail_rack[written] = one.rack
                written += 1
        for tenant in range(owners):
            for column in range(COLUMNS):
                by_tenant[hour, tenant, column] = np.int64(parts[tenant, column])
    return written


@kernel
def _go_on(active, running, first_s):
    """Drop what ended before an hour began, in order; return how many are left."""
    kept = 0
    for position in range(running):
        if active[position].end_s > first_s:
            if kept < position:
                active[kept] = active[position]
            kept += 1
    return kept


@kernel
def _share_out(amounts, share, last, first_column, columns, done, part):
    """Give the next in the row its part of some amounts: what the rounded running share has grown by, the last one the rest."""
    for column in range(first_column, columns):
        upto = amounts[column] if last else np.floor(amounts[column] * share + 0.5)
        part[column] = upto - done[column]
        done[column] = upto
