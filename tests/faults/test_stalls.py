"""A store that neither takes a delivery nor says that it does not."""

import asyncio
import sqlite3
from contextlib import asynccontextmanager, closing

import asyncpg
import pytest

from receiver import writer as module
from receiver.errors import Unavailable
from receiver.writer import Writer

from ..store.conftest import arrival  # noqa: F401 - a fixture


@asynccontextmanager
async def held(url):
    """Hold what every writer needs, as a process does that stands still in the middle of a transaction."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("ROLLBACK")
        return
    connection = await asyncpg.connect(url)
    async with connection.transaction():
        await connection.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
        yield
    await connection.close()


async def test_a_store_that_stalls_is_answered_for_in_time_and_used_again_when_it_moves(
    store,
    arrival,  # noqa: F811
    monkeypatch,
):
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    writer = Writer(store, queue=10)
    running = asyncio.create_task(writer.run())
    async with held(store.url), asyncio.timeout(5):
        first = asyncio.create_task(writer.add(arrival(1)))
        await asyncio.sleep(0)
        second = asyncio.create_task(writer.add(arrival(2)))  # waits behind the first
        for late in (first, second):
            with pytest.raises(Unavailable, match="in time") as told:
                await late
            assert told.value.retry_after
        with pytest.raises(Unavailable, match="in time"):
            await writer.add(arrival(3))
    async with asyncio.timeout(5):
        while True:
            try:
                again = await writer.add(arrival(1))
                break
            except Unavailable:
                await asyncio.sleep(0.01)
    # What was given up on was stored after all, or not: either way the next try is one event.
    assert len(await store.events.recent()) == 1
    assert (await store.events.recent())[0]["id"] == again.event_id
    writer.stop()
    await running
