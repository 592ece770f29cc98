"""The one statement that every acknowledgement waits for.

This goes below SQLAlchemy, and only this: through it the same rows cost four times as much. A whole batch
is one statement that is its own transaction, so SQLite works, and waits for the disk, without the
interpreter's lock and without being called back; PostgreSQL is asked once. That each new event is one of the
news is seen to by a trigger, within the statement.
"""

import asyncio
import functools
from collections.abc import Sequence
from typing import Any

from .connection import AsyncConnection
from .database import Database
from .given import filled, padded

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
    "expires_at": "float8",
    "message_id": "text",
    "fact": "text",
    "reason": "text",
    "trace": "text",
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
        self._one = asyncio.Lock()

    async def add(self, rows: Sequence[Row]) -> int:
        """Insert the rows, durably; return how many were new. Raises Unavailable if the database is."""
        async with self._database.available(), self._one, self._database.turn():
            return await self._insert(rows)

    async def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def _driver(self) -> Any:
        # One connection is kept: to borrow one and ask whether it lives costs as much as a few deliveries.
        if self._connection is None:
            self._connection = await AsyncConnection(self._database.engine).open()
        return await self._connection.driver()

    async def _sqlite(self, rows: Sequence[Row]) -> int:
        length = padded(len(rows))
        values = [value for row in rows for value in row]
        values += (None,) * (len(COLUMNS) * (length - len(rows)))
        cursor = await (await self._driver()).execute(_values(length), values)
        return int(cursor.rowcount)

    async def _postgresql(self, rows: Sequence[Row]) -> int:
        columns = list(zip(*rows, strict=True))
        driver = await self._driver()
        try:
            told = await driver.execute(_UNNEST, *columns)
        except BaseException:
            # SQLAlchemy did not see this, and a broken connection must not come back.
            broken, self._connection = self._connection, None
            if broken is not None:
                await broken.invalidate()
                await broken.close()
            raise
        return int(told.rpartition(" ")[2])


@functools.cache
def _values(rows: int) -> str:
    row = f"({', '.join('?' * len(COLUMNS))})"
    return f"INSERT INTO events ({', '.join(COLUMNS)}) {filled(row, rows)} ON CONFLICT DO NOTHING"


_UNNEST = (
    f"INSERT INTO events ({', '.join(COLUMNS)}) SELECT * FROM "  # noqa: S608 - names of our own
    f"unnest({', '.join(f'${number}::{kind}[]' for number, kind in enumerate(COLUMNS.values(), 1))}) "
    "ON CONFLICT DO NOTHING"
)
