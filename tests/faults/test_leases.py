"""What a worker holds, and what it only seems to hold."""

import asyncio

from receiver.errors import Unavailable

from ..store.conftest import arrival  # noqa: F401 - a fixture
from ..test_dispatcher import SOON, dispatching, mark, until


async def test_a_claim_whose_answer_was_lost_is_taken_over_however_busy_its_worker(store, clock, arrival, monkeypatch):  # noqa: F811
    """The connection broke after the commit: the store says the run is ours, and we know nothing of it."""
    turn, extend, handled, lost = store.runs.turn, store.runs.extend, [], []

    async def cut(**arguments):
        result = await turn(**arguments)
        if not lost and [claimed for claimed in result.claimed if claimed.event["job_id"] == "job_2"]:
            lost.append(result)
            raise Unavailable("the connection broke after the commit")
        return result

    async def extended(*arguments, **named):
        await extend(*arguments, **named)
        clock.turn(0.02)  # less than a lease: what is extended each time never ends

    async def works(event, context):
        handled.append(event.job_id)
        if event.job_id == "job_1":
            await asyncio.Event().wait()

    monkeypatch.setattr(store.runs, "turn", cut)
    monkeypatch.setattr(store.runs, "extend", extended)
    await store.events.add([arrival(1)])
    async with (
        dispatching(store, clock, mark(works), lease=0.03, roll=lambda: 0.0) as dispatcher,
        asyncio.timeout(SOON),
    ):
        await until(store, "running")
        await store.events.add([arrival(2)])
        dispatcher.wake()
        while "job_2" not in handled:
            dispatcher.wake()
            await asyncio.sleep(0.002)  # busy, but not so that nothing else has a turn
    assert handled == ["job_1", "job_2"]


async def test_a_worker_does_not_keep_the_runs_of_a_dead_one_with_its_name(store, arrival, clock):  # noqa: F811
    """A container that starts again has its old name and its old process number."""
    common = {"worker": "box:1", "lease": 30.0, "finished": [], "wanted": lambda _event: {"log": None}}
    await store.events.add([arrival(1)])
    [before] = (await store.runs.turn(**common, free={"log": 1})).claimed
    clock.turn(10)
    await store.events.add([arrival(2)])
    [now] = (await store.runs.turn(**common, free={"log": 1})).claimed
    for _ in range(3):
        await store.runs.extend([now], worker="box:1", lease=30)
        clock.turn(10)
    assert await store.runs.reap(limits={"log": 9}) == 1
    states = {row["id"]: row["state"] for row in await store.runs.recent()}
    assert states == {before.id: "waiting", now.id: "running"}
