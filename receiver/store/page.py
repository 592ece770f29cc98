"""Pages of rows, newest first, that never look through a whole table.

What no index finds is looked for in slices of the newest rows, for so long as somebody who waits has
patience. The page then says how far that was: whoever wants more goes on from there.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Column, ColumnElement, Select, select

from .connection import AsyncConnection

#: Rows looked at in one statement.
SLICE = 1000

#: Rows that are looked at one by one where an index that is in another order finds no more.
FEW = 2000

#: Seconds that a page looks for rows, unless more are asked for; and for text in bodies, which takes longest.
PATIENCE, SEARCH = 0.05, 0.12

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """Some rows, newest first, and the cursor of what comes after them: None when there is nothing more.

    There may be fewer rows than asked for, even none, and more after them: patience ended.
    """

    rows: list[T]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Looking:
    """Rows that a page is made of, in the order of their ids, which is that of time."""

    query: Select[Any]
    id: Column[str]
    base: Sequence[ColumnElement[bool]] = ()  #: what an index in the order of ids finds
    narrow: Sequence[ColumnElement[bool]] = ()  #: what each row has to be asked for
    exact: bool = False  #: whether an index finds the few that are meant: then no slices
    few: Select[Any] | None = None  #: ids of all that could be meant, by an index in another order: perhaps not many

    async def page(
        self, connection: AsyncConnection, *, before: str | None, limit: int, patience: float = PATIENCE
    ) -> Page[dict[str, Any]]:
        """Return the newest rows before the id `before`."""
        until = time.monotonic() + patience
        rows: list[dict[str, Any]] = []
        few = await self._few(connection)
        exact = self.exact or few is not None
        among = [] if few is None else [self.id.in_(few)]
        while True:
            floor = None if exact else await self._floor(connection, before)
            query = self.query.where(*self._between(floor, before), *self.narrow, *among)
            query = query.order_by(self.id.desc()).limit(limit + 1 - len(rows))
            rows += [dict(row) for row in (await connection.execute(query)).mappings()]
            if len(rows) > limit:
                return Page(rows=rows[:limit], next=rows[limit - 1]["id"])
            if floor is None or time.monotonic() > until:
                return Page(rows=rows, next=floor)
            before = floor

    async def _few(self, connection: AsyncConnection) -> Sequence[str] | None:
        """Return the ids of all that could be meant, None if they are many."""
        if self.few is None:
            return None
        found = (await connection.execute(self.few.limit(FEW + 1))).scalars().all()
        return found if len(found) <= FEW else None

    async def _floor(self, connection: AsyncConnection, before: str | None) -> str | None:
        """Return the id at which the next slice ends, None if it is the last."""
        query = select(self.id).where(*self._between(None, before)).order_by(self.id.desc())
        return (await connection.execute(query.offset(SLICE - 1).limit(1))).scalar_one_or_none()

    def _between(self, floor: str | None, before: str | None) -> list[ColumnElement[bool]]:
        found = list(self.base)
        if floor is not None:
            found.append(self.id >= floor)
        if before is not None:
            found.append(self.id < before)
        return found
