"""A connection whose calls are awaited.

SQLAlchemy's own, in `sqlalchemy.ext.asyncio`, brings the ORM along: 10 MB in every process, for nothing used here.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self, TypeVar, TypeVarTuple, overload

from sqlalchemy import Connection, CursorResult, Dialect, Engine, Executable
from sqlalchemy.sql.selectable import TypedReturnsRows
from sqlalchemy.util import greenlet_spawn

T = TypeVar("T")
Columns = TypeVarTuple("Columns")


class AsyncConnection:
    """One of `engine`'s connections, borrowed when it is entered, and given back whatever comes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection

    async def open(self) -> Self:
        """Borrow the connection, to be closed by hand."""
        self._connection = await greenlet_spawn(self._engine.connect)
        return self

    async def close(self) -> None:
        """Give the connection back, undoing what was not committed."""
        await greenlet_spawn(self._connection.close)

    @overload
    async def execute(self, statement: TypedReturnsRows[*Columns], values: Any = None) -> CursorResult[*Columns]: ...

    @overload
    async def execute(self, statement: Executable, values: Any = None) -> CursorResult[*tuple[Any, ...]]: ...

    async def execute(self, statement: Executable, values: Any = None) -> CursorResult[*tuple[Any, ...]]:
        """Return all that the statement brings; `values` is one row of them, or several."""
        return await greenlet_spawn(self._connection.execute, statement, values)

    async def exec_driver_sql(self, statement: str, values: Any = None) -> CursorResult[*tuple[Any, ...]]:
        """Return all that a statement brings which the driver is given as it stands."""
        return await greenlet_spawn(self._connection.exec_driver_sql, statement, values)

    async def run_sync(self, work: Callable[[Connection], T]) -> T:
        """Return what `work` returns. What it does with the connection waits, and others go on meanwhile."""
        return await greenlet_spawn(work, self._connection)

    @asynccontextmanager
    async def begin(self, *, write: bool) -> AsyncIterator[None]:
        """One transaction: committed when this ends, undone when it raises."""
        self._connection.execution_options(write=write)
        transaction = await greenlet_spawn(self._connection.begin)
        try:
            yield
        except BaseException as error:
            await greenlet_spawn(transaction.__exit__, type(error), error, error.__traceback__)
            raise
        await greenlet_spawn(transaction.__exit__, None, None, None)

    @property
    def dialect(self) -> Dialect:
        """What SQLAlchemy knows of the database."""
        return self._engine.dialect

    async def driver(self) -> Any:
        """The driver's own connection."""
        return (await greenlet_spawn(lambda: self._connection.connection)).driver_connection

    async def invalidate(self) -> None:
        """Close the connection for good, rather than to let others borrow it."""
        await greenlet_spawn(self._connection.invalidate)

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # To the end, also if we are cancelled: it would go on by itself, and give back what is closed by then.
        closing = asyncio.create_task(self.close())
        cancelled: asyncio.CancelledError | None = None
        while not closing.done():
            try:
                await asyncio.wait([closing])
            except asyncio.CancelledError as error_now:
                cancelled = error_now
        closing.result()
        if cancelled is not None:
            raise cancelled
