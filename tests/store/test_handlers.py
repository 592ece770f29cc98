"""What the store knows of handlers; each of these holds on both engines."""

import asyncio

from receiver import handler, worker
from receiver.errors import Unavailable
from receiver.events import Event
from receiver.registry import _MARK
from receiver.store import Reported, backlog
from receiver.store.handlers import THERE, Handlers, percentiles


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


async def test_a_short_queue_is_counted_each_time_and_a_long_one_once_for_all(store, arrival, handle, monkeypatch):
    async def counts():
        listed = sum(row["waiting"] for row in await store.handlers.list())
        return listed, sum(count for count, _ in (await store.backlog.left()).waiting.values())

    await store.events.add([arrival(1)])
    await handle(log="retry", mail="retry")
    assert await counts() == (0, 0)
    await store.runs.reap(limits={"log": 9, "mail": 9}, worker="w", wait=lambda _attempt: 0.0)
    assert await counts() == (2, 2)
    await handle(log="done", mail="retry")
    assert await counts() == (0, 0)
    monkeypatch.setattr(backlog, "LONG", 1)
    monkeypatch.setattr(backlog, "FRESH", 3600.0)
    await store.runs.reap(limits={"log": 9, "mail": 9}, worker="w", wait=lambda _attempt: 0.0)
    assert await counts() == (1, 1)
    await handle(mail="done")
    assert await counts() == (1, 1)


async def test_the_names_of_handlers_are_known_without_looking_at_their_runs(store):
    await store.handlers.report([reported("log")], worker="w")
    await store.runs.pause("gone")
    assert await store.handlers.names() == ["gone", "log"]
