"""Laws of the office, whatever people do in whatever order: hypothesis tries."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from office_site import ADA, ALMA, ARNE, BO, REMI, ROAR, ROSA, RUNA, Site, proposal
from sqlalchemy import create_engine, select

from kvandal.client.resources.calls import NewCall
from kvandal.control.identity.principal import Principal, RoleGrant
from kvandal.control.office import applications, awards, calls, registry
from kvandal.control.office.conflicts import conflict
from kvandal.control.office.ladder import ladder
from kvandal.control.office.rules import RULES, NotAllowedError, NotThereError, RefusedByRule
from kvandal.control.office.steps import OFFICE, OPEN, STEPS_FROM
from kvandal.control.store.audit import record  # noqa: F401  (its tables)
from kvandal.control.store.schema import complete_metadata
from kvandal.control.store.tables.office import LOOKS

BOTH = Principal(
    "person_both", "Both", (RoleGrant("reviewer"), RoleGrant("allocator"))
)  # belongs to the applicant's side
PEOPLE = (ADA, BO, ROSA, REMI, RUNA, ROAR, ALMA, ARNE, BOTH)
BUDGET = 70_000


class InMemory:
    """A store for one example."""

    def __init__(self):
        self.engine = create_engine("sqlite://")
        complete_metadata().create_all(self.engine)

    @contextmanager
    def begin(self):
        with self.engine.begin() as tx:
            yield tx

    read = begin


class Office(RuleBasedStateMachine):
    """People apply, judge, change, report and wait; what the rules do not allow changes nothing."""

    @initialize()
    def open(self):
        self.site = Site(InMemory())
        self.ids, self.budgets = [], {"dated": BUDGET, "rolling-2": BUDGET}
        organisation = self.site.organisation(people=(BO.id, BOTH.id))
        self.organisation = organisation.id
        self.site.project(organisation, members=[RUNA.id])
        self.site.project(organisation, name="fjord")
        now = self.site.now
        with self.site.desk(ALMA) as desk:
            every = list(ladder())
            low = [name for name in every if name != "grand-challenge"]
            for key, closes, rungs in (("dated", now + timedelta(days=3), every), ("rolling-2", None, low)):
                new = {"id": key, "title": key, "rungs": rungs, "opens_utc": now, "closes_utc": closes,
                       "budget_gpu_hours": BUDGET}  # fmt: skip
                calls.open_call(desk, NewCall.model_validate(new))

    def teardown(self):
        if hasattr(self, "site"):
            self.site.store.engine.dispose()

    def tried(self, work, *given, **said):
        """Do something that the rules may refuse; then nothing of it is kept."""
        try:
            return work(*given, **said)
        except (RefusedByRule, NotAllowedError, NotThereError) as error:
            if isinstance(error, RefusedByRule) and error.rule not in RULES:
                raise AssertionError(error.rule) from error
            return None

    @rule(
        project=st.sampled_from(["arctic", "fjord"]),
        rung=st.sampled_from(list(ladder())),
        call=st.sampled_from([None, "dated", "rolling-2"]),
        hours=st.sampled_from([1, 4_000, 5_001, 40_000, 60_000]),
        evidence=st.sampled_from(["", "yes"]),
    )
    def apply(self, project, rung, call, hours, evidence):
        if ladder()[rung].needs_dates and call is None:
            return
        asked = {"gpu_hours": hours, "months": 3, "evidence": evidence, "co_applicants": [ROAR.id]}
        found = self.site.draft(rung, project=project, call=call, **asked)
        self.ids.append(found.id)
        self.tried(self.site.step, ADA, found, "submit")

    @precondition(lambda self: self.site.grants())
    @rule(data=st.data(), hours=st.sampled_from([0, 1000]), months=st.sampled_from([0, 1]))
    def ask_for_more(self, data, hours, months):
        grant = data.draw(st.sampled_from(self.site.grants()))
        found = self.site.draft(
            None, project=grant.project, grant=grant.id, gpu_hours=hours, months=months, members=[ROSA.id]
        )
        self.ids.append(found.id)
        self.tried(self.site.step, ADA, found, "submit")

    @precondition(lambda self: self.ids)
    @rule(
        data=st.data(),
        who=st.sampled_from(PEOPLE),
        kind=st.sampled_from(sorted(set(STEPS_FROM) - {"look"})),
    )
    def step(self, data, who, kind):
        found = self.site.application(data.draw(st.sampled_from(self.ids)))
        part = data.draw(st.sampled_from(["technical", "scientific"]))
        outcome = data.draw(st.sampled_from(["grant", "grant", "reject"]))
        body = {
            "revise": {"proposal": proposal(2000, 3).model_dump(mode="json")},
            "confirm": {"rule": "OG11", "passed": outcome == "grant", "reason": "seen"},
            "review": {
                "part": part,
                "score": 3,
                "recommends": outcome,
                "gpu_hours": None,
                "comment": "sound",
            },
            "recuse": {"person": who.id, "reason": "a friend"},
            "assign": {"person": data.draw(st.sampled_from(PEOPLE)).id},
            "decide": {
                "outcome": outcome,
                "gpu_hours": data.draw(st.sampled_from([None, 500])),
                "reason": "so",
            },
        }.get(kind, {"reason": "so"})
        self.tried(self.site.step, who, found, kind, **body)

    @precondition(lambda self: any(self.site.application(key).state in OPEN for key in self.ids))
    @rule(
        data=st.data(),
        deciders=st.permutations([ALMA, ARNE, BOTH]),
        hours=st.sampled_from([None, None, 500]),
        looks=st.sampled_from([True, True, False]),
        outcome=st.sampled_from(["grant", "grant", "reject"]),
    )
    def judge(self, data, deciders, hours, looks, outcome):
        """Go on as an office does, so that decisions come about often; also as one that skips a look or meets conflicts."""
        open_ones = [key for key in self.ids if self.site.application(key).state in OPEN]
        key = data.draw(st.sampled_from(open_ones))
        for who in (REMI, ROSA, RUNA, ROAR, REMI, ROSA):
            found = self.site.application(key)
            if found.state == "submitted":
                self.tried(self.site.step, ALMA, found, "confirm", rule="OG11", passed=True, reason="seen")
            elif found.state.endswith("_review"):
                self.tried(self.site.review, who, found, found.state.removesuffix("_review"))
        for who in deciders:
            found = self.site.application(key)
            if found.state in STEPS_FROM["decide"]:
                if looks:
                    self.tried(self.site.look, who, found, hours)
                self.tried(self.site.decide, who, found, outcome, hours)

    @precondition(lambda self: any(self.site.application(key).state == "rejected" for key in self.ids))
    @rule()
    def appeal(self):
        for key in self.ids:
            found = self.site.application(key)
            if found.state == "rejected":
                self.tried(self.site.step, ADA, found, "appeal", reason="so")

    @rule(who=st.sampled_from([ROSA, ARNE, BOTH]), joins=st.booleans())
    def move_between_organisations(self, who, joins):
        with self.site.desk(ADA) as desk:
            if joins:
                registry.add_people(desk, self.organisation, [who.id])
            elif who is not BOTH:
                registry.remove_person(desk, self.organisation, who.id)

    @rule(days=st.sampled_from([0.1, 1, 4, 20, 45]), hours=st.sampled_from([0, 300, 3000]))
    def wait(self, days, hours):
        self.site.after(days=days)
        if hours:
            self.site.job(gpu_hours=hours)
        self.site.turn()

    @precondition(lambda self: self.site.grants())
    @rule(
        data=st.data(),
        who=st.sampled_from([ADA, ALMA, BOTH]),
        kind=st.sampled_from(["report", "send_back", "end"]),
    )
    def attend_to_a_grant(self, data, who, kind):
        from kvandal.client.resources.grants import NewReport

        key = data.draw(st.sampled_from([grant.id for grant in self.site.grants()]))

        def work():
            with self.site.desk(who) as desk:
                if kind == "report":
                    return awards.report(desk, key, NewReport(text="what came of it, at some length"))
                return (awards.send_back if kind == "send_back" else awards.end_early)(desk, key, "so it is")

        self.tried(work)

    @invariant()
    def the_history_leads_to_what_is(self):
        """And each step was one from the state before it."""
        if not hasattr(self, "site"):
            return
        with self.site.reading() as desk:
            for key in self.ids:
                found = applications.application(desk.tx, key)
                assert applications.replayed(desk.tx, key) == found
                states = [(event.kind, event.state) for event in applications.history(desk.tx, key)]
                for (_, before), (kind, _) in pairwise(states):
                    assert before in STEPS_FROM[kind]
            for grant in self.site.grants():
                assert awards.replayed(desk.tx, grant.id) == grant

    @invariant()
    def granted_hours_are_what_the_loop_was_told(self):
        """The last message of each grant; and no call grants more than its budget."""
        if not hasattr(self, "site"):
            return
        told = {body["grant"]: body["gpu_hours"] for kind, body in self.site.inbox() if kind == "grant"}
        grants = self.site.grants()
        assert {grant.id: float(grant.gpu_hours) for grant in grants} == told
        for call, budget in self.budgets.items():
            assert sum(grant.gpu_hours for grant in grants if grant.call == call) <= budget
        most = {name: rung.most_gpu_hours for name, rung in ladder().items()}
        assert all(grant.gpu_hours + grant.returned_gpu_hours <= most[grant.rung] for grant in grants)

    @invariant()
    def every_grant_was_decided_after_a_look_and_enough_reviews_without_conflict(self):
        """But those that the ladder grants by itself, and changes that only add people."""
        if not hasattr(self, "site"):
            return
        with self.site.reading() as desk:
            looks = {row.id: row for row in desk.tx.execute(select(LOOKS))}
            for key in self.ids:
                found = applications.application(desk.tx, key)
                recused = {recusal.person for recusal in found.recusals}
                assert not recused & {review.by for review in found.reviews if review.set_aside is None}
                if found.state != "granted":
                    continue
                decision, rung = found.decision, ladder()[found.rung]
                assert all(gate.passed for gate in decision.gates)
                if decision.by == OFFICE or (
                    decision.look is None and rung.path == "automatic" and found.kind == "award"
                ):
                    assert rung.path == "automatic"
                    continue
                by_gates = not decision.on_appeal and found.kind == "award"
                for part in ("technical", "scientific"):
                    counts = sum(review.part == part and review.set_aside is None for review in found.reviews)
                    assert not by_gates or counts >= getattr(rung, f"{part}_reviews")
                if decision.look is None:
                    assert found.kind == "change"
                    assert (found.proposal.gpu_hours, found.proposal.months) == (0, 0)
                else:
                    shown = looks[decision.look]
                    assert (shown.by, shown.application) == (decision.by, found.id)
                if decision.on_appeal:
                    firsts = [
                        event.by
                        for event in applications.history(desk.tx, key)
                        if event.kind in {"review", "confirm"}
                    ]
                    assert decision.by not in firsts

    @invariant()
    def nobody_with_a_conflict_sees_an_application(self):
        if not hasattr(self, "site"):
            return
        with self.site.reading() as desk:
            for key in self.ids[-3:]:
                found = applications.application(desk.tx, key)
                of = registry.project(desk.tx, found.project)
                for who in (ROSA, REMI, ROAR, ALMA, ARNE, BOTH):
                    belongs = registry.organisations_of(desk.tx, [who.id, *found.proposal.co_applicants])
                    against = conflict(who.id, found, of, belongs)
                    member = registry.belongs(who.id, of)
                    own = applications.seen(type(desk)(desk.tx, who, desk.terms, desk.now_utc), found)
                    assert (own is None) == (against is not None and not member)
                    if member and own is not None:
                        assert own.recusals == ()


TestOffice = Office.TestCase
TestOffice.settings = settings(max_examples=20, stateful_step_count=25)


@settings(max_examples=8)
@given(hours=st.lists(st.sampled_from([20_000, 30_000, 45_000]), min_size=2, max_size=4), less=st.booleans())
def test_a_call_never_grants_more_than_its_budget(hours, less):
    """And it grants as long as there is room: what is refused would not have fitted."""
    site = Site(InMemory())
    site.known()
    with site.desk(ALMA) as desk:
        new = {
            "id": "small",
            "title": "Small",
            "rungs": ["fast-lane"],
            "opens_utc": site.now,
            "budget_gpu_hours": BUDGET,
        }
        calls.open_call(desk, NewCall.model_validate(new))
    granted = 0
    for asked in hours:
        found = site.review(ROSA, site.submitted("fast-lane", call="small", gpu_hours=asked, months=6))
        wanted = asked // 2 if less else asked
        site.look(ALMA, found, wanted)
        if granted + wanted <= BUDGET:
            site.decide(ALMA, found, gpu_hours=wanted)
            granted += wanted
        else:
            with pytest.raises(RefusedByRule, match="OG13"):
                site.decide(ALMA, found, gpu_hours=wanted)
            site.decide(ALMA, found, "reject")
    assert sum(grant.gpu_hours for grant in site.grants()) == granted <= BUDGET
    site.store.engine.dispose()
