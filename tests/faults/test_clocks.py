"""Workers whose clocks are wrong: the store's clock is the one that counts."""

import asyncio
import time

import pytest

from receiver import Retry

from ..store.conftest import arrival  # noqa: F401 - a fixture
from ..test_dispatcher import PAUSE, SOON, dispatching, mark, recorded, until

FIVE_MINUTES, HOUR = 300, 3600


@pytest.mark.parametrize("off", [-FIVE_MINUTES, FIVE_MINUTES, -HOUR, HOUR])
async def test_a_retry_is_due_by_the_clock_of_the_store(store, clock, arrival, off):  # noqa: F811
    async def later(event, context):
        raise Retry("not yet", after=10)

    [added] = await store.events.add([arrival()])
    clock.now = time.time() + off
    async with dispatching(store, clock, mark(later)):
        await recorded(store, added.event_id, 1)
    [run] = await store.runs.recent()
    assert clock() + 10 <= run["due_at"] < clock() + 10 + SOON
    [attempt] = await store.events.history(added.event_id)
    assert 0 <= attempt["attempt_finished_at"] - attempt["attempt_started_at"] < SOON


async def test_a_worker_ahead_of_the_store_rests_until_the_next_run_is_due(store, clock, arrival, monkeypatch):  # noqa: F811
    turns, turn = [], store.runs.turn

    async def counted(**arguments):
        turns.append(1)
        return await turn(**arguments)

    async def later(event, context):
        raise Retry("not yet", after=100)

    monkeypatch.setattr(store.runs, "turn", counted)
    clock.now = time.time() - FIVE_MINUTES
    [added] = await store.events.add([arrival()])
    async with dispatching(store, clock, mark(later)):
        await recorded(store, added.event_id, 1)
        turns.clear()
        await asyncio.sleep(0.3)  # a worker that does not rest takes hundreds of turns meanwhile
    assert len(turns) < 10


async def test_a_clock_that_jumps_an_hour_ahead_ends_leases_and_nothing_is_done_twice(store, clock, arrival):  # noqa: F811
    effects, go_on = [], asyncio.Event()

    async def slow(event, context):
        async with context.once("effect") as first:
            if first:
                effects.append(event.id)
        if context.attempt == 1:
            await go_on.wait()

    [added] = await store.events.add([arrival()])
    async with dispatching(store, clock, mark(slow)):
        await until(store, "running")
        while not effects:
            await asyncio.sleep(PAUSE)
        clock.turn(HOUR)
        async with dispatching(store, clock, mark(slow), worker="w2") as other:
            await recorded(store, added.event_id, 1)
            clock.turn(10)  # what was lost waits a little: it may be what killed its worker
            other.wake()
            await until(store, "done")
            go_on.set()
    assert len(effects) == 1
    [row] = await store.runs.recent()
    assert (row["state"], row["attempt"]) == ("done", 2)


async def test_a_clock_that_jumps_an_hour_back_keeps_what_is_running_and_hands_out_what_is_new(store, clock, arrival):  # noqa: F811
    go_on, handled = asyncio.Event(), []

    async def works(event, context):
        handled.append(event.job_id)
        if event.job_id == "job_1":
            await go_on.wait()

    await store.events.add([arrival(1)])
    async with dispatching(store, clock, mark(works)) as dispatcher:
        await until(store, "running")
        clock.turn(-HOUR)
        await store.events.add([arrival(2)])
        dispatcher.wake()
        await until(store, "done")
        go_on.set()
        await until(store, "done", 2)
    assert handled == ["job_1", "job_2"]
