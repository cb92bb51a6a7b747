"""Looking at a cluster: its jobs and nodes as they are now, its jobs of the past where slurmctld has forgotten them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from kvandal.engines.live.protocol import JobNow
from kvandal.engines.live.slurm_command import SlurmCommands
from kvandal.engines.live.slurm_reading import (
    SACCT_FIELDS,
    NodeRow,
    PastRun,
    Row,
    nodes_of,
    past_of,
    row_of,
    squeue_format,
)
from kvandal.engines.live.slurm_record import Record, Records
from kvandal.engines.live.slurm_standing import ENDED, Over, Standing, moment, standing_of

NODES_SHARE = 20
"""Nodes are read again after so many times the seconds that reading them took: a twentieth of the time at most."""
SWEEP_S = 600.0
OLD_RECORD_S = 86_400.0
PAST_BATCH = 500


@dataclass(frozen=True, slots=True)
class Look:
    """A cluster at one instant.

    Attributes
    ----------
    at_utc : when
    nodes : in natural order
    rows, standings : of our jobs, by their number in Slurm
    numbers : of the job of each key
    surplus : jobs with the key of another, submitted when an answer was lost

    """

    at_utc: datetime
    nodes: tuple[NodeRow, ...]
    rows: Mapping[int, Row]
    standings: Mapping[int, Standing]
    numbers: Mapping[str, int]
    surplus: tuple[int, ...]


class SlurmView:
    """What can be seen of a cluster through its commands."""

    def __init__(self, commands: SlurmCommands, records: Records | None) -> None:
        self._commands = commands
        self._records = records
        self._lines: dict[str, tuple[str, Row, Standing]] = {}
        self._nodes: tuple[NodeRow, ...] = ()
        self._nodes_due = 0.0
        self._unknown_since: dict[int, float] = {}
        self._sweep_due = time.monotonic() + SWEEP_S

    def look(self) -> Look:
        """Look at all jobs, and at the nodes if that is due."""
        if time.monotonic() >= self._nodes_due:
            self.look_at_nodes()
        at_utc = datetime.now(UTC)
        border = secrets.token_hex(4)
        printed = self._commands.run("squeue", "-h", "-a", "-t", "all", "-O", squeue_format(border))
        if self._records is not None:
            self._records.refresh()
        rows: dict[int, Row] = {}
        standings: dict[int, Standing] = {}
        lines: dict[str, tuple[str, Row, Standing]] = {}
        mark = f"@{border}@"
        for line in printed.split("\n"):
            number, _, rest = line.partition(mark)
            known = self._lines.get(number)
            if known is not None and known[0] == rest and self._is_quiet(known[1], known[2]):
                _, row, standing = known
            else:
                found = row_of(number, rest) if rest else None
                if found is None:
                    continue
                row, standing = found, self.standing(found)
            lines[number] = (rest, row, standing)
            rows[row.number] = row
            standings[row.number] = standing
        self._lines = lines
        self._unknown_since = {n: since for n, since in self._unknown_since.items() if n in rows}
        if self._records is not None and time.monotonic() >= self._sweep_due:
            self._sweep_due = time.monotonic() + SWEEP_S
            self._records.sweep(rows, time.time() - OLD_RECORD_S)
        numbers, surplus = _by_key(rows)
        return Look(at_utc, self._nodes, rows, standings, numbers, surplus)

    def _is_quiet(self, row: Row, standing: Standing) -> bool:
        """Tell whether a job stands as before when its line is the same: one that waits for its first start."""
        if standing.repair or standing.job.attempt or standing.job.state != "held":
            return False
        return self._records is None or not self._records.present(row.note.key, row.number, row.restarts)

    def look_at_nodes(self) -> tuple[NodeRow, ...]:
        """Read the nodes now."""
        begun = time.monotonic()
        self._nodes = tuple(nodes_of(self._commands.run("scontrol", "-a", "-o", "show", "nodes")))
        ended = time.monotonic()
        self._nodes_due = ended + NODES_SHARE * (ended - begun)
        return self._nodes

    @property
    def nodes(self) -> tuple[NodeRow, ...]:
        """Nodes as they were read last; read now if they never were."""
        return self._nodes or self.look_at_nodes()

    def standing(self, row: Row) -> Standing:
        """Tell how a job stands."""
        since = self._unknown_since.get(row.number)
        unknown_for_s = 0.0 if since is None else time.monotonic() - since
        standing = standing_of(
            row, self._record if self._records is not None else None, unknown_for_s, time.time()
        )
        if standing.job.state == "unknown":
            self._unknown_since.setdefault(row.number, time.monotonic())
        return standing

    def refresh_records(self) -> None:
        """Look which records there are."""
        if self._records is not None:
            self._records.refresh()

    def _record(self, row: Row, restarts: int) -> Record | None:
        assert self._records is not None
        return self._records.of(row.note.key, row.number, restarts)

    # -- the past

    def past(self, numbers: Iterable[int]) -> dict[int, Standing]:
        """Ask slurmdbd how jobs ended that slurmctld has forgotten; those of which it knows no end are left out."""
        wanted = list(numbers)
        found: dict[int, Standing] = {}
        for first in range(0, len(wanted), PAST_BATCH):
            some = ",".join(map(str, wanted[first : first + PAST_BATCH]))
            found |= _last_of(past_of(self._sacct("-j", some)))
        return {number: standing for number, standing in found.items() if number in set(wanted)}

    def past_since(self, at_utc_s: float) -> dict[int, Standing]:
        """Ask slurmdbd for all our jobs that ended since a time."""
        start = (
            datetime.fromtimestamp(at_utc_s).astimezone().strftime("%Y-%m-%dT%H:%M:%S")
        )  # sacct's own clock
        return _last_of(past_of(self._sacct("-S", start)))

    def _sacct(self, *which: str) -> list[str]:
        return self._commands.run("sacct", "-a", "-n", "-P", "-X", "-D", "-o", SACCT_FIELDS, *which).split(
            "\n"
        )


def _by_key(rows: Mapping[int, Row]) -> tuple[dict[str, int], tuple[int, ...]]:
    """Of several jobs with one key the first counts."""
    numbers: dict[str, int] = {}
    surplus = []
    for number in sorted(rows):
        key = rows[number].note.key
        if numbers.setdefault(key, number) != number:
            surplus.append(number)
    return numbers, tuple(surplus)


def _last_of(runs: Iterable[PastRun]) -> dict[int, Standing]:
    last: dict[int, PastRun] = {}
    for run in runs:
        if run.number not in last or run.start_utc_s >= last[run.number].start_utc_s:
            last[run.number] = run
    return {number: _past_standing(run) for number, run in last.items() if run.state in ENDED}


def _past_standing(run: PastRun) -> Standing:
    state, outcome = ENDED[run.state]
    note = run.note
    if note.word in {"completed", "failed"}:
        state = outcome = "completed" if note.word == "completed" else "failed"
    ran = bool(note.attempt) or 0 < run.start_utc_s < run.end_utc_s
    attempt = note.attempt or int(ran)
    job = JobNow(
        note.key, attempt, state, (), moment(run.start_utc_s), moment(run.end_utc_s), run.state.lower()
    )
    return Standing(job, ran=ran, over=Over(outcome, run.end_utc_s, run.state.lower()))
