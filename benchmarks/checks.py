"""After each run: everything that was acked is there, and everything that is there was handled."""

import asyncio
import sqlite3
from collections.abc import Iterable
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from .deliveries import message_id
from .processes import until


def ask(url: str, query: str) -> list[Any]:
    """Return the rows of a query, on either engine."""
    if url.startswith("sqlite"):
        database = sqlite3.connect(url.removeprefix("sqlite:///"), timeout=30)
        try:
            return database.execute(query).fetchall()
        finally:
            database.close()
    return asyncio.run(_ask(url.replace("postgresql://", "postgresql+asyncpg://"), query))


async def _ask(address: str, query: str) -> list[Any]:
    engine = create_async_engine(address)
    async with engine.connect() as connection:
        rows = (await connection.execute(text(query))).all()
    await engine.dispose()
    return list(rows)


def stored(url: str, acked: Iterable[int], *, column: str = "message_id") -> None:
    """Raise AssertionError unless every acked delivery is an event."""
    there = {row[0] for row in ask(url, f"SELECT {column} FROM events")}
    lost = [number for number in acked if message_id(number) not in there]
    if lost:
        raise AssertionError(f"{len(lost)} acked deliveries are not stored, the first is {message_id(lost[0])}")


def handled(url: str) -> None:
    """Wait until nothing waits, then raise AssertionError unless every event has a run that is done."""
    until(lambda: not _left(url), "everything is handled", every=0.2, patience=600)
    missing = ask(
        url,
        "SELECT count(*) FROM events WHERE NOT EXISTS "
        "(SELECT 1 FROM runs WHERE runs.event_id = events.id AND runs.state = 'done')",
    )[0][0]
    if missing:
        raise AssertionError(f"{missing} events have no run that is done")


def _left(url: str) -> bool:
    waiting = "SELECT EXISTS (SELECT 1 FROM news)"
    unended = "SELECT EXISTS (SELECT 1 FROM runs WHERE state = 'waiting' OR state = 'running')"
    return any(ask(url, query)[0][0] for query in (waiting, unended))
