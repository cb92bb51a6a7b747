"""What Slurm makes of each part of our policy, and what it cannot say."""

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
from kvandal.engines.slurm import entitled, lendable_at_most, rack_kinds
from kvandal.engines.slurm_newer import site_limit_w

CONTROLLER_LOOP_S = 30
"""Slurm's loop that ends the grace time of preempted jobs; measured with 22.05: a recall takes the grace and up to this."""


def slurm_expressions(contract: Contract) -> list[Expression]:
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
    yield Expression(
        "tree",
        "written",
        f"{len(contract.parties)} accounts, parents before children; a limit of a parent binds its children together. Users "
        "are yours to add: a Slurm user may belong to many accounts.",
    )
    yield Expression(
        "tier",
        "written",
        "QOS priority 1000 (firm) and 500 (assured) for jobs within the deserved share, 100 to 300 for loans.",
        rule="P1",
    )


def _shares(contract: Contract) -> Iterable[Expression]:
    with_share = entitled(contract)
    if with_share:
        yield Expression(
            "deserved",
            "nearly",
            "The QOS own-NAME holds jobs within the deserved share to GrpTRES=billing (one GPU counts one). A limit is a "
            "ceiling and no claim: the right to have the share back comes only from preempting loans.",
            "Recall loans for a gang that finds no room in whole racks: Slurm's preemption looks at one job at a time.",
            rule="P1",
            tenants=names_of(with_share),
        )
    else:
        yield Expression("deserved", "not asked", "No tenant has a share of its own.")
    beyond = [group for group in contract.groups if group.own]
    if beyond:
        yield Expression(
            "deserved",
            "missing",
            "These groups deserve more than their children together ("
            + ", ".join(f"{group.name} {group.own:,} GPUs" for group in beyond)
            + "): inside the group it would be lent first, but Slurm's loans know no order of lenders.",
            "Give the rest to the children, or let our controller choose the lender.",
            tenants=names_of(beyond),
        )
    promised = [party for party in contract.tenants if party.guarantee]
    if promised:
        yield Expression(
            "guarantee",
            "nearly",
            f"All loans together hold at most {lendable_at_most(contract):,} GPUs (QOS loans of the partition loan): the sum of "
            "the guarantees is never lent. But who lends is not known: beside others' own jobs, loans may sit on an idle "
            "guarantee until they are recalled. A reservation would keep the nodes idle.",
            "Admit loans lender by lender; recall before the guarantee's owner asks.",
            rule="L1",
            tenants=names_of(promised),
        )
    else:
        yield Expression("guarantee", "not asked", "No tenant has a guarantee.")
    bound = [party for party in contract.parties.values() if party.ceiling < contract.installed]
    yield Expression(
        "ceiling",
        "written" if bound else "not asked",
        "GrpTRES=gres/gpu on the account; a job above it waits with the reason AssocGrpGRES."
        if bound
        else "Every ceiling is all that is installed, and so it is written.",
        tenants=names_of(bound),
    )


def _loans(contract: Contract) -> Iterable[Expression]:
    with_share = entitled(contract)
    if with_share:
        yield Expression(
            "borrowing",
            "nearly",
            "A job borrows when it is submitted with -p loan --qos=loan-NAME. Slurm does not turn it back into own use when "
            "the share has room again, and 22.05 takes one QOS a job (a list, best first, needs a newer version).",
            "Choose the QOS at submission, and move running loans to another lender where one has room.",
            rule="L2",
            tenants=names_of(with_share),
        )
    else:
        yield Expression("borrowing", "written", "Every job is a loan (QOS loan-NAME).")
    lent = [party for party in contract.tenants if party.tier == "lent"]
    if lent:
        yield Expression(
            "lent tier",
            "written",
            "Accounts with QOS loan-NAME alone, requeued when recalled, without reservations (NoReserve).",
            tenants=names_of(lent),
        )
    else:
        yield Expression("lent tier", "not asked", "No tenant lives on loans alone.")


def _recall(contract: Contract) -> Iterable[Expression]:
    policy = contract.scenario.policy
    if not policy.recall:
        yield Expression("recall", "written", "Loans are never recalled: PreemptType=preempt/none.")
        yield Expression("notice", "not asked", "Loans are never recalled.")
        yield Expression("minimum run", "not asked", "Loans are never recalled.")
        return
    yield Expression(
        "recall",
        "nearly",
        "PreemptType=preempt/qos: own-NAME may preempt every loan-NAME. Slurm takes the lowest QOS first, then the youngest, "
        "one job at a time, and may evict for a claim that still finds no whole racks.",
        "Plan the recall in whole racks with the fewest lent trays, and requeue those jobs only.",
        rule="R1, R2",
    )
    if policy.rest_after_recall_s > 0:
        yield Expression(
            "recall",
            "missing",
            f"A recalled job should rest {policy.rest_after_recall_s:g} s, longer after each recall; Slurm lets it start again "
            "after cred_expire (120 s) every time.",
            "Requeue with hold, and release after the rest.",
            rule="L3",
        )
    noticed = [party for party in contract.tenants if party.notice_s]
    if noticed:
        least, most = min(p.notice_s for p in noticed), max(p.notice_s for p in noticed)
        yield Expression(
            "notice",
            "nearly",
            f"GraceTime of the QOS loan-NAME, {least} s"
            + (f" to {most} s" if most > least else "")
            + f". Slurm ends it in a loop of {CONTROLLER_LOOP_S} s, so a recall takes up to {most + CONTROLLER_LOOP_S} s; and "
            "only job steps hear of it, a batch script needs --signal=B:USR1.",
            "For a recall with a deadline set GraceTime=0, signal the job, and requeue it at the deadline.",
            tenants=names_of(noticed),
        )
    else:
        yield Expression("notice", "not asked", "Loans end without notice.")
    sure = [party for party in contract.tenants if party.minimum_run_s]
    if sure:
        yield Expression(
            "minimum run",
            "written",
            "PreemptExemptTime of the QOS loan-NAME: the minimum run less the notice, which may run inside it.",
            tenants=names_of(sure),
        )
    else:
        yield Expression("minimum run", "not asked", "No loan is sure of any time.")


def _order(contract: Contract) -> Iterable[Expression]:
    policy = contract.scenario.policy
    if policy.order == "fair_tree":
        yield Expression(
            "fair share",
            "written",
            f"Fairshare by weight; past use halves in {policy.half_life_h:g} h (PriorityDecayHalfLife). Tiers go before it by QOS "
            "priority. Slurm counts all use, own jobs too.",
            rule="P2",
        )
    else:
        yield Expression(
            "fair share",
            "nearly",
            "Among borrowers of a tier the one with the smallest holdings over its weight comes first; Slurm's fair share "
            f"orders by past use (half-life {policy.half_life_h:g} h), own jobs included.",
            "Publish shares from the ledger; set priorities of waiting loans by holdings.",
            rule="P2",
        )
    heavy = [
        party.name
        for group in (None, *[group.name for group in contract.groups])
        for siblings in [contract.below(group)]
        for party in siblings
        if party.weight * 1e6 < max(other.weight for other in siblings) and party.weight != int(party.weight)
    ]
    if heavy:
        yield Expression(
            "fair share",
            "nearly",
            "Weights below a millionth of a sibling's become one share of a million.",
            "Choose weights closer together.",
            tenants=tuple(heavy),
        )
    depth, kept = policy.backfill_depth, policy.reservations
    if depth == 0:
        yield Expression("backfill", "written", "sched/builtin: strictly in order, nothing is filled in.")
    else:
        yield Expression(
            "backfill",
            "nearly",
            f"bf_max_job_assoc={depth} jobs of an account are looked at. Every job that Slurm looks at holds a reservation; here "
            f"{kept} {'does' if kept == 1 else 'do'} in a queue, and loans do none (NoReserve) until they have waited "
            f"{policy.aging_h:g} h, which Slurm cannot say.",
            "Hold jobs back and release them in our order.",
        )


def _scheduled(contract: Contract) -> Iterable[Expression]:
    return scheduled(contract, "load accounts.cfg and run qos.sh")


def _elsewhere(contract: Contract) -> Iterable[Expression]:
    return elsewhere(contract, "their account takes no jobs (GrpSubmitJobs=0).")


def _site(contract: Contract) -> Iterable[Expression]:
    segment = contract.scenario.policy.segment_trays
    yield Expression(
        "topology",
        "nearly",
        "topology.conf has a leaf switch for each rack: --switches=1 keeps a gang of up to 18 trays in one. That larger gangs "
        f"take {segment} trays of each rack is said by --segment={segment} with topology.yaml, which 22.05 does not know: that "
        "file is not loaded here and needs Slurm 25.05 or later. Block topology has no rows and halls.",
        "Submit with --switches or --segment; with 22.05 let our controller name the nodes.",
    )
    kinds = rack_kinds(contract)
    if len(kinds) > 1:
        yield Expression(
            "rack kinds",
            "written",
            f"Typed GPUs ({', '.join(kinds)}) with a feature each; limits count GPUs of any type, as ours do.",
        )
    else:
        yield Expression("rack kinds", "not asked", f"All GPUs are of one kind ({next(iter(kinds))}).")


def _power(contract: Contract) -> Iterable[Expression]:
    yield Expression(
        "power demand",
        "nearly",
        "resources.yaml holds power in a tree (HRES MODE_3): not loaded here, needs a newer Slurm (HRES from 25.05, in beta). "
        "Jobs must ask for it themselves, at full load; limits are static, for racks and network of the whole site "
        f"{site_limit_w(contract) / 1e6:.1f} MW on the PUE of the design day. It is not mapped to the block topology, whose blocks "
        "double while rows and halls do not.",
        "Add --resources=power:tray_KIND in job_submit; with 22.05 admit by our envelope.",
        rule="E1",
    )
    yield Expression(
        "power derate",
        "missing",
        "Counts change by hand (scontrol update HRESName in versions that have it) and evict nobody; caps come first here.",
        "Cap watts first, then recall, as the envelope falls; lower the counts last.",
        rule="E1, E2",
    )
    yield Expression(
        "power actuation",
        "missing",
        "Slurm caps no racks. A PrologSlurmctld may call the power manager, but a prolog that fails requeues the job.",
        "Cap through the power manager, with a look ahead before a job is released.",
        rule="E1",
    )


def _books(contract: Contract) -> Iterable[Expression]:
    yield budgets(
        contract,
        "is not written. Slurm's nearest is GrpTRESMins with the QOS flag NoDecay; it has no period, carry-over or expiry.",
        "The scenario holds no grants. Slurm's nearest would be GrpTRESMins with the QOS flag NoDecay; it has no expiry.",
        "Keep budgets in our ledger and set the limit to zero when one ends.",
    )
    yield Expression(
        "reservation",
        "not asked",
        "The scenario plans no maintenance. `scontrol create reservation` with MAINT or FLEX would hold nodes.",
    )
    priced = [party for party in contract.tenants if party.price_usd_per_gpu_hour]
    if priced:
        yield Expression(
            "price",
            "missing",
            "Slurm has no price. UsageFactor of a QOS scales recorded use, and with it the order among borrowers, so none is "
            "written.",
            "Charge from our ledger.",
            tenants=names_of(priced),
        )
    else:
        yield Expression("price", "not asked", "No tenant pays by the GPU-hour.")
    yield Expression(
        "audit",
        "missing",
        "slurmdbd records what changed and what ran, not by which rule; reasons of waiting jobs are overwritten.",
        "Keep our log of decisions.",
    )
