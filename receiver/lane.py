"""How many runs of a handler a worker takes on."""

import asyncio

#: Most runs that one worker claims ahead of a free slot, and the seconds in which they must be likely to get one.
#: A turn with the store costs as much for one run as for hundreds.
AHEAD = 256
AHEAD_SECONDS = 0.05


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
