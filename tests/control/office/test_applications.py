"""Applications from the draft to the decision: who may take which step, and which rule stands in the way."""

from __future__ import annotations

import pytest
from office_site import ADA, ALMA, ARNE, BO, OLA, REMI, ROAR, ROSA, RUNA, proposal
from sqlalchemy import select

from kvandal.client.resources.calls import NewCall
from kvandal.control.identity.principal import LOCAL
from kvandal.control.office import applications, calls, consequences
from kvandal.control.office.rules import NotThereError, RefusedByRule
from kvandal.control.store.tables.books import AUDIT
from kvandal.errors import InputError


def refused(rule):
    return pytest.raises(RefusedByRule, match=rf"\({rule}: ")


def test_a_playground_application_is_granted_at_once_and_the_loop_told_in_the_same_transaction(site_on_both):
    site = site_on_both
    site.known()
    found = site.submitted(gpu_hours=4000, months=3)

    assert found.state == "granted"
    assert [gate.passed for gate in found.gates] == [True] * 16
    assert found.decision.by == "office"
    (grant,) = site.grants()
    ((kind, body),) = site.inbox()
    assert kind == "grant"
    assert body == {
        "grant": grant.id,
        "tenant": "norway-research",
        "project": "arctic",
        "gpu_hours": 4000.0,
        "start_utc": "2027-02-01T08:00:00+00:00",
        "end_utc": "2027-05-01T09:00:00+02:00",  # nine o'clock in Oslo, summer or winter
        "expiry": "soft",
        "carry_over_fraction": 0.0,
        "demand": [],
    }
    with site.reading() as desk:
        steps = [
            (event.kind, event.by, event.rule, event.state)
            for event in applications.visible_history(desk, found.id)
        ]
        audited = {row.what for row in desk.tx.execute(select(AUDIT))}
        assert applications.replayed(desk.tx, found.id) == site.application(found.id)
    assert steps == [
        ("create", ADA.id, "OS1", "draft"),
        ("submit", ADA.id, "OS1", "submitted"),
        ("check", "office", "OS11", "granted"),
    ]
    assert {"organisation.register", "project.register", "application.submit", "grant.give"} <= audited


def test_a_fast_lane_application_is_reviewed_looked_at_and_decided(site):
    site.known()
    found = site.submitted("fast-lane", gpu_hours=50_000, months=6)
    assert found.state == "technical_review"
    assert (
        found.due_utc.isoformat() == "2027-02-16T00:00:00+01:00"
    )  # the end of the tenth working day after 1 February

    found = site.review(ROSA, found)
    assert found.state == "decision"
    with refused("OS8"):
        site.decide(ALMA, found)
    site.look(ALMA, found)
    with refused("OS8"):  # somebody else has looked
        site.decide(ARNE, found)
    with refused("OS8"):  # at other hours
        site.decide(ALMA, found, gpu_hours=20_000)
    found = site.decide(ALMA, found)

    assert found.state == "granted"
    with site.reading() as desk:
        kept = consequences.look(desk.tx, found.decision.look)
    assert kept["answer"]["tenants"][0]["wait_p95_s"] == {"before": 60, "after": 75}
    assert kept["question"]["grants"][0]["gpu_hours"] == 50_000
    assert site.asked == [kept["question"]]


def test_a_look_grows_old(site):
    site.known()
    found = site.review(ROSA, site.submitted("fast-lane", gpu_hours=50_000))
    site.look(ALMA, found)
    site.after(hours=73)
    with refused("OS8"):
        site.decide(ALMA, found)
    site.look(ALMA, found)
    assert site.decide(ALMA, found).state == "granted"


def test_fewer_hours_may_be_granted_after_a_look_at_them_but_never_more(site):
    site.known()
    found = site.review(ROSA, site.submitted("fast-lane", gpu_hours=30_000))
    with refused("OS10"):
        site.look(ALMA, found, gpu_hours=30_001)
    site.look(ALMA, found, gpu_hours=20_000)
    found = site.decide(ALMA, found, gpu_hours=20_000)
    assert site.grants()[0].gpu_hours == found.decision.gpu_hours == 20_000


def test_a_gate_that_needs_a_person_waits_for_one(site):
    site.known()
    found = site.submitted("innovator", gpu_hours=100_000, months=6, evidence="scaled to 512 GPUs elsewhere")
    assert found.state == "submitted"
    assert [gate.rule for gate in found.gates if gate.passed is None] == ["OG11"]
    with refused("OS3"):
        site.step(ROSA, found, "confirm", rule="OG11", passed=True, reason="seen")
    with refused("OS3"):  # a gate that is passed or failed is nobody's to open
        site.step(ALMA, found, "confirm", rule="OG1", passed=True, reason="seen")
    found = site.step(ALMA, found, "confirm", rule="OG11", passed=True, reason="report of 2026 read")
    assert found.state == "technical_review"
    assert [(gate.passed, gate.confirmed_by) for gate in found.gates if gate.rule == "OG11"] == [
        (True, ALMA.id)
    ]


def test_an_innovator_application_needs_two_scientific_reviews_by_different_people(site):
    site.known()
    found = site.submitted("innovator", gpu_hours=100_000, months=6, evidence="yes")
    found = site.step(ALMA, found, "confirm", rule="OG11", passed=True, reason="seen")
    found = site.review(ROSA, found)
    assert found.state == "scientific_review"
    with refused("OS5"):
        site.review(REMI, found, "technical")
    found = site.review(REMI, found, "scientific")
    with refused("OS5"):
        site.review(REMI, found, "scientific")
    site.look(RUNA, found)  # a reviewer may look as well, before she writes
    with refused("OS14"):
        site.decide(ALMA, found)
    found = site.review(RUNA, found, "scientific")
    assert found.state == "decision"
    assert found.due_utc.isoformat() == "2027-04-01T00:00:00+02:00"  # the panel at the end of the quarter


def test_a_failed_gate_rejects_with_its_numbers_and_an_appeal_is_decided_by_others(site):
    site.known()
    found = site.submitted(gpu_hours=6000)
    assert found.state == "rejected"
    assert "OG10: 6,000 GPU-h over 3 months; Playground takes 1 to 5,000" in found.decision.reason

    found = site.step(ADA, found, "appeal", reason="we need them")
    site.look(ALMA, found, gpu_hours=5000)
    found = site.decide(ALMA, found, gpu_hours=5000)
    assert (found.state, found.decision.on_appeal) == ("granted", True)


def test_nobody_who_took_part_decides_on_the_appeal_and_it_is_final(site):
    site.known()
    found = site.review(ROSA, site.submitted("fast-lane", gpu_hours=30_000))
    site.look(ALMA, found)
    found = site.decide(ALMA, found, "reject")
    site.after(days=20)
    with refused("OS13"):  # a reviewer is no applicant
        site.step(ROSA, found, "appeal", reason="she was wrong")
    found = site.step(ADA, found, "appeal", reason="the review is mistaken")
    site.look(ALMA, found)
    with refused("OC5"):
        site.decide(ALMA, found)
    site.look(ARNE, found)
    found = site.decide(ARNE, found, "reject")
    with refused("OS13"):
        site.step(ADA, found, "appeal", reason="once more")


def test_an_appeal_comes_within_three_weeks(site):
    site.known()
    found = site.submitted(gpu_hours=6000)
    site.after(days=21, seconds=1)
    with refused("OS13"):
        site.step(ADA, found, "appeal", reason="late")


def test_a_call_is_decided_after_it_has_closed_and_within_its_budget(site):
    site.known()
    new = {
        "id": "spring", "title": "Spring", "rungs": ["grand-challenge"], "opens_utc": site.now,
        "closes_utc": site.now.replace(day=15), "decides_utc": site.now.replace(month=3), "budget_gpu_hours": 1_500_000,
    }  # fmt: skip
    with site.desk(ALMA) as desk:
        calls.open_call(desk, NewCall.model_validate(new))
    other = site.organisation(who=OTHER, people=(), name="NTNU", number="974 767 880")
    site.project(other, who=OTHER, name="fjord")
    ready = []
    for who, project in ((ADA, "arctic"), (OTHER, "fjord")):
        found = site.submitted(
            "grand-challenge",
            who,
            project=project,
            call="spring",
            gpu_hours=1_000_000,
            months=12,
            evidence="yes",
        )
        found = site.step(ALMA, found, "confirm", rule="OG11", passed=True, reason="seen")
        found = site.review(ROSA, found)
        for reviewer in (REMI, RUNA, ROAR):
            found = site.review(reviewer, found, "scientific")
        ready.append(found)
    site.look(ALMA, ready[0])
    with refused("OS9"):
        site.decide(ALMA, ready[0])
    site.after(days=15)
    site.look(ALMA, ready[0])
    site.decide(ALMA, ready[0])
    site.look(ALMA, ready[1])
    with refused("OG13") as caught:
        site.decide(ALMA, ready[1])
    assert caught.value.numbers["left_gpu_hours"] == 500_000
    site.look(ALMA, ready[1], gpu_hours=500_000)
    assert site.decide(ALMA, ready[1], gpu_hours=500_000).state == "granted"
    with site.reading() as desk:
        assert calls.call(desk.tx, "spring", site.now).left_gpu_hours == 0


OTHER = type(ADA)("person_other", "Other")


def test_whoever_has_a_conflict_of_interest_neither_sees_nor_judges(site):
    """Of the same organisation (OC1), in the project (OC2), a co-applicant (OC3), by his own word (OC4)."""
    site.organisation(who=ROAR, people=(), name="NTNU", number="974 767 880")
    organisation = site.organisation(people=(BO.id, REMI.id))
    site.project(organisation, members=[RUNA.id])
    found = site.submitted("fast-lane", gpu_hours=30_000, co_applicants=[ROAR.id])
    for reviewer, rule in ((REMI, "OC1"), (ROAR, "OC3")):
        with site.reading(reviewer) as desk, pytest.raises(NotThereError):
            applications.visible_application(desk, found.id)
        with refused(rule):
            site.review(reviewer, found)
    with refused("OC2"):  # a member sees his own project's application, but does not judge it
        site.review(RUNA, found)
    with refused("OC1"):
        site.step(ALMA, found, "assign", person=REMI.id)

    found = site.review(ROSA, found)
    found = site.step(ROSA, found, "recuse", reason="we wrote a paper together")
    assert found.state == "technical_review"  # her review does not count any more
    assert [(recusal.person, recusal.rule) for recusal in found.recusals] == [(ROSA.id, "OC4")]
    with site.reading(ROSA) as desk, pytest.raises(NotThereError):
        applications.visible_application(desk, found.id)


def test_a_reviewer_who_joins_the_organisation_later_does_not_count_when_it_is_decided(site):
    from kvandal.control.office import registry

    organisation = site.organisation()
    site.project(organisation)
    found = site.review(ROSA, site.submitted("fast-lane", gpu_hours=30_000))
    site.look(ALMA, found)
    with site.desk(ADA) as desk:
        registry.add_people(desk, organisation.id, [ROSA.id])
    with refused("OC1") as caught:
        site.decide(ALMA, found)
    assert "recuse person_rosa and have it reviewed anew" in str(caught.value)
    assert site.application(found.id).state == "decision"  # nothing of a refused step is kept

    found = site.step(ALMA, found, "recuse", person=ROSA.id, reason="has joined UiT")
    assert found.state == "technical_review"
    found = site.review(REMI, found)
    site.look(ALMA, found)
    assert site.decide(ALMA, found).state == "granted"


def test_chosen_reviewers_alone_review(site):
    site.known()
    found = site.submitted("fast-lane", gpu_hours=30_000)
    found = site.step(ALMA, found, "assign", person=REMI.id)
    with refused("OS5"):
        site.review(ROSA, found)
    assert site.review(REMI, found).state == "decision"


def test_applicants_do_not_read_who_reviewed_and_read_reviews_once_it_is_decided(site):
    site.known()
    found = site.review(ROSA, site.submitted("fast-lane", gpu_hours=30_000))

    def seen(who):
        with site.reading(who) as desk:
            return applications.visible_application(desk, found.id), applications.visible_history(
                desk, found.id
            )

    for who in (ADA,):
        mine, events = seen(who)
        assert mine.reviews == ()
        assert ROSA.id not in str(mine) + str(events)
    site.look(ALMA, found)
    site.decide(ALMA, found)
    mine, _ = seen(ADA)
    assert [(review.by, review.comment) for review in mine.reviews] == [("reviewer", "sound")]
    for who in (OLA, REMI):
        whole, events = seen(who)
        assert whole.reviews[0].by == ROSA.id
        assert {"review", "look"} <= {event.kind for event in events}
    with pytest.raises(NotThereError):  # of the organisation, but neither in the project nor of the office
        seen(BO)


def test_who_is_nobody_to_an_application_takes_no_step(site):
    site.known()
    found = site.draft()
    for kind in ("submit", "withdraw"):
        with pytest.raises(NotThereError):
            site.step(BO, found, kind)
    with refused("OS12"):
        site.step(ROSA, found, "withdraw")


def test_an_application_comes_back_to_be_improved_and_is_judged_anew(site):
    site.known()
    found = site.review(ROSA, site.submitted("fast-lane", gpu_hours=30_000))
    found = site.step(ALMA, found, "return", reason="say which data")
    assert found.state == "draft"
    with refused("OS14"):
        site.step(ALMA, found, "decide", outcome="reject", reason="no")
    found = site.step(ADA, found, "revise", proposal=proposal(20_000, 6).model_dump(mode="json"))
    found = site.step(ADA, found, "submit")
    assert (found.state, found.proposal.gpu_hours) == ("technical_review", 20_000)
    assert site.review(ROSA, found).state == "decision"


def test_a_withdrawn_application_is_over(site):
    site.known()
    found = site.step(
        ADA, site.submitted("fast-lane", gpu_hours=30_000), "withdraw", reason="no longer needed"
    )
    for who, kind, body in ((ADA, "submit", {}), (ALMA, "decide", {"outcome": "reject", "reason": "no"})):
        with refused("OS14"):
            site.step(who, found, kind, **body)


def test_a_call_that_does_not_fit_is_refused_when_it_is_written(site):
    site.known()
    for fault, changes in {
        "call: grand-challenge is offered in calls": {"rung": "grand-challenge"},
        "call: there is no call 'autumn'": {"rung": "fast-lane", "call": "autumn"},
        "rung: must be one of playground": {"rung": None},
    }.items():
        with pytest.raises(InputError, match=fault):
            site.draft(**changes)


def test_an_application_is_handed_in_while_its_call_is_open(site):
    site.known()
    found = site.draft("reserve", gpu_hours=1000)
    site.after(days=340)
    with refused("OS1"):  # of the year before
        site.step(ADA, found, "submit")


def test_at_a_local_site_one_person_registers_for_others_and_takes_every_step(site):
    organisation = site.organisation(who=LOCAL, people=(ADA.id,))
    site.project(organisation, who=ADA)
    found = site.draft("fast-lane", LOCAL, gpu_hours=10_000)
    assert found.applicant == ADA.id
    found = site.step(LOCAL, found, "submit")
    found = site.review(LOCAL, found)
    site.look(LOCAL, found)
    assert site.decide(LOCAL, found).state == "granted"
