"""How a job really stands: histories that a real slurmctld 22.05 left behind when it was killed within seconds of a start."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kvandal.engines.live.protocol import NodeNow
from kvandal.engines.live.slurm_history import Cursor, Told, job_events, node_events
from kvandal.engines.live.slurm_reading import (
    Note,
    Row,
    gpus_in,
    hosts_of,
    natural,
    nodes_of,
    note_of,
    past_of,
    row_of,
    row_of_rest,
    squeue_format,
)  # fmt: skip
from kvandal.engines.live.slurm_record import Record, Records
from kvandal.engines.live.slurm_standing import SETTLED_S, START_WITHIN_S, standing_of

AT = 1_800_000_000
LOOKED = datetime.fromtimestamp(AT + 100, UTC)


def row(state="PENDING", note="kvandal/k 1 0 start 1800000000", **more):
    return Row(7, note_of(note), state, **more)


def standing(one, records=None, unknown_for_s=0.0, now_s=AT + 10.0):
    """Records by count of restarts: exit codes, None for a run that did not end."""
    of = (
        None
        if records is None
        else lambda _, run: Record(records[run], AT, AT + 6) if run in records else None
    )
    return standing_of(one, of, unknown_for_s, now_s)


def told(found, before=None):
    events, _ = job_events(before or Told(), found, LOOKED, None)
    return [(event.kind, event.attempt, event.outcome) for event in events]


HISTORIES = {
    "ran and completed": (
        row("COMPLETED", start_utc_s=AT, end_utc_s=AT + 6, nodes="n1"), {0: 0},
        "completed", [("started", 1, None), ("ended", 1, "completed")], "",
    ),
    "completed while the controller was away, which sent it again and held it": (
        row(held=True, restarts=1, reason="launch failed requeued held"), {0: 0},
        "completed", [("started", 1, None), ("ended", 1, "completed")], "finish",
    ),
    "failed while the controller was away": (
        row(held=True, restarts=1, reason="launch failed requeued held"), {0: 3},
        "failed", [("started", 1, None), ("ended", 1, "failed")], "finish",
    ),
    "completed, and the controller forgot that it was released": (
        row(note="kvandal/k", held=True), {0: 0},
        "completed", [("started", 1, None), ("ended", 1, "completed")], "finish",
    ),
    "taken off its node when it came back, and refused there": (
        row("FAILED", start_utc_s=AT, end_utc_s=AT, nodes="n1", status=256), {0: None},
        "failed", [("started", 1, None), ("ended", 1, "node_failed")], "",
    ),
    "sent twice: the second run ended at once": (
        row("FAILED", start_utc_s=AT, end_utc_s=AT, nodes="n1", status=114 << 8), {0: None},
        "failed", [("started", 1, None), ("ended", 1, "node_failed")], "",
    ),
    "sent again after it had completed": (
        row("FAILED", start_utc_s=AT, end_utc_s=AT, nodes="n1", status=114 << 8), {0: 0},
        "completed", [("started", 1, None), ("ended", 1, "completed")], "",
    ),
    "its script says that it failed": (
        row("FAILED", start_utc_s=AT, end_utc_s=AT + 6, nodes="n1", status=3 << 8), {0: 3},
        "failed", [("started", 1, None), ("ended", 1, "failed")], "",
    ),
    "its script says 1": (
        row("FAILED", start_utc_s=AT, end_utc_s=AT + 6, nodes="n1", status=1 << 8), {0: 1},
        "failed", [("started", 1, None), ("ended", 1, "failed")], "",
    ),
    "its node failed, and Slurm would start it again": (
        row(restarts=1, reason="BeginTime"), {0: None},
        "held", [("started", 1, None), ("ended", 1, "node_failed")], "hold",
    ),
    "we held it": (
        row(note=f"kvandal/k 1 0 hold {AT + 5}", held=True, restarts=1), {0: 143},
        "held", [("started", 1, None), ("held", 1, None)], "",
    ),
    "we held it, and its script was done": (
        row(note=f"kvandal/k 1 0 hold {AT + 5}", held=True, restarts=1), {0: 0},
        "completed", [("started", 1, None), ("ended", 1, "completed")], "finish",
    ),
    "we held it before it began": (
        row(note=f"kvandal/k 1 0 hold {AT + 5}", held=True), {}, "held", [("held", 1, None)], "",
    ),
    "somebody released what we hold": (row(note="kvandal/k", reason="Resources"), {}, "held", [], "hold"),
    "cancelled before it began": (
        row("CANCELLED", note="kvandal/k", start_utc_s=AT, end_utc_s=AT), {}, "cancelled", [("ended", 0, "cancelled")], "",
    ),
    "over its limit": (
        row("TIMEOUT", start_utc_s=AT, end_utc_s=AT + 60, nodes="n1"), {0: 143},
        "timeout", [("started", 1, None), ("ended", 1, "timeout")], "",
    ),
    "it cleans up after it was requeued": (
        row("COMPLETING", note=f"kvandal/k 1 0 hold {AT + 5}", restarts=1, nodes="n1", start_utc_s=AT + 20), {0: 143},
        "ending", [], "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("history", HISTORIES)
def test_histories(history):
    one, records, state, events, repair = HISTORIES[history]
    found = standing(one, records)
    assert (found.job.state, told(found), found.repair) == (state, events, repair)


def test_a_run_that_slurm_does_not_know_is_unknown_until_its_node_has_registered():
    """Held by a controller that forgot its release, while a run of it has begun: nothing is told before it is settled."""
    one = row(note="kvandal/k", held=True)
    found = standing(one, {0: None})
    assert (found.job.state, found.job.attempt, told(found)) == ("unknown", 1, [])
    found = standing(one, {0: None}, unknown_for_s=SETTLED_S)
    assert told(found) == [("started", 1, None), ("ended", 1, "node_failed")]
    assert standing(row(), {0: None}).job.state == "unknown"  # released: Slurm will find out itself


def test_a_released_job_whose_nodes_do_not_come_is_taken_back():
    """After three minutes; but not while Slurm makes a requeued job wait."""
    late_s = AT + START_WITHIN_S + 1
    found = standing(row(reason="ReqNodeNotAvail, UnavailableNodes:n1"), {}, now_s=late_s)
    assert (found.job.state, found.repair) == ("pending", "withdraw")
    assert standing(row(reason="BeginTime"), {}, now_s=late_s).repair == ""
    assert standing(row(reason="Resources"), {}, now_s=AT + 60.0).repair == ""


def test_without_records_slurm_is_believed():
    found = standing(row("FAILED", start_utc_s=AT, end_utc_s=AT, nodes="n1", status=256))
    assert told(found)[-1] == ("ended", 1, "failed")
    found = standing(row(held=True, restarts=1, reason="launch failed requeued held"))
    assert told(found)[-1] == ("ended", 1, "node_failed")


def test_attempts_follow_the_notes_and_what_slurm_restarted_itself():
    running = {"state": "RUNNING", "start_utc_s": AT, "nodes": "n[1-2]", "gpus_per_node": 4}
    assert standing(row(note="kvandal/k 3 2 start 1", restarts=2, **running)).job.attempt == 3
    assert standing(row(note="kvandal/k 3 2 start 1", restarts=3, **running)).job.attempt == 4
    by_others = standing(row(note="kvandal/k", **running)).job
    assert by_others.attempt == 1
    assert [share.node for share in by_others.shares] == ["n1", "n2"]


def test_events_are_told_once_and_fill_what_nobody_saw():
    """An attempt that ended and another that began between two looks are both told; telling again tells nothing."""
    found = standing(row("RUNNING", note="kvandal/k 2 1 start 1", restarts=1, start_utc_s=AT, nodes="n1"))
    events, after = job_events(Told(1, 0), found, LOOKED, None)
    assert [(event.kind, event.attempt) for event in events] == [("held", 1), ("started", 2)]
    assert job_events(after, found, LOOKED, None) == ([], after)
    ended = standing(
        row(
            "COMPLETED",
            note="kvandal/k 2 1 start 1",
            restarts=1,
            start_utc_s=AT,
            end_utc_s=AT + 6,
            nodes="n1",
        )
    )
    events, last = job_events(after, ended, LOOKED, None)
    assert [(event.kind, event.attempt) for event in events] == [("ended", 2)]
    assert job_events(last, ended, LOOKED, None) == ([], last)


def test_a_cursor_is_read_as_it_was_written():
    cursor = Cursor(1.5, {9: Told(2, 1), 12: Told(1, 1, final=True)}, frozenset({"n1"}))
    assert Cursor.read(cursor.text()) == cursor
    for strange in ("", "17", "slurm1:!!", "slurm1:eJw="):
        assert Cursor.read(strange) == Cursor()
    many = Cursor(1.5, {number: Told(1, 0) for number in range(10_000, 15_000)})
    assert len(many.text()) < 1000


def test_nodes_are_told_of_when_they_go_and_come_back():
    nodes = [NodeNow("n1", 4, "down", "fan"), NodeNow("n2", 4, "up"), NodeNow("n3", 4, "draining", "leak")]
    events, down = node_events(frozenset({"n2"}), nodes, LOOKED)
    assert [(e.kind, e.node, e.reason) for e in events] == [("node_down", "n1", "fan"), ("node_down", "n3", "leak"), ("node_up", "n2", "")]  # fmt: skip
    assert node_events(down, nodes, LOOKED) == ([], down)


def test_comments_of_others_are_nobodys():
    """A comment may be anything; a line that somebody else wrote lacks the border."""
    for comment in (
        "",
        "thesis",
        "kvandal/",
        "kvandal/k 1",
        "kvandal/k 1 0 broken 1",
        "x kvandal/k",
        "kvandal/k 1 0\nkvandal/j",
    ):
        assert note_of(comment) is None
    for note in (Note("a/b c", 1, 2, "hold", 3), Note("k"), Note("k", 4, 0, "start", 5)):
        assert note_of(note.text()) == note
    line = "PENDING|0|0|0|N/A|N/A||gres:gpu:gb200:4|odd | reason|kvandal/k"
    found = row_of("12", line)
    assert (found.number, found.note, found.held, found.gpus_per_node) == (12, Note("k"), True, 4)
    assert row_of("12", "RUNNING|0") is None
    assert row_of("1x", line) is None
    assert "@abcd@" in squeue_format("abcd")
    assert row_of_rest({"comment": "mine", "job_id": 3}) is None


def test_nodes_are_read_in_natural_order():
    text = "\n".join(
        f"NodeName={name} Arch=x CPUTot=144 Gres={gres} NodeAddr=a State={state} Weight=1 CurrentWatts={watts} AveWatts=0{reason}"
        for name, gres, state, watts, reason in (
            ("n10", "gpu:gb200:4(S:0-1)", "IDLE*", 0, ""),
            (
                "n9",
                "gpu:gb200:4",
                "IDLE+DRAIN",
                1200,
                "\n   Reason=leak: rack 3 [root@2027-01-04T12:00:00]".replace("\n", " "),
            ),
            ("login", "(null)", "IDLE", 0, ""),
            ("n11", "gpu:4", "DOWN*+CLOUD", 0, " Reason=Not responding [slurm@2027-01-04T12:00:00]"),
            ("n12", "gpu:4", "MIXED+CLOUD+POWERED_DOWN", 0, ""),
            ("n13", "gpu:4", "ALLOCATED+MAINTENANCE", 0, ""),
        )
    )
    assert [(r.now.name, r.now.state, r.now.reason, r.now.power_w, r.cpus) for r in nodes_of(text)] == [
        ("n9", "draining", "leak: rack 3", 1200.0, 144),
        ("n10", "up", "", None, 144),
        ("n11", "down", "Not responding", None, 144),
        ("n12", "up", "", None, 144),
        ("n13", "draining", "maintenance", None, 144),
    ]


def test_small_readings():
    assert [gpus_in(text) for text in ("gres:gpu:gb200:4", "gpu:2(S:0)", "gpu", "(null)", "shard:8")] == [
        4,
        2,
        0,
        0,
        0,
    ]
    assert hosts_of("gpu[001-003,007],r0001n[01-02],x") == [
        "gpu001",
        "gpu002",
        "gpu003",
        "gpu007",
        "r0001n01",
        "r0001n02",
        "x",
    ]
    assert hosts_of("a[1-2]b[3,5]") == ["a1b3", "a1b5", "a2b3", "a2b5"]
    assert hosts_of("") == []
    assert sorted(["n10", "n9", "m1"], key=natural) == ["m1", "n9", "n10"]
    past = past_of(
        [
            "12|CANCELLED by 0|1800000000|1800000006|0:15|n1|kvandal/k 1 0 start 5",
            "13|COMPLETED|1|2|0:0|n1|x",
            "",
        ]
    )
    assert [(run.number, run.state, run.status, run.note.key) for run in past] == [(12, "CANCELLED", 15, "k")]


def test_records_are_by_run_and_cannot_be_guessed(tmp_path):
    """A folder keeps its secret: another server finds the same records, another folder has other names."""
    records = Records(tmp_path / "runs")
    assert (tmp_path / "runs").stat().st_mode & 0o7777 == 0o1733
    script = records.script("k", "#!/usr/bin/python3 -u\nprint(1)")
    assert "/usr/bin/python3 -u " in script
    assert "kvandal.k" not in script
    name = (
        next(line for line in script.splitlines() if line.startswith("record="))
        .split("/runs/")[1]
        .split(".")[0]
    )
    (tmp_path / "runs" / f"{name}.12.0").write_text("3\n")
    (tmp_path / "runs" / f"{name}.12.1").write_text("")
    again = Records(tmp_path / "runs")
    again.refresh()
    assert again.of("k", 12, 0).code == 3
    assert again.of("k", 12, 1).code is None
    assert again.of("k", 12, 2) is None
    assert again.of("k", 13, 0) is None
    again.sweep({12}, AT * 2)
    assert again.present("k", 12, 0)
    again.sweep(set(), AT * 2)
    again.refresh()
    assert not again.present("k", 12, 0)
    assert Records(tmp_path / "others").script("k", "true") != records.script("k", "true")
