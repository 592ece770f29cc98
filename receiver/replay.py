"""Run handlers again, as they are now, on events of the past."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from .dispatcher import Wanting, capturing, matched, wanted
from .store import Filter, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """How many events are meant, and how many runs start (in a dry run: would start at most).

    `last` is the event after which to go on, None at the end.
    """

    events: int
    runs: int
    last: str | None = None


async def replay(
    store: Store,
    filter: Filter,
    handlers: Sequence[Wanting],
    *,
    dry_run: bool = False,
    after: str = "",
    patience: float = math.inf,
) -> Replayed:
    """Let `handlers` run on every event of the filter that they want, also if they were added since.

    Runs that are waiting or running are left alone. A replay of many is made in steps that no delivery waits for, and
    stops after `patience` seconds.
    """
    events = runs = 0
    captures = capturing(handlers)
    until = time.monotonic() + patience
    last: str | None = None
    async for step in store.replays.matching(filter, after=after):
        pairs = [(row["id"], name, key) for row in step.rows for name, key in wanted(matched(row), handlers).items()]
        events += len(step.rows)
        runs += len(pairs) if dry_run else await store.replays.again(pairs, captures=captures)
        last = step.last
        if time.monotonic() > until:
            break
    return Replayed(events=events, runs=runs, last=last)
