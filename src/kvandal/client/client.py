"""The client: a server's resources as methods."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Literal, Self

from kvandal.client.asking import asked as _asked
from kvandal.client.asking import step as _step
from kvandal.client.errors import ClientError
from kvandal.client.office import OfficeClient
from kvandal.client.resources.books import AuditEntry, Posting, Statement
from kvandal.client.resources.identity import Me
from kvandal.client.resources.jobs import Cancellation, Job, JobInFull, JobState, NewJob, Why
from kvandal.client.resources.policy import (
    Confirmation,
    NewPolicyChange,
    Policy,
    PolicyChange,
    Question,
    Rule,
    Tenant,
)
from kvandal.client.resources.site import (
    Asking,
    Cycle,
    CycleInFull,
    Drain,
    Loan,
    LoanState,
    NewSetPoint,
    NodeDown,
    SetPoint,
    Site,
    SiteTick,
)
from kvandal.client.wire import Wire
from kvandal.errors import InputError

ENVELOPE = "/v1/set-points/envelope_mw"
WEIGHING_S = 600.0
"""How long the twin may take to weigh a change [s]."""
POLL_S = 30.0


class Client:
    """A server of Kvandal, asked over HTTP.

    Every write is done once, however often it has to be sent. Lists are iterators that fetch pages as they are needed.

    Parameters
    ----------
    server
        Its address; default: the local server of ``kvandal serve``.
    token
        A token of Kvandal (``kvd_...``); a local server needs none.
    patience_s
        How long a request is tried again while the server does not answer or cannot now [s].
    timeout_s
        How long one answer may take [s].
    transport
        Of httpx, for tests.

    Examples
    --------
    >>> Client("kvandal.example.org")
    Traceback (most recent call last):
    kvandal.errors.InputError: server: must be an address such as https://kvandal.example.org, got 'kvandal.example.org'

    """

    def __init__(
        self,
        server: str = "http://127.0.0.1:8440",
        token: str | None = None,
        *,
        patience_s: float = 15.0,
        timeout_s: float = 30.0,
        transport: Any = None,
    ) -> None:
        self.wire = Wire(server, token, patience_s=patience_s, timeout_s=timeout_s, transport=transport)
        self.office = OfficeClient(self.wire)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection."""
        self.wire.close()

    # jobs

    def submit_job(
        self,
        *,
        tenant: str,
        project: str,
        demand: str,
        gpus: int,
        limit_s: int,
        name: str = "job",
        run_time_s: int | None = None,
        script: str = "",
        environment: Mapping[str, str] | None = None,
        key: str | None = None,
    ) -> JobInFull:
        """Submit a job; once this returns it is accepted, and is not lost any more.

        Parameters
        ----------
        tenant, project
            Whose it is.
        demand
            Class of work of the scenario.
        gpus
            GPUs of the gang.
        limit_s
            Longest run time of one start [s].
        name
            What its owner calls it.
        run_time_s
            How long it is expected to work [s].
        script, environment
            What it runs, with which variables.
        key
            Idempotency-Key, where the caller keeps its own; the same key gives the same job.

        """
        job = _asked(
            NewJob,
            tenant=tenant,
            project=project,
            name=name,
            demand=demand,
            gpus=gpus,
            limit_s=limit_s,
            run_time_s=run_time_s,
            script=script,
            environment=dict(environment or {}),
        )
        return self.wire.parsed(JobInFull, self.wire.write("POST", "/v1/jobs", job, key=key))

    def job(self, job_id: str) -> JobInFull:
        """Tell how a job stands, and what it runs."""
        return self.wire.get(f"/v1/jobs/{_step(job_id)}", JobInFull)

    def jobs(
        self,
        *,
        tenant: str | None = None,
        project: str | None = None,
        state: JobState | Iterable[JobState] = (),
        demand: str | None = None,
        order: Literal["newest", "oldest"] = "newest",
        most: int | None = None,
    ) -> Iterator[Job]:
        """Go through jobs; `most`: how many at most."""
        states = [state] if isinstance(state, str) else list(state)
        params = {
            "tenant": tenant,
            "project": project,
            "demand": demand,
            "order": order,
            "state": states or None,
        }
        return self.wire.pages("/v1/jobs", Job, {**params, "limit": _page(most)}, most)

    def why(self, job_id: str) -> Why:
        """Tell what happened to a job, by which rules, and what it waits for."""
        return self.wire.get(f"/v1/jobs/{_step(job_id)}/why", Why)

    def cancel_job(self, job_id: str, reason: str = "asked by its owner") -> JobInFull:
        """Ask for a job to be taken back; the loop does it in its next turn."""
        body = _asked(Cancellation, reason=reason)
        return self.wire.parsed(JobInFull, self.wire.write("POST", f"/v1/jobs/{_step(job_id)}/cancel", body))

    # the site

    def site(self) -> Site:
        """Tell the site now."""
        return self.wire.get("/v1/site", Site)

    def follow_site(self) -> Iterator[Site]:
        """Tell the site now and whenever it changes; it never ends by itself."""
        seen = self.site()
        while True:
            yield seen
            version = seen.version
            while seen.version <= version:
                seen = self.wire.get(
                    "/v1/site", Site, {"wait": min(POLL_S, self.wire.timeout_s / 2), "after": version}
                )

    def site_ticks(
        self, *, since_utc: datetime | None = None, until_utc: datetime | None = None, most: int | None = None
    ) -> Iterator[SiteTick]:
        """Go through the recent past of the site, the newest first."""
        params = {"since_utc": _instant(since_utc), "until_utc": _instant(until_utc)}
        return self.wire.pages("/v1/site/ticks", SiteTick, params, most)

    def nodes(self) -> Iterator[NodeDown]:
        """Go through the nodes that take no new jobs."""
        return self.wire.pages("/v1/nodes", NodeDown)

    def drain_node(self, node: str, reason: str) -> Asking:
        """Take a node out of use."""
        body = _asked(Drain, reason=reason)
        return self.wire.parsed(Asking, self.wire.write("POST", f"/v1/nodes/{_step(node)}/drain", body))

    def undrain_node(self, node: str, reason: str) -> Asking:
        """Put a node back into use."""
        body = _asked(Drain, reason=reason)
        return self.wire.parsed(Asking, self.wire.write("POST", f"/v1/nodes/{_step(node)}/undrain", body))

    def set_points(self) -> Iterator[SetPoint]:
        """Go through what may be set from outside."""
        return self.wire.pages("/v1/set-points", SetPoint)

    def envelope(self) -> SetPoint:
        """Tell the envelope that is set by hand."""
        return self.wire.get(ENVELOPE, SetPoint)

    def set_envelope(self, value_mw: float, *, reason: str, until_utc: datetime | None = None) -> SetPoint:
        """Hold the site at an envelope [MW] until an instant, or until it is cleared."""
        body = _asked(NewSetPoint, value=value_mw, reason=reason, until_utc=until_utc)
        return self.wire.parsed(SetPoint, self.wire.write("PUT", ENVELOPE, body))

    def clear_envelope(self, *, reason: str) -> SetPoint:
        """Take back the envelope that was set."""
        return self.wire.parsed(SetPoint, self.wire.write("DELETE", ENVELOPE, params={"reason": reason}))

    # who gets

    def tenants(self) -> Iterator[Tenant]:
        """Go through the tenants that one may see."""
        return self.wire.pages("/v1/tenants", Tenant)

    def tenant(self, name: str) -> Tenant:
        """Tell a tenant's limits, and what it holds and waits for."""
        return self.wire.get(f"/v1/tenants/{_step(name)}", Tenant)

    def loans(
        self,
        *,
        tenant: str | None = None,
        state: LoanState | Iterable[LoanState] = (),
        most: int | None = None,
    ) -> Iterator[Loan]:
        """Go through loans, the newest first."""
        states = [state] if isinstance(state, str) else list(state)
        return self.wire.pages(
            "/v1/loans", Loan, {"tenant": tenant, "state": states or None, "limit": _page(most)}, most
        )

    def rules(self) -> Iterator[Rule]:
        """Go through the rules of sharing."""
        return self.wire.pages("/v1/rules", Rule)

    def policy(self) -> Policy:
        """Tell the policy in force."""
        return self.wire.get("/v1/policy", Policy)

    def propose_policy_change(
        self, changes: Mapping[str, Any], *, reason: str, days: float = 1.0
    ) -> PolicyChange:
        """Propose a change of the policy; the answer tells what it would do to whom."""
        body = _asked(NewPolicyChange, changes=dict(changes), reason=reason, days=days)
        document = self.wire.write("POST", "/v1/policy-changes", body, timeout_s=WEIGHING_S)
        return self.wire.parsed(PolicyChange, document)

    def policy_changes(self) -> Iterator[PolicyChange]:
        """Go through the last proposed changes, the newest first."""
        return self.wire.pages("/v1/policy-changes", PolicyChange)

    def apply_policy_change(self, change: PolicyChange) -> PolicyChange:
        """Apply a change whose what-if one has seen."""
        body = _asked(Confirmation, confirmation=change.confirmation)
        document = self.wire.write("POST", f"/v1/policy-changes/{_step(change.id)}/apply", body)
        return self.wire.parsed(PolicyChange, document)

    def whatif(
        self,
        changes: Mapping[str, Any] | None = None,
        *,
        grants: Iterable[Mapping[str, Any]] = (),
        envelope_mw: float | None = None,
        days: float = 1.0,
    ) -> dict[str, Any]:
        """Ask the twin, from the live state on, what a change would do to whom; nothing is changed."""
        body = _asked(
            Question, changes=dict(changes or {}), grants=list(grants), envelope_mw=envelope_mw, days=days
        )
        answer = self.wire.send("POST", "/v1/whatif", json=body.model_dump(mode="json"), timeout_s=WEIGHING_S)
        found = answer.json()
        if not isinstance(found, dict):
            raise ClientError(f"{self.wire.server}: its answer is not a what-if")
        return found

    # records

    def me(self) -> Me:
        """Tell who one is, and what one may do."""
        return self.wire.get("/v1/me", Me)

    def cycles(self, *, most: int | None = None) -> Iterator[Cycle]:
        """Go through turns of the loop that changed or decided something, the newest first."""
        return self.wire.pages("/v1/cycles", Cycle, {"limit": _page(most)}, most)

    def cycle(self, number: int) -> CycleInFull:
        """Tell all that a turn of the loop was told and decided."""
        return self.wire.get(f"/v1/cycles/{number}", CycleInFull)

    def audit(
        self,
        *,
        who: str | None = None,
        what: str | None = None,
        subject: str | None = None,
        most: int | None = None,
    ) -> Iterator[AuditEntry]:
        """Go through the audit trail, the newest first."""
        params = {"who": who, "what": what, "subject": subject, "limit": _page(most)}
        return self.wire.pages("/v1/audit", AuditEntry, params, most)

    def postings(self, account: str, *, most: int | None = None) -> Iterator[Posting]:
        """Go through the postings of an account, the newest first."""
        return self.wire.pages(
            "/v1/ledger/postings", Posting, {"account": account, "limit": _page(most)}, most
        )

    def statement(self, tenant: str, from_utc: datetime, until_utc: datetime) -> Statement:
        """Tell what a tenant's accounts did in a period."""
        params = {"from_utc": _instant(from_utc), "until_utc": _instant(until_utc)}
        return self.wire.get(f"/v1/ledger/statements/{_step(tenant)}", Statement, params)


def _page(most: int | None) -> int | None:
    return None if most is None else max(1, min(most, 200))


def _instant(moment: datetime | None) -> str | None:
    if moment is not None and moment.tzinfo is None:
        raise InputError(f"must say its offset from UTC, got {moment.isoformat()}")
    return None if moment is None else moment.isoformat()
