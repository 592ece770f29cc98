"""How long the API takes to find events and to list, with a long history, over HTTP as far as there is no socket."""

import asyncio
import random
import time
from collections.abc import Sequence

import asyncpg
import httpx

from receiver.api import Api
from receiver.settings import Settings
from receiver.store import Store

from .bench import Bench
from .deliveries import job_id
from .history import COLUMNS, build, rows
from .report import Result

TOKEN = "a-token-that-is-long-enough"

#: The rows that are measured.
ROWS = ("api-search", "api-lists")

#: Requests of each kind.
ASKED = 60

#: What is listed: what opens a page, and what people narrow by.
LISTED = (
    "/events",
    "/events?source=videogen",
    "/events?state=quarantined",
    "/events?type=file.download_ready&limit=100",
    "/runs",
    "/runs?state=waiting",
    "/runs?handler=nobody",
    "/refused",
    "/jobs",
    "/handlers",
    "/stats?span=minute&spans=60",
)


def measure(bench: Bench, results: dict[str, Result]) -> None:
    """Ask both engines, each full: for text in bodies, and for the listings."""
    events, waiting = bench.of(1_000_000), bench.of(100_000)
    database = build(bench.folder / "api.db", events=events, waiting=waiting)
    with bench.place("postgresql") as (_, url):
        asyncio.run(fill(url, events=events, waiting=waiting))
        bench.say(f"api       built {events:,} events on both engines")
        for number in range(bench.rounds):
            for engine, at in (("SQLite", f"sqlite:///{database}"), ("PostgreSQL", url)):
                for name, milliseconds in asyncio.run(ask(at, events, seed=number)).items():
                    bench.say(f"{name:<12}{engine} p95 {milliseconds:.1f} ms")
                    if name in results:
                        results[name].add(milliseconds, engine)


async def ask(url: str, events: int, *, seed: int) -> dict[str, float]:
    """Return the 95th percentile of both kinds of requests, milliseconds."""
    store = Store(url)
    api = Api(store=store, sources={}, settings=Settings(admin_token=TOKEN))
    transport = httpx.ASGITransport(app=api)
    headers = {"authorization": f"Bearer {TOKEN}"}
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://here", headers=headers) as client:
            chosen = random.Random(seed)
            searches = [_search(chosen, events) for _ in range(ASKED)]
            listings = [LISTED[number % len(LISTED)] for number in range(ASKED)]
            return dict(zip(ROWS, [await _p95(client, paths) for paths in (searches, listings)], strict=True))
    finally:
        await store.close()


def _search(chosen: random.Random, events: int) -> str:
    """Ask for text that is not there, that is in one of the newest, or anywhere; or for a job."""
    kind = chosen.randrange(4)
    if kind == 0:
        return "/events?text=nobody+ever+said+this"
    key = chosen.randrange(events - 20_000 if kind == 1 and events > 20_000 else 0, events) - 10**9
    return f"/events?{'job_id' if kind == 3 else 'text'}={job_id(key)}"


async def _p95(client: httpx.AsyncClient, paths: Sequence[str]) -> float:
    taken = []
    for path in paths:
        began = time.perf_counter()
        answer = await client.get(path)
        taken.append((time.perf_counter() - began) * 1e3)
        if answer.status_code != 200:
            raise RuntimeError(f"{path} was answered {answer.status_code}")
    return sorted(taken)[int(len(taken) * 0.95)]


async def fill(url: str, *, events: int, waiting: int) -> None:
    """Fill an empty PostgreSQL database as `history.build` fills one of SQLite."""
    connection = await asyncpg.connect(url)
    try:
        await connection.copy_records_to_table("events", records=rows(events), columns=COLUMNS)
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
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()
