"""What handlers open once per worker."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from receiver import shared as module
from receiver.shared import Shared

SOON = 20


def opener(told, name="pool", *, wait=None, enter=None, leave=None):
    """A function that opens something, and tells when it is opened and closed."""

    @asynccontextmanager
    async def open():
        told.append(f"open {name}")
        if wait:
            await wait.wait()
        if enter:
            raise enter
        yield name
        told.append(f"close {name}")
        if leave:
            raise leave

    return open


async def test_calls_at_once_and_later_ones_open_it_once():
    told, gate, shared = [], asyncio.Event(), Shared()
    pool = opener(told, wait=gate)
    calls = [asyncio.create_task(shared.get(pool)) for _ in range(3)]
    await asyncio.sleep(0)
    gate.set()
    assert await asyncio.gather(*calls) == ["pool"] * 3
    assert await shared.get(pool) == "pool"
    await shared.close()
    assert told == ["open pool", "close pool"]


async def test_the_last_to_be_opened_is_the_first_to_be_closed():
    told, gate, shared = [], asyncio.Event(), Shared()
    first = asyncio.create_task(shared.get(opener(told, "a", wait=gate)))
    await asyncio.sleep(0)
    await shared.get(opener(told, "b"))  # was asked for later, and is there earlier
    gate.set()
    await first
    await shared.close()
    assert told[-2:] == ["close a", "close b"]


async def test_a_failure_to_open_reaches_all_who_wait_and_the_next_call_opens_anew():
    told, shared = [], Shared()
    attempts = iter([opener(told, enter=OSError("refused")), opener(told)])

    def pool():
        return next(attempts)()

    found = await asyncio.gather(shared.get(pool), shared.get(pool), return_exceptions=True)
    assert [str(error) for error in found] == ["refused"] * 2
    assert await shared.get(pool) == "pool"
    await shared.close()
    assert told == ["open pool", "open pool", "close pool"]


async def test_a_run_that_is_cancelled_takes_nothing_from_the_others():
    told, gate, shared = [], asyncio.Event(), Shared()
    pool = opener(told, wait=gate)
    one, other = (asyncio.create_task(shared.get(pool)) for _ in range(2))
    await asyncio.sleep(0)
    one.cancel()
    await asyncio.wait([one])
    gate.set()
    assert await other == "pool"
    await shared.close()
    assert told == ["open pool", "close pool"]


async def test_an_opening_that_hangs_is_given_up_when_nobody_waits_any_more():
    told, shared = [], Shared()
    gates = iter([asyncio.Event(), None])

    def pool():
        return opener(told, wait=next(gates))()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await shared.get(pool)
    async with asyncio.timeout(SOON):
        assert await shared.get(pool) == "pool"
    await shared.close()


async def test_it_is_entered_and_left_in_one_task_and_without_the_ids_of_the_run_that_came_first():
    shared, tasks = Shared(), []

    @asynccontextmanager
    async def group():
        tasks.append(asyncio.current_task())
        async with asyncio.TaskGroup() as made:  # this one insists
            yield made
        tasks.append(asyncio.current_task())

    await asyncio.create_task(shared.get(group))
    await shared.close()
    assert tasks[0] is tasks[1]


async def test_a_close_that_fails_is_told_without_secrets_and_the_others_are_closed():
    told, shared = [], Shared()
    await shared.get(opener(told, "a"))
    await shared.get(opener(told, "b", leave=OSError("https://host/?token=hush")))
    with capture_logs() as lines:
        await shared.close()
    assert told[-1] == "close a"
    assert [(line["event"], line["error"]) for line in lines] == [
        ("shared_not_closed", "OSError: https://host/?[redacted]")
    ]


async def test_a_close_that_hangs_is_left_after_its_time(monkeypatch):
    monkeypatch.setattr(module, "CLOSE_TIMEOUT", 0.01)
    told, shared = [], Shared()

    @asynccontextmanager
    async def hangs():
        yield
        await asyncio.Event().wait()

    await shared.get(opener(told, "a"))
    await shared.get(hangs)
    with capture_logs() as lines:
        async with asyncio.timeout(SOON):
            await shared.close()
    assert told[-1] == "close a"
    assert lines[0]["error"] == "it took longer than 0.01 s"


async def test_what_still_opens_is_cancelled_when_the_worker_ends():
    told, shared = [], Shared()
    started = asyncio.Event()

    @asynccontextmanager
    async def hangs():
        started.set()
        try:
            yield await asyncio.Event().wait()
        finally:
            told.append("cancelled")

    call = asyncio.create_task(shared.get(hangs))
    await started.wait()
    async with asyncio.timeout(SOON):
        await shared.close()
        await asyncio.wait([call])
    assert call.cancelled()
    assert told == ["cancelled"]
