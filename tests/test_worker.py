"""What a worker does beside running handlers."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from receiver import dispatcher, interpreter, supervisor, worker
from receiver.settings import Settings
from receiver.store import database
from receiver.tracker import Tracker

SOON = 20  # patience, not a measure: this machine may be busy


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


async def test_with_the_signal_no_more_jobs_are_sent_though_handlers_still_run(tmp_path, monkeypatch, sqlite_url):
    stopped = asyncio.Event()

    class Told(Tracker):
        def stop(self):
            super().stop()
            stopped.set()

    class Slow(dispatcher.Dispatcher):
        async def run(self):
            await super().run()
            await stopped.wait()  # still draining, for as long as the tracker goes on

    monkeypatch.setattr(worker, "Tracker", Told)
    monkeypatch.setattr(worker, "Dispatcher", Slow)
    monkeypatch.setattr(interpreter, "started", lambda: os.kill(os.getpid(), signal.SIGTERM))
    settings = Settings(database_url=sqlite_url, handlers=str(tmp_path), files=str(tmp_path / "files"))
    async with asyncio.timeout(SOON):
        await worker._work(settings, name="w", after=None, supervised=False, pipe=None)


async def test_the_store_is_closed_once_all_parts_have_ended(tmp_path, monkeypatch, sqlite_url):
    begun, told, close = asyncio.Event(), [], worker.Store.close

    async def lingers(_store):
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(100):
                await asyncio.sleep(0)
            told.append("the part has ended")

    async def closed(store):
        told.append("the store is closed")
        await close(store)

    class Waiting(dispatcher.Dispatcher):
        async def run(self):
            await super().run()
            await begun.wait()

    monkeypatch.setattr(worker, "_add_up", lingers)
    monkeypatch.setattr(worker.Store, "close", closed)
    monkeypatch.setattr(worker, "Dispatcher", Waiting)
    monkeypatch.setattr(interpreter, "started", lambda: os.kill(os.getpid(), signal.SIGTERM))
    settings = Settings(database_url=sqlite_url, handlers=str(tmp_path), files=str(tmp_path / "files"))
    async with asyncio.timeout(SOON):
        await worker._work(settings, name="w", after=None, supervised=False, pipe=None)
    assert told == ["the part has ended", "the store is closed"]


def test_a_worker_loads_nothing_that_only_commands_pages_and_the_other_database_need():
    """Each of these takes 3 to 10 MB of every process."""
    loaded = (
        "import receiver.supervised, receiver.store.database as d, sys; d.Database('sqlite:///x')\nprint(*sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout.split()
    assert "sqlalchemy" in told
    assert not {"sqlalchemy.orm", "asyncpg", "typer", "jinja2", "alembic", "receiver.cli", "receiver.api"} & {*told}


def test_a_worker_may_take_the_time_that_it_needs_to_end():
    """A turn that waits for the database, what is cancelled, and a last word that waits for the database, twice."""
    database_waits = database.BUSY_TIMEOUT + database.TURN
    needed = database_waits + dispatcher.CANCELLING + dispatcher.SETTLING + database_waits
    assert needed <= supervisor.LEAVING


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says whom it ends when memory runs out")
def test_out_of_memory_the_kernel_takes_a_supervised_worker_before_its_door():
    script = (
        "from receiver.worker import _take_the_blame as take; take(); print(open('/proc/self/oom_score_adj').read())"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, timeout=SOON)
    ours = int(Path("/proc/self/oom_score_adj").read_text())
    assert int(told.stdout) == min(1000, ours + worker.BLAME)
