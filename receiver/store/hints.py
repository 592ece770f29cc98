"""Jobs of which their provider is expected to call back, and what its calls make us ask."""

from typing import Any, Literal

from sqlalchemy import Connection, and_, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from .database import Database
from .ledger import NewJob, job_row
from .tables import jobs

#: What a hint came to: its job is asked about now; or it names no job, one that we do not have, or another one.
Outcome = Literal["asked", "nothing", "unknown-job", "another-job"]


class Hints:
    """The jobs table, as far as hints touch it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert = sqlite.insert if database.is_sqlite else postgresql.insert

    async def expect(self, new: NewJob) -> float:
        """Enter a job that others submit, before its provider has given it an id; return its deadline, Unix seconds."""

        def act(connection: Connection) -> float:
            row = job_row(new, self._database.time(connection))
            # Nobody is asked before it calls back; nothing heard until the deadline is a failure.
            connection.execute(insert(jobs), [row | {"state": "submitted", "due_at": row["deadline_at"]}])
            return float(row["deadline_at"])

        return await self._database.writing(act)

    async def take(self, source: str, job_id: str | None, *, expected: str | None) -> Outcome:
        """Have the job with this id at its provider asked about now, durably.

        `expected` is our job for which the callback was made: the first call tells its provider's id, and later ones
        may name no other. Without it, the job may be new to us.
        """

        def act(connection: Connection) -> Outcome:
            mine = and_(jobs.c.source == source, jobs.c.job_id == job_id)
            theirs = connection.execute(select(jobs).where(mine)).mappings().one_or_none() if job_id else None
            now = self._database.time(connection)
            if expected is not None:
                return _expected(connection, source, job_id, expected, theirs, now)
            if job_id is None:
                return "nothing"
            if theirs is None:
                row = job_row(NewJob(source=source, tool=None, job_id=job_id), now)
                connection.execute(
                    self._insert(jobs).values(row).on_conflict_do_nothing()
                )  # two calls may come at once
            else:
                _ask(connection, theirs["id"], {}, now)
            return "asked"

        return await self._database.writing(act)


def _expected(connection: Connection, source: str, job_id: str | None, id: str, theirs: Any, now: float) -> Outcome:
    ours = connection.execute(select(jobs).where(jobs.c.id == id, jobs.c.source == source)).mappings().one_or_none()
    if ours is None:
        return "unknown-job"
    if ours["job_id"] is None and job_id is None:
        return "nothing"
    if (theirs is not None and theirs["id"] != id) or job_id not in (None, ours["job_id"] or job_id):
        return "another-job"
    _ask(connection, id, {"job_id": ours["job_id"] or job_id}, now)
    return "asked"


def _ask(connection: Connection, id: str, values: dict[str, Any], now: float) -> None:
    # Who is asking about it at this moment may have been answered before this was told: that answer is dropped.
    again = {"due_at": now, "worker": None, "lease_until": None, "token": jobs.c.token + 1}
    connection.execute(update(jobs).where(jobs.c.id == id, jobs.c.ended_at.is_(None)).values(**values, **again))
