"""Members simulated in processes of this machine, any number of them after each other; a process that dies is replaced."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Self

from kvandal.errors import KvandalError
from kvandal.runs.batch import Base, Member, Simulated, Simulator, Watch
from kvandal.runs.members import WATCH_S, begin_worker, cores_here, end_pool, free_bytes, signals_wait

STRIKES = 3
"""Deaths of processes, none of which was followed by a finished member, after which nothing more is tried."""

_simulator: list[Simulator] = []


class LocalWorkers:
    """Processes of this machine.

    Parameters
    ----------
    base
        What the members have in common.
    workers
        How many; None: as many as there are cores, as long as each finds the memory that the first member took, which
        runs alone. It also runs alone while the kernels are not compiled.
    watch
        See :data:`kvandal.runs.batch.Watch`.

    """

    def __init__(self, base: Base, workers: int | None, watch: Watch) -> None:
        from kvandal import compiled

        self._base, self._wanted, self._watch = base, workers, watch
        self._count = workers if workers is not None and compiled.is_cached() else 1
        self._alone = self._count != workers
        self._strikes = 0
        self._others = set(multiprocessing.active_children())
        self._pool: ProcessPoolExecutor | None = None

    def run(self, members: Iterable[Member]) -> Iterator[tuple[Member, Simulated]]:
        """Simulate members; give them back as they are finished.

        Raises
        ------
        KvandalError
            If process after process dies.

        """
        coming, again = iter(members), list[Member]()
        running: dict[Future[Simulated], Member] = {}
        while True:
            while len(running) < self._count:
                member = again.pop(0) if again else next(coming, None)
                if member is None:
                    break
                running[self._submit(member)] = member
            if not running:
                return
            finished, _ = wait(running, WATCH_S, FIRST_COMPLETED)
            self._watch()
            lost = [
                running[future] for future in finished if isinstance(future.exception(), BrokenProcessPool)
            ]
            if lost:
                finished = {future for future in running if future.done() and future.exception() is None}
                lost = [member for future, member in running.items() if future not in finished]
            for future in finished:
                if not isinstance(future.exception(), BrokenProcessPool):
                    simulated = future.result()
                    self._learn(simulated)
                    yield running.pop(future), simulated
            if lost:
                running.clear()
                again = lost + again
                self._replace()

    def _submit(self, member: Member) -> Future[Simulated]:
        with signals_wait():
            if self._pool is None:
                self._pool = ProcessPoolExecutor(
                    self._wanted or cores_here(),
                    mp_context=multiprocessing.get_context("spawn"),
                    initializer=begin_worker,
                    initargs=((_begin, (self._base,)),),
                )
            try:
                return self._pool.submit(_simulate, member)
            except BrokenProcessPool as error:  # it broke since the last member was submitted
                future: Future[Simulated] = Future()
                future.set_exception(error)
                return future

    def _learn(self, simulated: Simulated) -> None:
        """Let the others begin after the first member, as many as find the memory that it took."""
        self._strikes = 0
        if not self._alone:
            return
        self._alone = False
        if self._wanted is not None:
            self._count = self._wanted
            return
        free, taken = free_bytes(), simulated.peak_bytes
        fitting = (free + taken) // taken if free is not None and taken else cores_here()
        self._count = max(1, min(cores_here(), fitting))

    def _replace(self) -> None:
        """Begin anew after a process died: with one process if the one before it died too."""
        self._end()
        self._strikes += 1
        if self._strikes == STRIKES:
            raise KvandalError(
                "--workers: worker processes died one after the other, probably for want of memory; finished members are "
                f"kept. Give fewer than {self._count if self._count > 1 else self._wanted or cores_here()} workers, fewer days "
                "or GPUs"
            )
        if self._strikes > 1:
            self._count = 1

    def _end(self) -> None:
        if self._pool is not None:
            end_pool(self._pool, set(multiprocessing.active_children()) - self._others)
            self._pool = None

    def __enter__(self) -> Self:
        """Begin; processes start with the first member."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the processes; at once if there was an error."""
        if kind is not None:
            self._end()
        elif self._pool is not None:
            self._pool.shutdown()
            self._pool = None


def _begin(base: Base) -> None:
    _simulator[:] = [Simulator(base)]


def _simulate(member: Member) -> Simulated:
    from kvandal import compiled

    simulated = _simulator[0].simulate(member)
    if simulated.summary is not None:
        compiled.mark_cached()
    return simulated
