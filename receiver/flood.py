"""What to make of many refusals: which get a row, and whether it is really our clock. No I/O, no clock."""

from collections import deque

import structlog

log = structlog.get_logger(__name__)


class Sampler:
    """Lets `burst` refusals through at once and `rate` a second after that; counts the others."""

    def __init__(self, *, rate: float = 2, burst: int = 100) -> None:
        self._rate = rate
        self._burst = burst
        self._left = float(burst)
        self._at = 0.0
        self._unlisted = 0

    def take(self, now: float) -> int | None:
        """Return how many were left out before this one, or None if this one is left out too."""
        self._left = min(self._burst, self._left + max(0.0, now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            self._unlisted += 1
            return None
        self._left -= 1
        unlisted, self._unlisted = self._unlisted, 0
        return unlisted


class ClockWatch:
    """Notices that most genuine deliveries are too old or too new: then it is a clock, not the sender."""

    def __init__(self, *, window: int = 20, fewest: int = 3) -> None:
        self._recent: deque[float] = deque(maxlen=window)
        self._fewest = fewest
        self._told = False

    def good(self) -> None:
        """Note a delivery whose time was right."""
        if self._recent:
            self._recent.append(0)
            self._told = self._told and self.skew is not None

    def off(self, skew: float) -> None:
        """Note a delivery with a right signature and a time that is off by `skew` seconds."""
        self._recent.append(skew)
        if self.skew is not None and not self._told:
            self._told = True
            log.error(
                "clock_skew",
                seconds=round(self.skew),
                advice="most deliveries with a right signature are off by more than 300 s: set this machine's clock",
            )

    @property
    def skew(self) -> float | None:
        """Seconds by which senders are ahead of us, if most recent deliveries are off; else None."""
        off = sorted(skew for skew in self._recent if skew)
        if len(off) < self._fewest or len(off) * 2 <= len(self._recent):
            return None
        return off[len(off) // 2]
