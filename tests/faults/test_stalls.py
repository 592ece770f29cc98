"""A store that neither takes a delivery nor says that it does not."""

import asyncio
import socket
import sqlite3
from contextlib import asynccontextmanager, closing

import asyncpg
import httpx
import pytest
import uvicorn

from receiver import inbox
from receiver import writer as module
from receiver.app import Door
from receiver.errors import Unavailable
from receiver.server import config
from receiver.settings import Settings
from receiver.writer import Writer

from ..conftest import SECRET
from ..store.conftest import arrival  # noqa: F401 - a fixture
from ..test_inbox import signed


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


@asynccontextmanager
async def served(url, clock, monkeypatch, **changes):
    """Serve the door on a socket, as `receiver serve` does; give it and its address."""
    monkeypatch.setenv("VIDEOGEN_WEBHOOK_SECRET", SECRET)
    settings = Settings(database_url=url, grace=1, **changes)
    door = Door(settings, dispatch=False, clock=clock)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with door.open():
            server = uvicorn.Server(config(door, settings))
            task = asyncio.create_task(server.serve(sockets=[listener]))
            yield door, listener.getsockname()[1]
            server.should_exit = True
            await task


async def test_a_full_queue_is_told_at_once_over_http_while_the_store_stands_still(database_url, clock, monkeypatch):
    body = b'{"event": "x"}'

    async def post(client, number):
        return await client.post("/webhooks/videogen", content=body, headers=signed(body, clock, id=f"msg_{number}"))

    async with (
        served(database_url, clock, monkeypatch, queue=2) as (door, port),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client,
        asyncio.timeout(20),
    ):
        async with held(database_url):
            waiting = [asyncio.create_task(post(client, 0))]
            while not door._writer._bytes or door._writer._waiting:
                await asyncio.sleep(0.005)  # until the first is on its way to the store
            waiting += [asyncio.create_task(post(client, number)) for number in (1, 2)]
            while len(door._writer._waiting) < 2:
                await asyncio.sleep(0.005)
            told = await post(client, 3)
            assert (told.status_code, int(told.headers["retry-after"]) > 0) == (503, True)
            assert not any(task.done() for task in waiting)  # at once: the others wait for the store still
        assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [200, 200, 200]
        assert (await post(client, 3)).status_code == 200


async def test_bodies_half_read_are_bounded_together_and_the_one_too_many_is_told_to_come_again(
    sqlite_url, clock, monkeypatch
):
    monkeypatch.setattr(inbox, "READING_BYTES", 3000)
    head = b"POST /webhooks/videogen HTTP/1.1\r\nhost: x\r\ncontent-length: 4000\r\n\r\n"
    async with served(sqlite_url, clock, monkeypatch) as (door, port), asyncio.timeout(20):
        _, slow = await asyncio.open_connection("127.0.0.1", port)
        slow.write(head + b"x" * 2000)
        while door._inbox._reading < 2000:
            await asyncio.sleep(0.005)
        reader, other = await asyncio.open_connection("127.0.0.1", port)
        other.write(head + b"x" * 2000)
        answer = await reader.read()  # to its end: it hangs up, as the rest is on its way
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 2" in answer
        slow.close()
        other.close()
        while door._inbox._reading:
            await asyncio.sleep(0.005)
