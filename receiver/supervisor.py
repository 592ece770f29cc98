"""Keep one worker process beside the door: handlers that crash, hang or eat memory do it there, not here."""

import asyncio
import contextlib
import os
import sys
import time

import structlog

from . import meters
from .errors import ConfigError

log = structlog.get_logger(__name__)

#: Seconds before a worker that died is started again: doubles up to the second value.
RESTART = (0.5, 30.0)

#: A worker that ran this long, seconds, was fine.
STEADY = 60.0

#: Seconds that a worker may take to end beside its grace time: a turn on its way, runs that are cancelled, and a
#: store that hardly answers when it is told how all ended.
LEAVING = 30.0

#: Longest line in which a worker tells what it has counted, bytes.
LONGEST_LINE = 2**22


class Supervisor:
    """Starts a worker process, wakes it, and starts another when it dies."""

    def __init__(self, *, grace: float) -> None:
        self._grace = grace
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()
        self._number = 0
        self._counted: meters.Counted = {}  # by the worker, as it told last
        self._counted_before: meters.Counted = {}  # by those that are gone

    @property
    def alive(self) -> bool:
        """Whether a worker is running."""
        return self._process is not None and self._process.returncode is None

    @property
    def counted(self) -> meters.Counted:
        """What all workers so far have counted."""
        return meters.together(self._counted_before, self._counted)

    def wake(self) -> None:
        """Tell the worker that there is something new. It would find out by itself, only later."""
        pipe = self._process.stdin if self._process else None
        # One unread byte is as good as many.
        if pipe and not pipe.is_closing() and pipe.transport.get_write_buffer_size() == 0:
            pipe.write(b"\n")

    async def run(self) -> None:
        """Keep a worker running until `stop`. Raises ConfigError if the first one cannot even start."""
        pause, dead = RESTART[0], None
        while not self._stopping.is_set():
            began = time.monotonic()
            name = self._name()
            code = await self._one(name, dead)
            if self._stopping.is_set():
                return
            if code == 2 and dead is None:
                raise ConfigError("the worker cannot start; its error stands above")
            pause = RESTART[0] if time.monotonic() - began > STEADY else min(pause * 2, RESTART[1])
            log.error("worker_died", worker=name, code=code, restart_in=pause)
            dead = name
            await self._rest(pause)

    async def stop(self) -> None:
        """Let the worker drain, then end it."""
        self._stopping.set()
        if self._process is None or self._process.returncode is not None:
            return
        if self._process.stdin:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(self._grace + LEAVING):
                await self._process.wait()
        except TimeoutError:
            log.error("worker_killed", pid=self._process.pid)
            self._process.kill()
            await self._process.wait()

    async def _one(self, name: str, dead: str | None) -> int:
        arguments = ["-m", "receiver", "worker", "--supervised", name]
        if dead:
            arguments += ["--after", dead]
        hear, tell = os.pipe()
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                *("--meters", str(tell)),
                stdin=asyncio.subprocess.PIPE,
                pass_fds=(tell,),
                start_new_session=True,  # Ctrl-C in a terminal stops us; we stop the worker
            )
        finally:
            os.close(tell)
        listening = asyncio.create_task(self._hear(hear))
        try:
            return await self._process.wait()
        finally:
            # What it told last is on its way; but a process that the worker left behind may keep the pipe open.
            await asyncio.wait([listening], timeout=0.2)
            listening.cancel()
            self._counted_before, self._counted = self.counted, {}

    async def _hear(self, pipe: int) -> None:
        lines = asyncio.StreamReader(limit=LONGEST_LINE)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(lines), os.fdopen(pipe, "rb", buffering=0)
        )
        try:
            while line := await lines.readline():
                with contextlib.suppress(ValueError):  # the half line of one that was killed
                    self._counted = meters.loaded(line)
        finally:
            transport.close()

    def _name(self) -> str:
        self._number += 1
        return f"{os.uname().nodename}:{os.getpid()}.{self._number}"

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass
