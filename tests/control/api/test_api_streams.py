"""Following the site: long polls and server-sent events, over a real server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
from living_site import turn

import kvandal as kv


def test_a_long_poll_waits_for_what_is_newer(served: Any, store: Any) -> None:
    """It is answered at the change; without one, when the time is up, with what there is."""
    turn(store, 1)
    with httpx.Client(base_url=served.url, timeout=30) as client:
        at_once = client.get("/v1/site", params={"wait": 20, "after": 0}).json()["version"]
        unchanged = client.get("/v1/site", params={"wait": 0.05, "after": 1}).json()["version"]
        later = threading.Timer(0.3, turn, (store, 2))
        later.start()
        waited = client.get("/v1/site", params={"wait": 20, "after": 1}).json()["version"]
        later.join()
    assert (at_once, unchanged, waited) == (1, 1, 2)


def test_events_tell_the_site_at_once_and_at_every_change(served: Any, store: Any) -> None:
    """Ids are versions; who comes back with the last one is told what is newer; a server that ends lets its followers go."""
    turn(store, 1)
    with httpx.Client(base_url=served.url, timeout=30) as client:
        with client.stream("GET", "/v1/site/events") as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            lines = stream.iter_lines()
            assert event(lines) == ("1", "site", 1)
            turn(store, 5)
            assert event(lines) == ("5", "site", 5)
        turn(store, 6)
        with client.stream("GET", "/v1/site/events", headers={"Last-Event-ID": "5"}) as stream:
            lines = stream.iter_lines()
            assert event(lines) == ("6", "site", 6)
            served.stop()
            assert not [line for line in lines if line.startswith("id: ")]


def event(lines: Iterator[str]) -> tuple[str, str, int]:
    """Id, name and version of the next event."""
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        fields[name] = value
        if not line and "data" in fields:
            break
    return fields["id"], fields["event"], json.loads(fields["data"])["version"]


def test_a_client_follows_the_site(served: Any, store: Any) -> None:
    """Now, and whenever it changes."""
    turn(store, 1)
    with kv.Client(served.url) as client:
        following = client.follow_site()
        first = next(following)
        later = threading.Timer(0.2, turn, (store, 2), {"site_power_mw": 1.9})
        later.start()
        second = next(following)
        later.join()
    assert (first.version, second.version, second.site_power_mw) == (1, 2, 1.9)


def test_no_more_follow_than_there_is_room_for(served: Any, store: Any, app: Any) -> None:
    """The next one is told to come back."""
    import dataclasses

    turn(store, 1)
    app.state.parts = dataclasses.replace(app.state.parts, streams_at_once=1)
    with (
        httpx.Client(base_url=served.url, timeout=30) as client,
        client.stream("GET", "/v1/site/events") as stream,
    ):
        next(stream.iter_lines())
        refused = client.get("/v1/site/events")
    assert (refused.status_code, refused.json()["type"]) == (503, "urn:kvandal:problem:too-many-streams")
