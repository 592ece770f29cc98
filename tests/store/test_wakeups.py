"""A worker hears of what another process has stored, on both engines."""

import asyncio

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
