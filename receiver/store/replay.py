"""Running handlers again on the events that a filter means."""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, exists, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from .database import Database
from .filter import Filter
from .page import SLICE
from .runs import unfinished
from .tables import events, runs
from .text import storable
from .turn import MATCHED, new_again, run_row

#: Events or runs changed in one transaction: short enough that no delivery waits for it.
STEP = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Some events with what handlers choose by, oldest first, and after which id the next step begins; None at the end.

    Many steps may have no events: those looked at were not meant.
    """

    rows: list[dict[str, Any]]
    last: str | None


class Replays:
    """Handlers run again: on the events of a filter, or where they failed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert = sqlite.insert if database.is_sqlite else postgresql.insert

    async def matching(self, filter: Filter, *, after: str = "") -> AsyncIterator[Step]:
        """Yield the events that are meant and came after the one with that id, oldest first, in steps.

        Those in quarantine, or erased, are left out: no handler could read them.
        """
        last: str | None = after
        while last is not None:
            step = await self._step(filter, last)
            yield step
            last = step.last

    async def _step(self, filter: Filter, after: str) -> Step:
        exact = filter.id is not None or filter.job_id is not None
        later = [events.c.id > after, *filter.received()]
        slices = select(events.c.id).where(*later).order_by(events.c.id).offset(SLICE - 1).limit(1)
        query = select(*(events.c[name] for name in MATCHED)).where(*later, *filter.clauses())
        query = query.where(events.c.state.not_in(("quarantined", "erased"))).order_by(events.c.id).limit(STEP)
        async with self._database.read() as connection:
            end = None if exact else (await connection.execute(slices)).scalar_one_or_none()
            if end is not None:
                query = query.where(events.c.id <= end)
            found = [dict(row) for row in (await connection.execute(query)).mappings()]
        return Step(rows=found, last=found[-1]["id"] if len(found) == STEP else end)

    async def again(self, pairs: Sequence[tuple[str, str, str | None]], *, captures: Collection[str] = ()) -> int:
        """Let handlers run on events, given as event id, handler and order key; return how many start.

        Of the handlers in `captures`, the runs whose outputs expire first go first. A run that ended has all
        its attempts again; one that was never made is made; one that is waiting or running is left alone.
        """
        if not pairs:
            return 0
        async with self._database.write() as connection:
            now = await self._database.now(connection)
            statement = self._insert(runs).on_conflict_do_update(
                index_elements=["event_id", "handler"],
                set_=new_again(now),
                where=runs.c.finished_at.is_not(None),
            )
            wanted = {event_id for event_id, handler, _ in pairs if handler in captures}
            query = select(events.c.id, events.c.expires_at).where(events.c.id.in_(wanted))
            ends = {row.id: row.expires_at for row in await connection.execute(query)} if wanted else {}
            rows = [
                run_row(event_id, handler, key, now, expires_at=ends.get(event_id) if handler in captures else None)
                for event_id, handler, key in pairs
            ]
            again = (await connection.execute(statement.returning(runs.c.id), rows)).scalars().all()
            await connection.execute(unfinished(again))
            return len(again)

    async def failed(self, filter: Filter, *, handler: str | None = None) -> int:
        """Return how many failed runs there are on the events that are meant."""
        async with self._database.read() as connection:
            query = select(func.count()).select_from(runs).where(*_failed(filter, handler))
            return int((await connection.execute(query)).scalar_one())

    async def retry_failed(self, filter: Filter, *, handler: str | None = None) -> int:
        """Let failed runs start again with all their attempts, in steps; return how many."""
        total, after = 0, ""
        while True:
            changed = await self.retry_some(filter, handler=handler, after=after)
            total += len(changed)
            if len(changed) < STEP:
                return total
            after = changed[-1]

    async def retry_some(self, filter: Filter, *, handler: str | None = None, after: str = "") -> list[str]:
        """Let the next STEP failed runs after the one with that id start again; return their ids, in order.

        Whoever goes on after the last of them meets no run twice, also if it fails again at once.
        """
        some = select(runs.c.id).where(*_failed(filter, handler), runs.c.id > after).order_by(runs.c.id).limit(STEP)
        async with self._database.write() as connection:
            now = await self._database.now(connection)
            again = update(runs).where(runs.c.id.in_(some.scalar_subquery())).values(new_again(now))
            ids = sorted((await connection.execute(again.returning(runs.c.id))).scalars())
            await connection.execute(unfinished(ids))
            return ids


def _failed(filter: Filter, handler: str | None) -> list[ColumnElement[bool]]:
    found = [runs.c.state == "failed", *([runs.c.handler == storable(handler)] if handler else [])]
    if asked := filter.clauses():  # else no event is looked at, and an index alone tells how many there are
        found.append(exists().where(events.c.id == runs.c.event_id, *asked))
    return found
