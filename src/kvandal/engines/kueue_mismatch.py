"""What Kueue makes of each part of our policy, and what it cannot say."""

from __future__ import annotations

from collections.abc import Iterable

from kvandal.engines.entitlements import Contract
from kvandal.engines.expression import (
    Expression,
    arriving,
    budgets,
    elsewhere,
    expressions,
    names_of,
    renamed,
    scheduled,
)
from kvandal.engines.kueue import weight_text


def kueue_expressions(contract: Contract) -> list[Expression]:
    """All of it, in order of the mapping."""
    return expressions(
        contract,
        (
            _tree,
            _shares,
            _loans,
            _recall,
            _order,
            _scheduled,
            _elsewhere,
            _site,
            _power,
            _books,
            arriving,
            renamed,
        ),
    )


def _tree(contract: Contract) -> Iterable[Expression]:
    groups = len(contract.groups)
    yield Expression(
        "tree",
        "written",
        f"Cohort {contract.called} with {groups} {'group' if groups == 1 else 'groups'} below it, a ClusterQueue, a LocalQueue and a "
        "namespace for each tenant: in Kueue the namespace says who somebody is.",
    )
    yield Expression(
        "tier",
        "nearly",
        "Priority classes firm, assured and lent. In Kueue priority orders the jobs of one queue; between tenants quota and "
        "share decide, so a firm job within its share does not start before an assured or lent one that is first.",
        "Release jobs in order of tier, or write the class on every job and let our controller admit.",
        rule="P1",
    )


def _shares(contract: Contract) -> Iterable[Expression]:
    with_share = [party for party in contract.tenants if party.deserved]
    yield Expression(
        "deserved",
        "written" if with_share or any(group.own for group in contract.groups) else "not asked",
        f"nominalQuota; the {contract.pool:,} GPUs that nobody deserves are the root Cohort's, and what a group deserves beyond its "
        "children is the group's own quota.",
        tenants=names_of(with_share),
    )
    promised = [party for party in contract.tenants if party.guarantee]
    if promised:
        yield Expression(
            "guarantee",
            "written",
            "lendingLimit = deserved less guarantee, of tenants and groups.",
            tenants=names_of(promised),
        )
    else:
        yield Expression("guarantee", "not asked", "No tenant has a guarantee.")
    bound = [party for party in contract.parties.values() if party.ceiling < contract.installed]
    if bound:
        yield Expression(
            "ceiling",
            "written",
            "borrowingLimit = ceiling less deserved; none is written where the ceiling is all that is installed.",
            tenants=names_of(bound),
        )
    else:
        yield Expression("ceiling", "not asked", "Every ceiling is all that is installed.")
    narrow = [
        group
        for group in contract.groups
        if group.ceiling < contract.installed and any(p.guarantee for p in contract.below(group.name))
    ]
    if narrow:
        yield Expression(
            "ceiling",
            "nearly",
            "The borrowingLimit of these groups counts what passes through the group. A guarantee that a child leaves idle never "
            "does, so the group reaches its ceiling less the idle guarantees of its children.",
            "Let our controller hold the group's ceiling, and leave the Cohort's borrowingLimit out.",
            tenants=names_of(narrow),
        )


def _loans(contract: Contract) -> Iterable[Expression]:
    yield Expression(
        "borrowing",
        "written",
        "By itself: a queue uses what others in its Cohort leave idle and may lend, from the nearest Cohort outward.",
        rule="L1",
    )
    lent = [party for party in contract.tenants if party.tier == "lent"]
    if lent:
        yield Expression(
            "lent tier",
            "written",
            "ClusterQueues with nominalQuota 0 that reclaim nothing.",
            tenants=names_of(lent),
        )
    else:
        yield Expression("lent tier", "not asked", "No tenant lives on loans alone.")


def _recall(contract: Contract) -> Iterable[Expression]:
    policy = contract.scenario.policy
    if not policy.recall:
        yield Expression("recall", "written", "Loans are never recalled: reclaimWithinCohort Never.")
        yield Expression("notice", "not asked", "Loans are never recalled.")
        yield Expression("minimum run", "not asked", "Loans are never recalled.")
        return
    yield Expression(
        "recall",
        "nearly",
        "reclaimWithinCohort Any for every tenant with a share. Kueue counts quota and not whole racks: with topology-aware "
        "scheduling it may evict the wrong jobs (kueue#10815); and with fair sharing a borrower may evict another borrower, which "
        "our rules never do.",
        "Check in the twin that the claim can be placed before the job is released.",
        rule="R1, R2",
    )
    if policy.rest_after_recall_s > 0:
        yield Expression(
            "recall",
            "missing",
            f"A recalled job should rest {policy.rest_after_recall_s:g} s, longer after each recall; Kueue queues it again at once.",
            "Suspend it for its rest.",
            rule="L3",
        )
    noticed = [party for party in contract.tenants if party.notice_s]
    if noticed:
        most = max(party.notice_s for party in noticed)
        yield Expression(
            "notice",
            "missing",
            f"No object holds a notice (here up to {most} s). A pod's terminationGracePeriodSeconds delays its end, but Kueue gives "
            "the quota away at once, so it is over-committed while pods end.",
            "Set terminationGracePeriodSeconds to the notice in each job, and admit the claim when the pods are gone.",
            tenants=names_of(noticed),
        )
    else:
        yield Expression("notice", "not asked", "Loans end without notice.")
    sure = [party for party in contract.tenants if party.minimum_run_s]
    if sure:
        yield Expression(
            "minimum run",
            "missing",
            "Kueue may evict a loan at any time (preemptionProtection, KEP-9876, is not in the API that is written here).",
            "Start a loan only where its lender can do without the GPUs for the minimum run.",
            tenants=names_of(sure),
        )
    else:
        yield Expression("minimum run", "not asked", "No loan is sure of any time.")


def _order(contract: Contract) -> Iterable[Expression]:
    policy = contract.scenario.policy
    use = (
        f"past use with a half-life of {policy.half_life_h:g} h"
        if policy.order == "fair_tree"
        else "what is held on loan"
    )
    yield Expression(
        "fair share",
        "nearly",
        f"fairSharing.weight. Our order among borrowers is by tier (assured, lent, firm), then by {use} over weight; Kueue's knows "
        "no tier, and its share is the use above nominal over what the parent can lend. Its decay, where it is switched on, is "
        "another one.",
        "Publish one number from our ledger.",
        rule="P2",
    )
    tiny = [party.name for party in contract.parties.values() if float(weight_text(party.weight)) <= 1e-9]
    if tiny:
        yield Expression(
            "fair share",
            "nearly",
            "Kueue takes weights above a billionth; a smaller one would be zero, which means last of all.",
            "Choose weights closer together.",
            tenants=tuple(tiny),
        )
    if not policy.backfill_depth:
        yield Expression(
            "backfill", "written", "queueingStrategy StrictFIFO: nothing passes the head of a queue."
        )
    else:
        yield Expression(
            "backfill",
            "nearly",
            f"queueingStrategy BestEffortFIFO: any job of a queue may pass its head, and none holds a reservation (here "
            f"{policy.reservations} in a queue, {policy.backfill_depth} jobs looked at; borrowers after {policy.aging_h:g} h): a large "
            "gang may wait for ever.",
            "Hold back what would delay the head of the queue.",
        )


def _scheduled(contract: Contract) -> Iterable[Expression]:
    return scheduled(contract, "apply the manifests")


def _elsewhere(contract: Contract) -> Iterable[Expression]:
    return elsewhere(contract, "their queue admits nothing (stopPolicy HoldAndDrain).")


def _site(contract: Contract) -> Iterable[Expression]:
    segment = contract.scenario.policy.segment_trays
    yield Expression(
        "topology",
        "nearly",
        "Topology of hall, row, rack and tray; nodes must bear these labels. A job asks for a rack with the annotation "
        "kueue.x-k8s.io/podset-required-topology: kvandal/rack; that larger gangs take "
        f"{segment} trays of each rack, only by its own podset-slice-size annotation.",
        "Write the annotations when a job is submitted.",
    )
    if len(contract.kinds) > 1:
        yield Expression(
            "rack kinds",
            "nearly",
            "A quota is of one flavor. Shares, guarantees and ceilings, which here count GPUs of any kind, are split by the "
            f"kinds installed ({', '.join(contract.kinds)}): a tenant may not hold its whole share in one kind without borrowing.",
            "Move quota between flavors as tenants ask.",
        )
    else:
        yield Expression(
            "rack kinds", "not asked", f"All racks are of one kind ({next(iter(contract.kinds))})."
        )


def _power(contract: Contract) -> Iterable[Expression]:
    yield Expression(
        "power demand",
        "missing",
        "Kueue sums a resource flat over a flavor, without a tree of places. Watts as a second resource are not written: they "
        "belong to no tenant, so every job would borrow them, and no tenant could reclaim its GPUs.",
        f"Admit by our envelope tree: the site's {contract.scenario.site.grid_mw:g} MW, hall, group of rows, rack.",
        rule="E1",
    )
    yield Expression(
        "power derate",
        "missing",
        "A lower nominalQuota evicts nobody.",
        "Cap watts first, then recall, as the envelope falls; patch quotas last.",
        rule="E1, E2",
    )
    yield Expression(
        "power actuation",
        "missing",
        "Kueue caps no racks.",
        "Cap through the power manager or an agent on the nodes.",
        rule="E1",
    )


def _books(contract: Contract) -> Iterable[Expression]:
    yield budgets(
        contract,
        "is not written: Kueue has no budgets (kueue#28).",
        "The scenario holds no grants. Kueue has no budgets (kueue#28).",
        "Keep budgets in our ledger, as an admission check.",
    )
    yield Expression(
        "reservation",
        "not asked",
        "The scenario plans no maintenance. Kueue reserves nothing ahead (kueue#10741); stopPolicy halts a whole queue.",
    )
    priced = [party for party in contract.tenants if party.price_usd_per_gpu_hour]
    if priced:
        yield Expression(
            "price", "missing", "Kueue has no price.", "Charge from our ledger.", tenants=names_of(priced)
        )
    else:
        yield Expression("price", "not asked", "No tenant pays by the GPU-hour.")
    yield Expression(
        "audit",
        "missing",
        "Conditions and events say that a job was admitted or evicted, are merged and forgotten, and name no rule of ours.",
        "Keep our log of decisions.",
    )
