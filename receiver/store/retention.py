"""Deleting what is old, in steps that no delivery has to wait for."""

import asyncio

from sqlalchemy import ColumnElement, Delete, and_, delete, exists, func, not_, select

from ..ids import first_id
from .database import Database
from .tables import deliveries, events, jobs, runs

#: Rows deleted in one transaction, and seconds of rest before the next.
STEP = 200
REST = 0.02


class Retention:
    """Events, deliveries and jobs by age. Times are Unix seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def old(self, before: float) -> tuple[int, int, int]:
        """Return how many events, deliveries and jobs `prune` would delete."""
        async with self._database.read() as connection:
            told = select(func.count()).select_from(events).where(*_ended(before))
            refused = select(func.count()).select_from(deliveries).where(deliveries.c.received_at < before)
            ended = select(func.count()).select_from(jobs).where(*_through(before))
            counts = [(await connection.execute(query)).scalar_one() for query in (told, refused, ended)]
            return counts[0], counts[1], counts[2]

    async def prune(self, before: float) -> tuple[int, int, int]:
        """Delete events received before, with their runs and attempts, deliveries, and jobs that ended before.

        Returns how many of each.

        An event whose handlers are not through with it stays, however old.
        """
        some_events = select(events.c.id).where(*_ended(before)).order_by(events.c.id).limit(STEP)
        some_refused = select(deliveries.c.id).where(deliveries.c.received_at < before).limit(STEP)
        told = await self._delete(delete(events).where(events.c.id.in_(some_events.scalar_subquery())))
        refused = await self._delete(delete(deliveries).where(deliveries.c.id.in_(some_refused.scalar_subquery())))
        some_jobs = select(jobs.c.id).where(*_through(before)).limit(STEP)
        ended = await self._delete(delete(jobs).where(jobs.c.id.in_(some_jobs.scalar_subquery())))
        return told, refused, ended

    async def _delete(self, statement: Delete) -> int:
        total = 0
        while True:
            async with self._database.write() as connection:
                deleted = (await connection.execute(statement)).rowcount
            total += deleted
            if deleted < STEP:
                return total
            await asyncio.sleep(REST)


def _through(before: float) -> list[ColumnElement[bool]]:
    # The handlers of an event that stays still want what was said when its job was submitted.
    needed = exists().where(events.c.id == jobs.c.event_id, not_(and_(*_ended(before))))
    return [jobs.c.ended_at < before, ~needed]


def _ended(before: float) -> list[ColumnElement[bool]]:
    open_run = exists().where(runs.c.event_id == events.c.id, runs.c.finished_at.is_(None))
    # Ids are made on receipt and sort by time: the range keeps this off the events that stay.
    return [events.c.id < first_id("evt", before), events.c.state != "waiting", ~open_run]
