"""How much happened in each minute or hour."""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import CompoundSelect, Select, func, literal, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from ..ids import first_id
from .database import Database
from .page import PATIENCE
from .tables import attempts, deliveries, events

#: Seconds after which nothing is added to a span of the past, and spans that are remembered.
SETTLED, REMEMBERED = 60.0, 4_000

#: Spans counted in one statement.
AT_ONCE = 15


@dataclass(slots=True, kw_only=True)
class Count:
    """What happened in one span of time, which begins `at`, Unix seconds."""

    at: float
    events: int = 0  #: stored, by whichever road
    duplicates: int = 0  #: deliveries of what was there
    refused: int = 0  #: deliveries, also those that got no row of their own in a flood
    attempts: dict[str, dict[str, int]] = field(default_factory=dict)  #: by handler, then by outcome

    def ended(self, outcome: str) -> int:
        """Return how many attempts of all handlers ended so."""
        return sum(outcomes.get(outcome, 0) for outcomes in self.attempts.values())


class Tally:
    """Counts by time. What is over does not change and is counted once in a process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counted: OrderedDict[tuple[float, float], Count] = OrderedDict()

    async def over(self, *, since: float, step: float, patience: float = PATIENCE) -> list[Count]:
        """Return the counts of each span of `step` seconds since then, the oldest first.

        The newest are counted first: when patience ends, the oldest are missing, until somebody asks again.
        """
        until = time.monotonic() + patience
        found: list[Count] = []
        async with self._database.read() as connection:
            now = await self._database.now(connection)
            last, first = now // step * step, since // step * step
            spans = [last - number * step for number in range(int((last - first) // step) + 1)]
            for begin in range(0, len(spans), AT_ONCE):
                if not found or time.monotonic() < until:
                    found += await self._count(connection, spans[begin : begin + AT_ONCE], step, now)
        return found[::-1]

    async def _count(self, connection: AsyncConnection, spans: Sequence[float], step: float, now: float) -> list[Count]:
        new = [at for at in spans if (at, step) not in self._counted]
        counted = await _counted(connection, new, step) if new else {}
        for at, count in counted.items():
            if at + step < now - SETTLED:
                self._counted[at, step] = count
        found = [counted.get(at) or self._counted[at, step] for at in spans]
        while len(self._counted) > REMEMBERED:
            self._counted.popitem(last=False)
        return found


async def _counted(connection: AsyncConnection, spans: Sequence[float], step: float) -> dict[float, Count]:
    def all_spans(query: Callable[[float, float], Select[Any]]) -> CompoundSelect[Any]:
        return union_all(*(query(at, at + step).add_columns(literal(at).label("at")) for at in spans))

    counts = {at: Count(at=at, attempts={}) for at in spans}
    for number, at in await connection.execute(all_spans(_stored)):
        counts[at].events = number
    for verdict, number, at in await connection.execute(all_spans(_others)):
        if verdict == "refused":
            counts[at].refused = int(number)
        else:
            counts[at].duplicates = int(number)
    for handler, outcome, number, at in await connection.execute(all_spans(_tried)):
        counts[at].attempts.setdefault(handler, {})[outcome] = number
    return counts


def _stored(at: float, end: float) -> Select[Any]:
    # Ids sort by time: the index of ids tells, and no event is read.
    return select(func.count()).where(events.c.id >= first_id("evt", at), events.c.id < first_id("evt", end))


def _others(at: float, end: float) -> Select[Any]:
    query = select(deliveries.c.verdict, func.count() + func.sum(deliveries.c.unlisted))
    return query.where(deliveries.c.received_at >= at, deliveries.c.received_at < end).group_by(deliveries.c.verdict)


def _tried(at: float, end: float) -> Select[Any]:
    query = select(attempts.c.handler, attempts.c.outcome, func.count())
    ended = (attempts.c.finished_at >= at, attempts.c.finished_at < end)
    return query.where(*ended).group_by(attempts.c.handler, attempts.c.outcome)
