"""How many runs of a handler a worker takes on."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar

#: Most runs that one worker claims ahead of a free slot, and the seconds in which they must be likely to get one.
#: A turn with the store costs as much for one run as for hundreds. There is room for twice what one turn fans out: the
#: runs of the next events are then claimed as they are made, while those of the last still run.
AHEAD = 512
AHEAD_SECONDS = 0.05


#: Most runs that stand aside in one worker at once: each is in its memory, and its lease is extended.
STANDING = 1000


class Lane:
    """The runs of one handler in this worker: so many at once, and a few ahead if they are quick."""

    def __init__(self, concurrency: int) -> None:
        self.slots = asyncio.Semaphore(concurrency)
        self.taken = 0  #: runs claimed and not ended
        self._concurrency = concurrency
        self._usual: float | None = None  # seconds an attempt takes, lately

    def took(self, seconds: float) -> None:
        """Learn how long an attempt took."""
        self._usual = seconds if self._usual is None else self._usual + (seconds - self._usual) / 8

    def room(self) -> int:
        """Return how many runs more to claim: as many as have a slot, or are likely to get one at once."""
        ahead = 0 if self._usual is None else min(AHEAD, int(self._concurrency * AHEAD_SECONDS / (self._usual + 1e-6)))
        return max(self._concurrency, ahead) - self.taken


#: The place of the run that we are in.
_place: ContextVar["Place | None"] = ContextVar("place", default=None)


class Places:
    """The slots of one worker, over all of its handlers."""

    def __init__(self, number: int, *, freed: Callable[[], None]) -> None:
        self.slots = asyncio.Semaphore(number)
        self.freed = freed  #: called when a run stands aside, so that another one may be claimed
        self.standing = 0  #: runs that stand aside


class Place:
    """What a run holds while it runs: a slot of its lane and one of the worker."""

    def __init__(self, lane: Lane, places: Places) -> None:
        self._lane = lane
        self._places = places
        self._held = False
        self.aside = 0.0  #: seconds that it stood aside

    async def __aenter__(self) -> "Place":
        await self._take()
        self._token = _place.set(self)
        return self

    async def __aexit__(self, *_: object) -> None:
        _place.reset(self._token)
        self._leave()

    async def _take(self) -> None:
        await self._lane.slots.acquire()
        try:
            await self._places.slots.acquire()
        except BaseException:
            self._lane.slots.release()
            raise
        self._held = True

    def _leave(self) -> None:
        if self._held:
            self._held = False
            self._places.slots.release()
            self._lane.slots.release()

    @asynccontextmanager
    async def stand_aside(self) -> AsyncIterator[None]:
        """Give the slots to other runs meanwhile, unless too many do."""
        if not self._held or self._places.standing >= STANDING:
            yield
            return
        clock = asyncio.get_running_loop().time
        began = clock()
        self._leave()
        self._lane.taken -= 1
        self._places.standing += 1
        self._places.freed()
        try:
            yield
        finally:
            self._places.standing -= 1
            self._lane.taken += 1
            self.aside += clock() - began
        await self._take()


@asynccontextmanager
async def aside() -> AsyncIterator[None]:
    """Let the run that calls this stand aside; outside of a worker there is nothing to give."""
    place = _place.get()
    if place is None:
        yield
        return
    async with place.stand_aside():
        yield
