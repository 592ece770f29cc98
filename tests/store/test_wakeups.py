"""A worker hears of what another process has stored, on both engines."""

import asyncio
import os
import signal

import asyncpg
import pytest

from receiver.store import Store, wakeups

PATIENCE = 5


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(wakeups, "LOOK", 0.001)
    monkeypatch.setattr(wakeups, "RECONNECT", 0.01)


async def heard_after(listener, say):
    """Whether a follower is woken after something was said, again and again as the listening may just begin."""
    woken = asyncio.Event()
    following = asyncio.create_task(listener.wakeups.follow(woken.set))
    try:
        await asyncio.sleep(0.01)
        woken.clear()
        async with asyncio.timeout(PATIENCE):
            while not woken.is_set():
                await say()
                await asyncio.sleep(0.01)
        return True
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_a_worker_hears_of_a_delivery_that_another_process_stored(database_url, clock, arrival):
    door, worker = Store(database_url, clock=clock), Store(database_url, clock=clock)
    sending = asyncio.create_task(door.wakeups.send())
    numbers = iter(range(1000))

    async def deliver():
        await door.events.add([arrival(next(numbers))])
        door.wakeups.tell()

    assert await heard_after(worker, deliver)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    await door.close()
    await worker.close()


async def test_what_came_before_a_worker_listens_is_looked_for(database_url, clock):
    """Between its last look and its listening, a hint reaches nobody."""
    worker, woken = Store(database_url, clock=clock), asyncio.Event()
    following = asyncio.create_task(worker.wakeups.follow(woken.set))
    async with asyncio.timeout(PATIENCE):
        await woken.wait()
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    await worker.close()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_worker_listens_again_when_postgresql_has_ended_its_connection(database_url, clock):
    """As it does to all connections when it restarts."""
    worker, woken = Store(database_url, clock=clock), asyncio.Semaphore(0)
    following = asyncio.create_task(worker.wakeups.follow(woken.release))
    administrator = await asyncpg.connect(database_url)
    try:
        async with asyncio.timeout(PATIENCE):
            for _ in range(3):
                await woken.acquire()  # listens, and looks for what it missed
                await administrator.execute(f"NOTIFY {wakeups.CHANNEL}")
                await woken.acquire()
                ended = await administrator.fetch(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND query LIKE 'LISTEN%'"
                )
                assert len(ended) == 1
        assert not following.done()
    finally:
        await administrator.close()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await worker.close()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_connection_that_is_cut_without_a_word_is_found_out(database_url, clock, monkeypatch):
    """A router that forgot it lets nothing through, and says nothing: only an answer tells."""
    monkeypatch.setattr(wakeups, "ALIVE", 0.05)
    worker, woken = Store(database_url, clock=clock), asyncio.Semaphore(0)
    following = asyncio.create_task(worker.wakeups.follow(woken.release))
    administrator = await asyncpg.connect(database_url)
    try:
        async with asyncio.timeout(PATIENCE):
            await woken.acquire()
            pid = await administrator.fetchval(
                "SELECT pid FROM pg_stat_activity"
                " WHERE datname = current_database() AND query ~ 'LISTEN|SELECT 1' AND pid <> pg_backend_pid()"
            )
            os.kill(pid, signal.SIGSTOP)
            try:
                await woken.acquire()  # over another connection
            finally:
                os.kill(pid, signal.SIGCONT)
        assert not following.done()
    finally:
        await administrator.close()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await worker.close()


async def test_many_deliveries_make_few_notifications(database_url, clock, monkeypatch):
    store = Store(database_url, clock=clock)
    sending = asyncio.create_task(store.wakeups.send())
    for _ in range(1000):
        store.wakeups.tell()
    await asyncio.sleep(0.05)
    assert not store.wakeups._news.is_set()
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    await store.close()


async def test_a_database_that_is_gone_is_no_reason_to_end():
    store = Store("postgresql://u:p@127.0.0.1:1/none")
    tasks = [asyncio.create_task(store.wakeups.send()), asyncio.create_task(store.wakeups.follow(lambda: None))]
    store.wakeups.tell()
    await asyncio.sleep(0.1)
    assert not any(task.done() for task in tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await store.close()
