"""The processes as a platform runs them: started, stopped, killed."""

import signal
import threading
import time
from pathlib import Path

import httpx
import psutil
import pytest

from .conftest import PATIENCE, Process, Server, deliver, job, query, until


def test_a_delivery_is_answered_and_its_handler_runs(server):
    answer = deliver(server.url, job(1), id="msg_1")
    assert (answer.status_code, answer.json()["status"]) == (200, "stored")
    until(server.handled, "handled")
    [[id, type, job_id, _]] = server.handled()
    assert (id, type, job_id) == (answer.json()["event"], "tool_execution.succeeded", "vg_tool_1")


def test_sigterm_lets_the_running_handler_finish_and_exits_0(tmp_path):
    slow = """
import asyncio, os, pathlib
from receiver import handler

@handler("*")
async def slow(event, context):
    pathlib.Path("started").touch()
    await asyncio.sleep(0.5)
    pathlib.Path("finished").touch()
"""
    with Server(tmp_path, handlers=slow).ready() as server:
        deliver(server.url, job(1), id="msg_1")
        until((tmp_path / "started").exists, "started")
        assert server.end(signal.SIGTERM) == 0
        assert (tmp_path / "finished").exists()
    rows = query(tmp_path, "SELECT state, attempt FROM runs")
    assert rows == [("done", 1)]


def test_sigterm_gives_back_what_does_not_finish_in_time(tmp_path):
    endless = """
import asyncio, pathlib
from receiver import handler

@handler("*")
async def endless(event, context):
    pathlib.Path("started").touch()
    await asyncio.Event().wait()
"""
    with Server(tmp_path, handlers=endless, RECEIVER_GRACE="0.2").ready() as server:
        deliver(server.url, job(1), id="msg_1")
        until((tmp_path / "started").exists, "started")
        assert server.end(signal.SIGTERM) == 0
    rows = query(tmp_path, "SELECT state, attempt FROM runs")
    assert rows == [("waiting", 0)]


def test_a_thread_that_never_returns_does_not_keep_the_process(tmp_path):
    stuck = """
import pathlib, threading
from receiver import handler

@handler("*")
def stuck(event, context):
    pathlib.Path("started").touch()
    threading.Event().wait()
"""
    with Server(tmp_path, handlers=stuck, RECEIVER_GRACE="0.1").ready() as server:
        deliver(server.url, job(1), id="msg_1")
        until((tmp_path / "started").exists, "started")
        began = time.monotonic()
        assert server.end(signal.SIGTERM) == 0
        assert time.monotonic() - began < 8


def test_kill_9_after_the_answer_loses_nothing(tmp_path):
    acked, gone = [], threading.Event()

    def send(url, thread):
        with httpx.Client() as client:
            for number in range(10_000):
                try:
                    answer = deliver(url, job(thread * 10_000 + number), id=f"msg_{thread}_{number}", client=client)
                except httpx.TransportError:
                    return
                if answer.status_code == 200:
                    acked.append(answer.json()["event"])
                if len(acked) > 150:
                    gone.set()

    with Server(tmp_path).ready() as server:
        threads = [threading.Thread(target=send, args=(server.url, thread)) for thread in range(4)]
        for thread in threads:
            thread.start()
        assert gone.wait(PATIENCE)
        server.end(signal.SIGKILL)
        for thread in threads:
            thread.join()
    with Server(tmp_path).ready() as server:
        until(lambda: {row[0] for row in server.handled()} >= set(acked), "everything that was acknowledged is handled")
    stored = {row[0] for row in query(tmp_path, "SELECT id FROM events")}
    assert set(acked) <= stored


def test_the_worker_beside_a_door_is_its_fork_and_can_be_told_apart(server):
    [worker] = psutil.Process(server.process.pid).children()
    assert Path(f"/proc/{worker.pid}/comm").read_text() == "receiver-worker\n"


def test_a_handler_that_kills_its_process_does_not_take_the_door_down(tmp_path):
    deadly = """
import os, pathlib
from receiver import handler

@handler("*", retries=1)
async def deadly(event, context):
    with open("tries", "a") as file:
        file.write("x")
    os._exit(9)
"""
    with Server(tmp_path, handlers=deadly).ready() as server:
        assert deliver(server.url, job(1), id="msg_1").status_code == 200

        def failed():
            rows = query(tmp_path, "SELECT state FROM runs")
            return rows == [("failed",)]

        until(failed, "the run has failed after its attempts")
        assert (tmp_path / "tries").read_text() == "xx"
        assert deliver(server.url, job(2), id="msg_2").status_code == 200


@pytest.mark.parametrize("part", ["writer", "keyring", "supervisor"])
def test_a_part_that_dies_takes_the_process_down_with_an_error(tmp_path, part):
    broken = f"""
from receiver import keyring, supervisor, writer

async def die(self):
    raise RuntimeError("a bug in a part")

{part}.{ {"writer": "Writer.run", "keyring": "Keyring.follow", "supervisor": "Supervisor.run"}[part] } = die
"""
    url = f"sqlite:///{tmp_path / 'receiver.db'}"
    environment = {"RECEIVER_DATABASE_URL": url, "RECEIVER_HANDLERS": "handlers.log"}
    ended = Process(tmp_path, "serve", "--port", "0", first=broken, **environment)
    assert ended.process.wait(PATIENCE) == 1
    assert "part_failed" in ended.log.read_text()
    assert "a bug in a part" in ended.log.read_text()


def test_a_handler_file_that_does_not_import_stops_the_server_with_its_name(tmp_path):
    server = Server(tmp_path, handlers="import nothing_of_that_name")
    assert server.process.wait(PATIENCE) == 1
    assert "nothing_of_that_name" in server.log.read_text()
    assert "own.py" in server.log.read_text()


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "***", "your_webhook_signing_secret_here", "whsec_c2hvcnQ=", "my-secret"]
)
def test_a_secret_that_anybody_could_guess_is_refused_at_the_start(tmp_path, secret):
    server = Server(tmp_path, secret=secret)
    assert server.process.wait(PATIENCE) == 2
    log = server.log.read_text()
    assert "VIDEOGEN_WEBHOOK_SECRET" in log
    assert not secret or len(secret) < 5 or secret not in log


def test_a_throwaway_disk_is_refused_unless_told_otherwise(tmp_path):
    server = Server(tmp_path, DYNO="web.1")
    assert server.process.wait(PATIENCE) == 2
    assert "DYNO" in server.log.read_text()
    with Server(tmp_path, DYNO="web.1", RECEIVER_ACCEPT_THROWAWAY_DISK="1") as accepted:
        accepted.ready()


def test_the_door_alone_and_a_worker_alone_do_the_same_work(tmp_path):
    with Server(tmp_path, "--no-dispatch").ready() as server:
        deliver(server.url, job(1), id="msg_1")
        worker = Process(
            tmp_path,
            "worker",
            RECEIVER_DATABASE_URL=f"sqlite:///{tmp_path / 'receiver.db'}",
            WITNESS=str(server.witness),
        )
        with worker:
            until(server.handled, "handled")
        assert worker.process.returncode == 0


def test_what_runs_share_is_opened_once_and_closed_when_the_worker_has_drained(tmp_path):
    sharing = """
import asyncio, pathlib
from contextlib import asynccontextmanager
from receiver import handler

witness = pathlib.Path("witness.txt")

def tell(text):
    with witness.open("a") as file:
        file.write(text + "\\n")

@asynccontextmanager
async def pool():
    tell("open")
    yield "pool"
    tell("close")

@handler("*")
async def uses(event, context):
    tell("begin " + await context.shared(pool))
    await asyncio.sleep(0.3)
    tell("end")
"""
    witness = tmp_path / "witness.txt"
    with Server(tmp_path, handlers=sharing).ready() as server:
        for number in range(2):
            deliver(server.url, job(number), id=f"msg_{number}")
        until(lambda: witness.exists() and witness.read_text().count("begin pool") == 2, "begun")
        assert server.end(signal.SIGTERM) == 0
    told = witness.read_text().split("\n")[:-1]
    assert (told[0], told[-1], sorted(told[1:-1])) == ("open", "close", ["begin pool"] * 2 + ["end"] * 2)
