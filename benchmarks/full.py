"""A store of either engine with a long history and a long queue, filled once for all who only read it.

Beside its events it has what a year would leave: jobs, failed runs, refused deliveries, copies, captured files.
"""

import asyncio
import time

import asyncpg

from receiver.store import Store

from . import beside
from .bench import Bench
from .history import COLUMNS, build, rows

ENGINES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


def events(bench: Bench) -> int:
    """Return how many events a full store has."""
    return bench.of(1_000_000)


def full(bench: Bench, engine: str) -> str:
    """Return the URL of the full store, with all that workers would have added up by now."""
    if engine not in bench.filled:
        waiting, began = bench.of(100_000), time.perf_counter()
        if engine == "sqlite":
            also = beside.statements(done=events(bench) - waiting)
            url = f"sqlite:///{build(bench.folder / 'read.db', events=events(bench), waiting=waiting, also=also)}"
        else:
            url = bench.database()
            asyncio.run(fill(url, events=events(bench), waiting=waiting))
        asyncio.run(_add_up(url))
        took = time.perf_counter() - began
        bench.say(f"full      built {events(bench):,} events on {ENGINES[engine]} in {took:.0f} s")
        bench.filled[engine] = url
    return bench.filled[engine]


async def _add_up(url: str) -> None:
    store = Store(url)
    while await store.tally.add_up():
        pass
    await store.close()


async def fill(url: str, *, events: int, waiting: int) -> None:
    """Fill an empty PostgreSQL database as `build` fills one of SQLite."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("ALTER TABLE events DISABLE TRIGGER USER")  # none of them is new
        await connection.copy_records_to_table("events", records=rows(events), columns=COLUMNS)
        await connection.execute("ALTER TABLE events ENABLE TRIGGER USER")
        await connection.execute(
            "INSERT INTO runs (id, event_id, handler, state, due_at, attempt, token, created_at, started_at, "
            "finished_at) SELECT 'run' || substr(id, 4), id, 'nothing', CASE WHEN done THEN 'done' ELSE 'waiting' END, "
            "received_at, done::int, done::int, received_at, CASE WHEN done THEN received_at END, "
            "CASE WHEN done THEN received_at END FROM (SELECT id, received_at, "
            f"row_number() OVER (ORDER BY id) <= {events - waiting} AS done FROM events) AS each"
        )
        await connection.execute(
            "INSERT INTO attempts (run_id, handler, number, outcome, started_at, finished_at) "
            "SELECT id, handler, 1, 'done', started_at, finished_at FROM runs WHERE state = 'done' ORDER BY id"
        )
        for statement in beside.statements(done=events - waiting):
            await connection.execute(statement)
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()
