"""The sweep over hours that follows energy from the meter down to the racks and jobs that drew it."""

from __future__ import annotations

import math

import numpy as np

from kvandal.compiled import large_kernel

SHARED = 7
"""Quantities that follow the use of IT energy: overhead [Wh], four of carbon [g], cost [cent], exported heat [Wh]."""
IT, IDLE, FIRST_SHARED = 0, 1, 2
COLUMNS = FIRST_SHARED + SHARED
"""IT energy that work drew, its share of what nobody used, then the shared quantities."""
MARKET = FIRST_SHARED + 3
"""First of the two columns of market-based carbon, direct and life-cycle."""


@large_kernel
def sweep(
    placements, weights_w, idle_w, tenant_of, demand_of, model_of, rack_wh, delivered_s, totals, market_g_per_wh, to_owners, watched,
    by_job, by_tenant, by_tier_gpu_s, detail, detail_hour, detail_rack, active, drawn, work, used_gpu_s, done,
    whole_g, so_far_g,
):  # fmt: skip
    """Attribute every hour's totals to the jobs that ran in it; fills the tables it is given.

    Parameters
    ----------
    placements : PLACEMENT table in order of start
    weights_w : float64 (classes of demand, rack models), power of a GPU at work, idle power included [W]
    idle_w : float64 (rack models), power of an idle GPU [W]
    tenant_of, demand_of : int64 (jobs,)
    model_of : int64 (racks,)
    rack_wh : int32 (hours, racks), IT energy of each rack
    delivered_s : int64 (racks,), when each rack came into service [s]
    totals : int64 (hours, 1 + SHARED), IT energy of the site [Wh], then the shared quantities, in whole units
    market_g_per_wh : float64 (hours, tenants + 1, 2), market-based carbon of everybody's energy where it differs, relative to
        each other [g/Wh]; no rows where it does not
    to_owners : whether idle GPUs are the owners' (else: of who works in the hour)
    watched : job whose hours and racks are written down, or -1
    by_job : int64 (jobs, COLUMNS), filled
    by_tenant : int64 (hours, tenants + 1, COLUMNS), filled; the last row is the owners'
    by_tier_gpu_s : int64 (hours, tenants, 3), filled: GPU-seconds firm, assured, lent
    detail : int64 (rows, COLUMNS), filled for the watched job, with its `detail_hour` and `detail_rack`
    active : int64 (placements,), drawn : float64 (placements,), work : float64 (racks,), used_gpu_s : int64 (racks,),
        done : int64 (COLUMNS,), whole_g, so_far_g : float64 (2,), room to work in

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
        kept = 0
        for position in range(running):
            index = active[position]
            if placements[index].end_s > first_s:
                active[kept] = index
                kept += 1
        running = kept
        while following < placements.shape[0] and placements[following].start_s < last_s:
            active[running] = following
            running += 1
            following += 1
        work[:] = 0.0
        used_gpu_s[:] = 0
        for position in range(running):
            one = placements[active[position]]
            seconds = min(one.end_s, last_s) - max(one.start_s, first_s)
            gpu_s = np.int64(one.gpus) * seconds
            drawn[position] = gpu_s * weights_w[demand_of[one.job], model_of[one.rack]]
            work[one.rack] += drawn[position]
            used_gpu_s[one.rack] += gpu_s
            by_tier_gpu_s[hour, tenant_of[one.job], one.tier if one.tier < 3 else 0] += gpu_s
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
            drawn[position] *= work[placements[active[position]].rack]
            drawn_wh += drawn[position]

        # What is to be shared out: the energy that idle GPUs drew apart from that of work.
        total = totals[hour]
        whole_wh = drawn_wh + idle_of_racks_wh
        idle_share = idle_of_racks_wh / whole_wh if drawn_wh > 0.0 else 1.0
        idle_wh = np.int64(math.floor(total[0] * idle_share + 0.5))
        owned = by_tenant[hour, owners]
        if drawn_wh <= 0.0 or to_owners:
            owned[IDLE] += idle_wh
            idle_wh = np.int64(0)
        work_wh = total[0] - idle_wh - owned[IDLE]
        owned_share = idle_share if drawn_wh <= 0.0 or to_owners else 0.0
        whole_g[:] = 0.0
        so_far_g[:] = 0.0
        if weighted and drawn_wh > 0.0:
            for position in range(running):
                tenant_index = tenant_of[placements[active[position]].job]
                for basis in range(2):
                    whole_g[basis] += drawn[position] * market_g_per_wh[hour, tenant_index, basis]
        for column in range(FIRST_SHARED, COLUMNS):
            part_owned = owned_share
            basis = column - MARKET
            if owned_share > 0.0 and 0 <= basis < 2 and whole_g[basis] > 0.0:
                idle_g = idle_of_racks_wh * market_g_per_wh[hour, owners, basis]
                part_owned = idle_g / (idle_g + whole_g[basis])
            owned[column] += np.int64(math.floor(total[column - 1] * part_owned + 0.5))
        if drawn_wh <= 0.0:
            continue
        done[:] = 0
        so_far_wh = 0.0
        for position in range(running):
            one = placements[active[position]]
            so_far_wh += drawn[position]
            share = so_far_wh / drawn_wh if position < running - 1 else 1.0
            if weighted:
                for basis in range(2):
                    so_far_g[basis] += drawn[position] * market_g_per_wh[hour, tenant_of[one.job], basis]
            row = by_job[one.job]
            tenant = by_tenant[hour, tenant_of[one.job]]
            for column in range(COLUMNS):
                if column == IT:
                    amount = work_wh
                elif column == IDLE:
                    amount = idle_wh
                else:
                    amount = total[column - 1] - owned[column]
                basis = column - MARKET
                if 0 <= basis < 2 and whole_g[basis] > 0.0:
                    upto = np.int64(math.floor(amount * (so_far_g[basis] / whole_g[basis]) + 0.5))
                else:
                    upto = np.int64(math.floor(amount * share + 0.5))
                if position == running - 1:
                    upto = amount
                part = upto - done[column]
                done[column] = upto
                row[column] += part
                tenant[column] += part
                if one.job == watched:
                    detail[written, column] = part
            if one.job == watched:
                detail_hour[written] = hour
                detail_rack[written] = one.rack
                written += 1
    return written
