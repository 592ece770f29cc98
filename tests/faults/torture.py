"""Every fault, how often, on which engine."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from . import (
    clocks,
    commits,
    cuts,
    disks,
    freezes,
    fuzz,
    guided,
    kills,
    misbehaviour,
    outages,
    restarts,
    schemas,
    small_disk,
    syncs,
)
from .databases import Postgres
from .handlers import EFFECT, MISBEHAVING
from .outcome import Outcome, together
from .rig import Rig

#: How failing syncs are counted: from the N-th on, or some in between.
REFUSALS = ("1+", "2+", "3+", "5+", "8+", "13+", "21+", "2+2", "4+3", "5+7")


@dataclass(frozen=True, slots=True)
class Torture:
    """Where and how much. Each fault has a folder and a database of its own; `scale` multiplies how often."""

    folder: Path
    server: Postgres
    seed: int
    scale: float = 1.0

    def times(self, times: int) -> int:
        return max(1, round(times * self.scale))

    def _rig(self, name: str, url: str | None = None, *, handlers: str = EFFECT) -> Rig:
        return Rig(self.folder / name, url, seed=self.seed, handlers=handlers, lanes=8)

    def sqlite(self, fault: Callable[..., Outcome], times: int) -> Iterator[Outcome]:
        with self._rig(f"{fault.__module__}-{fault.__name__}-sqlite") as rig:
            yield fault(rig, times=self.times(times))

    def postgresql(self, fault: Callable[..., Outcome], times: int) -> Iterator[Outcome]:
        with self._rig(f"{fault.__module__}-{fault.__name__}-postgresql", self.server.database()) as rig:
            yield fault(rig, times=self.times(times))

    def both(self, fault: Callable[..., Outcome], times: int) -> Iterator[Outcome]:
        yield from self.sqlite(fault, times)
        yield from self.postgresql(fault, times)

    def outages(self) -> Iterator[Outcome]:
        with self._rig("outages", self.server.database()) as rig:
            yield outages.crashes(rig, self.server, times=self.times(40), apart=3.0)

    def clocks(self) -> Iterator[Outcome]:
        yield from self.sqlite(clocks.ahead, 20)
        yield from self.sqlite(clocks.back, 20)
        yield from self.postgresql(clocks.apart, 20)

    def handlers(self) -> Iterator[Outcome]:
        for name, url in (("sqlite", None), ("postgresql", self.server.database())):
            with self._rig(f"handlers-{name}", url, handlers=MISBEHAVING) as rig:
                yield misbehaviour.handlers(rig, times=self.times(2), pause=0.5)

    def requests(self) -> Iterator[Outcome]:
        yield fuzz.inside(self.folder / "requests", seed=self.seed, times=self.times(1_000_000))

    def guided(self) -> Iterator[Outcome]:
        yield guided.deliveries(self.folder / "guided", seed=self.seed, times=self.times(300_000))

    def syncs(self) -> Iterator[Outcome]:
        if why := syncs.traceable():
            yield Outcome(fault="killed in its N-th sync", engine="SQLite", times=0, note=why)
            return
        yield together([self._one_sync(at) for at in range(1, self.times(50) + 1)])

    def _one_sync(self, at: int) -> Outcome:
        with self._rig(f"sync-{at}") as rig:
            return syncs.killed(rig, at=at)

    def refused(self) -> Iterator[Outcome]:
        if why := syncs.traceable():
            yield Outcome(fault="sync fails", engine="SQLite", times=0, note=why)
            return
        tried = REFUSALS[: self.times(len(REFUSALS))]
        note = f"the N-th, or from it on: {', '.join(tried)}"
        yield together([self._one_refusal(when) for when in tried], note=note)
        yield together([self._one_refusal_of_a_worker(when) for when in tried], note=note)

    def _one_refusal(self, when: str) -> Outcome:
        with self._rig(f"refused-{when}") as rig:
            return syncs.refused(rig, when=when)

    def _one_refusal_of_a_worker(self, when: str) -> Outcome:
        with self._rig(f"refused-worker-{when}") as rig:
            return syncs.refused_to_a_worker(rig, when=when)

    def disk(self) -> Iterator[Outcome]:
        if why := disks.mountable():
            yield Outcome(fault="disk full, then not", engine="SQLite", times=0, note=why)
            return
        yield small_disk.outcome(self.folder / "disk", seed=self.seed, times=self.times(40))


#: The faults by name, in the order of the scorecard.
FAULTS: dict[str, Callable[[Torture], Iterator[Outcome]]] = {
    "kills": lambda torture: torture.both(kills.at_random, 200),
    "syncs": Torture.syncs,
    "refused-syncs": Torture.refused,
    "disk": Torture.disk,
    "growth": lambda torture: torture.sqlite(disks.files_cannot_grow, 40),
    "outages": Torture.outages,
    "cuts": lambda torture: torture.both(cuts.answers, 1000),
    "commits": lambda torture: torture.postgresql(commits.answers, 300),
    "freezes": lambda torture: torture.both(freezes.at_random, 30),
    "clocks": Torture.clocks,
    "handlers": Torture.handlers,
    "restarts": lambda torture: torture.both(restarts.rolling, 20),
    "schemas": lambda torture: torture.both(schemas.change, 2),
    "starts": lambda torture: torture.sqlite(restarts.at_once, 8),
    "requests": Torture.requests,
    "guided": Torture.guided,
    "bytes": lambda torture: torture.sqlite(fuzz.on_the_wire, 20_000),
}
