"""Entitlements and loans as arithmetic over a table of tenants.

For a tenant with `own` GPUs in use within its share, what may be lent is

    lendable = min(deserved - guarantee, deserved - own - claimed) - lent_out

where `claimed` are GPUs that are being recalled for its own waiting jobs. The last row of the table is the pool: what nobody is entitled to. It is a lender like any other and uses nothing.
"""

from __future__ import annotations

import numpy as np

from kvandal.compiled import kernel

FIRM, ASSURED, LENT = 0, 1, 2
BORROWER_RANK = (2, 0, 1)
"""Order among borrowers by tier: assured, then lent, then firm (rule P2)."""

TENANT = np.dtype(
    [
        ("share_deserved", "f8"),  # of the GPUs installed
        ("share_guarantee", "f8"),
        ("share_ceiling", "f8"),
        ("weight", "f8"),  # among borrowers
        ("deserved", "i8"),  # GPUs, of those installed now
        ("guarantee", "i8"),  # GPUs never lent
        ("ceiling", "i8"),  # most GPUs it may hold
        ("largest_job", "i8"),  # most GPUs that one job can ever get, by share or by loan
        ("own", "i8"),  # GPUs in use within the share
        ("claimed", "i8"),  # GPUs that its waiting jobs have reserved
        ("on_loan", "i8"),  # GPUs in use on loans from others
        ("lent_out", "i8"),  # GPUs of the share that others hold
        ("held_gpu_s", "i8"),  # GPU-seconds of this hour: in use
        ("on_loan_gpu_s", "i8"),
        ("lent_out_gpu_s", "i8"),
        ("notice_s", "i8"),  # before a loan of this tenant ends
        ("tier", "i8"),
    ],
    align=True,
)
"""One row per tenant and a last one for the pool."""


@kernel
def renew_shares(tenants, installed_gpus):
    """Recompute every entitlement from the GPUs installed now; the pool gets what is left."""
    pool = tenants.shape[0] - 1
    left = installed_gpus
    for index in range(pool):
        tenant = tenants[index]
        tenant.deserved = int(tenant.share_deserved * installed_gpus + 1e-9)
        tenant.guarantee = int(tenant.share_guarantee * installed_gpus + 1e-9)
        tenant.ceiling = int(tenant.share_ceiling * installed_gpus + 1e-9)
        left -= tenant.deserved
    tenants[pool].deserved = left


@kernel
def lendable_gpus(tenants, lender):
    """GPUs that a lender can still lend."""
    tenant = tenants[lender]
    return (
        min(tenant.deserved - tenant.guarantee, tenant.deserved - tenant.own - tenant.claimed)
        - tenant.lent_out
    )


@kernel
def lender_for(tenants, borrower, gpus):
    """Lender with the most lendable GPUs that can lend `gpus` at once, or -1 (rule L1; ties: first in order)."""
    best, most = -1, gpus - 1
    for lender in range(tenants.shape[0]):
        if lender == borrower:
            continue
        room = lendable_gpus(tenants, lender)
        if room > most:
            best, most = lender, room
    return best


@kernel
def excess_gpus(tenants, lender):
    """GPUs lent out that the lender must have back: own use, claims and loans above its share."""
    return -lendable_gpus(tenants, lender)


@kernel
def may_hold(tenants, tenant, gpus):
    """Whether a tenant stays within its ceiling with `gpus` more, what it has claimed counted."""
    holder = tenants[tenant]
    return holder.own + holder.claimed + holder.on_loan + gpus <= holder.ceiling


@kernel
def is_entitled(tenants, tenant, gpus):
    """Whether a job fits in what its tenant deserves (and its ceiling) beside what the tenant has claimed."""
    holder = tenants[tenant]
    return holder.own + holder.claimed + gpus <= holder.deserved and may_hold(tenants, tenant, gpus)


@kernel
def largest_job(tenants, tenant):
    """Most GPUs that one job of a tenant can get: its own share, or the largest share that another may lend."""
    largest = tenants[tenant].deserved
    for lender in range(tenants.shape[0]):
        if lender != tenant:
            largest = max(largest, tenants[lender].deserved - tenants[lender].guarantee)
    return min(largest, tenants[tenant].ceiling)


@kernel
def borrows_before(tenants, one, other):
    """Whether tenant `one` borrows before tenant `other` (rule P2); on a tie the first in order does."""
    rank_one, rank_other = BORROWER_RANK[tenants[one].tier], BORROWER_RANK[tenants[other].tier]
    if rank_one != rank_other:
        return rank_one < rank_other
    return tenants[one].on_loan * tenants[other].weight < tenants[other].on_loan * tenants[one].weight
