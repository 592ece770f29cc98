"""How handlers are run, on a real store of each engine."""

import asyncio
import threading
from contextlib import asynccontextmanager

import httpx
import pytest
import structlog
from structlog.testing import capture_logs

from receiver import Context, GiveUp, Retry, handler, lane
from receiver import dispatcher as dispatcher_module
from receiver.dispatcher import Dispatcher, backoff
from receiver.errors import Unavailable
from receiver.files import open_files
from receiver.recall import event_of
from receiver.registry import _MARK
from receiver.shared import Shared
from receiver.store import NewJob

from .store.conftest import arrival  # noqa: F401 - a fixture

SOON = 20  # patience, not a measure: this machine may be busy
PAUSE = 0.002  # between two looks: who looks without one leaves the others no time to get there


def mark(function, pattern="*", **limits):
    return getattr(handler(pattern, **limits)(function), _MARK)


@asynccontextmanager
async def dispatching(store, clock, *handlers, **changes):
    async with httpx.AsyncClient(verify=False) as http:

        def context_of(claimed, _event):
            return Context(
                attempt=claimed.attempt,
                log=structlog.get_logger(),
                http=http,
                files=open_files("files"),
                once=lambda key: store.runs.once(claimed, key),
                refresh=None,
                record=None,
                shared=Shared(),
                submit=lambda source, tool, parameters, metadata: NewJob(
                    source=source, tool=tool, parameters=parameters, metadata=metadata or {}, run_id=claimed.id
                ),
            )

        values = {
            "store": store,
            "handlers": handlers,
            "event_of": lambda row: event_of(row, {}),
            "context_of": context_of,
            "worker": "w1",
            "concurrency": 8,
            "lease": 30,
            "grace": 0.2,
            "roll": lambda: 0.5,
        }
        dispatcher = Dispatcher(**(values | changes))
        task = asyncio.create_task(dispatcher.run())
        try:
            yield dispatcher
        finally:
            dispatcher.stop()
            await task


async def until(store, state, number=1):
    """Wait until so many runs are in a state."""
    async with asyncio.timeout(SOON):
        while (await store.runs.counts()).get(state, 0) < number:
            await asyncio.sleep(PAUSE)


async def recorded(store, event_id, number):
    """Wait until so many attempts on an event are on record."""
    async with asyncio.timeout(SOON):
        while len([row for row in await store.events.history(event_id) if row["outcome"]]) < number:
            await asyncio.sleep(PAUSE)


async def test_every_handler_that_wants_an_event_gets_it_once(store, clock, arrival):  # noqa: F811
    seen = []

    async def mail(event, context):
        seen.append(("mail", event.job_id, event.kind, context.attempt))

    def log(event, context):
        seen.append(("log", event.job_id, event.kind, context.attempt))

    async def never(event, context):
        seen.append("never")

    await store.events.add([arrival(1)])
    async with dispatching(store, clock, mark(mail), mark(log, "job.*"), mark(never, "file.*")):
        await until(store, "done", 2)
    assert sorted(seen) == [("log", "job_1", "job.succeeded", 1), ("mail", "job_1", "job.succeeded", 1)]


async def test_a_handler_that_raises_waits_longer_each_time_and_fails_in_the_end(store, clock, arrival):  # noqa: F811
    attempts = []

    async def fragile(event, context):
        attempts.append((context.attempt, clock()))
        raise ValueError("no luck: https://x.example/f?signature=hunter2")

    [added] = await store.events.add([arrival()])
    start = clock()
    async with dispatching(store, clock, mark(fragile, retries=2)) as dispatcher:
        for number in (1, 2):
            await recorded(store, added.event_id, number)
            clock.turn(10)
            dispatcher.wake()
        await until(store, "failed")
    assert attempts == [(1, start), (2, start + 10), (3, start + 20)]
    history = await store.events.history(added.event_id)
    assert [row["outcome"] for row in history] == ["retry", "retry", "failed"]
    assert history[0]["attempt_error"].startswith(
        "ValueError: no luck: https://x.example/f?[redacted] (test_dispatcher.py:"
    )


async def test_a_handler_names_its_own_wait(store, clock, arrival):  # noqa: F811
    async def later(event, context):
        raise Retry("still rendering", after=77)

    [added] = await store.events.add([arrival()])
    async with dispatching(store, clock, mark(later)):
        await recorded(store, added.event_id, 1)
    [row] = await store.runs.recent()
    assert (row["due_at"], row["error"]) == (clock() + 77, "still rendering")


async def test_giving_up_ends_a_run_at_once(store, clock, arrival):  # noqa: F811
    async def hopeless(event, context):
        raise GiveUp("no such customer")

    await store.events.add([arrival()])
    async with dispatching(store, clock, mark(hopeless)):
        await until(store, "failed")
    assert (await store.runs.recent())[0]["error"] == "gave up: no such customer"


async def test_what_a_handler_notes_is_kept_beside_its_attempt_however_it_ends(store, clock, arrival):  # noqa: F811
    async def noting(event, context):
        context.note(f"attempt {context.attempt} saw https://storage.example/a.mp4?signature=hush")
        context.note("and odd bytes: \0 \ud800")
        if context.attempt == 1:
            raise Retry("not yet \0", after=0)

    [added] = await store.events.add([arrival()])
    async with dispatching(store, clock, mark(noting)):
        await recorded(store, added.event_id, 2)
    notes = [row["note"].splitlines() for row in await store.events.history(added.event_id)]
    assert [note[0] for note in notes] == [
        f"attempt {number} saw https://storage.example/a.mp4?[redacted]" for number in (1, 2)
    ]
    assert all("odd bytes" in note[1] for note in notes)


async def test_of_a_very_long_note_the_beginning_and_the_end_are_kept(store, clock, arrival):  # noqa: F811
    async def noting(event, context):
        context.note("first\n" + "x" * 100_000)
        context.note("last")

    [added] = await store.events.add([arrival()])
    async with dispatching(store, clock, mark(noting)):
        await recorded(store, added.event_id, 1)
    [row] = await store.events.history(added.event_id)
    assert len(row["note"]) <= 4096
    assert (row["note"].split("\n")[0], row["note"].split("\n")[-1]) == ("first", "last")


async def test_an_event_that_cannot_be_read_again_fails_its_run_and_nothing_else(store, clock, arrival):  # noqa: F811
    def odd(_row):
        raise ValueError("an installed source has a bug")

    async def never(event, context):
        raise AssertionError

    [added] = await store.events.add([arrival()])
    async with dispatching(store, clock, mark(never, retries=0), event_of=odd):
        await until(store, "failed")
    [row] = await store.events.history(added.event_id)
    assert row["attempt_error"].startswith("ValueError: an installed source has a bug")


@pytest.mark.parametrize("problem", [SystemExit(3), KeyboardInterrupt(), BaseException("odd")])
async def test_a_handler_that_tries_to_end_the_process_ends_only_its_run(store, clock, arrival, problem):  # noqa: F811
    async def wild(event, context):
        raise problem

    async def tame(event, context):
        pass

    await store.events.add([arrival()])
    async with dispatching(store, clock, mark(wild, retries=0), mark(tame)):
        await until(store, "failed")
        await until(store, "done")


async def test_a_hanging_handler_is_cut_off_and_delays_nobody(store, clock, arrival):  # noqa: F811
    quick = []

    async def hangs(event, context):
        await asyncio.Event().wait()

    async def works(event, context):
        quick.append(event.job_id)

    await store.events.add([arrival(number) for number in range(20)])
    limits = {"retries": 0, "timeout": 0.05, "concurrency": 2}
    async with dispatching(store, clock, mark(hangs, **limits), mark(works)):
        await until(store, "done", 20)
        assert (await store.runs.counts()).get("failed", 0) < 20
        await until(store, "failed", 20)
    assert len(quick) == 20
    errors = {row["error"] for row in await store.runs.recent(state="failed")}
    assert errors == {"took longer than 0.05 s"}


@pytest.mark.parametrize("concurrency", [1, 32, 1000])
async def test_handlers_that_hang_in_all_places_they_get_keep_none_from_another(store, clock, arrival, concurrency):  # noqa: F811
    """However many of them, and however many runs of theirs wait: one has its place, and is claimed for it."""

    async def hangs(event, context):
        await asyncio.Event().wait()

    async def hangs_too(event, context):
        await asyncio.Event().wait()

    async def works(event, context):
        pass

    handlers = mark(hangs, concurrency=concurrency), mark(hangs_too, concurrency=concurrency), mark(works)
    async with dispatching(store, clock, *handlers, grace=0):
        await store.events.add([arrival(number) for number in range(300)])
        await until(store, "running", 2)
        await store.events.add([arrival(number) for number in range(300, 310)])
        await until(store, "done", 310)


async def test_what_is_claimed_and_has_not_begun_is_given_back_when_the_worker_stops(store, clock, arrival):  # noqa: F811
    begun, let_go = [], asyncio.Event()

    async def slow(event, context):
        begun.append(event.job_id)
        if len(begun) > 1:
            await let_go.wait()

    await store.events.add([arrival(1)])
    async with dispatching(store, clock, mark(slow, concurrency=1), grace=SOON) as dispatcher:
        await until(store, "done")  # in no time: more are claimed ahead from now on
        await store.events.add([arrival(number) for number in range(2, 12)])
        await until(store, "running", 10)
        async with asyncio.timeout(SOON):
            while len(begun) < 2:
                await asyncio.sleep(PAUSE)
        dispatcher.stop()
        let_go.set()
    assert await store.runs.counts() == {"done": 2, "waiting": 9}
    assert len(begun) == 2


async def test_a_plain_function_around_an_async_one_runs_to_its_end(store, clock, arrival):  # noqa: F811
    ran = []

    async def inner(event, context):
        ran.append(event.job_id)

    def outer(event, context):
        return inner(event, context)

    await store.events.add([arrival()])
    async with dispatching(store, clock, mark(outer)):
        await until(store, "done")
    assert len(ran) == 1


async def test_a_hanging_function_in_a_thread_takes_no_thread_from_others(store, clock, arrival):  # noqa: F811
    let_go = threading.Event()

    def hangs(event, context):
        let_go.wait(SOON)

    def works(event, context):
        pass

    await store.events.add([arrival(number) for number in range(6)])
    limits = {"retries": 0, "timeout": 0.05, "concurrency": 1}
    async with dispatching(store, clock, mark(hangs, **limits), mark(works, concurrency=1)):
        await until(store, "done", 6)
        let_go.set()


async def test_no_more_than_its_concurrency_of_one_handler_run_at_once(store, clock, arrival):  # noqa: F811
    running, most = 0, 0

    async def counted(event, context):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    await store.events.add([arrival(number) for number in range(30)])
    async with dispatching(store, clock, mark(counted, concurrency=3)):
        await until(store, "done", 30)
    assert most == 3


async def test_stopping_lets_running_handlers_finish_within_the_grace_time(store, clock, arrival):  # noqa: F811
    started, let_go = asyncio.Event(), asyncio.Event()

    async def slow(event, context):
        started.set()
        await let_go.wait()

    await store.events.add([arrival()])
    async with dispatching(store, clock, mark(slow), grace=SOON) as dispatcher:
        await started.wait()
        dispatcher.stop()
        let_go.set()
    assert await store.runs.counts() == {"done": 1}


async def test_leases_are_kept_through_the_drain(store, clock, arrival, monkeypatch):  # noqa: F811
    """A grace time longer than the lease: what still runs must not be given to somebody else."""
    extend, started, let_go = store.runs.extend, asyncio.Event(), asyncio.Event()
    extended = asyncio.Semaphore(0)

    async def counted(held, **named):
        await extend(held, **named)
        clock.turn(0.02)  # less than a lease: what is extended each time never ends
        if held:
            extended.release()

    async def slow(event, context):
        started.set()
        await let_go.wait()

    monkeypatch.setattr(store.runs, "extend", counted)
    [added] = await store.events.add([arrival()])
    async with dispatching(store, clock, mark(slow), grace=SOON, lease=0.03) as dispatcher, asyncio.timeout(SOON):
        await started.wait()
        dispatcher.stop()
        for _ in range(5):
            await extended.acquire()
        let_go.set()
    assert [row["outcome"] for row in await store.events.history(added.event_id)] == ["done"]


async def test_a_run_that_has_ended_is_ours_until_that_is_recorded(store, clock, arrival, monkeypatch):  # noqa: F811
    """A store that takes long to record it must not meanwhile give it to somebody else."""
    turn, extend, extended = store.runs.turn, store.runs.extend, asyncio.Semaphore(0)

    async def slow(**arguments):
        if arguments["finished"]:
            for _ in range(5):
                await extended.acquire()
        return await turn(**arguments)

    async def counted(held, **named):
        await extend(held, **named)
        clock.turn(0.02)
        if held:
            extended.release()

    async def works(event, context):
        pass

    monkeypatch.setattr(store.runs, "turn", slow)
    monkeypatch.setattr(store.runs, "extend", counted)
    [added] = await store.events.add([arrival()])
    async with dispatching(store, clock, mark(works), lease=0.03), asyncio.timeout(SOON):
        await until(store, "done")
    assert [row["outcome"] for row in await store.events.history(added.event_id)] == ["done"]


async def test_what_is_under_way_with_the_store_ends_before_the_last_word_to_it(store, clock, arrival, monkeypatch):  # noqa: F811
    """Cut off in the middle, a transaction may keep its lock."""
    reap, settle, told, inside = store.runs.reap, store.runs.settle, [], asyncio.Event()

    async def slow(**arguments):
        inside.set()
        for _ in range(100):
            await asyncio.sleep(0)
        told.append("reaped")
        return await reap(**arguments)

    async def last(*arguments):
        told.append("settled")
        return await settle(*arguments)

    async def hangs(event, context):
        await asyncio.Event().wait()

    monkeypatch.setattr(store.runs, "reap", slow)
    monkeypatch.setattr(store.runs, "settle", last)
    await store.events.add([arrival()])
    async with dispatching(store, clock, mark(hangs), lease=0.03, grace=0):
        await until(store, "running")
        inside.clear()
        await inside.wait()
    assert told[-2:] == ["reaped", "settled"]
    assert await store.runs.counts() == {"waiting": 1}


async def test_a_store_that_does_not_answer_at_the_end_is_asked_again(store, clock, arrival, monkeypatch):  # noqa: F811
    settle, failures, started = store.runs.settle, [], asyncio.Event()

    async def broken(*arguments):
        if len(failures) < 2:
            failures.append(1)
            raise Unavailable("gone for a moment")
        return await settle(*arguments)

    async def slow(event, context):
        started.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(store.runs, "settle", broken)
    await store.events.add([arrival()])
    async with dispatching(store, clock, mark(slow), grace=0.01, roll=lambda: -0.49):
        await started.wait()
    assert await store.runs.counts() == {"waiting": 1}


async def test_what_ends_too_late_at_the_end_is_told(store, clock, arrival):  # noqa: F811
    started, ends = asyncio.Event(), asyncio.Event()

    async def slow(event, context):
        started.set()
        await ends.wait()

    await store.events.add([arrival()])
    with capture_logs() as logs:
        async with dispatching(store, clock, mark(slow)):
            await started.wait()
            await store.runs.reap(limits={"slow": 9}, worker="w1")
            ends.set()
    assert [(line["handler"], line["outcome"]) for line in logs if line["event"] == "lease_lost"] == [("slow", "done")]
    assert await store.runs.counts() == {"waiting": 1}


async def test_what_the_store_does_not_take_at_the_end_is_named(store, clock, arrival, monkeypatch):  # noqa: F811
    monkeypatch.setattr(dispatcher_module, "SETTLING", 0)
    started = asyncio.Event()

    async def gone(*_arguments):
        raise Unavailable("gone")

    async def slow(event, context):
        started.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(store.runs, "settle", gone)
    await store.events.add([arrival()])
    with capture_logs() as logs:
        async with dispatching(store, clock, mark(slow), grace=0.01):
            await started.wait()
    [run] = await store.runs.recent()
    [told] = [entry for entry in logs if entry["event"] == "runs_not_settled"]
    assert (told["ended"], told["given_back"]) == ({}, [run["id"]])


async def test_stopping_gives_back_what_does_not_finish_and_the_attempt_does_not_count(store, clock, arrival):  # noqa: F811
    started = asyncio.Event()

    async def slow(event, context):
        started.set()
        await asyncio.Event().wait()

    await store.events.add([arrival()])
    async with dispatching(store, clock, mark(slow), grace=0.01):
        await started.wait()
    [row] = await store.runs.recent()
    assert (row["state"], row["attempt"], row["due_at"]) == ("waiting", 0, clock())


async def test_a_store_that_does_not_answer_is_waited_for(store, clock, arrival, monkeypatch):  # noqa: F811
    turn, failures = store.runs.turn, []

    async def broken(**arguments):
        if len(failures) < 2:
            failures.append(1)
            raise Unavailable("gone for a moment")
        return await turn(**arguments)

    async def works(event, context):
        pass

    monkeypatch.setattr(store.runs, "turn", broken)
    await store.events.add([arrival()])
    async with dispatching(store, clock, mark(works), roll=lambda: -0.99) as dispatcher:
        while len(failures) < 2:
            dispatcher.wake()
            await asyncio.sleep(0)
        await until(store, "done")


async def test_while_the_store_does_not_answer_it_is_not_asked_again_and_again(store, clock, arrival, monkeypatch):  # noqa: F811
    """Not even when there is something to record, which is recorded at once otherwise."""
    turn, tries, let_go = store.runs.turn, [], asyncio.Event()

    async def broken(**arguments):
        if arguments["finished"]:
            tries.append(1)
            raise Unavailable("gone")
        return await turn(**arguments)

    async def works(event, context):
        await let_go.wait()

    monkeypatch.setattr(store.runs, "turn", broken)
    await store.events.add([arrival()])
    async with dispatching(store, clock, mark(works)) as dispatcher:
        await until(store, "running")
        let_go.set()
        async with asyncio.timeout(SOON):
            while not tries:
                await asyncio.sleep(PAUSE)
        for _ in range(1000):
            dispatcher.wake()
            await asyncio.sleep(0)
        assert len(tries) == 1
    assert await store.runs.counts() == {"done": 1}


async def test_what_comes_in_while_we_look_in_vain_is_looked_for_at_once(store, clock, arrival, monkeypatch):  # noqa: F811
    """The hint comes after the look and before the rest: it must not be lost, or the event waits for the next look."""
    monkeypatch.setattr(dispatcher_module, "POLL", 3600)
    turn, added = store.runs.turn, []

    async def looked(**arguments):
        found = await turn(**arguments)
        if not added:
            added.extend(await store.events.add([arrival()]))
            dispatcher.wake()
        return found

    async def works(event, context):
        pass

    monkeypatch.setattr(store.runs, "turn", looked)
    async with dispatching(store, clock, mark(works)) as dispatcher:
        await until(store, "done")


async def test_after_a_store_that_hung_for_an_hour_the_worker_wakes_at_once(store, clock):
    async with dispatching(store, clock) as dispatcher:
        pass
    dispatcher.wake()
    async with asyncio.timeout(SOON):
        await dispatcher._pause(3600, after=3600)


async def test_a_bug_in_the_dispatcher_ends_it(store, clock, monkeypatch):
    async def broken(**_arguments):
        raise ZeroDivisionError

    monkeypatch.setattr(store.runs, "turn", broken)
    with pytest.raises(ZeroDivisionError):
        async with dispatching(store, clock) as dispatcher:
            await asyncio.sleep(0)
            del dispatcher


async def test_a_step_asked_for_once_is_made_once_over_all_attempts(store, clock, arrival):  # noqa: F811
    made, tries = [], []

    async def careful(event, context):
        async with context.once("mail") as first:
            if first:
                made.append(1)
        tries.append(1)
        if len(tries) < 3:
            raise Retry(after=0)

    await store.events.add([arrival()])
    async with dispatching(store, clock, mark(careful)):
        await until(store, "done")
    assert (len(made), len(tries)) == (1, 3)


def test_the_wait_doubles_up_to_a_limit_and_is_spread():
    assert [backoff(attempt, roll=1) for attempt in (1, 2, 3, 4)] == [2, 4, 8, 16]
    assert backoff(100, roll=1) == 3600
    assert backoff(10**6, roll=0.5) == 1800
    assert backoff(1, roll=0) == 0.2


async def test_runs_that_stand_aside_leave_their_places_to_others_and_go_on_together(store, clock, arrival):  # noqa: F811
    here, other, over = [], [], asyncio.Event()

    async def waits(event, context):
        here.append(event.id)
        await context.aside(over.wait())

    async def works(event, _context):
        other.append(event.id)

    added = await store.events.add([arrival(number) for number in range(10)])
    one, two = mark(waits, concurrency=2), mark(works, concurrency=2)
    async with dispatching(store, clock, one, two, concurrency=2):
        async with asyncio.timeout(SOON):
            while len(here) < 10 or len(other) < 10:  # ten wait, and there are two places
                await asyncio.sleep(PAUSE)
        assert (await store.runs.counts())["running"] == 10
        over.set()
        await until(store, "done", 20)
    assert len(added) == len(set(here)) == len(set(other)) == 10


async def test_a_run_that_stood_aside_goes_on_only_when_there_is_a_place(store, clock, arrival):  # noqa: F811
    at_once, most, over = 0, 0, asyncio.Event()

    async def waits(_event, context):
        nonlocal at_once, most
        await context.aside(over.wait())
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0)
        at_once -= 1

    await store.events.add([arrival(number) for number in range(6)])
    async with dispatching(store, clock, mark(waits, concurrency=2)):
        await until(store, "running", 6)
        over.set()
        await until(store, "done", 6)
    assert most == 2


async def test_no_more_stand_aside_than_a_worker_can_keep_alive(store, clock, arrival, monkeypatch):  # noqa: F811
    monkeypatch.setattr(lane, "STANDING", 3)
    here, over = [], asyncio.Event()

    async def waits(event, context):
        here.append(event.id)
        await context.aside(over.wait())

    await store.events.add([arrival(number) for number in range(9)])
    async with dispatching(store, clock, mark(waits, concurrency=1)) as dispatcher:
        await until(store, "running", 4)
        async with asyncio.timeout(SOON):
            while len(here) < 4:
                await asyncio.sleep(PAUSE)
        assert await dispatcher._turn() > 0  # another look at the store claims nothing more
        assert (await store.runs.counts()).get("waiting", 9) == 5
        over.set()
        await until(store, "done", 9)


async def test_runs_that_stand_aside_are_given_back_when_the_worker_stops(store, clock, arrival):  # noqa: F811
    async def waits(_event, context):
        await context.aside(asyncio.Event().wait())

    await store.events.add([arrival(1)])
    async with dispatching(store, clock, mark(waits), grace=0.01):
        await until(store, "running")
    assert await store.runs.counts() == {"waiting": 1}
