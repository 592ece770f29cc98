"""The receiver's commands as processes that can be killed, frozen, starved and started again."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import httpx

from ..commands import Command
from ..journeys.conftest import free_port

#: Seconds to wait for a process of ours to do what it should.
PATIENCE = 30.0


def until(condition: Callable[[], object], what: str, *, patience: float = PATIENCE) -> None:
    """Wait until the condition holds. Raises AssertionError if it never does."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"never happened: {what}")
        time.sleep(0.01)


class Process:
    """A `receiver` command that can be started again as it was. `wrapper` runs it, e.g. under strace.

    `first` is Python that runs before anything else of it, where nothing wraps it.
    """

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        values: Mapping[str, str],
        wrapper: Sequence[str] = (),
        first: str = "",
        log: Path,
    ) -> None:
        self._folder = folder
        self._arguments = arguments
        self._values = dict(values)
        self.wrapper = tuple(wrapper)
        self._first = first
        self.log = log
        self._process: subprocess.Popen[bytes] | Command | None = None
        self.starts = 0

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start it; it may not be running."""
        self.starts += 1
        # To measure coverage makes a process take twice as long to start; the demo's are measured.
        others = ("RECEIVER_", "VIDEOGEN_", "COVERAGE_PROCESS")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
        environment = kept | self._values
        if not self.wrapper:
            self._process = Command(self._folder, self._arguments, environment, output=self.log, first=self._first)
            return self
        command = [*self.wrapper, sys.executable, "-m", "receiver", *self._arguments]
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(command, cwd=self._folder, env=environment, stdout=output, stderr=output)
        return self

    def signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.alive:
            self._running.send_signal(number)

    def kill(self) -> None:
        """Kill it at once and wait until it is gone."""
        self.signal(signal.SIGKILL)
        self._running.wait(PATIENCE)

    def end(self) -> int:
        """Ask it to stop; return its exit code."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Return the exit code once it has ended."""
        return self._running.wait(PATIENCE)

    def close(self) -> None:
        """Wait until it has ended, as it was asked to, and make it end if it does not."""
        if self.alive:
            try:
                self.wait()
            except subprocess.TimeoutExpired:
                self.kill()

    def said(self, words: str) -> int:
        """Return how often the log says so."""
        return self.log.read_text().count(words)

    @property
    def _running(self) -> subprocess.Popen[bytes] | Command:
        if self._process is None:
            raise RuntimeError("it was never started")
        return self._process


class Web(Process):
    """`receiver serve` on a port that stays its own when it is started again."""

    def __init__(self, folder: Path, *arguments: str, **options: Any) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        super().__init__(folder, "serve", "--port", str(self.port), *arguments, **options)

    def answers(self) -> bool:
        """Whether it is ready, store and all."""
        try:
            answer = httpx.get(f"{self.url}/readyz", timeout=PATIENCE, trust_env=False, verify=False)
        except httpx.TransportError:
            return False
        assert answer.status_code in (200, 503), f"/readyz answers {answer.status_code}; see {self.log}"
        return bool(answer.json()["problems"] == [])

    def ready(self) -> Self:
        """Wait until it is ready, starting it again if it ended, as a platform would."""

        def answers() -> bool:
            if not self.alive:
                self.start()
            return self.answers()

        until(answers, f"{self.url} is ready; see {self.log}")
        return self
