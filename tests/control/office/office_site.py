"""A site with an office: a few people, an organisation, a project, and what they do, in one line each."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from kvandal.client.resources.applications import NewApplication, Proposal
from kvandal.client.resources.organisations import NewOrganisation, NewProject
from kvandal.control.identity.principal import Principal, RoleGrant
from kvandal.control.office import applications, awards, calls, consequences, registry
from kvandal.control.office.desk import Desk
from kvandal.control.office.terms import terms_of
from kvandal.scenario.loading import load

START = datetime(2027, 2, 1, 8, tzinfo=UTC)  # a Monday
TERMS = terms_of(load("stargate-norway"))
DECLARED = {"civil_use": True, "sanctions_clear": True, "lawful_ai": True, "no_mining": True}
EFFECTS = {"tenants": [{"name": "norway-research", "wait_p95_s": {"before": 60, "after": 75}}]}

ADA = Principal("person_ada", "Ada")  # the applicant
BO = Principal("person_bo", "Bo")  # of the same organisation
ROSA = Principal("person_rosa", "Rosa", (RoleGrant("reviewer"),))
REMI = Principal("person_remi", "Remi", (RoleGrant("reviewer"),))
RUNA = Principal("person_runa", "Runa", (RoleGrant("reviewer"),))
ROAR = Principal("person_roar", "Roar", (RoleGrant("reviewer"),))
ALMA = Principal("person_alma", "Alma", (RoleGrant("allocator"),))
ARNE = Principal("person_arne", "Arne", (RoleGrant("allocator"),))
OLA = Principal("person_ola", "Ola", (RoleGrant("auditor"),))
UNI = {"name": "UiT Norges arktiske universitet", "number": "970 422 528", "kind": "university"}


def proposal(gpu_hours=4000, months=3, **more):
    return Proposal.model_validate(
        {"title": "Sami tokeniser", "gpu_hours": gpu_hours, "months": months, **DECLARED, **more}
    )


@dataclass
class Site:
    """An office over a store, at a time that a test moves."""

    store: object
    now: datetime = START
    terms: object = TERMS
    asked: list = field(default_factory=list)

    def __post_init__(self):
        with self.desk(ALMA) as desk:
            calls.ensure_rolling(desk)

    @contextmanager
    def desk(self, who):
        with self.store.begin() as tx:
            yield Desk(tx, who, self.terms, self.now)

    @contextmanager
    def reading(self, who=ALMA):
        with self.store.read() as tx:
            yield Desk(tx, who, self.terms, self.now)

    def after(self, **time):
        self.now += timedelta(**time)
        return self

    def organisation(self, who=ADA, people=(BO.id,), **changes):
        with self.desk(who) as desk:
            found = registry.register_organisation(desk, NewOrganisation.model_validate(UNI | changes))
            return registry.add_people(desk, found.id, people)

    def project(self, organisation, who=ADA, name="arctic", tenant="norway-research", **changes):
        asked = {
            "id": name,
            "title": "Arctic",
            "organisation": organisation.id,
            "tenant": tenant,
            "investigator": who.id,
        }
        with self.desk(who) as desk:
            return registry.register_project(desk, NewProject.model_validate(asked | changes))

    def known(self, **changes):
        return self.project(self.organisation(**changes))

    def draft(self, rung="playground", who=ADA, project="arctic", call=None, grant=None, **asked):
        new = NewApplication(project=project, rung=rung, call=call, grant=grant, proposal=proposal(**asked))
        with self.desk(who) as desk:
            return applications.write(desk, new)

    def step(self, who, found, kind, **body):
        with self.desk(who) as desk:
            return applications.take(desk, found.id, kind, body)

    def submitted(self, rung="playground", who=ADA, **asked):
        return self.step(who, self.draft(rung, who, **asked), "submit")

    def review(self, who, found, part="technical", score=4, recommends="grant"):
        body = {"part": part, "score": score, "recommends": recommends, "gpu_hours": None, "comment": "sound"}
        return self.step(who, found, "review", **body)

    def look(self, who, found, gpu_hours=None):
        def whatif(**question):
            self.asked.append(question)
            return EFFECTS

        with self.reading(who) as desk:
            asked = consequences.question(desk, found.id, gpu_hours)
        answer = consequences.consequences(whatif, asked)
        with self.desk(who) as desk:
            return consequences.keep_look(desk, found.id, asked, answer, gpu_hours)[1]

    def decide(self, who, found, outcome="grant", gpu_hours=None):
        return self.step(
            who, found, "decide", outcome=outcome, gpu_hours=gpu_hours, reason="as the panel advised"
        )

    def granted(self, rung="playground", **asked):
        """Take an application the whole way; returns its grant."""
        found = self.submitted(rung, **asked)
        if found.state == "technical_review":
            found = self.review(ROSA, found)
        for reviewer in (REMI, RUNA, ROAR):
            if found.state == "scientific_review":
                found = self.review(reviewer, found, "scientific")
        if found.state == "decision":
            self.look(ALMA, found)
            found = self.decide(ALMA, found)
        assert found.state == "granted", found.decision
        return self.grants()[-1]

    def application(self, key):
        with self.store.read() as tx:
            return applications.application(tx, key)

    def grants(self):
        from sqlalchemy import select

        from kvandal.control.store.tables.office import GRANTS

        with self.store.read() as tx:
            return [awards.grant_of(row) for row in tx.execute(select(GRANTS).order_by(GRANTS.c.number))]

    def inbox(self):
        from sqlalchemy import select

        from kvandal.control.store.tables.loop import INBOX

        with self.store.read() as tx:
            return [(row.kind, row.body) for row in tx.execute(select(INBOX).order_by(INBOX.c.id))]

    def notices(self):
        from sqlalchemy import select

        from kvandal.control.store.tables.office import NOTICES

        with self.store.read() as tx:
            return [(row.rule, row.text) for row in tx.execute(select(NOTICES).order_by(NOTICES.c.number))]

    def turn(self):
        with self.desk(ALMA) as desk:
            return awards.turn(desk)

    def job(self, project="arctic", gpu_hours=10, tenant="norway-research", **changes):
        from sqlalchemy import insert

        from kvandal.control.store.tables.loop import JOBS
        from kvandal.control.store.tables.metadata import new_id

        seconds = int(gpu_hours * 3600)
        row = {
            "id": new_id("job"), "tenant": tenant, "project": project, "person": ADA.id, "name": "j", "demand": "national",
            "gpus": 8, "limit_s": seconds // 8 or 1, "state": "finished", "submitted_utc": self.now,
            "used_gpu_s": seconds, "useful_gpu_s": seconds, "environment": {},
        }  # fmt: skip
        with self.store.begin() as tx:
            tx.execute(insert(JOBS).values(**row | changes))
