"""Steps that happen once, whatever cuts them off. Each of these holds on both engines."""

import asyncio
from contextlib import suppress

import pytest
from sqlalchemy import Engine, event

from receiver.errors import Retry, Unavailable
from receiver.store import Finished
from receiver.store.filter import Filter


async def claim(store, worker="w", finished=()):
    turn = await store.runs.turn(
        worker=worker, lease=30, finished=finished, wanted=lambda _event: {"log": None}, free={"log": 1}
    )
    return turn.claimed[0] if turn.claimed else None


@pytest.fixture
async def run(store, arrival):
    await store.events.add([arrival()])
    return await claim(store)


async def begun_anew(store, run, key="mail"):
    async with store.runs.once(run, key) as first:
        return first


async def test_a_step_whose_beginning_is_cancelled_has_not_begun(store, run):
    entered = []

    async def step():
        async with store.runs.once(run, "mail"):
            entered.append(True)

    task, loop = asyncio.create_task(step()), asyncio.get_running_loop()

    def cut(*about):
        if about[2].startswith("INSERT INTO steps"):
            loop.call_soon_threadsafe(task.cancel)

    event.listen(Engine, "before_cursor_execute", cut)
    try:
        await asyncio.wait([task])
    finally:
        event.remove(Engine, "before_cursor_execute", cut)
    assert (task.cancelled(), entered) == (True, [])
    assert await begun_anew(store, run)


async def test_a_step_whose_commit_was_not_answered_has_not_begun(store, run, monkeypatch):
    writing = store.database.writing

    async def unanswered(work):
        monkeypatch.setattr(store.database, "writing", writing)
        await writing(work)
        raise Unavailable("the connection broke after the commit")

    monkeypatch.setattr(store.database, "writing", unanswered)
    with pytest.raises(Unavailable):
        await begun_anew(store, run)
    assert await begun_anew(store, run)


async def test_a_step_that_raised_while_the_store_was_away_has_not_begun(store, run, monkeypatch):
    monkeypatch.setattr("receiver.store.runs.AGAIN", 0.0)
    writing, away = store.database.writing, 3

    async def sometimes(work):
        nonlocal away
        away -= 1
        if away >= 0:
            raise Unavailable("the store does not answer")
        return await writing(work)

    with pytest.raises(ValueError, match="no"):
        async with store.runs.once(run, "mail"):
            monkeypatch.setattr(store.database, "writing", sometimes)
            raise ValueError("no")
    assert await begun_anew(store, run)


async def test_a_run_given_back_takes_the_steps_along_that_raised_and_could_not_say_so(store, run, monkeypatch):
    monkeypatch.setattr(store.runs, "_surely", lambda _work: asyncio.Event().wait())

    async def step():
        async with store.runs.once(run, "mail"):
            await asyncio.Event().wait()

    task = asyncio.create_task(step())
    while not await store.database.reading(lambda one: one.exec_driver_sql("SELECT 1 FROM steps").all()):
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    for _ in range(2):  # the drain, and the end of the process
        task.cancel()
        await asyncio.wait([task], timeout=0.01)
    monkeypatch.undo()
    await store.runs.settle([], [run])
    assert await begun_anew(store, await claim(store))


async def test_a_worker_that_lost_a_run_begins_no_step_of_it(store, run):
    await store.runs.reap(limits={"log": 9}, worker="w")
    with pytest.raises(Retry):
        await begun_anew(store, run)
    assert await begun_anew(store, await claim(store))


async def test_a_worker_that_lost_a_run_does_not_undo_the_step_that_another_began(store, run):
    with suppress(ValueError):
        async with store.runs.once(run, "mail"):
            await store.runs.reap(limits={"log": 1}, worker="w")
            assert await store.runs.retry(run.id)  # by hand: the step is made again
            again = await claim(store)
            assert await store.runs._begin(again, "mail")
            raise ValueError("late")
    assert not await begun_anew(store, again)


@pytest.mark.parametrize("by", ["retry", "replay", "retry-failed"])
async def test_who_starts_a_run_again_by_hand_has_the_step_made_in_which_a_worker_died(store, run, clock, by):
    assert await begun_anew(store, run, "ended")
    assert await store.runs._begin(run, "mail")  # and here it dies
    await store.runs.reap(limits={"log": 9}, worker="w")
    second = await claim(store)
    assert not await begun_anew(store, second)  # by itself it is not made again: it may have been
    await claim(store, finished=[Finished(run=second, outcome="failed", finished_at=clock(), error="x")])
    if by == "retry":
        assert await store.runs.retry(run.id)
    elif by == "replay":
        assert await store.replays.again([(run.event["id"], "log", None)]) == 1
    else:
        assert (await store.replays.retry_some(Filter())).runs == 1
    third = await claim(store)
    assert await begun_anew(store, third)
    assert not await begun_anew(store, third, "ended")
