"""Files that jobs made: which are captured, and which should be soon."""

from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite

from ..ids import new_id
from .database import Database
from .tables import events, outputs, runs
from .text import storable, storable_row


class Outputs:
    """The outputs table, and the runs that are to fill it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert = sqlite.insert if database.is_sqlite else postgresql.insert

    async def record(self, *, event_id: str, handler: str, output_id: str, **values: Any) -> None:
        """Keep how it stands with one output of an event: captured, with its `place`, or missed, with the `error`."""
        blank = {"place": None, "media_type": None, "size": None, "sha256": None, "error": None}
        async with self._database.write() as connection:
            changed_at = await self._database.now(connection)
            row = storable_row(blank | values | {"changed_at": changed_at})
            key = {"event_id": event_id, "handler": handler, "output_id": storable(output_id)}
            statement = self._insert(outputs).values(id=new_id("out"), **key, **row)
            again = statement.on_conflict_do_update(index_elements=list(key), set_=row)
            await connection.execute(again)

    async def get(self, id: str) -> dict[str, Any] | None:
        """Return one output."""
        async with self._database.read() as connection:
            found = (await connection.execute(select(outputs).where(outputs.c.id == id))).mappings().one_or_none()
            return dict(found) if found else None

    async def recent(
        self,
        *,
        before: str | None = None,
        limit: int = 50,
        state: str | None = None,
        source: str | None = None,
        job_id: str | None = None,
        event_id: str | None = None,
    ) -> list[dict[str, Any]]:
        """Return the newest outputs before the output `before`, newest first."""
        equal = {"state": state, "source": source, "job_id": job_id, "event_id": event_id}
        query = select(outputs).where(*(outputs.c[name] == value for name, value in equal.items() if value is not None))
        if before:
            query = query.where(outputs.c.id < before)
        async with self._database.read() as connection:
            found = await connection.execute(query.order_by(outputs.c.id.desc()).limit(limit))
            return [dict(row) for row in found.mappings()]

    async def forget(self, id: str) -> None:
        """Remove the row of an output whose file is gone."""
        async with self._database.write() as connection:
            await connection.execute(delete(outputs).where(outputs.c.id == id))

    async def expiring(self, *, within: float, limit: int = 1000) -> list[dict[str, Any]]:
        """Return the runs that have not captured outputs whose URLs expire in `within` seconds, most urgent first.

        Those that expired up to `within` seconds ago are among them; later nobody can do anything about it.
        """
        columns = (runs.c.id, runs.c.event_id, runs.c.handler, runs.c.state, runs.c.attempt, runs.c.error)
        async with self._database.read() as connection:
            now = await self._database.now(connection)
            query = (
                select(*columns, runs.c.expires_at, events.c.source, events.c.job_id)
                .join(events)
                .where(runs.c.state != "done", runs.c.expires_at.between(now - within, now + within))
                .order_by(runs.c.expires_at)
                .limit(limit)
            )
            return [dict(row) for row in (await connection.execute(query)).mappings()]
