"""What a worker's turn, or a count, looks at does not grow with what was done before; on both engines."""

import asyncpg
import pytest
from sqlalchemy import event

from receiver.store import Filter, Finished, RunFilter, Store, replay
from receiver.store.tables import metadata

#: Events that were through long ago, each with a run, an attempt and a job; and new ones for each turn.
PAST, NEW = 10_000, 40

#: Tables that grow with history.
GROWING = ("events", "runs", "attempts", "jobs", "steps", "deliveries")

#: Indexes that leave out what is through; and those that a turn lives by.
PARTIAL = {
    index.name
    for table in metadata.tables.values()
    for index in table.indexes
    if index.dialect_options["sqlite"]["where"] is not None
}
NEEDED = {"runs_due", "runs_urgent", "runs_ordered", "news"}

_EVENTS = """
INSERT INTO events
    (id, source, type, kind, job_id, road, received_at, occurred_at, message_id, fact, headers, body)
SELECT 'evt_0' || i, 'videogen', 't', 'job.succeeded', 'old_' || i, 'webhook', i, i, 'old_' || i,
    'old_' || i, '', CAST('' AS {bytes})
FROM {numbers}
"""
_RUNS = """
INSERT INTO runs (id, event_id, handler, state, due_at, attempt, token, created_at, finished_at, expires_at, order_key)
SELECT 'run_0' || i, 'evt_0' || i, CASE i % 3 WHEN 0 THEN 'log' WHEN 1 THEN 'film' ELSE 'keep' END, 'done', i, 1, 1, i,
    i, i, 'old_' || i
FROM {numbers}
"""
_ATTEMPTS = """
INSERT INTO attempts (run_id, handler, number, outcome, started_at, finished_at)
SELECT 'run_0' || i, 'log', 1, 'done', i, i FROM {numbers}
"""
_JOBS = """
INSERT INTO jobs (id, source, job_id, state, created_at, ended_at, event_id)
SELECT 'job_0' || i, 'videogen', 'old_' || i, 'succeeded', i, i, 'evt_0' || i FROM {numbers}
"""


@pytest.fixture
async def old(store):
    """The store with a long past."""
    made, kind = f"generate_series(1, {PAST}) AS i", "bytea"
    if store.database.is_sqlite:
        made = f"(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {PAST}) SELECT i FROM n)"
        kind = "BLOB"
    async with store.database.write() as connection:
        for statement in (_EVENTS, "DELETE FROM news", _RUNS, _ATTEMPTS, _JOBS, "ANALYZE"):
            await connection.exec_driver_sql(statement.format(numbers=made, bytes=kind))
    return store


async def turns(store, clock, arrival):
    """Let a worker fan out, claim and finish in each way; of its handlers one is in order, and one captures."""
    common = {
        "worker": "w",
        "lease": 30,
        "wanted": lambda event: {"log": None, "film": event["job_id"], "keep": None},
        "free": {"log": 10, "film": 10, "keep": 10},
        "captures": {"keep"},
    }
    ended = []
    for turn in range(3):
        await store.events.add([arrival(NEW * turn + number, expires_at=clock() + 99) for number in range(NEW)])
        claimed = (await store.runs.turn(**common, finished=ended)).claimed
        assert claimed
        ended = [
            Finished(run=run, outcome=outcome, finished_at=clock(), wait=1 if outcome == "retry" else None)
            for run, outcome in zip(claimed, ("done", "retry", "done", "failed") * 20, strict=False)
        ]
        clock.turn(5)


async def test_a_turn_asks_the_indexes_of_what_waits_and_looks_at_no_history(old, clock, arrival):
    if old.database.is_sqlite:
        used, scanned = await planned(old, old.database._thread._engine, lambda: turns(old, clock, arrival))
        assert used >= NEEDED
        assert scanned == []
        return
    before = await read(old.url)
    worker = Store(old.url, clock=clock)
    await turns(worker, clock, arrival)
    await worker.close()  # a connection tells what it has read when it ends
    read_now = await read(old.url)
    seen = {name: read_now[name] - before[name] for name in (*GROWING, *PARTIAL, "news_pkey")}
    assert seen["runs_due"], seen
    assert seen["news_pkey"], seen
    assert all(seen[table] < PAST / 10 for table in GROWING), seen


@pytest.mark.parametrize("state", ["failed", "waiting"])
async def test_a_count_of_runs_by_what_no_index_finds_asks_few_events(old, monkeypatch, state):
    monkeypatch.setattr(replay, "LOOKED", 100)
    ended = "NULL" if state == "waiting" else "1"
    async with old.database.write() as connection:
        await connection.exec_driver_sql(f"UPDATE runs SET state = '{state}', finished_at = {ended}")
        await connection.exec_driver_sql("ANALYZE")
    meant = Filter(source="nobody", since=1.0)
    if old.database.is_sqlite:
        engine = old.database.engine
        used, scanned = await planned(old, engine, lambda: old.replays.count(state, meant))
        assert f"runs_{'due' if state == 'waiting' else state}" in used
        assert scanned == []
        return
    before = await read(old.url)
    counting = Store(old.url)
    assert (await counting.replays.count(state, meant)).more
    await counting.close()
    read_now = await read(old.url)
    seen = {name: read_now[name] - before[name] for name in ("events", "runs")}
    assert 0 < seen["events"] <= 101, seen
    assert seen["runs"] < PAST / 10, seen


async def test_who_asks_for_a_job_or_for_what_is_running_looks_through_no_history(old):
    async def ask(store):
        found = [await store.jobs.get(id) for id in ("job_09", "old_9", "nobody's")]
        assert [job and job.id for job in found] == ["job_09", "job_09", None]
        assert [subject.id for subject in await store.erasures.called("old_9")] == ["job_09"]
        assert (await store.runs.page(RunFilter(state="running"))).rows == []

    if old.database.is_sqlite:
        for forget in ("DELETE FROM sqlite_stat1 WHERE false", "DELETE FROM sqlite_stat1"):  # it has none, usually
            async with old.database.write() as connection:
                await connection.exec_driver_sql(forget)
            asking = Store(old.url)
            _, scanned = await planned(old, asking.database.engine, lambda store=asking: ask(store))
            await asking.close()
            assert scanned == []
        return
    before = await read(old.url)
    asking = Store(old.url)
    await ask(asking)
    await asking.close()
    read_now = await read(old.url)
    seen = {name: read_now[name] - before[name] for name in GROWING}
    assert all(seen[table] < PAST / 10 for table in GROWING), seen


async def planned(store, engine, work):
    """Return the indexes that some work uses, and what it scans although it grows."""
    asked, steps = {}, []
    event.listen(engine, "before_cursor_execute", lambda *about: asked.setdefault(about[2], about[3]), named=False)
    await work()
    async with store.database.read() as connection:
        for statement, given in list(asked.items()):  # what asks for plans is noted too
            if not statement.startswith(("BEGIN", "PRAGMA")):
                values = given[0] if isinstance(given, list) else given
                plan = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
                steps += [row[3].split() for row in plan]
    scanned = [step for step in steps if step[0] == "SCAN" and step[1] in GROWING and not PARTIAL.intersection(step)]
    return {word for step in steps for word in step}, scanned


async def read(url):
    """Return by table how many rows were ever read, and by index how often it was asked."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SELECT pg_stat_force_next_flush()")
        tables = "SELECT relname, seq_tup_read + coalesce(idx_tup_fetch, 0) AS count FROM pg_stat_user_tables"
        indexes = "SELECT indexrelname AS relname, idx_scan AS count FROM pg_stat_user_indexes"
        return {row["relname"]: row["count"] for row in await connection.fetch(f"{tables} UNION ALL {indexes}")}
    finally:
        await connection.close()
