"""Real processes on loopback sockets."""

import json
import os
import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from receiver import signatures

from ..commands import Command
from ..conftest import SECRET

PATIENCE = 20.0
KEY = signatures.decode_secret(SECRET)

#: Appends a line per event to the file named in the environment, so that a test can see what was handled.
HANDLER = """
import asyncio, json, os, time
from receiver import handler

@handler("*")
async def witness(event, context):
    with open(os.environ["WITNESS"], "a") as file:
        print(json.dumps([event.id, event.type, event.job_id, time.time() - event.received_at]), file=file)
"""


#: Nothing here speaks TLS, and to read all authorities for each request takes longer than the request.
PLAIN = {"verify": False, "trust_env": False}


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def until(condition: Callable[[], object], what: str, *, patience: float = PATIENCE) -> object:
    """Wait for a process of ours, bounded; return what the condition gave."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError(f"never happened: {what}")


class Process:
    """A `receiver` command in a folder of its own."""

    def __init__(self, folder: Path, *arguments: str, first: str = "", **environment: str) -> None:
        # To measure coverage makes a process take twice as long to start; the demo's are measured.
        others = ("RECEIVER_", "COVERAGE_PROCESS")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(others)}
        self.log = folder / f"{arguments[0]}.log"
        self.process = Command(folder, arguments, inherited | environment, output=self.log, first=first)

    def end(self, how: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(PATIENCE)

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


class Server(Process):
    """`receiver serve` with handlers of the test's own."""

    def __init__(
        self, folder: Path, *arguments: str, handlers: str = HANDLER, secret: str | None = SECRET, **environment: str
    ) -> None:
        (folder / "handlers").mkdir(exist_ok=True)
        (folder / "handlers" / "own.py").write_text(handlers)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.witness = folder / "witness.jsonl"
        self.witness.touch()
        values = {
            "RECEIVER_DATABASE_URL": f"sqlite:///{folder / 'receiver.db'}",
            **({} if secret is None else {"VIDEOGEN_WEBHOOK_SECRET": secret}),
            "WITNESS": str(self.witness),
        }
        super().__init__(folder, "serve", "--port", str(self.port), *arguments, **(values | environment))

    def ready(self) -> "Server":
        def answers() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended:\n{self.log.read_text()}")
            try:
                return httpx.get(f"{self.url}/readyz", **PLAIN).json()["problems"] == []
            except httpx.TransportError:
                return False

        try:
            until(answers, "ready")
        except AssertionError as late:
            self.end()
            raise AssertionError(f"{late}:\n{self.log.read_text()}") from None
        return self

    def handled(self) -> list[list[object]]:
        return [json.loads(line) for line in self.witness.read_text().splitlines()]


def query(folder: Path, statement: str) -> list[tuple[object, ...]]:
    """Ask the database of a test's receiver."""
    with closing(sqlite3.connect(folder / "receiver.db")) as connection:
        return connection.execute(statement).fetchall()


def deliver(url: str, body: bytes, *, id: str, client: httpx.Client | None = None) -> httpx.Response:
    """Send one signed delivery."""
    timestamp = int(time.time())
    headers = {
        "content-type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signatures.sign(KEY, id=id, timestamp=timestamp, body=body),
    }
    sent = {"content": body, "headers": headers, "timeout": PATIENCE}
    if client:
        return client.post(f"{url}/webhooks/videogen", **sent)
    return httpx.post(f"{url}/webhooks/videogen", **sent, **PLAIN)


def job(number: int) -> bytes:
    """A small finished job of its own."""
    return json.dumps(
        {
            "event": "tool_execution.succeeded",
            "toolExecutionId": f"vg_tool_{number}",
            "occurredAt": int(time.time()),
            "toolType": "GENERATE_SOUND_EFFECT",
            "results": [],
        }
    ).encode()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path) as server:
        yield server.ready()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[object]:
    """Start a world, once or more: `world(fail="1")`."""
    from .world import World

    started: list[World] = []

    def start(**knobs: str) -> World:
        started.append(World(tmp_path, **knobs))
        started[-1].register()
        return started[-1]

    yield start
    for one in started:
        one.end()
