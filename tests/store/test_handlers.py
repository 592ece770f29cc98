"""What the store knows of handlers and of how much happened; each of these holds on both engines."""

import asyncio

import pytest
from sqlalchemy import insert

from receiver import handler, worker
from receiver.errors import Unavailable
from receiver.events import Event
from receiver.ids import first_id
from receiver.registry import _MARK
from receiver.store import Count, Finished, Refusal, Reported, tally
from receiver.store.handlers import THERE, Handlers, percentiles
from receiver.store.tables import events


def reported(name, **changes):
    values = {
        "events": ("job.succeeded",),
        "source": None,
        "tool": None,
        "retries": 8,
        "timeout": 60.0,
        "concurrency": 8,
        "ordered": False,
        "captures": False,
        "place": f"handlers.{name}:{name}",
    }
    return Reported(name=name, **values | changes)


@pytest.fixture
def handle(store, clock):
    """Let one turn of a worker end everything that waits, one outcome for each handler."""

    async def turn(**outcomes):
        common = {
            "worker": "w",
            "lease": 30,
            "wanted": lambda _event: dict.fromkeys(outcomes),
            "free": dict.fromkeys(outcomes, 50),
        }
        claimed = (await store.runs.turn(**common, finished=[])).claimed
        clock.turn(2)
        finished = [
            Finished(run=run, outcome=outcomes[run.handler], finished_at=clock(), error=None, wait=None)
            for run in claimed
            if outcomes[run.handler] in ("done", "failed")
        ]
        await store.runs.turn(**common | {"free": {}}, finished=finished)

    return turn


async def test_a_handler_is_there_while_a_worker_tells_of_it(store, clock):
    old, new = reported("old"), reported("new", events=("file.*",), source="videogen", tool="X", ordered=True)
    await store.handlers.report([old, new], worker="a")
    clock.turn(THERE - 1)
    await store.handlers.report([new], worker="b")
    assert await store.handlers.there() == [new, old]
    clock.turn(2)
    assert await store.handlers.there() == [new]
    assert [(row["name"], row["there"]) for row in await store.handlers.list()] == [("new", True), ("old", False)]
    await store.handlers.report([], worker="c")


def test_a_reported_handler_wants_what_its_function_would():
    event = Event(id="e", source="videogen", type="file.ready", tool="X", occurred_at=0, received_at=0)
    assert reported("a", events=("file.*",), source="videogen", tool="X").wants(event)
    assert not reported("a", events=("job.*",)).wants(event)
    assert not reported("a", events=("*",), tool="Y").wants(event)
    assert not reported("a", events=("*",), source="other").wants(event)


async def test_the_numbers_of_each_handler_are_its_own(store, arrival, clock, handle):
    await store.handlers.report([reported("log")], worker="w")
    await store.runs.pause("paused")
    await store.events.add([arrival(number) for number in range(3)])
    await handle(log="done", mail="failed", stuck="running")
    rows = {row["name"]: row for row in await store.handlers.list()}
    assert list(rows) == ["log", "mail", "paused", "stuck"]
    assert rows["log"]["latency"] == {"p50": 2.0, "p95": 2.0, "p99": 2.0}
    assert (rows["log"]["there"], rows["log"]["events"], rows["log"]["failed"]) == (True, ["job.succeeded"], 0)
    assert (rows["mail"]["there"], rows["mail"]["failed"], rows["mail"]["latency"]) == (False, 3, None)
    assert (rows["stuck"]["running"], rows["stuck"]["waiting"]) == (3, 0)
    assert rows["paused"]["paused_at"] == clock() - 2


async def test_a_worker_tells_the_store_of_its_handlers_and_goes_on_when_it_cannot(store, monkeypatch):
    @handler("job.failed", source="videogen", ordered=True)
    async def mail(event, context):
        pass

    answers = [Unavailable("gone"), None]

    async def report(found, *, worker):
        if trouble := answers.pop(0):
            raise trouble
        await Handlers.report(store.handlers, found, worker=worker)
        reports.set()

    reports = asyncio.Event()
    monkeypatch.setattr(worker, "REPORT", 0)
    monkeypatch.setattr(store.handlers, "report", report)
    telling = asyncio.create_task(worker._report(store, [getattr(mail, _MARK)], "w"))
    await reports.wait()
    telling.cancel()
    [told] = await store.handlers.there()
    assert told == reported(
        "mail", events=("job.failed",), source="videogen", ordered=True, place=getattr(mail, _MARK).place
    )


async def test_when_a_source_delivered_last_is_never_forgotten_for_something_earlier(store):
    await store.endpoints.heard({})
    await store.endpoints.heard({"videogen": 7.0, "a%b": 5.0})
    await store.endpoints.heard({"videogen": 6.0, "a%b": 8.0})
    await store.jobs.beat("door")
    assert await store.endpoints.last_heard() == {"videogen": 7.0, "a%b": 8.0}


def test_percentiles_are_values_that_were_measured():
    assert percentiles([]) is None
    assert percentiles([3.0]) == {"p50": 3.0, "p95": 3.0, "p99": 3.0}
    assert percentiles(range(1, 101)) == {"p50": 50, "p95": 95, "p99": 99}


async def test_counts_tell_of_each_minute_what_happened_in_it(store, arrival, clock, handle):
    refusal = Refusal(source="x", reason="y", status=401, received_at=clock(), headers="", body=b"", size=0, unlisted=4)
    async with store.database.write() as connection:
        values = {"id": first_id("evt", clock()), "message_id": "msg_1", "state": "waiting", "received_at": clock()}
        names = ("source", "type", "road", "occurred_at", "headers", "body")
        fixed = {name: getattr(arrival(1), name) for name in names}
        await connection.execute(insert(events), [fixed | values])
    await store.events.add([], [refusal])
    await store.events.add([arrival(1)])
    await handle(log="done", mail="failed")
    clock.turn(60)
    minute = clock() // 60 * 60
    happened = Count(
        at=minute - 60, events=1, duplicates=1, refused=5, attempts={"log": {"done": 1}, "mail": {"failed": 1}}
    )
    assert await store.tally.over(since=clock() - 60, step=60) == [happened, Count(at=minute)]
    assert (happened.ended("done"), happened.ended("failed"), happened.ended("lost")) == (1, 1, 0)


async def test_what_is_over_is_counted_once_and_the_newest_first(store, clock):
    hasty = await store.tally.over(since=clock() - 1800, step=60, patience=-1)
    assert [one.at for one in hasty][-1] == clock() // 60 * 60
    assert len(store.tally._counted) == tally.AT_ONCE - 3
    assert len(await store.tally.over(since=clock() - 600, step=60, patience=60)) == 11
    late = Refusal(source="x", reason="y", status=401, received_at=clock() - 300, headers="", body=b"", size=0)
    await store.events.add([], [late])
    assert sum(one.refused for one in await store.tally.over(since=clock() - 600, step=60, patience=60)) == 0
