"""Run handlers again, as they are now, on events of the past."""

from collections.abc import Sequence
from dataclasses import dataclass

from .dispatcher import capturing, matched, wanted
from .registry import Handler
from .store import Filter, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """How many events are meant, and how many runs start (in a dry run: would start at most)."""

    events: int
    runs: int


async def replay(store: Store, filter: Filter, handlers: Sequence[Handler], *, dry_run: bool = False) -> Replayed:
    """Let `handlers` run on every event of the filter that they want, also if they were added since.

    Runs that are waiting or running are left alone. A replay of many is made in steps that no delivery waits for.
    """
    events = runs = 0
    captures = capturing(handlers)
    async for step in store.replays.matching(filter):
        pairs = [(row["id"], name, key) for row in step for name, key in wanted(matched(row), handlers).items()]
        events += len(step)
        runs += len(pairs) if dry_run else await store.replays.again(pairs, captures=captures)
    return Replayed(events=events, runs=runs)
