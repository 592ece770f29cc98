"""Whether a long history and a long queue make acks or claims slower."""

import asyncio
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from receiver.store import Claimed, Finished, Store

from . import checks
from .acks import told
from .bench import Bench
from .deliveries import HEADERS, body, job_id, message_id
from .load import Order
from .postgres import migrated
from .processes import load, serve
from .report import Result

#: Runs claimed in one turn.
CLAIM = 8

COLUMNS = (
    "id", "source", "state", "type", "kind", "job_id", "tool", "road", "received_at", "occurred_at", "message_id",
    "fact", "headers", "body",
)  # fmt: skip


def measure(bench: Bench, result: Result) -> None:
    """Measure on an empty and on a full SQLite database, in turn."""
    turns = bench.of(1000)
    full = build(bench.folder / "full.db", events=bench.of(1_000_000), waiting=bench.of(100_000))
    bench.say(f"history   built {bench.of(1_000_000):,} events, {full.stat().st_size / 2**20:,.0f} MB")
    for number in range(bench.rounds):
        few = build(bench.folder / f"few-{number}.db", events=CLAIM * (turns + 1), waiting=CLAIM * (turns + 1))
        _forget_news(full)
        claims = asyncio.run(claims_p95([f"sqlite:///{path}" for path in (few, full)], turns))
        with bench.place("sqlite") as (folder, url):
            both = (url, f"sqlite:///{full}")
            rates = [0.0, 0.0]
            for part, which in enumerate((0, 1, 1, 0)):  # whoever comes second may find a busier disk
                rates[which] += _rate(bench, folder, both[which], 4 * number + part) / 2
        bench.say(f"history   claim p95 {claims[0]:.2f} ms with few, {claims[1]:.2f} ms with many")
        result.add(rates[1] / rates[0], "acks/s")
        result.add(claims[0] / claims[1], "claim")
        for what, values in (("acks/s", rates), ("claim p95 ms", claims)):
            result.note(f"{what} with none", values[0])
            result.note(f"{what} with many", values[1])


def _forget_news(path: Path) -> None:
    """Leave nothing to fan out of what was delivered in the round before: the other database has nothing either."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DELETE FROM news")


def _rate(bench: Bench, folder: Path, url: str, number: int) -> float:
    os.sync()  # what the claims have left to write is not part of this
    process, port = serve(folder, url, "--no-dispatch")
    with process:
        count = int(24_000 * bench.seconds)
        order = Order(ports=[port], count=count, first=count * number, warm=0.5, seconds=bench.seconds)
        answer = load(order)
        checks.stored(url, answer.acked)
    bench.say(told("history", answer))
    return answer.rate


async def claims_p95(urls: list[str], turns: int) -> list[float]:
    """Return the 95th percentile of a worker's turn with each store, milliseconds. The stores take turns, too."""
    queues = [_Queue(url) for url in urls]
    for _ in range(turns):
        for queue in queues:
            await queue.turn()
    for queue in queues:
        await queue.close()
    return [sorted(queue.taken)[int(turns * 0.95)] for queue in queues]


class _Queue:
    """A worker with nothing to do but to claim runs and call them done."""

    def __init__(self, url: str) -> None:
        self._store = Store(url)
        self._claimed: Sequence[Claimed] = ()
        self.taken: list[float] = []

    async def turn(self) -> None:
        now = time.time()
        finished = [Finished(run=run, outcome="done", finished_at=now) for run in self._claimed]
        began = time.perf_counter()
        turn = await self._store.runs.turn(
            worker="bench", lease=30, finished=finished, wanted=lambda _row: {}, free={"nothing": CLAIM}
        )
        self.taken.append((time.perf_counter() - began) * 1e3)
        self._claimed = turn.claimed
        if len(self._claimed) != CLAIM:
            raise RuntimeError("the queue is shorter than it should be")

    async def close(self) -> None:
        await self._store.runs.settle([], self._claimed)
        await self._store.close()


def build(path: Path, *, events: int, waiting: int, also: Iterable[str] = ()) -> Path:
    """Fill a new database in one go: each event has a run, the newest ones wait, the others are done.

    `also` are statements that fill what is beside them.
    """
    asyncio.run(migrated(f"sqlite:///{path}"))
    database = sqlite3.connect(path)
    # Only while it is built: this database has nothing to lose.
    for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-1000000", "foreign_keys=OFF"):
        database.execute(f"PRAGMA {pragma}")
    database.executemany(
        f"INSERT INTO events ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})", rows(events)
    )
    database.execute("DELETE FROM news")
    database.execute(
        "INSERT INTO runs (id, event_id, handler, state, due_at, attempt, token, created_at, started_at, finished_at) "
        "SELECT 'run' || substr(id, 4), id, 'nothing', CASE WHEN done THEN 'done' ELSE 'waiting' END, received_at, "
        "done, done, received_at, CASE WHEN done THEN received_at END, CASE WHEN done THEN received_at END "
        "FROM (SELECT id, received_at, rowid <= ? AS done FROM events)",
        (events - waiting,),
    )
    database.execute(
        "INSERT INTO attempts (run_id, handler, number, outcome, started_at, finished_at) "
        "SELECT id, handler, 1, 'done', started_at, finished_at FROM runs WHERE state = 'done'"
    )
    for statement in also:
        database.execute(statement)
    database.commit()
    database.execute("PRAGMA journal_mode=WAL")
    database.close()
    with path.open("rb") as file:
        os.fsync(file)  # or the system would write it out while we measure
    return path


def rows(count: int) -> Iterator[tuple[object, ...]]:
    """Yield events, one every tenth of a second, the last of them now."""
    now = time.time()
    for number in range(count):
        key = number - 10**9  # long before the deliveries that are sent
        at = now - (count - number) / 10
        name = f"evt_{(int(at * 1000) << 80) + number:032x}"
        yield (
            name, "videogen", None, "tool_execution.succeeded", "job.succeeded", job_id(key),
            "GENERATE_AVATAR", "webhook", at, at, message_id(key), f"{job_id(key)}:succeeded", HEADERS, body(key),
        )  # fmt: skip
