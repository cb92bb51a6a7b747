"""Writes are done once and together; lists tell each entry once."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from living_site import JOB
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from kvandal.control.api.application import close, create_app
from kvandal.control.api.parts import ServiceParts
from kvandal.control.store.database import open_store
from kvandal.control.store.tables.loop import INBOX, JOBS


def counted(store: Any, table: Any) -> int:
    with store.read() as tx:
        return int(tx.execute(select(func.count()).select_from(table)).scalar_one())


def test_the_same_key_from_eight_threads_is_one_job(served: Any, store: Any) -> None:
    """All are answered alike, one of them as the first."""
    gate = threading.Barrier(8)

    def submit(_: int) -> httpx.Response:
        with httpx.Client(base_url=served.url) as client:
            gate.wait()
            return client.post("/v1/jobs", json=JOB, headers={"Idempotency-Key": "pressed-eight-times"})

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(submit, range(8)))

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sorted("idempotency-replayed" in answer.headers for answer in answers) == [False] + [True] * 7
    assert (counted(store, JOBS), counted(store, INBOX)) == (1, 1)


@pytest.mark.postgres
def test_two_servers_do_what_has_the_same_key_once(postgres_url: str, scenario: Any) -> None:
    """On one database, at the same time."""
    import asyncio

    async def race(apps: list[Any]) -> list[httpx.Response]:
        clients = [httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") for app in apps]
        sent = [
            client.post("/v1/jobs", json=JOB, headers={"Idempotency-Key": f"two-servers-{number}"})
            for number in range(10)
            for client in clients
        ]
        return await asyncio.gather(*sent)

    with open_store(postgres_url) as one, open_store(postgres_url) as two:
        apps = [create_app(ServiceParts(store=store, scenario=scenario)) for store in (one, two)]
        answers = asyncio.run(race(apps))
        listed = asyncio.run(race_list(apps[0]))
        for app in apps:
            close(app)
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.json()["id"] for answer in answers}) == counted(one, JOBS) == 10
        assert len(listed) == 10


async def race_list(app: Any) -> list[Any]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        return list((await client.get("/v1/jobs?state=accepted&project=arctic")).json()["items"])


def test_one_refused_write_takes_no_other_with_it(app: Any, store: Any) -> None:
    """Writes that share a transaction stand behind savepoints; a database that fails keeps none of them."""
    import asyncio

    first, held = threading.Event(), threading.Event()
    writer = app.state.writer

    async def together(*works: Any) -> list[Any]:
        def hold(_: Any) -> None:
            first.set()
            held.wait(20)

        waiting = [asyncio.create_task(writer.write(hold))]
        await asyncio.to_thread(first.wait, 20)
        waiting += [asyncio.create_task(writer.write(work)) for work in works]
        await asyncio.sleep(0)
        held.set()
        return (await asyncio.gather(*waiting, return_exceptions=True))[1:]

    def write(kind: str, failure: Exception | None = None) -> Any:
        def work(tx: Any) -> str:
            from kvandal.control.store.tables.metadata import EPOCH

            tx.execute(INBOX.insert(), {"at_utc": EPOCH, "by": "me", "kind": kind, "body": {}})
            if failure is not None:
                raise failure
            return kind

        return work

    some = asyncio.run(together(write("one"), write("two", ValueError("no")), write("three")))
    with store.read() as tx:
        assert tx.execute(select(INBOX.c.kind).order_by(INBOX.c.id)).scalars().all() == ["one", "three"]
    assert (some[0], str(some[1]), some[2]) == ("one", "no", "three")

    first.clear()
    held.clear()
    lost = OperationalError("", {}, Exception("disk I/O error"))
    none = asyncio.run(together(write("four"), write("five", lost), write("six")))
    assert all(isinstance(outcome, Exception) for outcome in none)
    assert counted(store, INBOX) == 2
    close(app)


@given(data=st.data())
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pages_tell_each_job_once_while_others_are_added(ask: Any, data: st.DataObject) -> None:
    """Whatever is added between pages: what was there at first comes exactly once, in order; nothing comes twice."""
    order = data.draw(st.sampled_from(["newest", "oldest"]))
    limit = data.draw(st.integers(1, 5))
    for _ in range(data.draw(st.integers(0, 6))):
        ask.submit()
    before = [job["id"] for job in ask.get(f"/v1/jobs?limit=200&order={order}").json()["items"]]
    seen: list[str] = []
    path = f"/v1/jobs?limit={limit}&order={order}"
    while path is not None:
        answer = ask.get(path)
        assert len(answer.json()["items"]) <= limit
        seen += [job["id"] for job in answer.json()["items"]]
        path = answer.json()["next"]
        assert answer.headers.get("link") == (None if path is None else f'<{path}>; rel="next"')
        if len(seen) < 60 and data.draw(st.booleans()):
            ask.submit()

    assert max(Counter(seen).values(), default=1) == 1
    assert [job for job in seen if job in set(before)] == before
    if order == "newest":
        assert seen == before


def test_a_store_that_is_gone_is_told_with_when_to_come_back(ask: Any, app: Any, store: Any) -> None:
    """Reads and writes alike, as long as it lasts; the same key then does it once."""
    whole = store.read, store.begin

    def gone() -> Any:
        raise OperationalError("", {}, Exception("connection refused"))

    store.read = store.begin = gone
    answers = [
        ask.get("/v1/jobs"),
        ask.get("/v1/site"),
        ask.write("POST", "/v1/jobs", JOB, key="in-the-outage"),
    ]
    store.read, store.begin = whole

    assert [(answer.status_code, answer.headers["retry-after"]) for answer in answers] == [(503, "2")] * 3
    assert {answer.json()["type"] for answer in answers} == {"urn:kvandal:problem:store-unavailable"}
    assert ask.write("POST", "/v1/jobs", JOB, key="in-the-outage").status_code == 201
    assert counted(store, JOBS) == 1
