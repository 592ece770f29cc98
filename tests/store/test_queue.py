import asyncio
import fcntl
import os
import threading

import pytest
from structlog.testing import capture_logs

from receiver.store.queue import WriterQueue


@pytest.fixture
def two(tmp_path):
    """Two queues on one file, as two processes have them."""
    made = [WriterQueue(str(tmp_path / "x.db"), patience=5) for _ in range(2)]
    yield made
    for queue in made:
        queue.close()


async def test_one_writer_at_a_time_over_all_processes(two):
    writing, most, turns = 0, 0, []

    async def write(name, queue):
        nonlocal writing, most
        for _ in range(50):
            async with queue:
                writing += 1
                most = max(most, writing)
                turns.append(name)
                await asyncio.sleep(0)
                writing -= 1

    await asyncio.gather(*(write(number, queue) for number, queue in enumerate(two)), write("again", two[0]))
    assert most == 1
    assert len(turns) == 150


async def test_who_is_cut_off_while_waiting_does_not_keep_the_next_one_out(two):
    one, other = two
    async with one:
        waiting = asyncio.create_task(other.__aenter__())
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(5):
        async with other:
            pass
        async with one:
            pass


async def test_a_process_that_keeps_it_is_waited_for_once_and_then_nobody_waits(tmp_path):
    queue = WriterQueue(str(tmp_path / "x.db"), patience=0.02)
    keeper = os.open(tmp_path / "x.db-queue", os.O_RDWR | os.O_CREAT)
    fcntl.flock(keeper, fcntl.LOCK_EX)
    with capture_logs() as logs:
        async with asyncio.timeout(5):
            for _ in range(1000):
                async with queue:
                    pass
    assert [entry["event"] for entry in logs] == ["first_place_kept"]
    queue.close()
    os.close(keeper)


async def test_a_place_that_comes_too_late_is_given_back_and_the_queue_is_as_before(tmp_path):
    queue = WriterQueue(str(tmp_path / "x.db"), patience=0.02)
    keeper, other = (os.open(tmp_path / "x.db-queue", os.O_RDWR | os.O_CREAT) for _ in range(2))
    fcntl.flock(keeper, fcntl.LOCK_EX)
    async with queue:
        os.close(keeper)
        async with asyncio.timeout(5):
            await asyncio.to_thread(fcntl.flock, other, fcntl.LOCK_EX)
        fcntl.flock(other, fcntl.LOCK_UN)
    await asyncio.gather(*(asyncio.to_thread(id, 0) for _ in range(40)))  # the thread's word is here by now
    async with queue:
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)
    queue.close()


async def test_the_lock_is_given_back_when_the_writer_fails(two):
    one, other = two
    with pytest.raises(ValueError, match="x"):
        async with one:
            raise ValueError("x")
    async with asyncio.timeout(5), other:
        pass


def test_a_process_that_stops_does_not_wait_for_one_that_keeps_the_first_place(tmp_path):
    keeper = os.open(tmp_path / "x.db-queue", os.O_RDWR | os.O_CREAT)
    fcntl.flock(keeper, fcntl.LOCK_EX)
    queue = WriterQueue(str(tmp_path / "x.db"), patience=0.01)

    async def write():
        async with queue:
            pass

    # asyncio.run waits for the threads of its loop, as a server does that stops.
    stopping = threading.Thread(target=asyncio.run, args=(write(),), daemon=True)
    stopping.start()
    stopping.join(5)
    stopped = not stopping.is_alive()
    os.close(keeper)
    stopping.join(5)
    queue.close()
    assert stopped
