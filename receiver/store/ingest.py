"""The one statement that every acknowledgement waits for.

This goes below SQLAlchemy, and only this: through it the same rows cost four times as much. A whole batch
is one statement that is its own transaction, so SQLite works, and waits for the disk, without the
interpreter's lock and without being called back; PostgreSQL is asked once.
"""

import functools
from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from .database import Database

#: The columns of a row, in this order, with their PostgreSQL types.
COLUMNS = {
    "id": "text",
    "source": "text",
    "state": "text",
    "type": "text",
    "kind": "text",
    "job_id": "text",
    "tool": "text",
    "road": "text",
    "received_at": "float8",
    "occurred_at": "float8",
    "message_id": "text",
    "fact": "text",
    "reason": "text",
    "headers": "text",
    "body": "bytea",
}

Row = tuple[Any, ...]


class Ingest:
    """Inserts events. Rows whose message or fact is there already are left out."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert = self._sqlite if database.is_sqlite else self._postgresql
        self._connection: AsyncConnection | None = None

    async def add(self, rows: Sequence[Row]) -> int:
        """Insert the rows, durably; return how many were new. Raises Unavailable if the database is."""
        async with self._database.available(), self._database.turn():
            return await self._insert(rows)

    async def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def _sqlite(self, rows: Sequence[Row]) -> int:
        if self._connection is None:
            self._connection = await self._database.engine.connect()
        driver: Any = (await self._connection.get_raw_connection()).driver_connection
        cursor = await driver.execute(_values(len(rows)), [value for row in rows for value in row])
        return int(cursor.rowcount)

    async def _postgresql(self, rows: Sequence[Row]) -> int:
        async with self._database.engine.connect() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            try:
                told = await driver.execute(_UNNEST, *zip(*rows, strict=True))
            except BaseException:
                await connection.invalidate()  # SQLAlchemy did not see this; a broken connection must not come back
                raise
        return int(told.rpartition(" ")[2])


@functools.cache
def _values(rows: int) -> str:
    row = f"({', '.join('?' * len(COLUMNS))})"
    return f"INSERT INTO events ({', '.join(COLUMNS)}) VALUES {', '.join([row] * rows)} ON CONFLICT DO NOTHING"  # noqa: S608 - names of our own


_UNNEST = (
    f"INSERT INTO events ({', '.join(COLUMNS)}) SELECT * FROM "  # noqa: S608 - names of our own
    f"unnest({', '.join(f'${number}::{kind}[]' for number, kind in enumerate(COLUMNS.values(), 1))}) "
    "ON CONFLICT DO NOTHING"
)
