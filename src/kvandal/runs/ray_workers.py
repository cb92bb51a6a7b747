"""Members simulated on a Ray cluster that is there already; imported only where one is named."""

from __future__ import annotations

import platform
import signal
import socket
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Self

from kvandal.errors import KvandalError
from kvandal.runs.batch import Base, Member, Simulated, Simulator, Watch, sources_hash
from kvandal.runs.members import WATCH_S

RETRIES = 5
"""How often Ray itself begins a member again whose process or machine died."""
AHEAD = 2
"""Members handed over for each core, so that none waits for the next."""
PATIENCE_S = 5.0
"""How long the cluster's head may take to answer [s]."""
_KEPT: dict[str, Simulator] = {}


class RayWorkers:
    """Processes of a Ray cluster: one core for each member.

    The first member runs alone, then Ray is told how much memory one takes.

    Parameters
    ----------
    base
        What the members have in common; it lies in the cluster's object store once.
    address
        Of the cluster's head, ``HOST:PORT``, or ``auto``.
    watch
        See :data:`kvandal.runs.batch.Watch`.

    Raises
    ------
    KvandalError
        If Ray is not installed, or no cluster answers.

    """

    def __init__(self, base: Base, address: str, watch: Watch) -> None:
        self._base, self._address, self._watch = base, address, watch
        self._memory_bytes: int | None = None
        self._ray = _installed()

    def run(self, members: Iterable[Member]) -> Iterator[tuple[Member, Simulated]]:
        """Simulate members; give them back as they are finished.

        Raises
        ------
        KvandalError
            If the cluster is gone, or runs other sources than this program.

        """
        ray, coming = self._ray, iter(members)
        running: dict[Any, Member] = {}
        while True:
            room = 1 if self._memory_bytes is None else AHEAD * max(1, self._cores())
            while len(running) < room:
                member = next(coming, None)
                if member is None:
                    break
                running[self._submit(member)] = member
            if not running:
                return
            finished, _ = ray.wait(list(running), num_returns=1, timeout=WATCH_S)
            self._watch()
            for place in finished:
                member = running.pop(place)
                try:
                    simulated = ray.get(place)
                except ray.exceptions.RayError as error:
                    raise KvandalError(
                        f"--ray {self._address}: member {member.name} could not be simulated there; finished members are kept: "
                        f"{_first_line(error)}"
                    ) from None
                if isinstance(simulated, str):
                    raise KvandalError(
                        f"--ray {self._address}: {simulated}; install the same version on every machine"
                    )
                self._memory_bytes = max(self._memory_bytes or 1, simulated.peak_bytes or 1)
                yield member, simulated

    def _submit(self, member: Member) -> Any:
        options: dict[str, Any] = {"num_cpus": 1, "max_retries": RETRIES}
        if self._memory_bytes is not None and self._fits(self._memory_bytes):
            options["memory"] = self._memory_bytes
        return self._task.options(**options).remote(self._shared, sources_hash(), self._mark, member)

    def _fits(self, memory_bytes: int) -> bool:
        """Whether a machine has so much at all; else a member would wait for ever."""
        return any(
            node["Alive"] and node["Resources"].get("memory", 0) >= memory_bytes for node in self._ray.nodes()
        )

    def _cores(self) -> int:
        return int(self._ray.cluster_resources().get("CPU", 1))

    def __enter__(self) -> Self:
        """Join the cluster."""
        ray = self._ray
        self._refuse_nobody()
        before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            ray.init(
                address=self._address,
                log_to_driver=False,
                logging_level="CRITICAL",
                configure_logging=False,
                namespace="kvandal",
            )
        except (ConnectionError, RuntimeError, ValueError, TimeoutError, OSError) as error:
            raise KvandalError(
                f"--ray {self._address}: no Ray cluster of this Ray's version answers there: {_first_line(error)}"
            ) from None
        finally:
            for each, handler in before.items():  # ours stay in force
                if handler is not None:
                    signal.signal(each, handler)
        self._shared = ray.put(self._base)
        self._mark = str(self._shared.hex())
        self._task = ray.remote(_simulate)
        return self

    def _refuse_nobody(self) -> None:
        """Refuse an address where nobody listens at once; Ray itself would try for minutes."""
        host, separator, port = self._address.removeprefix("ray://").rpartition(":")
        if not separator:
            if self._address != "auto":
                raise KvandalError(
                    f"--ray: expected HOST:PORT, or auto for a cluster on this machine, got {self._address!r}"
                )
            return
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE_S).close()
        except (OSError, ValueError, OverflowError) as error:
            raise KvandalError(f"--ray {self._address}: no Ray cluster answers there: {error}") from None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the cluster, which ends what is still running."""
        self._ray.shutdown()


def _simulate(base: Base, hash_asked: str, mark: str, member: Member) -> Simulated | str:
    """Simulate a member in a process of the cluster; a text says why that must not be."""
    if sources_hash() != hash_asked:
        return f"{platform.node()} has another kvandal"
    if mark not in _KEPT:
        _KEPT.clear()
        _KEPT[mark] = Simulator(base)
    return _KEPT[mark].simulate(member)


def _installed() -> Any:
    import os

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise KvandalError("--ray: the package ray is not installed; pip install 'kvandal[ray]'") from None
    return ray


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
