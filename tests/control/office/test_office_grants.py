"""Grants: given, used, returned, changed, ended, reported on, closed."""

from __future__ import annotations

from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest
from office_site import ADA, ALMA, ARNE, BO, REMI, ROSA, START
from sqlalchemy import select

from kvandal.client.resources.grants import Grant, NewReport
from kvandal.control.identity.people import HERE, make_person, principal_of
from kvandal.control.office import applications, awards
from kvandal.control.office.rules import NotAllowedError, NotThereError, RefusedByRule
from kvandal.control.office.usage import drawn, lacks
from kvandal.control.office.working_days import after_months
from kvandal.control.store.ledger import balance
from kvandal.control.store.tables.loop import INBOX
from kvandal.errors import InputError
from kvandal.scenario.grants import Grant as ScenarioGrant

REPORT = NewReport(text="Two models trained and published, see doi:10.0/abc.")
STARTUP = {
    "name": "Fjellvann AS", "number": "923 609 016", "kind": "startup", "staff": 12, "turnover_eur": 900_000,
    "eea_control": True, "beneficial_owner": "Kari Nordmann",
}  # fmt: skip


def refused(rule):
    return pytest.raises(RefusedByRule, match=rf"\({rule}: ")


def test_the_life_of_a_grant_that_is_used(site_on_both):
    site = site_on_both
    site.known()
    grant = site.granted(gpu_hours=4000, months=3)
    assert grant.state == "active"
    states = []

    def turned():
        site.turn()
        assert site.turn() == 0  # doing it again at once does nothing
        (found,) = site.grants()
        states.append(found.state)
        return found

    assert turned().start_utc == START  # nothing is due
    site.job(gpu_hours=2400)
    found = turned_at(site, turned, days=60)  # two thirds of 89 days: 60 % is enough
    assert (found.looked_at_use, found.returned_gpu_hours, found.reminded) == (True, 0, ("end",))
    found = turned_at(site, turned, days=29)
    assert found.report_due_utc == found.end_utc + (found.report_due_utc - found.end_utc)
    assert (found.report_due_utc - found.end_utc).days == 30
    with pytest.raises(NotThereError), site.desk(BO) as desk:  # not in the project
        awards.report(desk, grant.id, REPORT)
    with site.desk(ADA) as desk:
        awards.report(desk, grant.id, REPORT)
    with site.desk(ALMA) as desk:
        awards.send_back(desk, grant.id, "which models?")
    turned_at(site, turned, days=31)
    assert site.notices()[-1][1].startswith("the report was due")
    rejected = site.submitted(gpu_hours=10, months=1)
    assert "OG14" in rejected.decision.reason  # nothing new while a report is overdue
    with site.desk(ADA) as desk:
        assert awards.report(desk, grant.id, REPORT).state == "reported"
    turned_at(site, turned, days=31)
    assert states == ["active", "active", "report_due", "report_due", "expired"]
    with site.reading() as desk:
        assert awards.replayed(desk.tx, grant.id) == site.grants()[0]


def turned_at(site, turned, **time):
    site.after(**time)
    return turned()


def test_use_it_or_lose_it_by_hand(site):
    """900 GPU-h, 300 used after two thirds: 33 % is below 60 %, 600 are unused, half of them is returned: 600 stay."""
    site.known()
    grant = site.granted(gpu_hours=900, months=3)
    site.turn()
    site.job(gpu_hours=300)
    site.after(days=59)
    site.turn()
    assert site.grants()[0].gpu_hours == 900
    site.after(days=1)
    site.turn()
    (found,) = site.grants()
    assert (found.gpu_hours, found.returned_gpu_hours) == (600, 300)
    kind, body = site.inbox()[-1]
    assert (kind, body["grant"], body["gpu_hours"], body["reason"]) == (
        "grant", grant.id, 600.0, "33% was used after 67% of the term",
    )  # fmt: skip
    assert ("OU2", "33% was used after 67% of the term: 300 GPU-h are returned") in site.notices()


def test_a_change_is_decided_like_a_small_application(site):
    site.known()
    grant = site.granted(gpu_hours=3000, months=2)
    site.turn()
    more = {"rung": None, "grant": grant.id, "gpu_hours": 2001, "months": 1, "members": [BO.id]}
    found = site.step(ADA, site.draft(**more), "submit")
    assert found.state == "rejected"  # 5,001 in all are beyond the playground
    assert "OG10" in found.decision.reason
    found = site.step(ADA, site.draft(**more | {"gpu_hours": 2000}), "submit")
    assert (found.kind, found.state) == ("change", "decision")
    with refused("OS8"):
        site.decide(ALMA, found)
    site.look(ALMA, found)
    assert site.asked[-1]["grants"][0]["gpu_hours"] == 5000
    site.decide(ALMA, found)

    (after,) = site.grants()
    assert (after.gpu_hours, after.months, after.end_utc) == (5000, 3, after_months(grant.end_utc, 1))
    assert site.inbox()[-1][1]["gpu_hours"] == 5000.0
    with site.reading(BO) as desk:  # is a member now
        assert awards.visible_grant(desk, grant.id).id == grant.id


def test_people_are_added_without_a_look_and_the_loop_is_not_troubled(site):
    site.known()
    grant = site.granted()
    before = site.inbox()
    found = site.step(
        ADA, site.draft(rung=None, grant=grant.id, gpu_hours=0, months=0, members=[BO.id]), "submit"
    )
    assert site.decide(ALMA, found).state == "granted"
    assert site.inbox() == before


def test_a_grant_is_ended_early_by_an_allocator_with_a_reason(site):
    site.known()
    grant = site.granted()
    site.turn()
    site.after(days=1)
    with pytest.raises(NotAllowedError), site.desk(ADA) as desk:
        awards.end_early(desk, grant.id, "we are done")
    with site.desk(ALMA) as desk:
        found = awards.end_early(desk, grant.id, "the terms were broken")
    assert (found.state, found.end_utc) == ("report_due", site.now)
    assert site.inbox()[-1] == ("grant_end", {"grant": grant.id, "reason": "the terms were broken"})
    with refused("OU9"), site.desk(ALMA) as desk:
        awards.end_early(desk, grant.id, "once more")


def test_a_grant_that_has_not_begun_is_told_to_the_loop_as_one_that_is_over(site):
    """The scenario has no grant that ends before its start."""
    site.known()
    grant = site.granted(start_utc=site.now + timedelta(days=9))
    with site.desk(ALMA) as desk:
        found = awards.end_early(desk, grant.id, "a mistake")
    assert (grant.state, found.state) == ("planned", "expired")
    kind, body = site.inbox()[-1]
    assert (kind, body["grant"], body["end_utc"]) == ("grant", grant.id, site.now.isoformat())
    start, end = (datetime.fromisoformat(body[name]) for name in ("start_utc", "end_utc"))
    told = {name: body[name] for name in ("tenant", "gpu_hours", "expiry", "demand")}
    assert ScenarioGrant.model_validate(told | {"start_utc": start, "end_utc": end}).end_utc <= site.now


def test_classes_of_work_must_be_the_tenants(site):
    site.known()
    with pytest.raises(InputError, match=r"proposal\.demand: must be among the classes of work of norway"):
        site.draft(demand=["inference"])
    site.granted(demand=["national"])
    assert site.inbox()[-1][1]["demand"] == ["national"]


def test_aid_is_booked_to_the_micro_euro_and_counts_against_the_next_award(site):
    site.project(site.organisation(people=(), **STARTUP), tenant="norway-startups")
    asked = {"gpu_hours": 45_000, "months": 6, "aid_basis": "de-minimis"}
    for _ in range(3):  # EUR 2.222222 a GPU-hour, 99,999.99 each
        site.granted("fast-lane", **asked)
    with site.reading() as desk:
        organisation = site.grants()[0].organisation
        assert balance(desk.tx, f"aid:{organisation}", "ueur") == 299_999_970_000
        assert awards.aid_before(desk, organisation) == 299_999_970_000
    found = site.submitted("fast-lane", **asked | {"gpu_hours": 1})
    assert (
        "OG9: EUR 3 and EUR 300,000 in the 3 years before are EUR 300,003 of 300,000" in found.decision.reason
    )
    site.after(days=3 * 365 + 2)  # 2028 is a leap year
    with site.reading() as desk:
        assert awards.aid_before(desk, organisation) == 0


def test_the_directors_reserve_has_a_budget_for_the_year(site):
    import dataclasses

    site.known()
    site.terms = dataclasses.replace(site.terms, reserve_gpu_hours=100_000)
    site.after(days=365).turn()
    from kvandal.control.office import calls

    with site.desk(ALMA) as desk:
        calls.ensure_rolling(desk)
        assert calls.call(desk.tx, "reserve-2028", site.now).left_gpu_hours == 100_000
    site.granted("reserve", gpu_hours=60_000, months=6)
    found = site.review(ROSA, site.submitted("reserve", gpu_hours=60_000, months=6))
    site.look(ALMA, found)
    with refused("OG13"):
        site.decide(ALMA, found)


def test_people_of_a_granted_project_become_members_of_the_site(site):
    with site.desk(ALMA) as desk:
        row = make_person(
            desk.tx, issuer=HERE, subject="cato", name="Cato", email="", by="test", now=site.now
        )
        cato = principal_of(desk.tx, row)
    organisation = site.organisation(who=cato)
    site.project(organisation, who=cato, members=[BO.id])  # the site does not know Bo yet
    assert not cato.may("job.submit", "norway-research", "arctic")
    site.submitted(who=cato)
    with site.reading() as desk:
        after = principal_of(desk.tx, row)
    assert after.may("job.submit", "norway-research", "arctic")
    assert not after.may("job.submit", "norway-research", "other")


def test_a_job_draws_on_the_grant_that_ends_first_and_has_room():
    def grant(name, hours, days, demand=()):
        return Grant.model_validate(
            {"id": name, "application": "a", "project": "p", "organisation": "o", "call": "c", "tenant": "t",
             "rung": "playground", "gpu_hours": hours, "months": 1, "demand": demand, "start_utc": START,
             "end_utc": START.replace(day=1 + days), "granted_by": "office", "granted_utc": START}
        )  # fmt: skip

    def job(hours, day=2, demand="national"):
        return SimpleNamespace(
            submitted_utc=START.replace(day=day),
            demand=demand,
            used_gpu_s=hours * 3600,
            useful_gpu_s=hours * 1800,
        )

    grants = [grant("long", 100, 27), grant("short", 10, 9), grant("other", 50, 5, ["inference"])]
    found = drawn(
        grants, [job(8), job(4), job(4), job(3, day=15), job(7, demand="inference"), job(9, day=28)]
    )
    assert {key: use.used_gpu_s / 3600 for key, use in found.items()} == {"short": 12, "long": 7, "other": 7}
    assert found["short"].useful_gpu_s == 6 * 3600


def test_what_a_job_holds_now_counts_before_it_has_ended(site):
    """A project with one long job does not lose its hours: 8 GPUs for 60 days are 11,520 GPU-h of 19,000, 61 %."""
    site.known()
    site.granted("fast-lane", gpu_hours=19_000, months=3)
    site.job(state="running", started_utc=START, gpus=8, used_gpu_s=0, shares=[["tray-1", 4], ["tray-2", 4]])
    site.after(days=60).turn()
    with site.reading() as desk:
        (found,) = awards.with_uses(desk.tx, site.grants(), site.now)
    assert (found.use.used_gpu_s, found.looked_at_use, found.returned_gpu_hours) == (11_520 * 3600, True, 0)


def test_what_a_project_lacks_to_submit(site):
    site.known()

    def asked(project="arctic", gpus=8, hours=10, tenant="norway-research"):
        with site.reading() as desk:
            return lacks(desk.tx, tenant, project, gpus, hours * 3600, site.now)

    assert asked(project="unknown") is None
    assert asked() == "arctic has no grant in force; apply for one"
    assert asked(tenant="uk") == "arctic is a project of norway-research, not of uk"
    site.granted(gpu_hours=200)
    assert asked(hours=25) is None
    site.job(gpu_hours=100, state="running", used_gpu_s=5)  # may need 100 yet
    site.job(gpu_hours=60, useful_gpu_s=50 * 3600)  # has ended, 50 of 60 were useful
    assert asked(hours=6) is None
    assert asked(hours=7) == "the grants of arctic have 50.0 GPU-h left, the job may need 56.0"
    site.after(days=100)
    assert asked() == "arctic has no grant in force; apply for one"


def test_grants_are_seen_by_their_project_their_tenant_and_the_office(site):
    site.known()
    grant = site.granted()
    for who in (ADA, ALMA, ARNE, REMI):
        with site.reading(who) as desk:
            assert awards.visible_grant(desk, grant.id).use.used_gpu_s == 0
    with site.reading(BO) as desk, pytest.raises(NotThereError):
        awards.visible_grant(desk, grant.id)


def test_nothing_is_granted_if_the_transaction_fails(site):
    """The row of the grant and the message to the loop stand or fall together."""
    site.known()
    found = site.draft()

    def broken():
        with site.desk(ADA) as desk:
            assert applications.take(desk, found.id, "submit", {}).state == "granted"
            assert desk.tx.execute(select(INBOX)).all()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    assert (site.grants(), site.inbox(), site.application(found.id).state) == ([], [], "draft")
