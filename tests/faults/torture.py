"""Every fault, how often, on which engine."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from . import clocks, cuts, disks, freezes, kills, misbehaviour, outages, restarts, small_disk, syncs
from .databases import Postgres
from .handlers import EFFECT, MISBEHAVING
from .outcome import Outcome, together
from .rig import Rig

#: How failing syncs are counted: from the N-th on, or some in between.
REFUSALS = ("1+", "2+", "3+", "5+", "8+", "13+", "21+", "2+2", "4+3", "5+7")


@dataclass(slots=True)
class Torture:
    """Faults by name, each on a database and in a folder of its own. `scale` multiplies how often."""

    folder: Path
    server: Postgres
    seed: int
    scale: float = 1.0

    def faults(self) -> dict[str, Callable[[], Iterator[Outcome]]]:
        """Return the faults in the order of the scorecard."""
        return {
            "kills": lambda: self._both(kills.at_random, 200),
            "syncs": self._syncs,
            "refused-syncs": self._refused,
            "disk": self._disk,
            "growth": lambda: self._sqlite(disks.files_cannot_grow, 40),
            "outages": self._outages,
            "cuts": lambda: self._both(cuts.answers, 1000),
            "freezes": lambda: self._both(freezes.at_random, 30),
            "clocks": self._clocks,
            "handlers": self._handlers,
            "restarts": lambda: self._both(restarts.rolling, 20),
            "starts": lambda: self._sqlite(restarts.at_once, 8),
        }

    def _times(self, times: int) -> int:
        return max(1, round(times * self.scale))

    def _rig(self, name: str, url: str | None = None, *, handlers: str = EFFECT) -> Rig:
        return Rig(self.folder / name, url, seed=self.seed, handlers=handlers, lanes=8)

    def _sqlite(self, fault: Callable[..., Outcome], times: int) -> Iterator[Outcome]:
        with self._rig(f"{fault.__module__}-{fault.__name__}-sqlite") as rig:
            yield fault(rig, times=self._times(times))

    def _postgresql(self, fault: Callable[..., Outcome], times: int) -> Iterator[Outcome]:
        with self._rig(f"{fault.__module__}-{fault.__name__}-postgresql", self.server.database()) as rig:
            yield fault(rig, times=self._times(times))

    def _both(self, fault: Callable[..., Outcome], times: int) -> Iterator[Outcome]:
        yield from self._sqlite(fault, times)
        yield from self._postgresql(fault, times)

    def _outages(self) -> Iterator[Outcome]:
        with self._rig("outages", self.server.database()) as rig:
            yield outages.crashes(rig, self.server, times=self._times(40), apart=3.0)

    def _clocks(self) -> Iterator[Outcome]:
        yield from self._sqlite(clocks.ahead, 20)
        yield from self._postgresql(clocks.apart, 20)

    def _handlers(self) -> Iterator[Outcome]:
        with self._rig("handlers", handlers=MISBEHAVING) as rig:
            yield misbehaviour.handlers(rig, times=self._times(2), pause=0.5)

    def _syncs(self) -> Iterator[Outcome]:
        if why := syncs.traceable():
            yield Outcome(fault="killed in its N-th sync", engine="SQLite", times=0, note=why)
            return
        yield together([self._one_sync(at) for at in range(1, self._times(50) + 1)])

    def _one_sync(self, at: int) -> Outcome:
        with self._rig(f"sync-{at}") as rig:
            return syncs.killed(rig, at=at)

    def _refused(self) -> Iterator[Outcome]:
        if why := syncs.traceable():
            yield Outcome(fault="sync fails", engine="SQLite", times=0, note=why)
            return
        tried = REFUSALS[: self._times(len(REFUSALS))]
        yield together([self._one_refusal(when) for when in tried], note=f"the N-th, or from it on: {', '.join(tried)}")

    def _one_refusal(self, when: str) -> Outcome:
        with self._rig(f"refused-{when}") as rig:
            return syncs.refused(rig, when=when)

    def _disk(self) -> Iterator[Outcome]:
        if why := disks.mountable():
            yield Outcome(fault="disk full, then not", engine="SQLite", times=0, note=why)
            return
        yield small_disk.outcome(self.folder / "disk", seed=self.seed, times=self._times(40))
