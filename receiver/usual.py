"""What is usual: how long jobs like one take, and whether one takes too long."""

import time
from collections.abc import Iterable, Mapping

from . import schedule
from .sources import Source, find_tool
from .store import Job, Store

#: Seconds for which it is remembered what is usual.
REMEMBERED = 30.0

#: Jobs that are alike: their source and tool.
Kind = tuple[str, str | None]


class Usual:
    """How long jobs take, as our own last ones did, or as it is known of their tool."""

    def __init__(self, store: Store, sources: Mapping[str, Source]) -> None:
        self._store = store
        self._sources = sources
        self._known: dict[Kind, tuple[float, float | None]] = {}  # when it was learnt, and the seconds

    async def of(self, jobs: Iterable[Job]) -> dict[Kind, float | None]:
        """Return how many seconds jobs like these take, None where nobody knows."""
        found: dict[Kind, float | None] = {}
        for kind in {(job.source, job.tool) for job in jobs}:
            learnt_at, seconds = self._known.get(kind, (0.0, None))
            if kind not in self._known or time.monotonic() - learnt_at > REMEMBERED:
                seconds = await usually(self._store, self._sources, *kind)
                self._known[kind] = time.monotonic(), seconds
            found[kind] = seconds
        return found


async def usually(store: Store, sources: Mapping[str, Source], source: str, tool: str | None) -> float | None:
    """Return how many seconds a job of a tool takes, None if nobody knows."""
    known = find_tool(sources[source], tool) if source in sources else None
    return schedule.usual(await store.jobs.took(source, tool), known.usual if known else 0.0) or None


def is_overdue(job: Job, usual: float | None, now: float) -> bool:
    """Whether a job goes on although it has taken several times what is usual."""
    age = now - (job.submitted_at or job.created_at)
    return job.ended_at is None and usual is not None and age > schedule.OVERDUE * usual
