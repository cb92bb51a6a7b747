"""Eligibility and residency gates: what must be true of an application, each by the id of its rule."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kvandal.client.resources.applications import Application, Gate
from kvandal.client.resources.calls import Call, Rung
from kvandal.client.resources.grants import Grant
from kvandal.client.resources.organisations import Organisation, Project
from kvandal.control.office.rules import GATES
from kvandal.control.office.terms import RESEARCH, SANCTIONED, TenantTerms
from kvandal.control.office.working_days import after_months
from kvandal.scenario.parameters import value

MICRO = 1_000_000
ADMITTED = {"NO": frozenset({"NO"}), "EEA": frozenset({"NO", "EEA"})}
"""Regions of a site that a label of residency admits; a Norwegian site lies in both."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the gates look at beside the application itself.

    Attributes
    ----------
    organisation, project, tenant, rung, call : of the application; None where there is none of that name any more
    site_regions : that the site lies in
    investigator_belongs : whether the principal investigator belongs to the organisation
    open_beside : other open applications of the project on the rung
    earlier : (grant, used part of its hours) of the project's organisation
    overdue : grants of the project whose report is overdue
    aid_ueur_before : de minimis aid to the organisation in the period before now [millionths of a euro]
    grant : that is to be changed
    deciding : whether hours would be granted now; before that a call may be asked for more than it has left
    now_utc : the time

    """

    organisation: Organisation
    project: Project
    tenant: TenantTerms | None
    rung: Rung
    call: Call
    site_regions: tuple[str, ...]
    investigator_belongs: bool
    open_beside: int
    earlier: tuple[tuple[Grant, float], ...]
    overdue: tuple[str, ...]
    aid_ueur_before: int
    grant: Grant | None
    deciding: bool
    now_utc: datetime


Found = tuple[bool | None, str, dict[str, Any]]
"""Whether it is passed (None: a person must look), why, and the numbers."""


def aid_ueur(application: Application, tenant: TenantTerms | None, gpu_hours: int) -> int:
    """De minimis aid that an award would be [millionths of a euro]."""
    if tenant is None or application.proposal.aid_basis != "de-minimis":
        return 0
    return tenant.aid_ueur_per_gpu_hour * gpu_hours


def _eur(ueur: int) -> int:
    """Whole euros, rounded up."""
    return -(-ueur // MICRO)


def hours_left(call: Call) -> int | None:
    """GPU-hours left of a call's budget; None where it has none."""
    return None if call.budget_gpu_hours is None else call.budget_gpu_hours - call.granted_gpu_hours


def _number(_application: Application, facts: Facts) -> Found:
    organisation = facts.organisation
    register = organisation.register_name or f"the register of {organisation.country}"
    numbers = {"country": organisation.country, "number": organisation.number}
    if organisation.number_check == "valid":
        return True, f"{organisation.number} is a valid number of {register}", numbers
    if organisation.approved_by is not None:
        return (
            True,
            f"{organisation.number} of {register} was confirmed by {organisation.approved_by}",
            numbers,
        )
    return None, f"{organisation.number} of {register} has no check digits that are known here", numbers


def _tenant(_application: Application, facts: Facts) -> Found:
    organisation, tenant = facts.organisation, facts.tenant
    if tenant is None:
        return False, f"the site has no tenant {facts.project.tenant!r} any more", {}
    numbers = {"kind": organisation.kind, "country": organisation.country, "tenant": tenant.name}
    if organisation.kind not in tenant.kinds:
        allowed = ", ".join(sorted(tenant.kinds))
        return False, f"{tenant.name} is for {allowed}; {organisation.name} is: {organisation.kind}", numbers
    if tenant.countries is not None and organisation.country not in tenant.countries:
        return (
            False,
            f"{tenant.name} is for {tenant.region}; {organisation.name} is registered in {organisation.country}",
            numbers,
        )
    return True, f"{tenant.name} is for {organisation.kind} organisations of {tenant.region}", numbers


def _small(_application: Application, facts: Facts) -> Found:
    organisation = facts.organisation
    if organisation.kind not in {"startup", "sme"}:
        return True, f"asked of startups and small enterprises only, not of: {organisation.kind}", {}
    staff, turnover = int(value("office.sme_staff")), round(value("office.sme_turnover_meur") * 1_000_000)
    numbers = {
        "staff": organisation.staff,
        "staff_below": staff,
        "turnover_eur": organisation.turnover_eur,
        "most_turnover_eur": turnover,
        "eea_control": organisation.eea_control,
    }
    missing = [
        name
        for name, given in (
            ("staff", organisation.staff),
            ("turnover_eur", organisation.turnover_eur),
            ("eea_control", organisation.eea_control),
        )
        if given is None
    ]
    if missing:
        return False, f"the organisation does not say: {', '.join(missing)}", numbers
    assert organisation.staff is not None
    assert organisation.turnover_eur is not None
    said = f"{organisation.staff:,} staff, EUR {organisation.turnover_eur:,} of turnover"
    small = organisation.staff < staff and organisation.turnover_eur <= turnover
    if not small:
        return False, f"{said}; allowed are fewer than {staff} and at most EUR {turnover:,}", numbers
    if not organisation.eea_control:
        return False, "it is not controlled from within the European Economic Area", numbers
    return True, f"{said}, controlled from the EEA", numbers


def _sanctions(application: Application, facts: Facts) -> Found:
    country = facts.organisation.country
    if country in SANCTIONED:
        return False, f"{country} is under sanctions: {SANCTIONED[country]}", {"country": country}
    if not application.proposal.sanctions_clear:
        return False, "not declared: sanctions_clear must be true", {"country": country}
    return True, f"declared; {country} is under no such measure", {"country": country}


def _lawful(application: Application, _facts: Facts) -> Found:
    said = {"civil_use": application.proposal.civil_use, "lawful_ai": application.proposal.lawful_ai}
    missing = [name for name, given in said.items() if not given]
    if missing:
        return False, f"not declared: {' and '.join(missing)} must be true", {}
    return True, "declared", {}


def _no_mining(application: Application, _facts: Facts) -> Found:
    declared = application.proposal.no_mining
    return declared, "declared" if declared else "not declared: no_mining must be true", {}


def _residency(application: Application, facts: Facts) -> Found:
    wanted = {application.proposal.residency, facts.project.residency, facts.organisation.residency} - {None}
    regions = set(facts.site_regions)
    numbers = {"residency": sorted(str(label) for label in wanted), "site": sorted(regions)}
    for label in ("NO", "EEA"):
        if label in wanted and not ADMITTED[label] & regions:
            return (
                False,
                f"the data must stay in {label}; the site lies in {', '.join(sorted(regions))}",
                numbers,
            )
    own = set() if facts.tenant is None else set(facts.tenant.residency)
    if own and not own & regions:
        return False, f"the tenant's data must stay in {', '.join(sorted(own))}", numbers
    label = next((label for label in ("NO", "EEA") if label in wanted), "any")
    return True, f"data labelled {label} may be processed in {', '.join(sorted(regions))}", numbers


def _named(_application: Application, facts: Facts) -> Found:
    organisation, investigator = facts.organisation, facts.project.investigator
    if not facts.investigator_belongs:
        return False, f"{investigator} leads the project but does not belong to {organisation.name}", {}
    if organisation.kind not in RESEARCH | {"public"} and not organisation.beneficial_owner:
        return False, f"{organisation.name} names no beneficial owner", {}
    owner = f"; owned by {organisation.beneficial_owner}" if organisation.beneficial_owner else ""
    return True, f"led by {investigator}{owner}", {}


def _aid(application: Application, facts: Facts) -> Found:
    basis, tenant = application.proposal.aid_basis, facts.tenant
    each = 0 if tenant is None else tenant.aid_ueur_per_gpu_hour
    most, years = int(value("office.de_minimis_eur")), int(value("office.de_minimis_years"))
    now = aid_ueur(application, tenant, application.proposal.gpu_hours)
    total, before = now + facts.aid_ueur_before, facts.aid_ueur_before
    numbers = {
        "basis": basis,
        "aid_eur_per_gpu_hour": each / MICRO,
        "aid_eur": _eur(now),
        "aid_eur_before": _eur(before),
        "most_eur": most,
    }
    if each <= 0:
        return True, "the price is not below the list price", numbers
    below = f"the price is EUR {each / MICRO:.2f} per GPU-hour below the list price"
    if basis == "market-price":
        return None, f"{below}; somebody of the office must see to it that the list price is paid", numbers
    if basis == "block-exemption":
        return None, f"{below}; somebody of the office must look at the exemption", numbers
    if basis == "none":
        if facts.organisation.kind in RESEARCH | {"public"}:
            return True, f"{below}; {facts.organisation.kind}: no economic activity", numbers
        return (
            False,
            f"{below}, which is aid to: {facts.organisation.kind}; give aid_basis de-minimis, block-exemption or market-price",
            numbers,
        )
    said = f"EUR {_eur(now):,} and EUR {_eur(before):,} in the {years} years before are EUR {_eur(total):,} of {most:,}"
    return total <= most * MICRO, said, numbers


def _rung(application: Application, facts: Facts) -> Found:
    rung, grant = facts.rung, facts.grant
    hours = application.proposal.gpu_hours + (grant.gpu_hours + grant.returned_gpu_hours if grant else 0)
    months = application.proposal.months + (grant.months if grant else 0)
    numbers = {
        "gpu_hours": hours,
        "most_gpu_hours": rung.most_gpu_hours,
        "months": months,
        "most_months": rung.most_months,
    }
    said = f"{hours:,} GPU-h over {months} months; {rung.title} takes 1 to {rung.most_gpu_hours:,} over 1 to {rung.most_months}"
    return 1 <= hours <= rung.most_gpu_hours and 1 <= months <= rung.most_months, said, numbers


def _ladder(application: Application, facts: Facts) -> Found:
    if not facts.rung.needs_earlier_award:
        return True, f"{facts.rung.title} asks for no earlier award", {}
    if facts.grant is not None:
        return True, "it was shown when the grant was given", {}
    least = value("office.lose_below")
    best = max((used for _, used in facts.earlier), default=None)
    numbers = {"best_use": None if best is None else round(best, 3), "least_use": least}
    if best is not None and best >= least:
        return True, f"an earlier award was used to {best:.0%}", numbers
    said = (
        "no earlier award"
        if best is None
        else f"the best used earlier award was used to {best:.0%} of {least:.0%}"
    )
    if application.proposal.evidence.strip():
        return None, f"{said}; somebody of the office must look at the evidence", numbers
    return False, f"{said}, and no evidence of feasibility is given", numbers


def _one_open(_application: Application, facts: Facts) -> Found:
    count = facts.open_beside
    said = f"the project has {count} other open application{'s' if count != 1 else ''} on {facts.rung.title}"
    return count == 0, said, {"open": count}


def _call(application: Application, facts: Facts) -> Found:
    call, rung = facts.call, facts.rung
    left = hours_left(call) if facts.deciding else call.budget_gpu_hours
    numbers = {"call": call.id, "left_gpu_hours": left, "gpu_hours": application.proposal.gpu_hours}
    if facts.grant is None:
        if rung.name not in call.rungs:
            return False, f"{call.id} is for {', '.join(call.rungs)}, not for {rung.name}", numbers
        if rung.needs_dates and call.closes_utc is None:
            return False, f"{rung.title} is offered in calls with a closing date; {call.id} has none", numbers
        if call.tenants and facts.project.tenant not in call.tenants:
            return (
                False,
                f"{call.id} is for {', '.join(call.tenants)}, not for {facts.project.tenant}",
                numbers,
            )
        handed_in = application.submitted_utc or facts.now_utc
        if handed_in < call.opens_utc:
            return False, f"{call.id} opens at {call.opens_utc:%Y-%m-%d %H:%M} UTC", numbers
        if call.closes_utc is not None and handed_in >= call.closes_utc:
            return False, f"{call.id} closed at {call.closes_utc:%Y-%m-%d %H:%M} UTC", numbers
    if left is not None and left < application.proposal.gpu_hours:
        return (
            False,
            f"{call.id} has {left:,} GPU-h{' left' if facts.deciding else ''}, {application.proposal.gpu_hours:,} are asked for",
            numbers,
        )
    return True, f"{call.id}: " + ("no budget of its own" if left is None else f"{left:,} GPU-h"), numbers


def _reports(_application: Application, facts: Facts) -> Found:
    if facts.overdue:
        return False, f"the report of {', '.join(facts.overdue)} is overdue", {"overdue": list(facts.overdue)}
    return True, "none is overdue", {"overdue": []}


def _usable(application: Application, facts: Facts) -> Found:
    tenant, proposal = facts.tenant, application.proposal
    if tenant is None:
        return False, f"the site has no tenant {facts.project.tenant!r} any more", {}
    start = max(proposal.start_utc or facts.now_utc, facts.now_utc)
    if facts.grant is not None:
        start = max(facts.grant.start_utc, facts.now_utc)
        end = after_months(facts.grant.end_utc, proposal.months)
    else:
        end = after_months(start, proposal.months)
    hours = max((end - start).total_seconds() / 3600, 0.0)
    most = int(tenant.ceiling_gpus * hours)
    numbers = {"ceiling_gpus": tenant.ceiling_gpus, "usable_gpu_hours": most, "gpu_hours": proposal.gpu_hours}
    if proposal.gpus_at_once is not None and proposal.gpus_at_once > tenant.ceiling_gpus:
        return (
            False,
            f"jobs of {proposal.gpus_at_once:,} GPUs do not fit under the ceiling of {tenant.ceiling_gpus:,}",
            numbers,
        )
    said = f"the ceiling of {tenant.ceiling_gpus:,} GPUs gives {most:,} GPU-h in the term"
    return proposal.gpu_hours <= most, said, numbers


def _change(application: Application, facts: Facts) -> Found:
    if application.kind == "award":
        return True, "it asks for a new award", {}
    grant, proposal = facts.grant, application.proposal
    if grant is None or grant.state not in {"planned", "active"} or facts.now_utc >= grant.end_utc:
        return False, "the grant is over", {}
    if not (proposal.gpu_hours or proposal.months or proposal.members):
        return False, "it asks for no more hours, months or people", {}
    return True, f"{grant.id} is {grant.state}", {}


_GATES: Mapping[str, Callable[[Application, Facts], Found]] = {
    "OG1": _number,
    "OG2": _tenant,
    "OG3": _small,
    "OG4": _sanctions,
    "OG5": _lawful,
    "OG6": _no_mining,
    "OG7": _residency,
    "OG8": _named,
    "OG9": _aid,
    "OG10": _rung,
    "OG11": _ladder,
    "OG12": _one_open,
    "OG13": _call,
    "OG14": _reports,
    "OG15": _usable,
    "OG16": _change,
}
assert list(_GATES) == list(GATES)


def checked(application: Application, facts: Facts) -> tuple[Gate, ...]:
    """Check every gate; where one needs a person, the word of whoever of the office has looked counts."""
    confirmed = {gate.rule: gate for gate in application.confirmations}
    found = []
    for rule, gate in _GATES.items():
        passed, sentence, numbers = gate(application, facts)
        word = confirmed.get(rule)
        if passed is None and word is not None:
            sentence, passed = f"{sentence}: {word.sentence}", word.passed
            found.append(
                Gate(
                    rule=rule,
                    passed=passed,
                    sentence=sentence,
                    numbers=numbers,
                    confirmed_by=word.confirmed_by,
                )
            )
        else:
            found.append(Gate(rule=rule, passed=passed, sentence=sentence, numbers=numbers))
    return tuple(found)


def failed(gates: Iterable[Gate]) -> list[Gate]:
    """Gates that are not passed."""
    return [gate for gate in gates if gate.passed is False]


def unanswered(gates: Iterable[Gate]) -> list[Gate]:
    """Gates that wait for a person."""
    return [gate for gate in gates if gate.passed is None]
