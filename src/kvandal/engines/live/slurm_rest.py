"""slurmrestd over HTTP: a version that both sides speak, a token that is renewed, errors told apart."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Mapping
from typing import Any

import httpx
import orjson

from kvandal.engines.live.protocol import EngineUnreachableError, OrderRefusedError
from kvandal.engines.live.slurm_cluster import SlurmCluster
from kvandal.engines.live.slurm_command import CommandFailedError, run_command

KNOWN_VERSIONS = ("v0.0.38",)
"""Versions of the interface that were tried with a real server, the best first."""
HELD = 2042
"""Beside a job that was submitted held: it is held, as it was asked."""
NO_SUCH_JOB = 2017
ALREADY_OVER = 2021
PASSING = {2016, 2019, 2020}
"""Nodes busy, state cannot be saved, job in transition: refusals of the moment."""
REFUSALS = range(2000, 3000)
"""Numbers of errors with which slurmctld answers to an order; others are those of the way to it, of tokens, of slurmdbd."""
PARSE_ERRORS = range(9000, 9100)
QUIET_S = 1.0
"""After a failure nothing is tried for so long: a loop with many orders does not wait for each."""


class RefusedError(OrderRefusedError):
    """Slurm's own refusal, with its number."""

    def __init__(self, words: str, number: int) -> None:
        super().__init__(words)
        self.number = number


class SlurmRest:
    """A connection to slurmrestd, in the name of the service user or of others."""

    def __init__(self, cluster: SlurmCluster) -> None:
        self._cluster = cluster
        self._socket: str | None = None
        if cluster.rest_url.startswith("unix:"):
            self._socket = cluster.rest_url.removeprefix("unix:").removeprefix("//")
            transport = httpx.HTTPTransport(uds=self._socket)
            base = "http://slurmrestd"
        else:
            transport, base = httpx.HTTPTransport(), cluster.rest_url
        self._client = httpx.Client(
            transport=transport, base_url=base, timeout=cluster.timeout_s, trust_env=False
        )
        self._token: str | None = None
        self._version: str | None = None
        self._quiet_until = 0.0

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def ping(self) -> None:
        """See whether the server answers and takes the token."""
        self._call("GET", "ping")

    def job(self, number: int) -> Mapping[str, Any] | None:
        """Look at a job as slurmctld has it; None: it knows none of that number."""
        try:
            answer = self._call("GET", f"job/{number}")
        except RefusedError as refused:
            if refused.number == NO_SUCH_JOB:
                return None
            raise
        found: list[Mapping[str, Any]] = answer.get("jobs", [])
        return found[0] if found else None

    def submit(self, user: str, job: Mapping[str, Any], script: str) -> int:
        """Submit a job as somebody and return its number."""
        answer = self._call("POST", "job/submit", {"job": job, "script": script}, user)
        number = int(answer.get("job_id") or 0)
        if not number:
            raise EngineUnreachableError("slurmrestd took a job and named no number for it")
        return number

    def update(self, number: int, changes: Mapping[str, Any]) -> None:
        """Change a job; slurmctld makes all changes or none."""
        self._call("POST", f"job/{number}", changes)

    def cancel(self, number: int) -> None:
        """End a job; one that is over or unknown stays so."""
        try:
            self._call("DELETE", f"job/{number}")
        except RefusedError as refused:
            if refused.number not in {NO_SUCH_JOB, ALREADY_OVER}:
                raise

    def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, user: str | None = None
    ) -> dict[str, Any]:
        if time.monotonic() < self._quiet_until:
            raise EngineUnreachableError("slurmrestd did not answer a moment ago")
        with self._failing_quietly():
            where = f"/slurm/{self.version()}/{path}"
            try:
                return self._ask(method, where, body, user)
            except EngineUnreachableError:
                # a token that no longer counts looks like a controller that is away: try once with a new one
                if self._token is None or not self._renew():
                    raise
            return self._ask(method, where, body, user)

    @contextlib.contextmanager
    def _failing_quietly(self) -> Any:
        try:
            yield
        except EngineUnreachableError:
            self._quiet_until = time.monotonic() + QUIET_S
            raise

    def version(self) -> str:
        """Return the best version that the server offers and that is known here."""
        if self._version is None:
            paths = self._ask("GET", "/openapi/v3", None, None).get("paths", {})
            offered = {found[1] for path in paths if (found := re.match(r"/slurm/(v[\d.]+)/", path))}
            chosen = next((version for version in KNOWN_VERSIONS if version in offered), None)
            if chosen is None:
                raise EngineUnreachableError(
                    f"slurmrestd at {self._cluster.rest_url} offers {', '.join(sorted(offered)) or 'no version'}; "
                    f"known are {', '.join(KNOWN_VERSIONS)}"
                )
            self._version = chosen
        return self._version

    def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None, user: str | None
    ) -> dict[str, Any]:
        headers = {
            "X-SLURM-USER-NAME": user or self._cluster.service_user,
            "X-SLURM-USER-TOKEN": self._token or self._fetch(),
            "Content-Type": "application/json",
        }
        content = None if body is None else orjson.dumps(body)
        self._knock()
        try:
            reply = self._client.request(method, path, headers=headers, content=content)
        except httpx.HTTPError as failed:
            self._version = None  # what comes up again may be another version
            kind = "does not answer" if isinstance(failed, httpx.TimeoutException) else "is not reached"
            raise EngineUnreachableError(f"slurmrestd {kind}: {failed or type(failed).__name__}") from None
        try:
            answer = orjson.loads(reply.content)
        except orjson.JSONDecodeError:
            raise EngineUnreachableError(
                f"slurmrestd answers {reply.status_code} without JSON: {reply.text[:200]!r}"
            ) from None
        self._judge(reply.status_code, answer.get("errors") or [])
        return dict(answer)

    def _knock(self) -> None:
        """See whether somebody listens at the Unix socket: httpx leaves one open when it finds nobody."""
        if self._socket is None:
            return
        with socket.socket(socket.AF_UNIX) as knocking:
            knocking.settimeout(self._cluster.timeout_s)
            try:
                knocking.connect(self._socket)
            except OSError as failed:
                raise EngineUnreachableError(f"slurmrestd is not reached: {failed.strerror}") from None

    def _judge(self, status: int, errors: list[Mapping[str, Any]]) -> None:
        """Raise for what went wrong: an order that was refused, or a controller that is away."""
        numbers = [int(error.get("error_number", error.get("error_code", 0)) or 0) for error in errors]
        told = [(number, error) for number, error in zip(numbers, errors, strict=True) if number != HELD]
        if not told and status < 400:
            return
        words = "; ".join(_words(error) for _, error in told) or f"HTTP {status}"
        for number, _ in told:
            if (number in REFUSALS and number not in PASSING) or number in PARSE_ERRORS:
                raise RefusedError(f"Slurm refuses: {words}", number)
        raise EngineUnreachableError(f"slurmrestd: {words}")

    def _fetch(self) -> str:
        cluster = self._cluster
        if cluster.token_command:
            try:
                printed = run_command(cluster.token_command, cluster.timeout_s)
            except CommandFailedError as failed:
                raise EngineUnreachableError(f"no token: {cluster.token_command[0]}: {failed}") from None
        elif cluster.token_file is not None:
            try:
                printed = cluster.token_file.read_text(encoding="utf-8")
            except OSError as failed:
                raise EngineUnreachableError(f"no token: {cluster.token_file}: {failed.strerror}") from None
        else:
            printed = cluster.token or "none"  # a socket with rest_auth/local asks for no token
        self._token = (
            printed.strip().rsplit("=", 1)[-1] if printed.startswith("SLURM_JWT=") else printed.strip()
        )
        return self._token

    def _renew(self) -> bool:
        """Fetch the token again; tell whether it is another."""
        old, self._token = self._token, None
        return self._fetch() != old


def _words(error: Mapping[str, Any]) -> str:
    said = [str(error[key]) for key in ("error", "description") if error.get(key)]
    return " - ".join(said) or "no words"
