"""The database behind the store: connections, transactions and the clock, alike on both engines."""

import asyncio
import sqlite3
import time
import weakref
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.util import greenlet_spawn

from ..errors import Unavailable
from .connection import AsyncConnection
from .queue import WriterQueue

T = TypeVar("T")

#: Seconds to wait for another process that writes to the same SQLite file.
BUSY_TIMEOUT = 10

#: Seconds to wait for the first place in the queue before it: a turn takes a few milliseconds.
TURN = 2.0


class Database:
    """A pool of connections to SQLite (`sqlite:///path`) or PostgreSQL (`postgresql://…`)."""

    def __init__(self, url: str, *, clock: Callable[[], float] | None = None) -> None:
        self.is_sqlite = url.startswith("sqlite")
        self.engine = _sqlite(url) if self.is_sqlite else _postgresql(url)
        self._trouble = _trouble(self.is_sqlite)
        self._clock = clock or (time.time if self.is_sqlite else None)
        self._thread = Thread(url) if self.is_sqlite else None
        self._looks = Thread(url) if self.is_sqlite else None
        self._queue = WriterQueue(url.removeprefix("sqlite:///"), patience=TURN) if self.is_sqlite else None

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees one consistent state. Raises Unavailable if the database is."""
        async with self.available(), AsyncConnection(self.engine) as connection:
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """One transaction: durable when this ends, undone when it raises. Raises Unavailable if the database is."""
        async with (
            self.available(),
            self.turn(),
            AsyncConnection(self.engine) as connection,
            connection.begin(write=True),
        ):
            yield connection

    async def reading(self, work: Callable[[Connection], T]) -> T:
        """Return what `work` finds, in one consistent state. For work of many statements.

        On SQLite it is done in a thread, in which a statement costs no way there and back.
        """
        if self._thread is None:
            async with self.read() as connection:
                return await connection.run_sync(work)
        async with self.available():
            return await self._thread.run(work, write=False)

    async def looking(self, work: Callable[[Connection], T]) -> T:
        """The same for people who look: in another thread, so that no turn of a worker waits for it."""
        if self._looks is None:
            return await self.reading(work)
        async with self.available():
            return await self._looks.run(work, write=False)

    async def writing(self, work: Callable[[Connection], T]) -> T:
        """Do `work` in one transaction, as in `write`. For work of many statements, as in `reading`."""
        if self._thread is None:
            async with self.write() as connection:
                return await connection.run_sync(work)
        async with self.available(), self.turn():
            return await self._thread.run(work, write=True)

    async def now(self, connection: AsyncConnection) -> float:
        """The time that leases are judged by, Unix seconds.

        The database's own clock on PostgreSQL, so that workers on several machines agree.
        """
        return await connection.run_sync(self.time)

    def time(self, connection: Connection) -> float:
        """The same for work that does not wait."""
        if self._clock:
            return self._clock()
        return float(connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())

    async def close(self) -> None:
        """Close all connections."""
        await greenlet_spawn(self.engine.dispose)
        for thread in (self._thread, self._looks):
            if thread is not None:
                await thread.close()
        if self._queue is not None:
            self._queue.close()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for our turn to write, which only SQLite needs."""
        if self._queue is None:
            yield
        else:
            async with self._queue:
                yield

    @asynccontextmanager
    async def available(self) -> AsyncIterator[None]:
        """Raise Unavailable instead of what the drivers raise when the database is at fault."""
        try:
            yield
        except self._trouble as error:
            if _blames_statement(error):
                raise
            cause = error.orig if isinstance(error, DBAPIError) else error
            raise Unavailable(f"the store does not answer: {type(cause).__name__}: {_first_line(cause)}") from error


def _trouble(is_sqlite: bool) -> tuple[type[Exception], ...]:
    """Return what says that the database is at fault, or the statement.

    Drivers' own errors are raised where SQLAlchemy is not asked: connecting, and storing deliveries.
    """
    if is_sqlite:
        return DBAPIError, sqlite3.DatabaseError, OSError
    from asyncpg import InterfaceError, PostgresError  # 3 MB in every process: only where it is used

    return DBAPIError, PostgresError, InterfaceError, OSError


def is_deadlock(error: Unavailable) -> bool:
    """Whether PostgreSQL undid a transaction for another that it waited for, and that waited for it."""
    cause = error.__cause__
    return getattr(cause.orig if isinstance(cause, DBAPIError) else cause, "sqlstate", None) == "40P01"


def _blames_statement(error: BaseException) -> bool:
    """Whether what was asked, or the values in it, cannot be done by any database that works."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    refused = (IntegrityError, DataError, ProgrammingError)
    drivers = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError)
    # PostgreSQL's classes of errors: bad data, a broken constraint.
    state = str(getattr(cause, "sqlstate", None) or "")
    return isinstance(error, refused) or isinstance(cause, drivers) or state.startswith(("22", "23"))


def _first_line(cause: BaseException | None) -> str:
    return (str(cause).splitlines() or [""])[0]


class Thread:
    """A connection to SQLite in a thread of its own."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine(make_url(url).set(drivername="sqlite+pysqlite"), connect_args=_CONNECT)
        _configure(self._engine)
        self._pool = ThreadPoolExecutor(1, "store")

    async def run(self, work: Callable[[Connection], T], *, write: bool) -> T:
        """Return what `work` returns, done in one transaction."""

        def transact() -> T:
            with self._engine.connect().execution_options(write=write) as connection, connection.begin():
                return work(connection)

        # What has begun is not left alone: it would go on in the thread, with nobody in its place in the queue.
        done = asyncio.get_running_loop().run_in_executor(self._pool, transact)
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            await asyncio.wait([done])
            raise

    async def close(self) -> None:
        """Close the connection."""
        await asyncio.get_running_loop().run_in_executor(self._pool, self._engine.dispose)
        self._pool.shutdown()


class _Connection(sqlite3.Connection):
    """Ends what it was reading when it is closed: as long as a cursor lives somewhere, SQLite would go on with it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._cursors = weakref.WeakSet[sqlite3.Cursor]()

    def cursor(self, *arguments: Any) -> Any:
        cursor = super().cursor(*arguments)
        self._cursors.add(cursor)
        return cursor

    def close(self) -> None:
        for cursor in list(self._cursors):
            with suppress(sqlite3.Error):  # whoever is cut off while closing closes once more
                cursor.close()
        super().close()


_CONNECT = {"timeout": BUSY_TIMEOUT, "cached_statements": 512, "factory": _Connection}


def _sqlite(url: str) -> Engine:
    engine = create_engine(
        make_url(url).set(drivername="sqlite+aiosqlite"), pool_size=4, max_overflow=4, connect_args=_CONNECT
    )
    _configure(engine)
    return engine


def _configure(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",  # an acknowledged event survives the power going out
            "foreign_keys=ON",
            "secure_delete=FAST",  # to overwrite what got old would write all of it once more; an erasure does
            "cache_size=-16000",  # 16 MB: the hot index pages of a million events stay here
            "wal_autocheckpoint=8000",  # 32 MB: a hot page is written back once, not eight times
            f"busy_timeout={BUSY_TIMEOUT * 1000}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        # A writer takes its place at the start: upgrading a reader later would fail at once when another wrote.
        immediate = connection.get_execution_options().get("write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    @event.listens_for(engine, "invalidate")
    def roll_back(connection: Any, _record: object, _error: object) -> None:
        # Who is cancelled leaves a cursor in the middle of its rows, and as long as that lives, SQLite keeps a closed
        # connection open, with the place to write. This is done right after the statement that is on its way.
        connection.rollback()


def _postgresql(url: str) -> Engine:
    return create_engine(
        make_url(url).set(drivername="postgresql+asyncpg"), pool_size=8, max_overflow=8, pool_pre_ping=True
    )
