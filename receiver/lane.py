"""Which runs of a worker go on at once: so many in all, and so many of each handler."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from typing import Generic, TypeVar

#: Most runs that one worker claims ahead of a free place, and the seconds in which they must be likely to get one.
#: A turn with the store costs as much for one run as for hundreds. There is room for twice what one turn fans out: the
#: runs of the next events are then claimed as they are made, while those of the last still run.
AHEAD = 512
AHEAD_SECONDS = 0.05


#: Most runs that stand aside in one worker at once: each is in its memory, and its lease is extended.
STANDING = 1000

T = TypeVar("T")


class Lane(Generic[T]):
    """The runs of one handler in this worker."""

    def __init__(self, concurrency: int, share: int) -> None:
        self.concurrency = concurrency
        self.share = share  #: places that are for this handler alone
        self.running = 0
        self.waiting: deque[T] = deque()  #: claimed, and to begin when there is a place
        self.returning: deque[asyncio.Future[None]] = deque()  #: stood aside, and go on when there is a place
        self._usual: float | None = None  # seconds an attempt takes, lately

    def took(self, seconds: float) -> None:
        """Learn how long an attempt took."""
        self._usual = seconds if self._usual is None else self._usual + (seconds - self._usual) / 8

    def likely(self, places: int) -> int:
        """Return how many runs are likely to begin at once, one after the other, in so many places."""
        return 0 if self._usual is None else min(AHEAD, int(places * AHEAD_SECONDS / (self._usual + 1e-6)))


class Places(Generic[T]):
    """The places of one worker, over all of its handlers.

    Each handler has its share to itself, one place at least; what is in no share is for whoever comes first. So
    handlers that hang, however many, leave the others theirs. `begin` is called with what waited for a place.
    """

    def __init__(
        self, number: int, concurrency: Mapping[str, int], *, begin: Callable[[T], None], freed: Callable[[], None]
    ) -> None:
        share = max(1, number // max(1, len(concurrency)))
        self.lanes: dict[str, Lane[T]] = {name: Lane(most, min(most, share)) for name, most in concurrency.items()}
        self.freed = freed  #: called when a run stands aside, so that another one may be claimed
        self.standing = 0  #: runs that stand aside
        self._rest = max(0, number - sum(lane.share for lane in self.lanes.values()))
        self._begin = begin
        self._open = True

    def enter(self, lane: Lane[T], one: T) -> None:
        """Let one begin as soon as there is a place for it."""
        if self._open:
            lane.waiting.append(one)
            self._admit(lane)

    def leave(self, lane: Lane[T]) -> None:
        """Give a place to the next one."""
        lane.running -= 1
        if lane.running >= lane.share:
            self._rest += 1
        self._admit(lane)
        if self._rest:
            for other in self.lanes.values():
                self._admit(other)

    def close(self) -> None:
        """Let none begin any more; what has begun may go on."""
        self._open = False
        for lane in self.lanes.values():
            lane.waiting.clear()

    def queued(self) -> int:
        """Return how many wait to begin."""
        return sum(len(lane.waiting) for lane in self.lanes.values())

    def room(self) -> dict[str, int]:
        """Return how many runs more to claim: as many as have a place, or are likely to get one at once."""
        ahead = AHEAD - self.queued()
        return {name: self._room(lane, ahead) for name, lane in self.lanes.items()}

    def _room(self, lane: Lane[T], ahead: int) -> int:
        free = min(lane.concurrency - lane.running, max(0, lane.share - lane.running) + self._rest)
        queued = len(lane.waiting) + len(lane.returning)
        return max(0, free - queued, min(ahead, lane.likely(lane.running + free) - queued))

    def _admit(self, lane: Lane[T]) -> None:
        while (lane.returning or lane.waiting) and self._take(lane):
            if lane.returning:
                lane.returning.popleft().set_result(None)
            else:
                self._begin(lane.waiting.popleft())

    def _take(self, lane: Lane[T]) -> bool:
        if lane.running >= lane.concurrency:
            return False
        if lane.running >= lane.share:
            if not self._rest:
                return False
            self._rest -= 1
        lane.running += 1
        return True

    async def take_again(self, lane: Lane[T]) -> None:
        """Wait for a place, before those that have not begun yet."""
        back: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        lane.returning.append(back)
        self._admit(lane)
        try:
            await asyncio.shield(back)
        except asyncio.CancelledError:
            with suppress(ValueError):
                lane.returning.remove(back)
            if back.done():
                self.leave(lane)
            raise


class Place:
    """What a run holds while it runs."""

    def __init__(self, lane: Lane[T], places: Places[T]) -> None:
        self._lane = lane
        self._places = places
        self._held = True
        self.aside = 0.0  #: seconds that it stood aside

    def hold(self) -> None:
        """Be the place of the task that calls this, which may stand aside then."""
        _place.set(self)

    def leave(self) -> None:
        """Give it to the next one."""
        if self._held:
            self._held = False
            self._places.leave(self._lane)

    @asynccontextmanager
    async def stand_aside(self) -> AsyncIterator[None]:
        """Give it to other runs meanwhile, unless too many stand aside."""
        if not self._held or self._places.standing >= STANDING:
            yield
            return
        clock = asyncio.get_running_loop().time
        began = clock()
        self.leave()
        self._places.standing += 1
        self._places.freed()
        try:
            yield
        finally:
            self._places.standing -= 1
            self.aside += clock() - began
        await self._places.take_again(self._lane)
        self._held = True


#: The place of the run that we are in.
_place: ContextVar[Place | None] = ContextVar("place", default=None)


@asynccontextmanager
async def aside() -> AsyncIterator[None]:
    """Let the run that calls this stand aside; outside of a worker there is nothing to give."""
    place = _place.get()
    if place is None:
        yield
        return
    async with place.stand_aside():
        yield
