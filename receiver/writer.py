"""Group commit: what arrives while the last commit is on its way goes into the next one, together."""

import asyncio
import time
from collections.abc import Callable

import structlog

from . import meters
from .errors import Unavailable
from .store import Added, Arrival, Refusal, Store

log = structlog.get_logger(__name__)

#: Arrivals in one transaction at most; bounds how long a commit takes.
LARGEST_COMMIT = 256

#: Seconds a commit may take before all who wait are told to come again: senders hang up after 15 s and tell nobody why.
PATIENCE = 8.0

#: Bytes of bodies that may wait for the store together; a single one may always, whatever its size.
WAITING_BYTES = 64 * 2**20

#: Seconds after which refusals are tried again that the store did not take, unless a delivery comes first.
AGAIN = 5.0

_Waiting = tuple[Arrival, asyncio.Future[Added]]


class Writer:
    """Stores arrivals. Each `add` returns when its own transaction is durable, not before."""

    def __init__(self, store: Store, *, queue: int, stored: Callable[[], None] = lambda: None) -> None:
        self._store = store
        self._queue = queue
        self._stored = stored
        self._waiting: list[_Waiting] = []
        self._refusals: list[Refusal] = []
        self._work = asyncio.Event()
        self._stopping = False
        self._stalled = False
        self._unavailable = False  # whether the store was, at the last commit
        self._bytes = 0  # of the bodies that wait, or are on their way
        #: When the last delivery that was stored, or was there already, came from each source.
        self.heard: dict[str, float] = {}

    async def add(self, arrival: Arrival) -> Added:
        """Return what became of the arrival once that is durable.

        Raises Unavailable if the store does not take it, or not in time, or at once if too many are waiting already.
        """
        size = len(arrival.body)
        if len(self._waiting) >= self._queue or (self._bytes and self._bytes + size > WAITING_BYTES):
            raise Unavailable("too many deliveries are waiting for the store", retry_after=2)
        if self._stopping:
            raise Unavailable("the receiver is stopping", retry_after=1)
        if self._stalled:
            raise _stalled()
        future: asyncio.Future[Added] = asyncio.get_running_loop().create_future()
        self._waiting.append((arrival, future))
        self._bytes += size
        self._work.set()
        return await future

    def note(self, refusal: Refusal) -> None:
        """Keep a refusal with one of the next commits. Nobody waits for it; above the limit it is only logged."""
        if len(self._refusals) < self._queue:
            self._refusals.append(refusal)
            self._work.set()

    async def run(self) -> None:
        """Commit what is waiting, until `stop`; then what is left."""
        batch: list[_Waiting] = []
        try:
            while self._waiting or not self._stopping or (self._refusals and not self._unavailable):
                self._work.clear()
                await self._rest()
                batch, self._waiting = self._waiting[:LARGEST_COMMIT], self._waiting[LARGEST_COMMIT:]
                refusals, self._refusals = self._refusals, []
                if batch or refusals:
                    await self._commit_in_time(batch, refusals)
        finally:
            self._stopping = True
            if self._refusals:
                log.warning("refusals_not_kept", refusals=len(self._refusals))
            _answer_all(batch + self._waiting, Unavailable("the receiver is stopping", retry_after=1))

    async def _rest(self) -> None:
        """Wait for something to commit. What the store has just not taken is no reason to ask it again at once."""
        if self._waiting or self._stopping or (self._refusals and not self._unavailable):
            return
        try:
            async with asyncio.timeout(AGAIN if self._refusals else None):
                await self._work.wait()
        except TimeoutError:
            pass

    def stop(self) -> None:
        """Take nothing more; `run` ends when all that is waiting is stored."""
        self._stopping = True
        self._work.set()

    async def _commit_in_time(self, batch: list[_Waiting], refusals: list[Refusal]) -> None:
        # It goes on behind the answer: whether what hangs in the store was stored, nobody knows before it comes back.
        late = asyncio.get_running_loop().call_later(PATIENCE, self._give_up, batch)
        try:
            await self._commit(batch, refusals)
        finally:
            late.cancel()
            self._stalled = False
            self._bytes -= _size(batch)

    def _give_up(self, batch: list[_Waiting]) -> None:
        log.error("store_stalls", seconds=PATIENCE, deliveries=len(batch) + len(self._waiting))
        self._stalled = True
        _answer_all(batch + self._waiting, _stalled())
        self._bytes -= _size(self._waiting)
        self._waiting = []

    async def _commit(self, batch: list[_Waiting], refusals: list[Refusal]) -> None:
        began = time.perf_counter()
        try:
            added = await self._store.events.add([arrival for arrival, _ in batch], refusals)
        except Unavailable as error:
            self._put_off(error, batch, refusals)
        except Exception:
            # One row that the database will not take must not cost its neighbours their answer.
            log.exception("commit_failed", deliveries=len(batch), refusals=len(refusals))
            self._unavailable = False
            await self._commit_each(batch, refusals)
        else:
            self._unavailable = False
            if batch:
                meters.COMMITS.add(time.perf_counter() - began)
                meters.COMMIT_SIZES.add(len(batch))
            for (_, future), result in zip(batch, added, strict=True):
                if not future.done():  # its sender may have hung up
                    future.set_result(result)
            self.heard.update((arrival.source, arrival.received_at) for arrival, _ in batch)
            if any(result.status == "stored" for result in added):
                self._stored()

    async def _commit_each(self, batch: list[_Waiting], refusals: list[Refusal]) -> None:
        """Store deliveries one by one, and the refusals by themselves. Once the store is unavailable, it is for all."""
        try:
            for arrival, future in batch:
                await self._commit_alone(arrival, future)
            await self._store.events.add([], refusals)
        except Unavailable as error:
            self._put_off(error, batch, refusals)
        except Exception:
            log.exception("refusals_not_kept", refusals=len(refusals))

    def _put_off(self, error: Unavailable, batch: list[_Waiting], refusals: list[Refusal]) -> None:
        """Have the senders come again, and keep the refusals for one of the next commits."""
        log.error("store_unavailable", error=str(error), deliveries=len(batch))
        self._unavailable = True
        _answer_all(batch, error)
        self._refusals = (refusals + self._refusals)[: self._queue]

    async def _commit_alone(self, arrival: Arrival, future: asyncio.Future[Added]) -> None:
        try:
            [result] = await self._store.events.add([arrival])
        except Unavailable:
            raise
        except Exception as error:
            log.exception("delivery_not_stored", source=arrival.source, message_id=arrival.message_id)
            _answer_all([(arrival, future)], Unavailable(f"this delivery cannot be stored: {type(error).__name__}"))
        else:
            if not future.done():
                future.set_result(result)
            self._stored()


def _size(batch: list[_Waiting]) -> int:
    return sum(len(arrival.body) for arrival, _ in batch)


def _stalled() -> Unavailable:
    return Unavailable("the store does not answer in time", retry_after=5)


def _answer_all(batch: list[_Waiting], error: Unavailable) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
