"""What is cancelled in the middle of a transaction does not keep the one place to write."""

import asyncio
import gc
import sqlite3
from contextlib import closing, contextmanager

import pytest
from sqlalchemy import Engine, event, select

from receiver.store import Store, database
from receiver.store.tables import events


@pytest.fixture
async def store(sqlite_url, clock):
    """A store on SQLite: its connections live in our process, and so does what they leave behind."""
    opened = Store(sqlite_url, clock=clock)
    yield opened
    await opened.close()


@contextmanager
def nothing_collected():
    """Let what is cut off live on as long as it may: in the traceback of who was cancelled."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def cancelled_at(statement, task):
    """Cancel a task when it waits for a statement that begins so, in whichever thread."""
    loop = asyncio.get_running_loop()

    def cut(*about):
        if about[2].startswith(statement):
            loop.call_soon_threadsafe(task.cancel)

    event.listen(Engine, "before_cursor_execute", cut)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", cut)


async def cut_off(work, statement):
    """Return the task of some work that was cancelled while it waited for a statement."""
    task = asyncio.create_task(work)
    with cancelled_at(statement, task):
        await asyncio.wait([task])
    assert task.cancelled()
    return task


def free_for_a_writer(store):
    with closing(sqlite3.connect(store.url.removeprefix("sqlite:///"), timeout=0, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")


async def test_a_write_that_is_cancelled_while_it_reads_leaves_the_place_to_write(store, arrival):
    await store.events.add([arrival(number) for number in range(300)])

    async def work():
        async with store.database.write() as connection:
            await connection.execute(select(events))

    with nothing_collected():
        task = await cut_off(work(), "SELECT")
        free_for_a_writer(store)
        del task


async def test_a_read_that_is_cancelled_leaves_the_log_free_to_begin_anew(store, arrival):
    await store.events.add([arrival(number) for number in range(300)])

    async def work():
        async with store.database.read() as connection:
            await connection.execute(select(events))

    with nothing_collected():
        task = await cut_off(work(), "SELECT")
        await store.events.add([arrival(301)])
        with closing(sqlite3.connect(store.url.removeprefix("sqlite:///"), timeout=0)) as other:
            [(busy, left, done)] = other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert (busy, left, done) == (0, 0, 0), "somebody still reads what was there before"
        del task


def test_a_connection_may_be_closed_more_than_once_whatever_lives_of_it(tmp_path):
    connection = sqlite3.connect(tmp_path / "x.db", factory=database._Connection)
    cursor = connection.execute("SELECT 1")
    connection.close()
    connection.close()
    with pytest.raises(sqlite3.ProgrammingError):
        cursor.fetchone()


async def test_a_reap_that_is_cancelled_while_it_looks_leaves_the_place_to_write(store, arrival, clock):
    await store.events.add([arrival(number) for number in range(5)])
    wanted = {"worker": "w", "lease": 1.0, "finished": [], "wanted": lambda _event: {"log": None}}
    await store.runs.turn(**wanted, free={"log": 5})
    clock.turn(2)
    with nothing_collected():
        task = await cut_off(store.runs.reap(limits={"log": 9}), "SELECT")
        free_for_a_writer(store)
        del task
    assert await store.runs.counts() == {"waiting": 5}  # it had begun, so it went on to its end
