"""Start what is measured, each a real process in a folder of its own, and end it again."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from .deliveries import SECRET
from .load import Answer, Order

#: Seconds to wait for a process of ours to do what it should.
PATIENCE = 120.0

#: Handlers by name; each becomes a folder that a worker is pointed to.
HANDLERS = {
    "nothing": """
from receiver import handler

@handler("*")
async def nothing(event, context):
    pass
""",
    "waiting": """
import asyncio
from receiver import handler

@handler("*", concurrency=16)
async def waiting(event, context):
    await asyncio.sleep(0.05)
""",
    "witness": """
import os, time
from receiver import handler

file = os.open(os.environ["WITNESS"], os.O_WRONLY | os.O_APPEND)

@handler("*")
async def witness(event, context):
    os.write(file, f"{event.job_id} {time.monotonic()}\\n".encode())
""",
}


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def until(condition: Callable[[], object], what: str, *, patience: float = PATIENCE, every: float = 0.02) -> None:
    """Wait until the condition holds. Raises TimeoutError if it never does."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"never happened: {what}")
        time.sleep(every)


class Process:
    """A Python module that runs in `folder` until this is left."""

    def __init__(self, folder: Path, module: str, *arguments: str, **values: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RECEIVER_", "VIDEOGEN_"))}
        kept["PYTHONPATH"] = str(Path(__file__).parent.parent)
        self._log = folder / f"{module}-{len(list(folder.iterdir()))}.log"
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments], cwd=folder, env=kept | values, stdout=output, stderr=output
            )
        self.pid = self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def log(self) -> str:
        return self._log.read_text()[-4000:]

    def listening(self, port: int) -> None:
        """Wait until the process listens on the port."""

        def connects() -> bool:
            if not self.running:
                raise RuntimeError(f"a process ended:\n{self.log()}")
            with socket.socket() as client:
                return client.connect_ex(("127.0.0.1", port)) == 0

        until(connects, f"port {port} listens")

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self.running:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def serve(folder: Path, url: str, *arguments: str, handlers: str = "nothing", **values: str) -> tuple[Process, int]:
    """Start `receiver serve`; return it and its port once it listens, and its worker is there."""
    port = free_port()
    process = receiver(folder, url, "serve", "--port", str(port), *arguments, handlers=handlers, **values)
    process.listening(port)
    if "--no-dispatch" not in arguments:
        until(lambda: "worker_started" in process.log(), "the worker starts")
    return process, port


def receiver(folder: Path, url: str, *arguments: str, handlers: str = "nothing", **values: str) -> Process:
    """Start a `receiver` command on a database, with these handlers."""
    here = folder / handlers
    here.mkdir(parents=True, exist_ok=True)
    (here / "own.py").write_text(HANDLERS[handlers])
    settings = {"RECEIVER_DATABASE_URL": url, "RECEIVER_HANDLERS": str(here), "VIDEOGEN_WEBHOOK_SECRET": SECRET}
    return Process(folder, "receiver", *arguments, **(settings | values))


def load(order: Order) -> Answer:
    """Let the sender do what the order says. Raises RuntimeError if anything was not answered 200."""
    sender = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.load"],
        cwd=Path(__file__).parent.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        output, _ = sender.communicate(json.dumps(asdict(order)).encode(), timeout=order.warm + order.seconds + 120)
    finally:
        sender.kill()
        sender.wait()
    answer = Answer(**json.loads(output))
    if answer.refused or not answer.acked:
        raise RuntimeError(f"not every delivery was answered 200: {answer.refused}")
    return answer
