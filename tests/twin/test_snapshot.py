"""A saved state is a run: going on from it gives what the uninterrupted run gave, bit by bit."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_sites import check_books, check_room, failing, small_site, table, tenant

import kvandal as kv
from kvandal.demand.build import build_demand
from kvandal.errors import InputError
from kvandal.twin.simulate import go_on, new_outputs, prepare, simulate_jobs
from kvandal.twin.snapshot import Recorder, jobs_mark, live_jobs, packed, unpacked

SMALL = Path(__file__).parent.parent / "small.toml"
DAY_TICKS = 1440


def recorded(scenario, jobs, **options):
    recorder = Recorder(scenario, jobs, every_days=1)
    return simulate_jobs(scenario, jobs, recorder=recorder, **options)


def resumed(scenario, jobs, content, failures=None):
    """Outputs and last state of a run that goes on from a snapshot, and the tick it went on from."""
    start = prepare(scenario, jobs, failures)
    state, plant, tick = unpacked(content, start.state, start.plant, jobs_mark(jobs))
    check_room(state)
    check_books(state)
    outputs = new_outputs(start)
    last = len(outputs.tick_real)
    return outputs, go_on(start, state, plant, outputs, tick, last), tick


def assert_same(outputs, whole, tick, ticks, hours):
    """Every table of ticks and of hours agrees from `tick` on, bit by bit."""
    compared = 0
    for name in outputs._fields:
        one, other = getattr(outputs, name), getattr(whole, name)
        if len(one) not in {ticks, hours}:
            continue  # sums over the whole run
        first = len(one) * tick // ticks
        assert one[first:].tobytes() == other[first:].tobytes(), name
        compared += 1
    assert compared >= 5


@pytest.fixture(scope="module")
def small():
    scenario = kv.load(SMALL, {"plan.enabled": False, "supply.reserves": {}})  # plans: test_planning.py
    jobs, _ = build_demand(scenario)
    return scenario, jobs, recorded(scenario, jobs)


def test_snapshots_are_taken_at_the_start_and_every_so_often(small):
    """Once a day here; never at the end, where nothing could go on."""
    _, _, run = small

    days = list(run.snapshots)
    assert days == [0, DAY_TICKS, 2 * DAY_TICKS]


@pytest.mark.parametrize("day", [0, 1, 2])
def test_a_resumed_run_is_the_uninterrupted_one(small, day):
    """Ten racks with every kind of demand, lending, failures and heat sold."""
    scenario, jobs, run = small
    outputs, state, tick = resumed(scenario, jobs, run.snapshots[day * DAY_TICKS])

    assert tick == day * DAY_TICKS
    assert_same(outputs, run.outputs, tick, 3 * DAY_TICKS, 72)
    assert state.tally["events"][0] == run.state.tally["events"][0]
    assert state.tally["loans"][0] == run.state.tally["loans"][0]


def test_a_snapshot_of_a_resumed_run_is_that_of_the_run(small):
    """What was resumed can be saved again, and the file is the same, byte by byte."""
    scenario, jobs, run = small
    start = prepare(scenario, jobs)
    state, plant, tick = unpacked(run.snapshots[DAY_TICKS], start.state, start.plant, jobs_mark(jobs))
    state = go_on(start, state, plant, new_outputs(start), tick, 2 * DAY_TICKS)

    again = packed(state, plant, 2 * DAY_TICKS, jobs_mark(jobs), live_jobs(state))

    assert run.snapshots[2 * DAY_TICKS] == again


@settings(max_examples=15)
@given(st.integers(0, 2**32))
def test_any_small_site_can_be_resumed(seed):
    """Random tenants, jobs and failures on one to three racks over two days."""
    random = np.random.default_rng(seed)
    racks = int(random.integers(1, 4))
    scenario = small_site(
        {"a": tenant("firm", 0.5), "b": tenant("assured", 0.3), "c": tenant("lent", notice_s=30)},
        racks=racks,
        days=2,
        tick_s=int(random.choice([60, 300])),
        grid_mw=float(random.choice([1000.0, racks * 0.12])),
    )
    rows = [
        (
            int(random.integers(0, 2 * 86_400)),
            int(random.integers(1, 73)),
            int(random.integers(1, 60_000)),
            int(random.integers(0, 3)),
            int(random.integers(0, 3)),
        )
        for _ in range(int(random.integers(0, 80)))
    ]
    when = np.sort(random.integers(0, 2 * 86_400, 4)).tolist()
    failures = failing(*((time_s, int(random.integers(0, racks * 72))) for time_s in when))
    jobs = table(*rows)
    run = recorded(scenario, jobs, failures=failures)
    half = 86_400 // scenario.run.tick_s
    outputs, _, tick = resumed(scenario, jobs, run.snapshots[half], failures)

    assert tick == half
    assert_same(outputs, run.outputs, tick, 2 * half, 48)


def test_tables_that_have_grown_come_back_with_their_room(small):
    """A snapshot after an enlargement restores longer tables; indices stay right."""
    scenario, jobs, _ = small
    start = prepare(scenario, jobs)
    longer = start.state._replace(
        loans=np.concatenate([start.state.loans] * 2), agenda=np.concatenate([start.state.agenda] * 2)
    )
    content = packed(longer, start.plant, 0, jobs_mark(jobs), live_jobs(longer))
    fresh = prepare(scenario, jobs)
    state, _, _ = unpacked(content, fresh.state, fresh.plant, jobs_mark(jobs))

    assert len(longer.loans) == len(state.loans)
    assert len(longer.agenda) == len(state.agenda)
    assert not state.loans.view(np.uint8).any()


def edited(content, change):
    """A snapshot with another head."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            raw = old.read(name)
            if name == "head.npy":
                head = json.loads(np.load(io.BytesIO(raw)).tobytes())
                change(head)
                packed_head = io.BytesIO()
                np.save(packed_head, np.frombuffer(json.dumps(head).encode(), np.uint8))
                raw = packed_head.getvalue()
            new.writestr(name, raw)
    return out.getvalue()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:0], "not a saved state, or damaged"),
        (lambda content: content[:2000], "not a saved state, or damaged"),
        (
            lambda content: content[:3000] + b"xx" + content[3002:],
            "not a saved state, or damaged|another version",
        ),
        (lambda content: edited(content, lambda head: head.update(format=0)), "another version of kvandal"),
        (lambda content: edited(content, lambda head: head.update(crc32=1)), "belongs to other jobs"),
        (
            lambda content: edited(content, lambda head: head["tables"].pop("racks")),
            r"another version.*racks",
        ),
        (
            lambda content: edited(content, lambda head: head["tables"]["racks"].update(shape=[3])),
            r"another site.*racks",
        ),
    ],
)
def test_what_does_not_fit_is_refused(small, damage, message):
    """Damaged files, other versions, other jobs, other sites: one error each."""
    scenario, jobs, run = small
    start = prepare(scenario, jobs)
    with pytest.raises(InputError, match=message):
        unpacked(damage(run.snapshots[DAY_TICKS]), start.state, start.plant, jobs_mark(jobs))
