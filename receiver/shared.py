"""What handlers open once per worker: connections to a broker, pools to a database."""

import asyncio
import contextvars
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog

from .logs import scrub

log = structlog.get_logger(__name__)

T = TypeVar("T")

#: Seconds that each may take to close. The worker is stopping: its supervisor does not wait for long.
CLOSE_TIMEOUT = 2.0


@dataclass(eq=False)
class _Kept:
    """One thing that is open, or about to be, and the task that opens and closes it."""

    made: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    over: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: int = 0  #: calls that wait for it to open
    task: asyncio.Task[None] | None = None


class Shared:
    """Opens each thing at the first call for it, and closes all of them in reverse order."""

    def __init__(self) -> None:
        self._kept: dict[Callable[[], Any], _Kept] = {}  # in the order in which they were opened

    async def get(self, open: Callable[[], AbstractAsyncContextManager[T]]) -> T:
        """Return what `open` makes, opened already or now. What it raises is raised, and not remembered.

        An opening that nobody waits for any more is cancelled.
        """
        kept = self._kept.get(open)
        if kept is None:
            kept = self._kept[open] = _Kept()
            # A task that enters and leaves, as some context managers insist on, and that has not the ids of this run.
            kept.task = asyncio.create_task(self._keep(open, kept), context=contextvars.Context())
        kept.waiting += 1
        try:
            made: T = await asyncio.shield(kept.made)
        finally:
            kept.waiting -= 1
            if not kept.waiting and not kept.made.done():
                self._forget(open, kept)
                if kept.task:
                    kept.task.cancel()
        return made

    async def _keep(self, open: Callable[[], AbstractAsyncContextManager[T]], kept: _Kept) -> None:
        try:
            async with open() as made:
                self._kept[open] = self._kept.pop(open)  # the last to be opened is the first to be closed
                kept.made.set_result(made)
                await kept.over.wait()
        except Exception as error:  # noqa: BLE001 - opening and closing may raise anything
            if kept.made.done():
                log.warning("shared_not_closed", of=_name(open), error=scrub(f"{type(error).__name__}: {error}"))
                return
            self._forget(open, kept)
            if kept.waiting:
                kept.made.set_exception(error)

    def _forget(self, open: Callable[[], Any], kept: _Kept) -> None:
        if self._kept.get(open) is kept:
            del self._kept[open]

    async def close(self) -> None:
        """Close everything, the last to be opened first; what takes too long is told, and left."""
        while self._kept:
            opener, kept = self._kept.popitem()
            if kept.task is None:
                continue
            kept.over.set()
            if not kept.made.done():
                kept.made.cancel()
                kept.task.cancel()
            await asyncio.wait([kept.task], timeout=CLOSE_TIMEOUT)
            if not kept.task.done():
                kept.task.cancel()
                log.warning("shared_not_closed", of=_name(opener), error=f"it took longer than {CLOSE_TIMEOUT:g} s")


def _name(open: Callable[[], Any]) -> str:
    return f"{open.__module__}:{getattr(open, '__qualname__', type(open).__name__)}"
