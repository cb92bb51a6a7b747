"""The members of an uncertain run, each a full simulation, in worker processes; the count of workers changes nothing."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from kvandal.errors import InputError, KvandalError
from kvandal.scenario.model import Scenario

WATCH_S = 0.2
"""How often the parent looks up from waiting [s]."""
PATIENCE_S = 2.0
"""How long the parent waits for its dead workers' queues to be cleared away [s]."""
_ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

Progress = Callable[[int, int], None]
Argument = TypeVar("Argument")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one member: its flat summary, or why it was refused."""

    summary: dict[str, Any] | None
    reason: str | None = None


def simulate_member(scenario: Scenario) -> Outcome:
    """Simulate one member and keep its summary only."""
    from kvandal.runs.compare import flatten
    from kvandal.runs.run import simulate

    try:
        return Outcome(flatten(simulate(scenario, summary_only=True, take=_leave).summary))
    except InputError as error:
        return Outcome(None, str(error))


def _leave(_name: str, _table: object) -> None:
    """Take no table."""


def simulate_members(
    scenarios: Sequence[Scenario | None], workers: int, progress: Progress | None = None
) -> list[Outcome | None]:
    """Simulate each scenario in one of `workers` processes, see :func:`in_workers`; None is passed over."""
    return in_workers(simulate_member, scenarios, workers, progress)


def in_workers(
    task: Callable[[Argument], Result],
    arguments: Sequence[Argument | None],
    workers: int,
    progress: Progress | None = None,
    prepare: tuple[Callable[..., None], tuple[Any, ...]] | None = None,
) -> list[Result | None]:
    """Call a function for each argument in one of `workers` processes.

    Parameters
    ----------
    task
        A function of a module, that a new process can find by its name.
    arguments
        What it is called with; None is passed over.
    workers
        Processes; each holds in memory what the task needs.
    progress
        Called several times a second with the calls done and those in all. What it raises ends the workers at once.
    prepare
        Function and arguments that every process calls first.

    Raises
    ------
    KvandalError
        If a worker process died.

    """
    total = sum(one is not None for one in arguments)
    outcomes: list[Result | None] = [None] * len(arguments)
    others = set(multiprocessing.active_children())
    pool: ProcessPoolExecutor | None = None
    done = 0
    try:
        with signals_wait():
            pool = ProcessPoolExecutor(
                min(workers, max(1, total)),
                mp_context=multiprocessing.get_context("spawn"),
                initializer=begin_worker,
                initargs=(prepare,),
            )
            places: dict[Future[Result], int] = {
                pool.submit(task, argument): index
                for index, argument in enumerate(arguments)
                if argument is not None
            }
        waiting = set(places)
        while waiting:
            finished, waiting = wait(waiting, WATCH_S, FIRST_COMPLETED)
            for future in finished:
                outcomes[places[future]] = future.result()
            done += len(finished)
            if progress is not None:
                progress(done, total)
        pool.shutdown()
    except BaseException as error:
        if pool is not None:
            end_pool(pool, set(multiprocessing.active_children()) - others)
        if isinstance(error, BrokenProcessPool):
            raise KvandalError(
                "--workers: a worker process died, probably for want of memory; nothing was kept. "
                f"Give fewer than {workers}"
                if workers > 1
                else "a worker process died, probably for want of memory; nothing was kept. Give fewer days or GPUs"
            ) from None
        raise
    return outcomes


def workers_that_fit(samples: int) -> int:
    """Return as many workers as there are cores, as long as each finds the memory that this process took at most."""
    cores = cores_here()
    free, taken = free_bytes(), peak_bytes()
    fitting = free // taken if free is not None and taken else cores
    return max(1, min(cores, samples, fitting))


def cores_here() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def end_pool(pool: ProcessPoolExecutor, children: set[BaseProcess]) -> None:
    """End the workers at once, and let the pool clear away what it shared with them; but wait for nothing in vain."""
    for child in children:
        child.kill()
    closing = threading.Thread(target=pool.shutdown, kwargs={"cancel_futures": True}, daemon=True)
    closing.start()
    closing.join(PATIENCE_S)


def begin_worker(prepare: tuple[Callable[..., None], tuple[Any, ...]] | None = None) -> None:
    """Leave signals to the parent, and do not outlive it; then do what the task needs first."""
    for each in _ENDING:
        signal.signal(each, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    parent = multiprocessing.parent_process()
    if parent is not None:

        def follow() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=follow, daemon=True).start()
    if prepare is not None:
        function, arguments = prepare
        function(*arguments)


@contextlib.contextmanager
def signals_wait() -> Iterator[None]:
    """Answer ending signals afterwards: half a worker cannot be cleared away. Workers born meanwhile are deaf to them.

    Blocking them is for the workers, which inherit it; in this process another thread would take the signal.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    arrived: list[int] = []
    before = {each: handler for each in _ENDING if (handler := signal.getsignal(each)) is not None}
    for each in before:
        signal.signal(each, lambda number, _frame: arrived.append(number))
    try:
        resource_tracker.ensure_running()  # it unblocks the signals when it starts, so it starts first
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
        if arrived:
            signal.raise_signal(arrived[0])


def free_bytes() -> int | None:
    """Memory that is free or can be freed; None where the system does not tell."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:  # noqa: PTH123 - no folder of ours
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return None


def peak_bytes() -> int | None:
    """Largest memory that this process had; None where the system does not tell."""
    import sys

    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
