"""Run handlers: fan events out, claim due runs, give each its time, and keep how it went."""

import asyncio
import inspect
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog

from . import meters
from .context import Context
from .errors import GiveUp, Retry, Unavailable
from .events import Event
from .lane import AHEAD, Lane
from .logs import scrub
from .registry import Handler, is_async
from .store import Claimed, Finished, Store

log = structlog.get_logger(__name__)

#: Seconds between two looks at the store when nothing wakes us; jittered.
POLL = 1.0

#: Longest rest after a turn, seconds: a store that hung must not be given as long again.
LONGEST_REST = 0.1

#: Longest error text that is kept with an attempt.
ERROR_LENGTH = 4000


def wanted(event: Event, handlers: Iterable[Handler]) -> dict[str, str | None]:
    """Return the names of the handlers that want an event, each with the key by which its runs are ordered."""
    return {one.name: event.job_id if one.ordered else None for one in handlers if one.wants(event)}


def backoff(attempt: int, *, first: float = 2.0, longest: float = 3600.0, roll: float) -> float:
    """Return the seconds to wait after failed attempt number `attempt`, which starts at 1.

    A random share, `roll` from 0 to 1, of a span that doubles from `first` up to `longest`: runs that
    failed together do not come back together. Never under a tenth of the span.
    """
    span = min(longest, first * 2.0 ** min(attempt - 1, 40))
    return span * max(0.1, roll)


class Dispatcher:
    """Runs due handlers until `stop`, then drains. One per worker process.

    A failing handler never ends this; a store that does not answer is waited for; anything else is a
    bug, and ends it.
    """

    def __init__(
        self,
        *,
        store: Store,
        handlers: Sequence[Handler],
        event_of: Callable[[Mapping[str, Any]], Event],
        context_of: Callable[[Claimed, Event], Context],
        worker: str,
        concurrency: int,
        lease: float,
        grace: float,
        roll: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._handlers = {handler.name: handler for handler in handlers}
        self._event_of = event_of
        self._context_of = context_of
        self._worker = worker
        self._concurrency = concurrency
        self._lease = lease
        self._grace = grace
        self._roll = roll
        self._running: dict[asyncio.Task[None], Claimed] = {}
        self._slots = asyncio.Semaphore(concurrency)
        self._lanes = {handler.name: Lane(handler.concurrency) for handler in handlers}
        self._finished: list[Finished] = []
        self._threads: dict[str, ThreadPoolExecutor] = {}
        self._wakened = asyncio.Event()
        self._stopping = False

    def wake(self) -> None:
        """Look at the store now: something new is there."""
        self._wakened.set()

    def stop(self) -> None:
        """Claim nothing more; `run` ends after the drain."""
        self._stopping = True
        self._wakened.set()

    async def run(self) -> None:
        """Run due handlers until `stop`, then drain: wait up to the grace time, cancel the rest, give leases back."""
        alive = asyncio.create_task(self._stay_alive())
        try:
            while not self._stopping:
                if alive.done():
                    alive.result()
                self._wakened.clear()
                began = time.monotonic()
                pause = await self._turn()
                took = time.monotonic() - began
                meters.TURNS.add(took)
                await self._pause(pause, after=took)
        finally:
            alive.cancel()
            await self._drain()

    async def _turn(self) -> float:
        """Do one turn with the store and start what was claimed. Return how long to rest."""
        finished, self._finished = self._finished, []
        try:
            turn = await self._store.runs.turn(
                worker=self._worker,
                lease=self._lease,
                finished=finished,
                wanted=self._wanted,
                free=self._free(),
            )
        except Unavailable as error:
            self._finished = finished + self._finished
            log.error("store_unavailable", error=str(error))
            return 1.0 + self._roll()
        for late in turn.lost:
            meters.ATTEMPTS.add(late.run.handler, "lost")
            log.warning("lease_lost", run=late.run.id, handler=late.run.handler, outcome=late.outcome)
        for claimed in turn.claimed:
            self._start(claimed)
        if turn.more:
            return 0
        rest = POLL * (0.5 + self._roll())
        if turn.next_due is not None and self._has_room():
            rest = min(rest, max(0.0, turn.next_due - turn.now))
        return rest

    async def _pause(self, seconds: float, *, after: float) -> None:
        """Rest `seconds`, less if woken; but about as long as the turn took, `after`, unless more is there at once.

        A turn costs the door its place to write, and the machine about the same for one run as for a hundred.
        """
        if seconds <= 0:
            await asyncio.sleep(0)  # let what was started take its first step
            return
        await asyncio.sleep(min(after, LONGEST_REST))
        if self._finished:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._wakened.wait()
        except TimeoutError:
            pass

    def _wanted(self, row: Mapping[str, Any]) -> dict[str, str | None]:
        return wanted(Event(**row), self._handlers.values())

    def _free(self) -> dict[str, int]:
        room = max(self._concurrency, AHEAD) - len(self._running)
        return {name: max(0, min(room, lane.room())) for name, lane in self._lanes.items()}

    def _has_room(self) -> bool:
        return any(self._free().values())

    def _start(self, claimed: Claimed) -> None:
        task = asyncio.create_task(self._queue(claimed), name=f"run {claimed.id}")
        self._running[task] = claimed
        self._lanes[claimed.handler].taken += 1
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._lanes[self._running.pop(task).handler].taken -= 1
        self._wakened.set()

    async def _queue(self, claimed: Claimed) -> None:
        lane = self._lanes[claimed.handler]
        async with lane.slots, self._slots:
            began = time.monotonic()
            await self._attempt(claimed)
            lane.took(time.monotonic() - began)

    async def _attempt(self, claimed: Claimed) -> None:
        handler = self._handlers[claimed.handler]
        with structlog.contextvars.bound_contextvars(
            event_id=claimed.event["id"], run_id=claimed.id, handler=handler.name, job_id=claimed.event["job_id"]
        ):
            began = time.monotonic()
            outcome, error, after, jobs = await self._outcome(handler, claimed)
            seconds = time.monotonic() - began
            _tell(outcome, claimed, error, seconds=seconds)
        meters.ATTEMPTS.add(handler.name, outcome)
        meters.ATTEMPT_TIMES.add(seconds, handler.name)
        wait = None
        if outcome == "retry":
            wait = backoff(claimed.attempt, roll=self._roll()) if after is None else max(0.0, after)
        # All times are by the store's clock: this machine's may be minutes off, or jump.
        ended = claimed.started_at + seconds
        self._finished.append(
            Finished(run=claimed, outcome=outcome, finished_at=ended, error=error, wait=wait, jobs=jobs)
        )

    async def _outcome(self, handler: Handler, claimed: Claimed) -> tuple[str, str | None, float | None, Sequence[Any]]:
        """Return outcome, error text, the wait in seconds if the handler named one, and the jobs it submits."""
        last = claimed.attempt > handler.retries
        limit = asyncio.timeout(handler.timeout)
        try:
            event = self._event_of(claimed.event)
            context = self._context_of(claimed, event)
            async with limit:
                await self._call(handler, event, context)
        except Retry as retry:
            return "failed" if last else "retry", scrub(str(retry) or "the handler asked for a retry"), retry.after, ()
        except GiveUp as reason:
            return "failed", scrub(f"gave up: {reason}"), None, ()
        except asyncio.CancelledError:
            raise
        except BaseException as problem:  # noqa: BLE001 - a handler may raise anything, SystemExit too; it must end here
            text = f"took longer than {handler.timeout:g} s" if limit.expired() else _describe(problem)
        else:
            return "done", None, None, context.submitted
        return "failed" if last else "retry", text, None, ()

    async def _call(self, handler: Handler, event: Event, context: Context) -> None:
        if is_async(handler.function):
            await _awaitable(handler.function(event, context))
            return
        # A pool of its own: a hanging function takes no thread from other handlers, and threads cannot be killed.
        pool = self._threads.setdefault(handler.name, ThreadPoolExecutor(handler.concurrency, handler.name))
        copied = structlog.contextvars.get_contextvars()

        def call() -> object:
            with structlog.contextvars.bound_contextvars(**copied):
                return handler.function(event, context)

        result = await asyncio.get_running_loop().run_in_executor(pool, call)
        if inspect.isawaitable(result):  # a plain function around an async one
            await result

    async def _stay_alive(self) -> None:
        """Extend our leases, and take over those of workers that are gone."""
        limits = {name: handler.retries + 1 for name, handler in self._handlers.items()}
        while True:
            try:
                if self._running:
                    held = list(self._running.values())
                    await self._store.runs.extend(held, worker=self._worker, lease=self._lease)
                if reaped := await self._store.runs.reap(limits=limits, wait=self._wait_after_loss):
                    log.warning("leases_ended", runs=reaped)
                    self._wakened.set()
            except Unavailable as error:
                log.error("store_unavailable", error=str(error))
            await asyncio.sleep(self._lease / 3)

    def _wait_after_loss(self, attempt: int) -> float:
        return backoff(attempt, roll=self._roll())

    async def _drain(self) -> None:
        if self._running:
            log.info("draining", runs=len(self._running), grace=self._grace)
            await asyncio.wait(self._running, timeout=self._grace)
        left = dict(self._running)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=1)
            log.warning("runs_given_back", runs=[claimed.id for claimed in left.values()])
        ended = {finished.run.id for finished in self._finished}
        given_back = [claimed for claimed in left.values() if claimed.id not in ended]
        for pool in self._threads.values():
            pool.shutdown(wait=False, cancel_futures=True)
        await self._store.runs.settle(self._finished, given_back)


async def _awaitable(result: Awaitable[None] | None) -> None:
    if result is not None:
        await result


def _describe(problem: BaseException) -> str:
    """Return an exception as text fit to keep: no secrets, the place where it was raised."""
    frame = problem.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = f" ({frame.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{frame.tb_lineno})" if frame else ""
    return scrub(f"{type(problem).__name__}: {problem}{place}")[:ERROR_LENGTH]


def _tell(outcome: str, claimed: Claimed, error: str | None, *, seconds: float) -> None:
    if outcome == "done":
        log.debug("run_done", attempt=claimed.attempt, seconds=round(seconds, 3))
    elif outcome == "retry":
        log.warning("run_waits", attempt=claimed.attempt, error=error)
    else:
        log.error("run_failed", attempt=claimed.attempt, error=error)
