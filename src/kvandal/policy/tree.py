"""Entitlements and loans as arithmetic over a tree of tenants.

The rows of the table are tenants and groups of tenants; the last row is the root, the whole site. What a group deserves
beyond the sum of its children's is its own quota, which it lends like any other lender; the root's quota is what nobody
is entitled to. A row counts what goes on in the whole subtree below it:

    own       GPUs of the subtree's entitlement that the subtree itself uses (loans inside it included)
    lent_out  GPUs of it that tenants outside the subtree hold
    on_loan   GPUs that the subtree holds of others' entitlement

so that `own + on_loan` is what the subtree holds, and

    min(deserved - guarantee, deserved - own - claimed) - lent_out

what can still be lent to the outside, where `claimed` are GPUs that are being recalled for its own waiting jobs. A loan
must find that room at every level from its lender up to where its borrower stands: the recursion of rule K1.
"""

from __future__ import annotations

import numpy as np

from kvandal.compiled import kernel, large_kernel

FIRM, ASSURED, LENT, PROTECTED = 0, 1, 2, 3
"""Tiers of use; power knows a fourth: firm work whose contract does not let it be curtailed."""
BORROWER_RANK = (2, 0, 1)
"""Order among borrowers by tier: assured, then lent, then firm (rule P2)."""

TENANT = np.dtype(
    [
        ("share_deserved", "f8"),  # of the GPUs installed
        ("share_guarantee", "f8"),
        ("share_ceiling", "f8"),
        ("gpus_deserved", "f8"),  # and a fixed number
        ("gpus_guarantee", "f8"),
        ("gpus_ceiling", "f8"),
        ("weight", "f8"),  # among borrowers, beside its siblings
        ("used_gpu_s", "f8"),  # use of the past, decayed
        ("deserved", "i8"),  # GPUs, of those installed now
        ("guarantee", "i8"),  # GPUs never lent
        ("ceiling", "i8"),  # most GPUs it may hold
        ("quota", "i8"),  # GPUs deserved by this row itself: a group's less its children's
        ("largest_job", "i8"),  # most GPUs that one job can ever get, by share or by loan
        ("own", "i8"),
        ("claimed", "i8"),
        ("could_lend", "i8"),  # to work in: what the subtree could lend if no loan ran
        ("on_loan", "i8"),
        ("lent_out", "i8"),
        ("lent", "i8"),  # GPUs of the row's own quota that others hold
        ("shadow_s", "i8"),  # when the holder's GPUs should have come free
        ("held_gpu_s", "i8"),  # GPU-seconds of this hour: in use
        ("on_loan_gpu_s", "i8"),
        ("lent_out_gpu_s", "i8"),
        ("notice_s", "i8"),  # before a loan of this tenant ends
        ("minimum_run_s", "i8"),  # that a loan of this tenant is sure of
        ("tier", "i8"),
        ("parent", "i8"),  # row of the group above it; the root has -1
        ("depth", "i8"),  # steps below the root
        ("holder", "i8"),  # its job that waits longest for GPUs of its share, or -1
        ("loans", "i8"),  # that it has taken since the start
        # as it was when none of its loans could become its own use (L5): GPUs left of its share, holder, loans taken
        ("looked_left", "i8"),
        ("looked_holder", "i8"),
        ("looked_shadow_s", "i8"),
        ("looked_loans", "i8"),
        ("ranked", "i8"),  # row that comes at this place where rows take turns
        ("is_group", "?"),
        ("admitted", "?"),  # its data may be processed here
    ],
    align=True,
)
"""One row per tenant or group and a last one for the root.

`ranked` makes decisions independent of the order in which a scenario lists its tenants: whoever goes through the rows so
that their order matters, in ties and in sums of floats, takes `tenants[0].ranked`, `tenants[1].ranked` and so on.
"""


@large_kernel
def renew_shares(tenants, installed_gpus):
    """Recompute every entitlement from the GPUs installed now.

    Where fixed numbers promise more than there is, groups give up what is not their children's, then tenants what they
    deserve beyond their guarantees, assured before firm, then guarantees, each pro rata.
    """
    root = tenants.shape[0] - 1
    for index in range(root):
        tenant = tenants[index]
        tenant.deserved = int(tenant.share_deserved * installed_gpus + tenant.gpus_deserved + 1e-9)
        tenant.guarantee = int(tenant.share_guarantee * installed_gpus + tenant.gpus_guarantee + 1e-9)
        tenant.ceiling = int(tenant.share_ceiling * installed_gpus + tenant.gpus_ceiling + 1e-9)
    tenants[root].ceiling = installed_gpus
    tenants[root].deserved = installed_gpus
    missing = -installed_gpus
    for index in range(root):
        if tenants[index].parent == root:
            missing += tenants[index].deserved
    if missing > 0:
        _scale_down(tenants, installed_gpus)
    for index in range(root + 1):
        tenants[index].quota = tenants[index].deserved
    for index in range(root):
        tenants[tenants[index].parent].quota -= tenants[index].deserved


@kernel
def _scale_down(tenants, installed_gpus):
    """Lower what tenants deserve until it fits in what is installed."""
    root = tenants.shape[0] - 1
    missing = -installed_gpus
    for index in range(root):
        if not tenants[index].is_group:
            missing += tenants[index].deserved
    for step in range(3):
        reducible = 0
        for index in range(root):
            reducible += _reducible(tenants[index], step)
        if missing <= 0 or reducible == 0:
            continue
        part = min(1.0, missing / reducible)
        for index in range(root):
            less = int(np.ceil(part * _reducible(tenants[index], step)))
            tenants[index].deserved -= less
            missing -= less
    for index in range(root):
        if tenants[index].is_group:
            tenants[index].deserved = 0
        tenants[index].guarantee = min(tenants[index].guarantee, tenants[index].deserved)
    for index in range(root):
        if not tenants[index].is_group:
            above = tenants[index].parent
            while above != root:
                tenants[above].deserved += tenants[index].deserved
                above = tenants[above].parent


@kernel
def _reducible(tenant, step):
    """GPUs that a tenant can give up in one step of scaling down: assured, firm, guarantees."""
    if tenant.is_group:
        return 0
    if step == 2:
        return tenant.deserved
    if (step == 0) != (tenant.tier == ASSURED):
        return 0
    return max(0, tenant.deserved - tenant.guarantee)


@kernel
def lendable_out(tenant):
    """GPUs that a subtree can still lend to the outside."""
    return min(tenant.deserved - tenant.guarantee, share_left(tenant)) - tenant.lent_out


@kernel
def common_group(tenants, one, other):
    """Lowest row that holds both rows in its subtree."""
    while one != other:
        if tenants[one].depth >= tenants[other].depth:
            one = tenants[one].parent
        else:
            other = tenants[other].parent
    return one


@kernel
def is_within(tenants, row, group):
    """Whether a row lies in the subtree of another, or is it."""
    while tenants[row].depth > tenants[group].depth:
        row = tenants[row].parent
    return row == group


@kernel
def lendable_gpus(tenants, lender, top):
    """GPUs that a lender can still lend to somebody below `top`, the lowest group that holds them both (rule K1)."""
    room = tenants[lender].quota - tenants[lender].lent
    row = lender
    while row != top:
        room = min(room, lendable_out(tenants[row]))
        row = tenants[row].parent
    return room


@kernel
def lendable_without_loans(tenants, borrower, part):
    """GPUs that all others together could lend a tenant if no loan ran, each lender a multiple of `part` (rule K1)."""
    deepest = 0
    for row in range(tenants.shape[0]):
        tenants[row].could_lend = 0
        deepest = max(deepest, tenants[row].depth)
    for depth in range(deepest, -1, -1):
        for row in range(tenants.shape[0]):
            one = tenants[row]
            if one.depth != depth or row == borrower:
                continue
            if one.is_group:
                one.could_lend += max(np.int64(0), one.quota) // part * part
            else:
                one.could_lend = max(np.int64(0), share_left(one)) // part * part
            if is_within(tenants, borrower, row):
                if one.parent < 0:
                    return one.could_lend
            else:
                one.could_lend = min(one.could_lend, (one.deserved - one.guarantee) // part * part)
            tenants[one.parent].could_lend += one.could_lend
    return np.int64(0)


@kernel
def excess_gpus(tenants, row, of_quota):
    """GPUs lent that a row must have back: above its own quota, or else above what its subtree may lend to the outside.

    Own use and claims come first; a row that has lent no more than it may has an excess of zero or less.
    """
    if of_quota:
        return tenants[row].lent - tenants[row].quota
    return -lendable_out(tenants[row])


@kernel
def book_own(tenants, tenant, gpus):
    """Count GPUs that a tenant uses within its share (or no longer uses, when negative)."""
    row = tenant
    while row >= 0:
        tenants[row].own += gpus
        row = tenants[row].parent


@kernel
def book_claim(tenants, tenant, gpus):
    """Count GPUs that are being recalled for a tenant's waiting jobs (or no longer are, when negative)."""
    row = tenant
    while row >= 0:
        tenants[row].claimed += gpus
        row = tenants[row].parent


@kernel
def book_loan(tenants, lender, borrower, gpus):
    """Count GPUs lent by one row to a tenant (or returned, when negative)."""
    top = common_group(tenants, lender, borrower)
    tenants[lender].lent += gpus
    row = lender
    while row != top:
        tenants[row].lent_out += gpus
        row = tenants[row].parent
    row = borrower
    while row != top:
        tenants[row].on_loan += gpus
        row = tenants[row].parent
    while row >= 0:
        tenants[row].own += gpus
        row = tenants[row].parent


@kernel
def may_hold(tenants, tenant, gpus, claims):
    """Whether a tenant and all groups above it stay within their ceilings with `gpus` more (rule K1).

    `claims` counts what they have claimed as well, so that a borrower does not take what a claim is about to need.
    """
    return ceiling_reached(tenants, tenant, gpus, claims) < 0


@kernel
def ceiling_reached(tenants, tenant, gpus, claims):
    """Lowest row on the way up from a tenant whose ceiling `gpus` more would break, or -1."""
    root = tenants.shape[0] - 1
    row = tenant
    while row != root:
        holder = tenants[row]
        held = holder.own + holder.on_loan + (holder.claimed if claims else np.int64(0))
        if held + gpus > holder.ceiling:
            return row
        row = holder.parent
    return -1


@kernel
def share_left(tenant):
    """GPUs that a tenant deserves beside what it uses and has claimed; below 0 where that is more."""
    return tenant.deserved - tenant.own - tenant.claimed


@kernel
def has_share(tenants, tenant, gpus):
    """Whether a job fits in what its tenant deserves beside what the tenant uses and has claimed."""
    return gpus <= share_left(tenants[tenant])


@large_kernel
def largest_job(tenants, tenant):
    """Most GPUs that one job of a tenant can get: its own share, or all that others may lend it (rule K1)."""
    borrowed, below, row = np.int64(0), tenant, tenants[tenant].parent
    while row >= 0:
        borrowed += tenants[row].quota
        for child in range(tenants.shape[0]):
            if tenants[child].parent == row and child != below:
                borrowed += tenants[child].deserved - tenants[child].guarantee
        below, row = row, tenants[row].parent
    largest = max(tenants[tenant].deserved, borrowed)
    row = tenant
    while tenants[row].parent >= 0:
        largest = min(largest, tenants[row].ceiling)
        row = tenants[row].parent
    return largest


@large_kernel
def compare_shares(tenants, one, other, gpus_one, gpus_other, by_use):
    """Compare two tenants where their paths part: -1, 0 or 1 as the first has the smaller, equal or larger share.

    The share is what a subtree holds on loan, the request included, over its weight (rule K3); or with `by_use` its
    decayed use of the past over its weight, which is Slurm's level fairshare turned round (rule S3). On a tie the next
    level below decides, so that tied groups count as one.
    """
    depth = tenants[common_group(tenants, one, other)].depth + 1
    row_one, row_other = one, other
    while tenants[row_one].depth > depth:
        row_one = tenants[row_one].parent
    while tenants[row_other].depth > depth:
        row_other = tenants[row_other].parent
    while True:
        if by_use:
            share_one, share_other = used_over_share(tenants, row_one), used_over_share(tenants, row_other)
        else:
            share_one = (tenants[row_one].on_loan + gpus_one) * tenants[row_other].weight
            share_other = (tenants[row_other].on_loan + gpus_other) * tenants[row_one].weight
        if share_one < share_other:
            return -1
        if share_one > share_other:
            return 1
        if row_one == one or row_other == other:
            return 0
        row_one = _step_down(tenants, row_one, one)
        row_other = _step_down(tenants, row_other, other)


@kernel
def used_over_share(tenants, row):
    """Use of a row among its siblings over its weight among them: the inverse of Slurm's level fairshare (rule S3)."""
    used, weight = 0.0, 0.0
    for place in range(tenants.shape[0]):
        index = tenants[place].ranked
        if tenants[index].parent == tenants[row].parent:
            used += tenants[index].used_gpu_s
            weight += tenants[index].weight
    # one division, so that whole numbers in proportion tie exactly
    return tenants[row].used_gpu_s * weight / (used * tenants[row].weight) if used > 0.0 else 0.0


@kernel
def _step_down(tenants, row, leaf):
    """Child of a row on the way to a leaf below it."""
    while tenants[leaf].parent != row:
        leaf = tenants[leaf].parent
    return leaf


@kernel
def borrows_before(tenants, one, other, gpus_one, gpus_other, by_use):
    """Whether tenant `one` borrows before tenant `other` (rule P2); on a tie the queue that comes first does."""
    rank_one, rank_other = BORROWER_RANK[tenants[one].tier], BORROWER_RANK[tenants[other].tier]
    if rank_one != rank_other:
        return rank_one < rank_other
    return compare_shares(tenants, one, other, gpus_one, gpus_other, by_use) < 0
