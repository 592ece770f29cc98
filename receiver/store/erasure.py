"""Erasing all that is known of one job. What stays keeps the job erased: that its messages were seen."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, and_, delete, exists, func, literal, or_, select, update

from .connection import AsyncConnection
from .database import Database
from .filter import holds
from .tables import deliveries, events, jobs, news, outputs, runs
from .text import storable

#: Jobs looked through at once for what they carry.
LOOK = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The job that an erasure is about, as far as it is known here."""

    source: str
    id: str | None = None  #: in the ledger
    job_id: str | None = None  #: its provider's


@dataclass(frozen=True, slots=True, kw_only=True)
class Carriers:
    """Some jobs that carry a value, in the order of their ids, and the last id that was looked at; None at the end."""

    subjects: list[Subject]
    last: str | None


class Erasures:
    """Everything that the store has of a job: its row, events, runs, copies, refusals and outputs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def called(self, id: str) -> list[Subject]:
        """Return the jobs of this id, ours or a provider's; those too of which only events are left."""
        name = storable(id)
        in_ledger = select(jobs.c.source, jobs.c.id, jobs.c.job_id).where(or_(jobs.c.id == name, jobs.c.job_id == name))
        told = select(events.c.source).distinct().where(events.c.job_id == name)
        async with self._database.read() as connection:
            found = [Subject(**row) for row in (await connection.execute(in_ledger)).mappings()]
            known = {subject.source for subject in found if subject.job_id == name}
            sources = (await connection.execute(told)).scalars().all()
        return found + [Subject(source=source, job_id=name) for source in sources if source not in known]

    async def carrying(self, name: str, value: str, *, after: str = "") -> AsyncIterator[Carriers]:
        """Yield the jobs after that id whose metadata has this value under this name, in steps: some have none."""
        last: str | None = after
        while last is not None:
            query = select(jobs.c.id, jobs.c.source, jobs.c.job_id, jobs.c.metadata).where(jobs.c.id > last)
            query = query.where(jobs.c.metadata != "{}").order_by(jobs.c.id).limit(LOOK)
            async with self._database.read() as connection:
                rows = (await connection.execute(query)).mappings().all()
            found = [
                Subject(source=row["source"], id=row["id"], job_id=row["job_id"])
                for row in rows
                if _carries(json.loads(row["metadata"]), name, value)
            ]
            last = rows[-1]["id"] if len(rows) == LOOK else None
            yield Carriers(subjects=found, last=last)

    async def busy(self, subject: Subject) -> str | None:
        """Return why a job cannot be erased yet; None if it can."""
        mine = _events_of(subject)
        async with self._database.read() as connection:
            return await _busy(connection, subject, mine)

    async def captured(self, subject: Subject) -> list[tuple[str, int, str]]:
        """Return where outputs of a job are kept, each with its size and digest."""
        query = select(outputs.c.place, outputs.c.size, outputs.c.sha256)
        query = query.where(_outputs_of(subject), outputs.c.state == "captured").order_by(outputs.c.id)
        async with self._database.read() as connection:
            return [(row.place, row.size or 0, row.sha256 or "") for row in await connection.execute(query)]

    async def count(self, subject: Subject) -> dict[str, int]:
        """Return by table how many rows `erase` would take."""
        async with self._database.read() as connection:
            return {
                table.name: int(
                    (await connection.execute(select(func.count()).select_from(table).where(meant))).scalar_one()
                )
                for table, meant in self._meant(subject)
            }

    async def erase(self, subject: Subject) -> dict[str, int] | None:
        """Erase a job in one transaction; return by table how many rows that took, None if it is busy again.

        Of an event there stays that its message and its fact were seen: another copy tells nothing new.
        """
        async with self._database.write() as connection:
            if await _busy(connection, subject, _events_of(subject)):
                return None
            taken = {}
            async with _overwriting(connection):
                for table, meant in self._meant(subject):
                    statement = (
                        update(events).where(meant).values(_BLANK) if table is events else delete(table).where(meant)
                    )
                    taken[table.name] = (await connection.execute(statement)).rowcount
            return taken

    def _meant(self, subject: Subject) -> list[tuple[Table, ColumnElement[bool]]]:
        """Return what is meant in each table, the events last: the others are found by them."""
        mine = _events_of(subject)
        copies = deliveries.c.event_id.in_(mine)
        named = self._names(subject)
        ledger = jobs.c.id == subject.id if subject.id else literal(False)
        return [
            (runs, runs.c.event_id.in_(mine)),
            (deliveries, copies if named is None else or_(copies, named)),
            (outputs, _outputs_of(subject)),
            (jobs, ledger),
            (events, events.c.id.in_(mine)),
        ]

    @staticmethod
    def _names(subject: Subject) -> ColumnElement[bool] | None:
        """Return which refused deliveries name the job: they may be genuine, signed with a secret not known here."""
        if subject.job_id is None:
            return None
        mine = and_(deliveries.c.verdict == "refused", deliveries.c.source == subject.source)
        return and_(mine, holds(deliveries.c.body, subject.job_id))


@asynccontextmanager
async def _overwriting(connection: AsyncConnection) -> AsyncIterator[None]:
    """Have SQLite overwrite what is deleted; by itself it only forgets where that was."""
    if connection.dialect.name != "sqlite":
        yield
        return
    await connection.exec_driver_sql("PRAGMA secure_delete=ON")
    try:
        yield
    finally:
        await connection.exec_driver_sql("PRAGMA secure_delete=FAST")


def _carries(metadata: Mapping[str, Any], name: str, value: str) -> bool:
    return name in metadata and value in (metadata[name], json.dumps(metadata[name]))


#: What an event is after an erasure.
_BLANK = {
    "state": "erased",
    **dict.fromkeys(("kind", "job_id", "tool", "expires_at", "reason")),
    "headers": "",
    "body": b"",
}


def _events_of(subject: Subject) -> Select[tuple[str]]:
    ids = [name for name in (subject.job_id, subject.id) if name]
    return select(events.c.id).where(events.c.source == subject.source, events.c.job_id.in_(ids))


def _outputs_of(subject: Subject) -> ColumnElement[bool]:
    ids = [name for name in (subject.job_id, subject.id) if name]
    mine = and_(outputs.c.source == subject.source, outputs.c.job_id.in_(ids))
    return or_(mine, outputs.c.event_id.in_(_events_of(subject)))


async def _busy(connection: AsyncConnection, subject: Subject, mine: Select[tuple[str]]) -> str | None:
    open_job = select(exists().where(jobs.c.id == subject.id, jobs.c.ended_at.is_(None)))
    if subject.id and (await connection.execute(open_job)).scalar():
        return "it has not ended: wait for it, or cancel it first"
    waiting = select(exists().where(news.c.event_id.in_(mine)))
    running = select(exists().where(runs.c.event_id.in_(mine), runs.c.state == "running"))
    for query in (waiting, running):
        if (await connection.execute(query)).scalar():
            return "its handlers are at work: try again in a moment"
    return None
