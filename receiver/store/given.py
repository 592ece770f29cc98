"""Statements over many rows at once, below SQLAlchemy.

Only for a worker's turn with the store: through SQLAlchemy the same rows cost four times as much, most of that while
the one place to write is taken. A statement finds its rows in a table named `given`, and is the same on both engines.
"""

import functools
import itertools
from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, CursorResult, Double, Integer, Text

#: For so many rows SQLite has a text each; others are filled up with rows of nothing. It keeps what it made of a text,
#: and of five hundred lengths that came to 100 MB.
LENGTHS = (1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)

#: What PostgreSQL calls the types of our columns.
_TYPES = {Text: "text", Double: "float8", Integer: "int4", BigInteger: "int8"}


def padded(rows: int) -> int:
    """Return the length to which so many rows are filled up."""
    return next((length for length in LENGTHS if length >= rows), rows)


def filled(row: str, rows: int) -> str:
    """Return SQLite's query for so many rows like `row`, but for those of nothing."""
    return f"SELECT * FROM (VALUES {', '.join([row] * rows)}) WHERE column1 IS NOT NULL"  # noqa: S608 - placeholders


class Statement:
    """A statement about `given`, whose columns are named, and have the types, as these; the first is never null."""

    def __init__(self, sql: str, columns: Sequence[Column[Any]]) -> None:
        self._names = ", ".join(column.name for column in columns)
        self._row = f"({', '.join('?' * len(columns))})"
        self._sql = sql
        # As arrays it is the same text for any number of rows, parsed and planned once.
        types = [_TYPES[type(column.type)] for column in columns]
        arrays = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(types, 1))
        self._postgresql = self._with(f"SELECT * FROM unnest({arrays})")  # noqa: S608 - types of our own
        self._sqlite = functools.cache(lambda rows: self._with(filled(self._row, rows)))

    def __call__(self, connection: Connection, rows: Sequence[Sequence[Any]]) -> CursorResult[Any]:
        """Execute it for these rows, of which there is at least one."""
        if connection.dialect.name == "sqlite":
            length = padded(len(rows))
            nothing = (None,) * (len(rows[0]) * (length - len(rows)))
            return connection.exec_driver_sql(self._sqlite(length), (*itertools.chain.from_iterable(rows), *nothing))
        return connection.exec_driver_sql(self._postgresql, tuple(map(list, zip(*rows, strict=True))))

    def _with(self, rows: str) -> str:
        return f"WITH given({self._names}) AS ({rows}) {self._sql}"
