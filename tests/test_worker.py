"""What a worker does beside running handlers."""

import asyncio

import pytest
from structlog.testing import capture_logs

from receiver import worker


@pytest.mark.parametrize("failure", [ValueError("a mistake"), None])
async def test_a_part_that_ends_is_told_and_begins_again(monkeypatch, failure):
    monkeypatch.setattr(worker, "AGAIN", 0)
    begun = asyncio.Semaphore(0)

    async def part():
        begun.release()
        if failure:
            raise failure

    with capture_logs() as logs:
        task = asyncio.create_task(worker.keep_up("report", part))
        for _ in range(3):
            await begun.acquire()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    told = [entry for entry in logs if entry["event"] == "part_failed"]
    assert task.cancelled()
    assert [(entry["part"], entry["log_level"]) for entry in told[:2]] == [("report", "error")] * (2 if failure else 0)


async def test_a_handler_that_cannot_be_reported_ends_no_other_part(monkeypatch, store):
    monkeypatch.setattr(worker, "AGAIN", 0)
    tries = asyncio.Semaphore(0)

    async def report(_found, *, worker):
        tries.release()
        raise TypeError("of no use")

    monkeypatch.setattr(store.handlers, "report", report)
    with capture_logs() as logs:
        task = asyncio.create_task(worker.keep_up("report", lambda: worker._report(store, [], "w")))
        for _ in range(2):
            await tries.acquire()
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert logs[0]["event"] == "part_failed"
