"""What squeue and scontrol print, as rows; pure functions of text.

Our jobs are known by their comment, `kvandal/KEY ATTEMPT RESTARTS WORD TIME`: the attempt that was released last, Slurm's
count of restarts at that moment, and what we did to it since (see :class:`Note`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, unquote

from kvandal.engines.live.protocol import NodeNow

OURS = "kvandal/"
SQUEUE_FIELDS = (
    "State", "RestartCnt", "PriorityLong", "exit_code", "StartTime", "EndTime", "NodeList", "tres-per-node", "Reason",
    "Comment",
)  # fmt: skip
SACCT_FIELDS = "jobidraw,state,start,end,exitcode,nodelist,comment"


Word = Literal["", "start", "notice", "hold", "completed", "failed"]


@dataclass(frozen=True, slots=True)
class Note:
    """What we keep in the comment of a job.

    Attributes
    ----------
    key : the loop's id of the job
    attempt : the attempt that was released last; 0: none yet
    restarts : Slurm's count of restarts when it was
    word : *start*: it was released; *notice*: it was told of its recall; *hold*: we asked to take it off its nodes; *completed*, *failed*: how it really ended, whatever Slurm says
    at_utc_s : when, as seconds since 1970

    """

    key: str
    attempt: int = 0
    restarts: int = 0
    word: Word = ""
    at_utc_s: int = 0

    def text(self) -> str:
        """Return the comment.

        >>> Note("job 7", 2, 1, "hold", 1700000000).text()
        'kvandal/job%207 2 1 hold 1700000000'
        """
        head = OURS + quote(self.key, safe="-_.:~")
        if not self.attempt and not self.word:
            return head
        tail = f" {self.word} {self.at_utc_s}" if self.word else ""
        return f"{head} {self.attempt} {self.restarts}{tail}"


def note_of(comment: str) -> Note | None:
    """Read a comment; None: not one of ours.

    >>> note_of("kvandal/job%207 2 1 hold 1700000000")
    Note(key='job 7', attempt=2, restarts=1, word='hold', at_utc_s=1700000000)
    >>> note_of("my thesis") is None
    True
    """
    found = re.fullmatch(
        rf"{OURS}(\S+)(?: (\d{{1,6}}) (\d{{1,6}})(?: (start|notice|hold|completed|failed) (\d{{1,12}}))?)?",
        comment,
    )
    if found is None:
        return None
    key, attempt, restarts, word, at = found.groups()
    return Note(unquote(key), int(attempt or 0), int(restarts or 0), word or "", int(at or 0))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Row:
    """A job as Slurm has it.

    Attributes
    ----------
    number : its number in Slurm
    note : our comment
    state : Slurm's word: PENDING, RUNNING ...
    held : priority 0
    restarts : count of restarts
    status : exit status, as waitpid tells it
    start_utc_s, end_utc_s : of this run, or when it may begin; 0: not known
    nodes : where it runs or ran
    gpus_per_node : as it was asked for
    reason : why it waits

    """

    number: int
    note: Note
    state: str
    held: bool = False
    restarts: int = 0
    status: int = 0
    start_utc_s: int = 0
    end_utc_s: int = 0
    nodes: str = ""
    gpus_per_node: int = 0
    reason: str = ""


def squeue_format(border: str) -> str:
    """Fields of squeue; `border` follows the number of a job, and nobody who writes comments can know it."""
    fields = [f"JobID:@{border}@", *(f"{name}:|" for name in SQUEUE_FIELDS[:-1]), f"{SQUEUE_FIELDS[-1]}:"]
    return ",".join(fields)


def row_of(number: str, rest: str) -> Row | None:
    """Read a line of squeue behind the number of its job; None: not one of our jobs."""
    parts = rest.split("|", len(SQUEUE_FIELDS) - 1)
    if len(parts) != len(SQUEUE_FIELDS) or not number.isdigit():
        return None
    state, restarts, priority, status, start, end, nodes, per_node, reason, comment = parts
    # a reason may hold the separator, a comment of ours cannot
    comment = comment.rsplit("|", 1)[-1].strip()
    note = note_of(comment)
    if note is None:
        return None
    return Row(
        int(number), note, state, priority.strip() == "0", _whole(restarts), _whole(status), _whole(start), _whole(end),
        nodes, gpus_in(per_node), reason,
    )  # fmt: skip


def row_of_rest(job: Mapping[str, Any]) -> Row | None:
    """Read a job of the REST interface, v0.0.38; None: not one of ours."""
    note = note_of(str(job.get("comment") or ""))
    if note is None:
        return None

    def whole(name: str) -> int:
        return int(job.get(name) or 0)

    return Row(
        whole("job_id"), note, str(job.get("job_state")), whole("priority") == 0, whole("restart_cnt"),
        whole("exit_code"), whole("start_time"), whole("end_time"), str(job.get("nodes") or ""),
        gpus_in(str(job.get("tres_per_node") or "")),
        str(job.get("state_description") or job.get("state_reason") or ""),
    )  # fmt: skip


def _whole(text: str) -> int:
    text = text.strip()
    return int(text) if text.isdigit() else 0


def gpus_in(gres: str) -> int:
    """Count GPUs in a list of generic resources.

    >>> gpus_in("gres:gpu:gb200:4"), gpus_in("gpu:gb200:4(S:0-1),shard:8"), gpus_in("gpu:2"), gpus_in("(null)")
    (4, 4, 2, 0)
    """
    return sum(int(count) for count in re.findall(r"\bgpu(?::[A-Za-z][\w.-]*)?[:=](\d+)", gres))


def hosts_of(text: str) -> list[str]:
    """Names in a host list.

    >>> hosts_of("gpu[001-003,007],r0001n[01-02]")
    ['gpu001', 'gpu002', 'gpu003', 'gpu007', 'r0001n01', 'r0001n02']
    >>> hosts_of("a[1-2]b[3,5]")
    ['a1b3', 'a1b5', 'a2b3', 'a2b5']
    """
    return [name for part in re.findall(r"(?:[^,\[]|\[[^\]]*\])+", text) for name in _expanded(part)]


def _expanded(part: str) -> list[str]:
    found = re.search(r"\[([^\]]*)\]", part)
    if found is None:
        return [part] if part else []
    before, after = part[: found.start()], _expanded(part[found.end() :]) or [""]
    numbers: list[str] = []
    for span in found[1].split(","):
        low, _, high = span.partition("-")
        numbers += [f"{n:0{len(low)}d}" for n in range(int(low), int(high or low) + 1)]
    return [f"{before}{number}{rest}" for number in numbers for rest in after]


# -- nodes

NAME, GRES, STATE = (re.compile(p) for p in (r"^NodeName=(\S+)", r" Gres=(\S+)", r" State=(\S+)"))
WATTS = re.compile(r" CurrentWatts=(\d+)")
REASON = re.compile(r" Reason=(.*?)(?: \[[^\]]*\])?\s*$")
CPUS = re.compile(r" CPUTot=(\d+)")
GONE = {"DOWN", "UNKNOWN", "FUTURE", "ERROR", "FAIL", "REBOOT_ISSUED", "POWERING_DOWN"}
CLOSED = {"DRAIN", "DRAINED", "DRAINING", "FAILING", "MAINT", "MAINTENANCE", "RESERVED", "REBOOT", "REBOOT_REQUESTED", "INVAL"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A node as Slurm has it, with its processors."""

    now: NodeNow
    cpus: int
    drained: bool


def nodes_of(text: str) -> list[NodeRow]:
    """Read `scontrol -o show nodes`; nodes without GPUs are left out, the others come in natural order."""
    found = [row for line in text.splitlines() if (row := _node(line)) is not None]
    return sorted(found, key=lambda row: natural(row.now.name))


def _node(line: str) -> NodeRow | None:
    name, gres, said = NAME.search(line), GRES.search(line), STATE.search(line)
    if name is None or gres is None or said is None or not (gpus := gpus_in(gres[1])):
        return None
    words = {word.rstrip("*~#!%$@^-") for word in said[1].split("+")}
    # one that does not respond ("*") is down when Slurm says so: it takes a moment after every resume
    told = REASON.search(line)
    reason = told[1] if told else ""
    state: Literal["up", "draining", "down"] = "up"
    if words & GONE:
        state = "down"
    elif words & CLOSED:
        state = "draining"
    if state != "up" and not reason:
        reason = "+".join(sorted(words & (GONE | CLOSED))).lower().replace("_", " ")
    watts, cpus = WATTS.search(line), CPUS.search(line)
    power_w = float(watts[1]) if watts and int(watts[1]) > 0 else None
    drained = any(word.startswith("DRAIN") for word in words)
    return NodeRow(
        NodeNow(name[1], gpus, state, reason if state != "up" else "", power_w),
        int(cpus[1]) if cpus else 0,
        drained,
    )


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """Order names as people do.

    >>> sorted(["n10", "n9", "m1"], key=natural)
    ['m1', 'n9', 'n10']
    """
    return tuple(
        (0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.findall(r"\d+|\D+", name)
    )


# -- the past


@dataclass(frozen=True, slots=True)
class PastRun:
    """A run as slurmdbd recorded it."""

    number: int
    note: Note
    state: str
    start_utc_s: int
    end_utc_s: int
    status: int


def past_of(lines: Iterable[str]) -> list[PastRun]:
    """Read `sacct -nPXD` with :data:`SACCT_FIELDS`."""
    found = []
    for line in lines:
        parts: Sequence[str] = line.split("|", 6)
        if len(parts) != 7 or not parts[0].isdigit() or (note := note_of(parts[6].strip())) is None:
            continue
        number, state, start, end, code, _, _ = parts
        exited, _, signal = code.partition(":")
        status = _whole(exited) * 256 + _whole(signal)
        found.append(PastRun(int(number), note, state.split(" ")[0], _whole(start), _whole(end), status))
    return found
