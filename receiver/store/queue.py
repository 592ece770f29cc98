"""The queue before SQLite's one place to write.

SQLite lets who finds it taken sleep and look again, for up to a tenth of a second, in no order: the
door would wait longest when the worker is busiest. A lock on a file beside the database wakes the next
one at once, whichever process it is in. It is only manners: SQLite's own lock keeps the data safe.
"""

import asyncio
import fcntl
import os
from types import TracebackType


class WriterQueue:
    """One writer at a time, over all processes that use the database file at `path`."""

    def __init__(self, path: str, *, patience: float) -> None:
        self._path = path + "-queue"
        self._patience = patience
        self._here = asyncio.Lock()
        self._file: int | None = None
        self._coming: asyncio.Future[None] | None = None  # the lock, in a thread that waits for it

    async def __aenter__(self) -> None:
        """Wait for our turn. Raises TimeoutError if another process keeps it for `patience` seconds."""
        await self._here.acquire()
        try:
            if self._coming is not None or not self._free():
                await self._come()
        except BaseException:
            self._here.release()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        fcntl.flock(self._opened(), fcntl.LOCK_UN)
        self._here.release()

    def close(self) -> None:
        """Close the file, which gives up whatever is held."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _free(self) -> bool:
        try:
            fcntl.flock(self._opened(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    async def _come(self) -> None:
        # Whoever is interrupted leaves the waiting thread to the next one: it cannot be called back.
        if self._coming is None:
            self._coming = asyncio.get_running_loop().run_in_executor(None, fcntl.flock, self._opened(), fcntl.LOCK_EX)
        await asyncio.wait_for(asyncio.shield(self._coming), self._patience)
        self._coming = None

    def _opened(self) -> int:
        if self._file is None:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._file
