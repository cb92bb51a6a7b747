"""The service under measurement: `kvandal serve` itself, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from secrets import token_hex
from typing import Any

from kvandal.errors import KvandalError

START_S = 600.0
"""Longest wait for a service to be ready; kernels may have to be compiled [s]."""
STEADY_S = 180.0
"""Longest wait for a site to fill [s]."""
STEADY_LOOKS = 5
"""Looks, a second apart, in which the number of running jobs hardly grows once a site is full."""


class Served:
    """A service that runs.

    Parameters
    ----------
    scenario
        Of the site.
    folder
        What it keeps, and its log.
    database
        URL; None: SQLite in the folder.
    speed
        Seconds of the site in a second of real time.

    """

    def __init__(self, scenario: str, folder: Path, *, database: str | None, speed: float) -> None:
        self._log = folder / "server.log"
        words = [
            sys.executable,
            "-m",
            "kvandal.cli.main",
            "serve",
            scenario,
            "--port",
            "0",
            "--speed",
            f"{speed:g}",
        ]
        words += ["--data-dir", str(folder / "data")]
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith("KVANDAL_SERVE_")
        }
        environment.pop("KVANDAL_CONFIG", None)
        if database is not None:
            environment["KVANDAL_SERVE_DATABASE"] = (
                database  # not on the command line: there may be a password in it
            )
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(  # noqa: S603 - words of our own
                words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, env=environment
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline().decode()
        if "http://" not in line:
            self.stop()
            raise KvandalError(f"the service did not start: {self._last_words()}")
        where = line.split("http://", 1)[1].split()[0]
        self.host, _, port = where.rpartition(":")
        self.port = int(port)

    def get(self, path: str) -> tuple[int, Any]:
        """Ask for a document; returns status and what it says, None where it is no JSON."""
        connection = HTTPConnection(self.host, self.port, timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        with suppress(ValueError):
            return answer.status, json.loads(text)
        return answer.status, None

    def wait_until_ready(self) -> None:
        """Wait until the loop turns.

        Raises
        ------
        KvandalError
            If the service ends, or is not ready in time.

        """
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise KvandalError(f"the service has ended: {self._last_words()}")
            with suppress(OSError):
                if self.get("/readyz")[0] == 200 and self.get("/v1/site")[0] == 200:
                    return
            time.sleep(0.25)
        raise KvandalError(f"the service is not ready after {START_S:g} s: {self._last_words()}")

    def wait_until_full(self, longest_s: float = STEADY_S) -> dict[str, Any]:
        """Wait until the tenants of a new site have submitted what runs from its first hour on; return the site."""
        seen: list[int] = []
        until = time.monotonic() + longest_s
        while True:
            site: dict[str, Any] = self.get("/v1/site")[1]
            seen.append(site["jobs"]["running"])
            last = seen[-STEADY_LOOKS:]
            if len(last) == STEADY_LOOKS and last[-1] > 0 and max(last) <= 1.01 * min(last):
                return site
            if time.monotonic() > until:
                return site
            time.sleep(1.0)

    def newest_jobs(self, pages: int) -> list[str]:
        """Ids of jobs that are there, the newest first."""
        found: list[str] = []
        path: str | None = "/v1/jobs?limit=200"
        while path is not None and pages > 0:
            page = self.get(path)[1]
            found += [job["id"] for job in page["items"]]
            path, pages = page["next"], pages - 1
        return found

    def cpu_s(self) -> float | None:
        """Processor time of the service so far [s]; None where the system does not tell."""
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        except OSError:
            return None
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mib(self) -> float | None:
        """Memory of the service that is in use now [MiB]; None where the system does not tell."""
        try:
            pages = int(Path(f"/proc/{self.process.pid}/statm").read_text("ascii").split()[1])
        except OSError:
            return None
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def stop(self) -> None:
        """Tell it to end, and see to it that it does."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def _last_words(self) -> str:
        lines = self._log.read_text("utf-8", "replace").splitlines()
        return lines[-1][:500] if lines else f"it ended with {self.process.returncode}"


@contextmanager
def serving(scenario: str, folder: Path, *, database: str | None, speed: float) -> Iterator[Served]:
    """Run a service that is ready, for as long as the block takes."""
    service = Served(scenario, folder, database=database, speed=speed)
    try:
        service.wait_until_ready()
        yield service
    finally:
        service.stop()


@contextmanager
def room_in(database: str | None) -> Iterator[str | None]:
    """Make a place of its own in a database of PostgreSQL, so that nothing that is there is touched; it is removed again.

    Yields
    ------
    The URL of that place; None for None.

    Raises
    ------
    InputError
        If the URL is none, or one of a file: a file for the measurement is made anyway.

    """
    if database is None:
        yield None
        return
    from sqlalchemy import create_engine

    from kvandal.control.store.address import address_of, file_of
    from kvandal.errors import InputError

    address = address_of(database)
    if file_of(address) is not None:
        raise InputError(
            "measures SQLite in a temporary folder by itself; give only a database of PostgreSQL",
            key="--database",
        )
    name = f"kvandal_bench_{token_hex(4)}"
    engine = create_engine(address, isolation_level="AUTOCOMMIT", hide_parameters=True)
    try:
        try:
            with engine.connect() as connection:
                connection.exec_driver_sql(f"CREATE SCHEMA {name}")
        except Exception as error:  # noqa: BLE001 - whatever the driver says, it is about this URL
            first = str(getattr(error, "orig", error)).splitlines()[0]
            raise InputError(f"cannot be used: {first}", key="--database") from None
        own = address.update_query_dict({"options": f"-csearch_path={name}"})
        try:
            yield own.set(drivername="postgresql").render_as_string(hide_password=False)
        finally:
            with engine.connect() as connection:
                connection.exec_driver_sql(f"DROP SCHEMA {name} CASCADE")
    finally:
        engine.dispose()


def processors() -> int | None:
    """Processors that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count()


def load_average() -> float | None:
    """Work that waited for the processors in the last minute; None where the system does not tell."""
    try:
        return round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):
        return None
