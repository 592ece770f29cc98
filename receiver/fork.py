"""A worker that is forked from its door before that has begun anything.

What both have loaded is in memory once: 30 MB less than for two processes that were started apart. Those that follow
it, should it die, are started apart: by then the door has threads, and a fork of them would be half alive.
"""

import asyncio
import gc
import os
import signal
from contextlib import suppress
from pathlib import Path

from .line import Line

#: What `ps -o comm` and `top` call it: its command line is that of its door.
NAME = "receiver-worker"


class Fork:
    """A worker process that waits until it is let go. There must be no thread and no event loop yet."""

    def __init__(self, pid: int, pidfd: int, line: Line) -> None:
        self.pid = pid
        self.line = line
        self.returncode: int | None = None
        self._pidfd = pidfd
        self._ended: asyncio.Future[int]

    @classmethod
    def make(cls) -> "Fork | Child | None":
        """Return the fork to the door, its `Child` to the worker, None where the system cannot do this."""
        if not hasattr(os, "pidfd_open"):
            return None
        # What the collector looks through, it writes to; then it would be there twice.
        gc.collect()
        gc.freeze()
        line = Line()
        pid = os.fork()
        if pid == 0:
            return Child(line)
        line.keep_ours()
        try:
            return cls(pid, os.pidfd_open(pid), line)
        except OSError:  # some containers forbid it
            line.close()
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return None

    def watch(self) -> None:
        """Note when it ends, from now on."""
        loop = asyncio.get_running_loop()
        self._ended = loop.create_future()
        loop.add_reader(self._pidfd, self._reap)

    def kill(self) -> None:
        """End it at once."""
        os.kill(self.pid, signal.SIGKILL)

    async def wait(self) -> int:
        """Return its exit code once it has ended."""
        return await asyncio.shield(self._ended)

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        _, status = os.waitpid(self.pid, 0)
        self.returncode = os.waitstatus_to_exitcode(status)
        self._ended.set_result(self.returncode)


class Child:
    """The worker's side of it."""

    def __init__(self, line: Line) -> None:
        line.keep_theirs()
        os.setsid()  # Ctrl-C in a terminal stops the door; the door stops us
        with suppress(OSError):
            Path("/proc/self/comm").write_text(NAME)
        self.tell = line.tell

    def wait(self) -> str | None:
        """Return the name to work under once the door is ready; None if it never will be."""
        first, newline, _ = os.read(0, 4096).partition(b"\n")
        return first.decode() if newline else None
