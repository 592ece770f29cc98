"""The queue before SQLite's one place to write.

SQLite lets who finds it taken sleep and look again, for up to a tenth of a second, in no order: the
door would wait longest when the worker is busiest. A lock on a file beside the database wakes the next
one at once, whichever process it is in. It is only manners: SQLite's own lock keeps the data safe.
"""

import asyncio
import contextlib
import fcntl
import os
import threading
from types import TracebackType

import structlog

log = structlog.get_logger(__name__)


class WriterQueue:
    """One writer at a time, over all processes that use the database file at `path`.

    A process that was stopped while it had the first place keeps it. Whoever has waited for `patience` seconds goes
    on without the queue, and so do all here until that place is free again: SQLite alone then says who writes.
    """

    def __init__(self, path: str, *, patience: float) -> None:
        self._path = path + "-queue"
        self._patience = patience
        self._here = asyncio.Lock()
        self._file: int | None = None
        self._held = False
        self._coming: asyncio.Future[None] | None = None  # the lock, in a thread that waits for it
        self._wanted = False  # whether somebody waits for that thread
        self._late = False  # whether nobody does any more

    async def __aenter__(self) -> None:
        """Wait for our turn."""
        await self._here.acquire()
        try:
            self._held = (self._coming is None and self._free()) or await self._come()
        except BaseException:
            self._here.release()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._held:
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

    async def _come(self) -> bool:
        """Return whether the lock came in time."""
        if self._coming is None:
            self._coming = _locked(self._opened())
            self._coming.add_done_callback(self._came)
            self._late = False
        if self._late:
            return False
        coming, self._wanted = self._coming, True
        try:
            done, _ = await asyncio.wait([coming], timeout=self._patience)
        except BaseException:
            # The waiting thread cannot be called back: the next one may have what it brings.
            self._wanted = False
            if coming.done():
                self._came(coming)
            raise
        self._wanted = False
        if done:
            self._coming = None
            return True
        self._late = True
        log.warning("first_place_kept", path=self._path, seconds=self._patience)
        return False

    def _came(self, coming: asyncio.Future[None]) -> None:
        """Give back what nobody waits for any more."""
        if not self._wanted and self._coming is coming:
            self._coming = None
            if self._file is not None and not coming.cancelled() and coming.exception() is None:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def _opened(self) -> int:
        if self._file is None:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._file


def _locked(file: int) -> asyncio.Future[None]:
    """Lock a file, however long that takes: in a thread of its own, for which no process that stops has to wait."""
    loop = asyncio.get_running_loop()
    coming = loop.create_future()

    def wait() -> None:
        wrong: OSError | None = None
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            wrong = error
        with contextlib.suppress(RuntimeError):  # the loop has ended, and the process with it
            loop.call_soon_threadsafe(told, wrong)

    def told(wrong: OSError | None) -> None:
        if coming.done():
            return
        if wrong is None:
            coming.set_result(None)
        else:
            coming.set_exception(wrong)

    threading.Thread(target=wait, name="first place", daemon=True).start()
    return coming
