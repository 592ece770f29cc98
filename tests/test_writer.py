"""Group commit: who waits for what, and what happens when the store does not take it."""

import asyncio

import pytest

from receiver import writer as module
from receiver.errors import Unavailable
from receiver.store import Added, Arrival, Refusal
from receiver.writer import LARGEST_COMMIT, Writer


class Events:
    """A store's events whose commits a test lets through one by one."""

    def __init__(self) -> None:
        self.commits: list[tuple[list[str | None], int]] = []
        self.gate = asyncio.Semaphore(0)
        self.poison: set[str] = set()
        self.down = False
        self.refusals_poisoned = False

    async def add(self, arrivals, refusals=()):
        await self.gate.acquire()
        if self.down:
            raise Unavailable("the store does not answer: disk full")
        if self.poison & {arrival.message_id for arrival in arrivals}:
            raise ValueError("this row cannot be stored")
        if refusals and self.refusals_poisoned:
            raise ValueError("these refusals cannot be stored")
        self.commits.append(([arrival.message_id for arrival in arrivals], len(refusals)))
        return [Added(event_id=f"evt_{arrival.message_id}", status="stored") for arrival in arrivals]


class Store:
    def __init__(self) -> None:
        self.events = Events()


def arrival(number: int, body: bytes = b"") -> Arrival:
    return Arrival(
        source="videogen",
        type="x",
        road="webhook",
        received_at=1,
        occurred_at=1,
        headers="{}",
        body=body,
        message_id=str(number),
    )


REFUSAL = Refusal(source="x", reason="wrong-signature", status=401, received_at=1, headers="{}", body=b"", size=0)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
async def store():
    return Store()


@pytest.fixture
async def writer(store):
    told = []
    made = Writer(store, queue=1000, stored=lambda: told.append(1))
    made.told = told
    task = asyncio.create_task(made.run())
    yield made
    made.stop()
    store.events.gate = asyncio.Semaphore(1000)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_gathers_during_a_commit_goes_into_the_next_one_together(writer, store):
    adds = [asyncio.create_task(writer.add(arrival(0)))]
    await settle()
    adds += [asyncio.create_task(writer.add(arrival(number))) for number in range(1, 5)]
    await settle()
    store.events.gate.release()
    store.events.gate.release()
    added = await asyncio.gather(*adds)
    assert store.events.commits == [(["0"], 0), (["1", "2", "3", "4"], 0)]
    assert [one.event_id for one in added] == [f"evt_{number}" for number in range(5)]


async def test_nobody_is_answered_before_its_own_commit(writer, store):
    first = asyncio.create_task(writer.add(arrival(1)))
    await settle()
    second = asyncio.create_task(writer.add(arrival(2)))
    store.events.gate.release()
    await first
    await settle()
    assert not second.done()
    store.events.gate.release()
    await second


async def test_when_each_source_was_last_heard_is_known_once_that_is_stored(writer, store):
    adding = asyncio.create_task(writer.add(arrival(1)))
    await settle()
    assert writer.heard == {}
    store.events.gate.release()
    await adding
    assert writer.heard == {"videogen": 1}


async def test_a_full_queue_is_refused_at_once(store):
    writer = Writer(store, queue=2)
    waiting = [asyncio.create_task(writer.add(arrival(number))) for number in range(2)]
    await settle()
    with pytest.raises(Unavailable) as caught:
        await writer.add(arrival(3))
    assert caught.value.retry_after > 0
    for task in waiting:
        task.cancel()


async def test_bodies_that_wait_are_bounded_in_bytes_and_the_next_one_is_refused_at_once(writer, store, monkeypatch):
    monkeypatch.setattr(module, "WAITING_BYTES", 100)
    first = asyncio.create_task(writer.add(arrival(1, b"x" * 5000)))  # one may always wait, or it would never be stored
    await settle()
    with pytest.raises(Unavailable) as caught:
        await writer.add(arrival(2, b"x"))
    assert caught.value.retry_after > 0
    store.events.gate.release()
    await first
    others = [asyncio.create_task(writer.add(arrival(number, b"x" * 50))) for number in (3, 4)]
    await settle()
    with pytest.raises(Unavailable):
        await writer.add(arrival(5, b"x"))
    store.events.gate = asyncio.Semaphore(100)
    writer.stop()
    for task in others:
        task.cancel()


async def test_bytes_that_were_refused_or_stored_are_counted_no_more(writer, store):
    store.events.gate = asyncio.Semaphore(100)
    store.events.poison = {"2"}
    adds = (writer.add(arrival(number, b"x" * 50)) for number in range(4))
    await asyncio.gather(*adds, return_exceptions=True)
    store.events.down = True
    await asyncio.gather(*(writer.add(arrival(number, b"x")) for number in range(4)), return_exceptions=True)
    assert writer._bytes == 0


async def test_refusals_that_a_store_does_not_take_go_with_the_next_commit(writer, store):
    store.events.gate = asyncio.Semaphore(100)
    store.events.down = True
    writer.note(REFUSAL)
    await settle()
    assert store.events.gate._value == 99  # it is not asked again at once
    store.events.down = False
    await writer.add(arrival(1))
    assert store.events.commits == [(["1"], 1)]


async def test_refusals_ride_on_when_a_delivery_beside_them_cannot_be_stored(writer, store):
    store.events.poison = {"1"}
    store.events.gate = asyncio.Semaphore(100)
    writer.note(REFUSAL)
    with pytest.raises(Unavailable):
        await writer.add(arrival(1))
    await settle()
    assert store.events.commits == [([], 1)]


async def test_refusals_that_cannot_be_stored_cost_no_delivery_its_answer(writer, store):
    store.events.refusals_poisoned = True
    store.events.gate = asyncio.Semaphore(100)
    writer.note(REFUSAL)
    assert (await writer.add(arrival(1))).status == "stored"


async def test_a_writer_stops_while_the_store_is_down(store):
    writer = Writer(store, queue=10)
    store.events.gate = asyncio.Semaphore(100)
    store.events.down = True
    writer.note(REFUSAL)
    running = asyncio.create_task(writer.run())
    await settle()
    writer.stop()
    async with asyncio.timeout(5):
        await running


async def test_one_row_that_cannot_be_stored_costs_its_neighbours_nothing(writer, store):
    store.events.poison = {"2"}
    store.events.gate = asyncio.Semaphore(100)
    results = await asyncio.gather(*(writer.add(arrival(number)) for number in (1, 2, 3)), return_exceptions=True)
    assert [type(result) for result in results] == [Added, Unavailable, Added]


async def test_a_store_that_is_down_is_unavailable_for_all_and_then_recovers(writer, store):
    store.events.gate = asyncio.Semaphore(100)
    store.events.down = True
    results = await asyncio.gather(*(writer.add(arrival(number)) for number in (1, 2)), return_exceptions=True)
    assert [type(result) for result in results] == [Unavailable, Unavailable]
    store.events.down = False
    assert (await writer.add(arrival(3))).status == "stored"


async def test_a_sender_that_hangs_up_does_not_disturb_the_commit(writer, store):
    gone = asyncio.create_task(writer.add(arrival(1)))
    await settle()
    stays = asyncio.create_task(writer.add(arrival(2)))
    await settle()
    gone.cancel()
    stays_too = asyncio.create_task(writer.add(arrival(3)))
    store.events.gate.release()
    store.events.gate.release()
    assert (await stays).status == (await stays_too).status == "stored"
    assert [ids for ids, _ in store.events.commits] == [["1"], ["2", "3"]]


async def test_a_commit_is_never_larger_than_the_limit(store):
    writer = Writer(store, queue=10_000)
    store.events.gate = asyncio.Semaphore(100)
    adds = [asyncio.create_task(writer.add(arrival(number))) for number in range(LARGEST_COMMIT + 10)]
    await settle()
    task = asyncio.create_task(writer.run())
    await asyncio.gather(*adds)
    assert [len(ids) for ids, _ in store.events.commits] == [LARGEST_COMMIT, 10]
    writer.stop()
    await task


async def test_refusals_ride_along_and_nobody_waits_for_them(writer, store):
    writer.note(REFUSAL)
    store.events.gate.release()
    await settle()
    assert store.events.commits == [([], 1)]


async def test_refusals_beyond_the_limit_are_not_hoarded(store):
    writer = Writer(store, queue=3)
    for _ in range(10):
        writer.note(REFUSAL)
    store.events.gate = asyncio.Semaphore(100)
    task = asyncio.create_task(writer.run())
    writer.stop()
    await task
    assert store.events.commits == [([], 3)]


async def test_stopping_stores_what_is_waiting_and_takes_nothing_more(store):
    writer = Writer(store, queue=10)
    add = asyncio.create_task(writer.add(arrival(1)))
    await settle()
    writer.stop()
    with pytest.raises(Unavailable):
        await writer.add(arrival(2))
    store.events.gate.release()
    await writer.run()
    assert (await add).status == "stored"


async def test_a_writer_that_dies_leaves_nobody_waiting(store):
    writer = Writer(store, queue=10)
    task = asyncio.create_task(writer.run())
    first = asyncio.create_task(writer.add(arrival(1)))
    await settle()
    second = asyncio.create_task(writer.add(arrival(2)))
    await settle()
    task.cancel()
    results = await asyncio.gather(first, second, return_exceptions=True)
    assert [type(result) for result in results] == [Unavailable, Unavailable]


async def test_the_worker_is_told_of_new_events_only(writer, store):
    store.events.gate.release()
    await writer.add(arrival(1))
    assert writer.told == [1]
