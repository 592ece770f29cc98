"""Run handlers: fan events out, claim due runs, give each its time, and keep how it went."""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import structlog

from . import meters
from .attempt import Calls, Ended, describe
from .context import Context
from .errors import Unavailable
from .events import Event
from .lane import AHEAD_SECONDS, Place, Places
from .registry import Handler
from .store import MATCHED, Claimed, Finished, Store
from .tracing import Tracing

log = structlog.get_logger(__name__)

#: Whether a level is logged. To be told so by structlog takes a tenth of what a run costs.
_logged = logging.getLogger(__name__).isEnabledFor

#: Seconds between two looks at the store when nothing wakes us; jittered.
POLL = 1.0

#: Longest rest after a turn, seconds: a store that hung must not be given as long again.
LONGEST_REST = 0.1

#: Seconds for runs that are cancelled to end, and then for a store that does not answer to record what ended.
CANCELLING, SETTLING = 1.0, 5.0


class Wanting(Protocol):
    """What is known of a handler wherever its code is: `Handler` here, `Reported` of workers elsewhere."""

    @property
    def name(self) -> str: ...  # noqa: D102 - as in `Handler`, all four
    @property
    def ordered(self) -> bool: ...  # noqa: D102
    @property
    def captures(self) -> bool: ...  # noqa: D102
    def wants(self, event: Event) -> bool: ...  # noqa: D102


def wanted(event: Event, handlers: Iterable[Wanting]) -> dict[str, str | None]:
    """Return the names of the handlers that want an event, each with the key by which its runs are ordered."""
    return {one.name: event.job_id if one.ordered else None for one in handlers if one.wants(event)}


def matched(row: Mapping[str, Any]) -> Event:
    """Return the event of a row of the store, with what handlers choose by and nothing else."""
    return Event(**{name: row[name] for name in MATCHED})


def capturing(handlers: Iterable[Wanting]) -> frozenset[str]:
    """Return the names of the handlers that keep outputs."""
    return frozenset(one.name for one in handlers if one.captures)


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
        tracing: Tracing | None = None,
    ) -> None:
        self._tracing = tracing
        self._store = store
        self._handlers = {handler.name: handler for handler in handlers}
        self._event_of = event_of
        self._context_of = context_of
        self._captures = capturing(handlers)
        self._worker = worker
        self._lease = lease
        self._grace = grace
        self._roll = roll
        self._held: dict[tuple[str, int], Claimed] = {}  # ours until the store knows how they ended, by id and token
        self._running: dict[asyncio.Task[None], tuple[Claimed, Place]] = {}
        self._finished: list[Finished] = []
        self._calls = Calls()
        self._wakened = asyncio.Event()
        self._begun = asyncio.Event()  # all that was claimed
        each = {handler.name: handler.concurrency for handler in handlers}
        self._places: Places[Claimed] = Places(concurrency, each, begin=self._begin, freed=self._wakened.set)
        self._stopping = asyncio.Event()
        self._drained = asyncio.Event()

    def wake(self) -> None:
        """Look at the store now: something new is there."""
        self._wakened.set()

    def stop(self) -> None:
        """Claim and begin nothing more; `run` ends after the drain."""
        self._places.close()
        self._stopping.set()
        self._wakened.set()
        self._begun.set()

    async def run(self) -> None:
        """Run due handlers until `stop`, then drain: wait up to the grace time, cancel the rest, give leases back."""
        alive = asyncio.create_task(self._stay_alive())
        try:
            while not self._stopping.is_set():
                if alive.done():
                    alive.result()
                self._wakened.clear()
                began = time.monotonic()
                pause = await self._turn()
                took = time.monotonic() - began
                meters.TURNS.add(took)
                await self._pause(pause, after=took)
        finally:
            given_back = await self._drain()
            self._drained.set()
            await asyncio.wait([alive])  # not cancelled: it may be in the middle of a transaction
            await self._settle(given_back)
        alive.result()

    async def _turn(self) -> float:
        """Do one turn with the store and start what was claimed. Return how long to rest."""
        finished = [*self._finished]
        try:
            turn = await self._store.runs.turn(
                worker=self._worker,
                lease=self._lease,
                finished=finished,
                wanted=self._wanted,
                free=self._places.room(),
                captures=self._captures,
            )
        except Unavailable as error:
            log.error("store_unavailable", error=str(error))
            await _wait(self._stopping, 1.0 + self._roll())
            return 0
        del self._finished[: len(finished)]
        for item in finished:
            del self._held[item.run.id, item.run.token]
        _tell_lost(turn.lost)
        for claimed in turn.claimed:
            self._held[claimed.id, claimed.token] = claimed
            self._places.enter(self._places.lanes[claimed.handler], claimed)
        if turn.more:
            return 0
        rest = POLL * (0.5 + self._roll())
        if turn.next_due is not None and any(self._places.room().values()):
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
        if self._places.queued():  # these are quick: one turn records them all
            self._begun.clear()
            await _wait(self._begun, AHEAD_SECONDS)
        if self._finished:
            return
        await _wait(self._wakened, seconds)

    def _wanted(self, row: Mapping[str, Any]) -> dict[str, str | None]:
        return wanted(matched(row), self._handlers.values())

    def _begin(self, claimed: Claimed) -> None:
        place = Place(self._places.lanes[claimed.handler], self._places)
        task = asyncio.create_task(self._attempt(claimed, place), name=claimed.id)
        self._running[task] = claimed, place
        task.add_done_callback(self._ended)
        if not self._places.queued():
            self._begun.set()

    def _ended(self, task: asyncio.Task[None]) -> None:
        _, place = self._running.pop(task)
        place.leave()
        self._wakened.set()

    async def _attempt(self, claimed: Claimed, place: Place) -> None:
        place.hold()
        handler = self._handlers[claimed.handler]
        # Never unbound: this task is for this run alone, and so are its variables.
        structlog.contextvars.bind_contextvars(
            event_id=claimed.event["id"], run_id=claimed.id, handler=handler.name, job_id=claimed.event["job_id"]
        )
        began = time.monotonic()
        ended = await self._traced(handler, claimed)
        seconds = time.monotonic() - began
        self._places.lanes[handler.name].took(seconds - place.aside)
        _tell(ended, claimed, seconds=seconds)
        meters.ATTEMPTS.add(handler.name, ended.outcome)
        meters.ATTEMPT_TIMES.add(seconds, handler.name)
        wait = None
        if ended.outcome == "retry":
            wait = backoff(claimed.attempt, roll=self._roll()) if ended.after is None else max(0.0, ended.after)
        self._finished.append(
            Finished(
                run=claimed,
                outcome=ended.outcome,
                # All times are by the store's clock: this machine's may be minutes off, or jump.
                finished_at=claimed.started_at + seconds,
                error=ended.error,
                note=ended.note,
                wait=wait,
                jobs=ended.jobs,
            )
        )

    async def _traced(self, handler: Handler, claimed: Claimed) -> Ended:
        if self._tracing is None:
            return await self._ended_how(handler, claimed)
        event = claimed.event
        about = {"event_id": event["id"], "job_id": event["job_id"], "source": event["source"], "type": event["type"]}
        with self._tracing.run(
            event["trace"], handler=handler.name, run_id=claimed.id, attempt=claimed.attempt, **about
        ):
            ended = await self._ended_how(handler, claimed)
            self._tracing.tell(outcome=ended.outcome, wrong=None if ended.outcome == "done" else ended.outcome)
            # What providers are asked about these jobs belongs to this trace.
            return replace(ended, jobs=[replace(job, trace=self._tracing.here()) for job in ended.jobs])

    async def _ended_how(self, handler: Handler, claimed: Claimed) -> Ended:
        last = claimed.attempt > handler.retries
        try:
            event = self._event_of(claimed.event)
            context = self._context_of(claimed, event)
        except Exception as problem:  # noqa: BLE001 - an installed source may raise anything
            return Ended(outcome="failed" if last else "retry", error=describe(problem))
        return await self._calls.attempt(handler, event, context, last=last)

    async def _stay_alive(self) -> None:
        """Extend our leases, and take over those of workers that are gone, until we have drained."""
        limits = {name: handler.retries + 1 for name, handler in self._handlers.items()}
        while not self._drained.is_set():
            try:
                if self._held:
                    await self._store.runs.extend(list(self._held.values()), worker=self._worker, lease=self._lease)
                if reaped := await self._store.runs.reap(limits=limits, wait=self._wait_after_loss):
                    log.warning("leases_ended", runs=reaped)
                    self._wakened.set()
            except Unavailable as error:
                log.error("store_unavailable", error=str(error))
            await _wait(self._drained, self._lease / 3)

    def _wait_after_loss(self, attempt: int) -> float:
        return backoff(attempt, roll=self._roll())

    async def _drain(self) -> list[Claimed]:
        """Let what runs end within the grace time, cancel the rest; return what is to be given back."""
        self._places.close()
        if self._running:
            log.info("draining", runs=len(self._running), grace=self._grace)
            await asyncio.wait(self._running, timeout=self._grace)
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=CANCELLING)
        self._calls.close()
        ended = {(item.run.id, item.run.token) for item in self._finished}
        given_back = [run for key, run in self._held.items() if key not in ended]
        if given_back:
            log.warning("runs_given_back", runs=[run.id for run in given_back])
        return given_back

    async def _settle(self, given_back: Sequence[Claimed]) -> None:
        """Record what ended and give the rest back. A store that does not answer is asked again, for a while."""
        began = time.monotonic()
        while self._finished or given_back:
            try:
                _tell_lost(await self._store.runs.settle(self._finished, given_back))
                return
            except Unavailable as error:
                log.error("store_unavailable", error=str(error))
            if time.monotonic() - began > SETTLING:
                # Their leases end, and they run again.
                ended = {finished.run.id: finished.outcome for finished in self._finished}
                log.error("runs_not_settled", ended=ended, given_back=[claimed.id for claimed in given_back])
                return
            await asyncio.sleep(POLL * (0.5 + self._roll()))


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, so many seconds at most."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


def _tell_lost(lost: Sequence[Finished]) -> None:
    """Tell of attempts that came too late to be recorded."""
    for late in lost:
        meters.ATTEMPTS.add(late.run.handler, "lost")
        log.warning(
            "lease_lost",
            run_id=late.run.id,
            event_id=late.run.event["id"],
            job_id=late.run.event["job_id"],
            handler=late.run.handler,
            outcome=late.outcome,
        )


def _tell(ended: Ended, claimed: Claimed, *, seconds: float) -> None:
    if ended.outcome == "done":
        if _logged(logging.DEBUG):
            log.debug("run_done", attempt=claimed.attempt, seconds=round(seconds, 3))
    elif ended.outcome == "retry":
        log.warning("run_waits", attempt=claimed.attempt, error=ended.error)
    else:
        log.error("run_failed", attempt=claimed.attempt, error=ended.error)
