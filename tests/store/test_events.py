"""Each of these holds on both engines."""

import asyncio
import sqlite3
from contextlib import closing
from types import SimpleNamespace

import asyncpg
import pytest

from receiver.errors import Unavailable
from receiver.store import Refusal, Store
from receiver.store.events import headers_of, headers_text
from receiver.store.text import storable
from receiver.writer import Writer


async def test_a_stored_event_keeps_every_byte_and_word(store, arrival, clock):
    body = bytes(range(256)) * 4
    [added] = await store.events.add([arrival(body=body, headers='{"a": "b"}')])
    row = await store.events.get(added.event_id)
    assert added.status == "stored"
    assert bytes(row["body"]) == body
    assert (row["source"], row["type"], row["kind"], row["job_id"]) == (
        "videogen",
        "tool_execution.succeeded",
        "job.succeeded",
        "job_1",
    )
    assert (row["received_at"], row["occurred_at"], row["road"], row["headers"]) == (
        clock(),
        clock() - 1,
        "webhook",
        '{"a": "b"}',
    )


async def test_the_same_message_is_one_event_and_the_copy_is_on_record(store, arrival):
    [first] = await store.events.add([arrival()])
    [second] = await store.events.add([arrival()])
    assert (second.event_id, second.status) == (first.event_id, "duplicate")
    [copy] = await store.events.deliveries()
    assert (copy["verdict"], copy["reason"], copy["event_id"]) == ("duplicate", "same-message", first.event_id)


async def test_the_same_fact_by_another_message_or_road_is_one_event(store, arrival):
    [first] = await store.events.add([arrival(1, fact="job_1:succeeded")])
    again = [
        arrival(2, fact="job_1:succeeded"),
        arrival(3, fact="job_1:succeeded", road="poll", message_id=None),
    ]
    added = await store.events.add(again)
    assert [(one.event_id, one.status) for one in added] == [(first.event_id, "duplicate")] * 2
    assert {copy["reason"] for copy in await store.events.deliveries()} == {"same-fact"}


async def test_the_same_message_id_or_fact_of_another_source_is_another_event(store, arrival):
    added = await store.events.add([arrival(1), arrival(1, source="finevoice")])
    assert [one.status for one in added] == ["stored", "stored"]


async def test_events_without_a_fact_are_never_taken_for_each_other(store, arrival):
    added = await store.events.add([arrival(1, fact=None), arrival(2, fact=None)])
    assert [one.status for one in added] == ["stored", "stored"]


async def test_copies_in_one_batch_are_one_event(store, arrival):
    added = await store.events.add([arrival(7) for _ in range(100)])
    assert [one.status for one in added] == ["stored"] + ["duplicate"] * 99
    assert len({one.event_id for one in added}) == 1


async def test_a_hundred_copies_at_once_are_one_event(store, arrival):
    added = await asyncio.gather(*(store.events.add([arrival(7)]) for _ in range(100)))
    assert sorted(one.status for [one] in added) == ["duplicate"] * 99 + ["stored"]
    assert len({one.event_id for [one] in added}) == 1


async def test_batches_that_share_copies_in_opposite_order_both_end(store, arrival):
    numbers = list(range(40))
    forth, back = [arrival(n) for n in numbers], [arrival(n) for n in reversed(numbers)]
    results = await asyncio.gather(store.events.add(forth), store.events.add(back))
    assert sorted(one.status for added in results for one in added) == ["duplicate"] * 40 + ["stored"] * 40


async def test_refusals_are_kept_with_their_reason(store, clock):
    refusal = Refusal(
        source="videogen",
        reason="wrong-signature",
        status=401,
        received_at=clock(),
        headers="{}",
        body=b"\0\xff",
        size=2,
        skew=-400.5,
        sender="192.0.2.1",
        unlisted=3,
    )
    assert await store.events.add([], [refusal]) == []
    [row] = await store.events.deliveries()
    kept = ("verdict", "reason", "status", "skew", "sender", "unlisted", "size")
    assert [row[name] for name in kept] == ["refused", "wrong-signature", 401, -400.5, "192.0.2.1", 3, 2]


async def test_text_that_an_engine_cannot_hold_is_stored_all_the_same(store, arrival):
    [added] = await store.events.add([arrival(type="a\0b", job_id="\ud800", tool="ü")])
    row = await store.events.get(added.event_id)
    assert (row["type"], row["job_id"], row["tool"]) == ("a\ufffdb", "?", "ü")


async def test_recent_events_come_newest_first_in_pages(store, arrival):
    for number in range(5):
        await store.events.add([arrival(number)])
    first = await store.events.recent(limit=2)
    second = await store.events.recent(limit=2, before=first[-1]["id"])
    assert [row["job_id"] for row in [*first, *second]] == ["job_4", "job_3", "job_2", "job_1"]
    assert [row["job_id"] for row in await store.events.recent(job_id="job_3")] == ["job_3"]
    assert await store.events.recent(source="finevoice") == []


async def test_an_event_that_is_not_there_is_none(store):
    assert await store.events.get("evt_none") is None


def test_secret_headers_are_never_kept_and_repeated_ones_all_are():
    text = headers_text(
        [(b"authorization", b"Bearer abc"), (b"webhook-id", b"1"), (b"x-a", b"1"), (b"x-a", b"\xff: 2")]
    )
    assert "abc" not in text
    assert headers_of(text) == {"authorization": "[redacted]", "webhook-id": "1", "x-a": "1, \u00ff: 2"}


def test_ordinary_text_is_stored_as_it_is():
    assert (storable(None), storable("plain"), storable("ü")) == (None, "plain", "ü")


async def test_a_poisoned_row_costs_its_neighbours_nothing(store, arrival):
    writer = Writer(store, queue=10)
    adds = [asyncio.create_task(writer.add(arrival(number))) for number in (1, 3)]
    adds.insert(1, asyncio.create_task(writer.add(arrival(2, message_id="\ud800"))))  # no database holds such text
    await asyncio.sleep(0)
    running = asyncio.create_task(writer.run())
    results = await asyncio.gather(*adds, return_exceptions=True)
    writer.stop()
    await running
    assert [type(result).__name__ for result in results] == ["Added", "Unavailable", "Added"]
    assert {row["job_id"] for row in await store.events.recent()} == {"job_1", "job_3"}


async def test_what_a_postgresql_server_refuses_in_a_row_is_not_its_outage(store, arrival):
    if store.database.is_sqlite:
        assert [one.status for one in await store.events.add([arrival(message_id="a\0b")])] == ["stored"]
        return
    with pytest.raises(asyncpg.CharacterNotInRepertoireError):
        await store.events.add([arrival(message_id="a\0b")])


async def test_a_database_that_is_locked_is_unavailable_and_not_the_delivery_s_fault(sqlite_url, clock, arrival):
    opened = Store(sqlite_url, clock=clock)
    await opened.events.add([arrival(1)])
    await (await opened.events._ingest._driver()).execute("PRAGMA busy_timeout=0")
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked"):
            await opened.events.add([arrival(2)])
    await opened.close()


async def test_copies_and_runs_of_many_events_come_with_one_query_each(store, clock, arrival):
    ids = [added.event_id for added in await store.events.add([arrival(number) for number in range(3)])]
    for _ in range(3):
        await store.events.add([arrival(0), arrival(1)])
    await store.runs.turn(worker="w", lease=30, wanted=lambda _event: {"log": None}, free={"log": 9}, finished=[])
    asked = []
    reading = store.database.read
    store.events._database = SimpleNamespace(read=lambda: asked.append(1) or reading())
    copies, histories = await store.events.copies_of(ids, limit=2), await store.events.histories(ids)
    assert len(asked) == 2
    assert [len(copies[name]) for name in ids] == [2, 2, 0]
    assert all(copy["event_id"] == name for name in ids for copy in copies[name])
    assert [[run["event_id"] for run in histories[name]] for name in ids] == [[name] for name in ids]
    assert await store.events.copies_of([]) == {}
