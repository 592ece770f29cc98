"""Keep one worker process beside the door: handlers that crash, hang or eat memory do it there, not here."""

import asyncio
import contextlib
import os
import sys
import time

import structlog

from . import meters
from .errors import ConfigError
from .fork import Fork
from .line import Line

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
    """Starts a worker process, wakes it, and starts another when it dies. The first may have been forked already."""

    def __init__(self, *, grace: float, first: Fork | None = None) -> None:
        self._grace = grace
        self._first = first
        self._process: asyncio.subprocess.Process | Fork | None = None
        self._waker: asyncio.WriteTransport | None = None
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
        waker = self._waker
        # One unread byte is as good as many.
        if waker and not waker.is_closing() and waker.get_write_buffer_size() == 0:
            waker.write(b"\n")

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
        if self._waker:
            self._waker.close()
        try:
            async with asyncio.timeout(self._grace + LEAVING):
                await self._process.wait()
        except TimeoutError:
            log.error("worker_killed", pid=self._process.pid)
            self._process.kill()
            await self._process.wait()

    async def _one(self, name: str, dead: str | None) -> int:
        process, line = await self._started(name, dead)
        self._process, self._waker = process, await line.waker()
        if isinstance(process, Fork):
            self._waker.write(f"{name}\n".encode())
        listening = asyncio.create_task(self._hear(line))
        try:
            return await process.wait()
        finally:
            self._waker.close()
            # What it told last is on its way; but a process that the worker left behind may keep the pipe open.
            await asyncio.wait([listening], timeout=0.2)
            listening.cancel()
            self._counted_before, self._counted = self.counted, {}

    async def _started(self, name: str, dead: str | None) -> tuple[asyncio.subprocess.Process | Fork, Line]:
        first, self._first = self._first, None
        if first is not None:
            first.watch()
            return first, first.line
        line = Line()
        try:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "receiver", "worker", "--supervised", name),
                *(["--after", dead] if dead else []),
                *("--meters", str(line.tell)),
                stdin=line.stdin,
                pass_fds=(line.tell,),
                start_new_session=True,  # Ctrl-C in a terminal stops us; we stop the worker
            ), line
        finally:
            line.keep_ours()

    async def _hear(self, line: Line) -> None:
        lines, transport = await line.hearer(LONGEST_LINE)
        try:
            while told := await lines.readline():
                with contextlib.suppress(ValueError):  # the half line of one that was killed
                    self._counted = meters.loaded(told)
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
