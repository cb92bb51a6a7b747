"""What the loop relies on, whatever engine there is."""

from __future__ import annotations

from datetime import timedelta

import pytest
from live_sites import Site, as_text, whole

from kvandal.engines.live.protocol import OrderRefusedError, Share


def test_a_job_is_submitted_once_and_waits(site: Site):
    """It may be submitted again, also by an engine that remembers nothing: it stays one job, held, of which nothing is told."""
    order = site.order("once", gpus=4)
    site.engine.hold(order, 0)
    site.engine.hold(order, 0)
    site.again()
    site.engine.hold(order, 0)
    job = site.job(order)
    assert (job.state, job.attempt, job.shares) == ("held", 0, ())
    assert site.story(order) == []
    if hasattr(site, "numbers"):
        assert len(site.numbers(order)) == 1


def test_a_job_runs_once_where_it_was_placed(site: Site):
    """An order to start may be given again at any time, also after the end: the attempt begins and ends once."""
    order = site.order("placed", gpus=8, runs_s=site.short_s)
    shares = whole(site.nodes[2:4])
    site.engine.hold(order, 0)
    site.engine.start(order, 1, shares)
    site.engine.start(order, 1, shares)
    site.wait_told(order, "started", 1)
    job = site.job(order)
    assert (job.attempt, job.state, sorted(job.shares, key=lambda share: share.node)) == (
        1,
        "running",
        shares,
    )
    site.again()
    site.engine.start(order, 1, whole(site.nodes[4:6]))
    site.wait_told(order, "ended", 1)
    site.engine.start(order, 1, shares)
    site.engine.hold(order, 0)
    assert site.story(order) == [("started", 1, None), ("ended", 1, "completed")]
    assert site.state(order) in {"completed", "absent"}


def test_small_jobs_share_a_node(site: Site):
    """Four jobs of one GPU run beside each other in one tray."""
    orders = [site.order(f"small{number}", gpus=1) for number in range(4)]
    for order in orders:
        site.engine.hold(order, 0)
        site.engine.start(order, 1, [Share(site.nodes[0], 1)])
    site.wait(lambda: all(site.state(order) == "running" for order in orders), "all four to run")
    assert {site.job(order).shares for order in orders} == {(Share(site.nodes[0], 1),)}


def test_a_job_may_be_spread_over_parts_of_nodes(site: Site):
    """What was submitted as one part of a node runs as two parts of two."""
    order = site.order("spread", gpus=2)
    shares = [Share(site.nodes[0], 1), Share(site.nodes[3], 1)]
    site.started(order, shares)
    assert sorted(site.job(order).shares, key=lambda share: share.node) == shares


def test_a_recalled_job_is_held_and_runs_again(site: Site):
    """Notice, then taken off its nodes, then started as the next attempt elsewhere; each is told once, in order.

    Orders that come late name an attempt that is over, and leave the one that runs alone.
    """
    order = site.order("recalled", gpus=4, runs_s=600)
    site.started(order, whole(site.nodes[:1]))
    deadline = site.engine.now() + timedelta(seconds=30)
    site.engine.recall(order, 1, deadline)
    site.engine.recall(order, 1, deadline)
    assert site.state(order) == "running"
    site.engine.hold(order, 1)
    site.engine.hold(order, 1)
    site.wait_told(order, "held", 1)
    site.wait(lambda: site.state(order) == "held", "it to wait")
    assert site.job(order).attempt == 1
    site.engine.start(order, 2, whole(site.nodes[1:2]))
    site.wait_told(order, "started", 2)
    site.engine.hold(order, 1)
    site.engine.start(order, 1, whole(site.nodes[3:4]))
    site.engine.recall(order, 1, site.engine.now())
    job = site.job(order)
    assert (job.state, job.attempt, [share.node for share in job.shares]) == ("running", 2, [site.nodes[1]])
    assert site.story(order) == [("started", 1, None), ("held", 1, None), ("started", 2, None)]
    times = [event.at_utc for event in site.tell() if event.key == order.key]
    assert times == sorted(times)


@pytest.mark.parametrize("when", ["unknown", "held", "running", "held again", "ended"])
def test_a_job_is_cancelled_in_every_state(site: Site, when: str):
    """It ends once, whatever it was doing, and never starts afterwards."""
    order = site.order("cancelled", gpus=4, runs_s=site.short_s if when == "ended" else 600)
    if when == "held":
        site.engine.hold(order, 0)
    elif when != "unknown":
        site.started(order, whole(site.nodes[:1]))
    if when == "held again":
        site.engine.hold(order, 1)
        site.wait(lambda: site.state(order) == "held", "it to wait")
    elif when == "ended":
        site.wait_told(order, "ended", 1)
    site.engine.cancel(order)
    site.engine.cancel(order)
    if when == "unknown":
        assert site.story(order) == []
        return
    site.wait(lambda: any(kind == "ended" for kind, _, _ in site.story(order)), "its end")
    outcome = "completed" if when == "ended" else "cancelled"
    attempt = 0 if when == "held" else 1
    assert site.story(order)[-1] == ("ended", attempt, outcome)
    assert [kind for kind, _, _ in site.story(order)].count("ended") == 1
    assert site.state(order) in {"completed", "cancelled", "ending", "absent"}


def test_a_drained_node_is_seen_and_comes_back(site: Site):
    """Its reason is told; draining or taking back twice changes nothing; jobs on it run on."""
    node = site.nodes[-1]
    order = site.order("on it", gpus=4)
    site.started(order, whole([node]))
    site.engine.drain(node, "leak in rack 1")
    site.engine.drain(node, "leak in rack 1")
    seen = {one.name: one for one in site.engine.observe().nodes}
    assert (seen[node].state, seen[node].reason) == ("draining", "leak in rack 1")
    assert {one.state for name, one in seen.items() if name != node} == {"up"}
    assert site.state(order) == "running"
    site.tell()
    site.engine.drain(node, None)
    site.engine.drain(node, None)
    site.wait(lambda: all(one.state == "up" for one in site.engine.observe().nodes), "all nodes")
    site.tell()
    assert [event.kind for event in site.told if event.node == node] == ["node_down", "node_up"]


def test_nodes_come_in_order_with_their_gpus(site: Site):
    """The loop gives them numbers in this order."""
    seen = site.engine.observe().nodes
    assert tuple(node.name for node in seen) == site.nodes
    assert {(node.gpus, node.state) for node in seen} == {(4, "up")}


def test_an_order_for_a_node_that_is_not_there_is_refused(site: Site):
    """The job still waits, and can be started where there is one."""
    order = site.order("nowhere", gpus=4)
    site.engine.hold(order, 0)
    with pytest.raises(OrderRefusedError, match=r"node"):
        site.engine.start(order, 1, [Share("nosuchnode", 4)])
    with pytest.raises(OrderRefusedError, match=r"node"):
        site.engine.drain("nosuchnode", "test")
    assert site.state(order) == "held"
    site.started(order, whole(site.nodes[:1]))


def test_nothing_is_lost_or_told_twice_over_restarts(site: Site):
    """An engine made anew at every step, from the last cursor, tells the same as one that lives through; an old cursor tells the rest again."""
    long, short = site.order("long", gpus=4), site.order("short", gpus=8, runs_s=site.short_s)
    first = site.cursor
    steps = (
        lambda: site.started(long, whole(site.nodes[:1])),
        lambda: site.started(short, whole(site.nodes[1:3])),
        lambda: site.wait_told(short, "ended", 1),
        lambda: site.engine.hold(long, 1),
        lambda: site.wait(lambda: site.state(long) == "held", "it to wait"),
        lambda: site.started(long, whole(site.nodes[3:4]), attempt=2),
        lambda: site.engine.cancel(long),
        lambda: site.wait_told(long, "ended", 2),
    )
    for step in steps:
        step()
        site.again()
    mine = [event for event in site.tell() if event.key in {long.key, short.key}]
    assert site.story(short) == [("started", 1, None), ("ended", 1, "completed")]
    assert site.story(long) == [
        ("started", 1, None),
        ("held", 1, None),
        ("started", 2, None),
        ("ended", 2, "cancelled"),
    ]
    assert site.engine.events(site.cursor) == ([], site.cursor)
    told_again, _ = site.engine.events(first)
    last = {event.key: as_text(event) for event in mine}
    again = {event.key: as_text(event) for event in told_again if event.key in last}
    assert again == last
