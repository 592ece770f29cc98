"""One attempt: a handler is called within its time, and whatever it does becomes an outcome."""

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

from .context import Context
from .errors import GiveUp, Retry
from .events import Event
from .logs import scrub
from .registry import Handler, is_async

#: Longest error text that is kept with an attempt.
ERROR_LENGTH = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How an attempt went."""

    outcome: Literal["done", "retry", "failed"]
    error: str | None = None
    after: float | None = None  #: seconds to wait before the next one, if the handler named them
    jobs: Sequence[Any] = ()  #: what the handler submits, if it succeeded
    note: str | None = None  #: what the handler wants kept beside it


class Calls:
    """Calls handlers: those that are `async def` on the event loop, the others in threads of their own."""

    def __init__(self) -> None:
        self._threads: dict[str, ThreadPoolExecutor] = {}

    def close(self) -> None:
        """Let the threads go; one that hangs is not waited for."""
        for pool in self._threads.values():
            pool.shutdown(wait=False, cancel_futures=True)

    async def attempt(self, handler: Handler, event: Event, context: Context, *, last: bool) -> Ended:
        """Call a handler once. After the `last` attempt nothing is tried again. Raises nothing but CancelledError."""
        limit = asyncio.timeout(handler.timeout)
        try:
            async with limit:
                await self._call(handler, event, context)
        except Retry as retry:
            error = scrub(str(retry) or "the handler asked for a retry")
            return Ended(outcome="failed" if last else "retry", error=error, after=retry.after, note=context.noted)
        except GiveUp as reason:
            return Ended(outcome="failed", error=scrub(f"gave up: {reason}"), note=context.noted)
        except asyncio.CancelledError:
            raise
        except BaseException as problem:  # noqa: BLE001 - a handler may raise anything, SystemExit too; it must end here
            error = f"took longer than {handler.timeout:g} s" if limit.expired() else describe(problem)
            return Ended(outcome="failed" if last else "retry", error=error, note=context.noted)
        return Ended(outcome="done", jobs=context.submitted, note=context.noted)

    async def _call(self, handler: Handler, event: Event, context: Context) -> None:
        if is_async(handler.function):
            await _awaitable(handler.function(event, context))
            return
        # A pool of its own: a hanging function takes no thread from other handlers, and threads cannot be killed.
        pool = self._threads.setdefault(handler.name, ThreadPoolExecutor(handler.concurrency, handler.name))
        # What is said here of the run, for logs and traces, is said in the thread too.
        here = contextvars.copy_context()
        result = await asyncio.get_running_loop().run_in_executor(pool, here.run, handler.function, event, context)
        if inspect.isawaitable(result):  # a plain function around an async one
            await result


def describe(problem: BaseException) -> str:
    """Return an exception as text fit to keep: no secrets, the place where it was raised."""
    frame = problem.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = f" ({frame.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{frame.tb_lineno})" if frame else ""
    return scrub(f"{type(problem).__name__}: {problem}{place}")[:ERROR_LENGTH]


async def _awaitable(result: Awaitable[None] | None) -> None:
    if result is not None:
        await result
