"""Handlers, as far as the store knows of them: what workers told, how many runs each has, and how they go."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from sqlalchemy import Connection, RowMapping, case, func, select, union
from sqlalchemy.dialects import postgresql, sqlite

from ..events import Event
from .backlog import Queue
from .database import Database
from .tables import attempts, beats, handlers, pauses, runs

#: Seconds between two reports of a worker, and after the last one for how long a handler counts as there.
REPORT, THERE = 60.0, 200.0

#: How workers beat.
_PART = "worker"

#: Seconds in which a run has failed lately.
LATELY = 86_400.0

#: Failed runs that are counted at most, and attempts of which latencies are told.
COUNTED, JUDGED_BY = 10_000, 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """A handler as a worker found it. See `registry.Handler` for what each word means."""

    name: str
    events: tuple[str, ...]
    source: str | None
    tool: str | None
    retries: int
    timeout: float
    concurrency: int
    ordered: bool
    captures: bool
    place: str

    @classmethod
    def of(cls, row: RowMapping) -> Self:
        """Return the handler of a row."""
        values = {name: row[name] for name in cls.__dataclass_fields__}
        values |= {name: bool(row[name]) for name in ("ordered", "captures")}
        return cls(**values | {"events": tuple(json.loads(row["events"]))})

    def wants(self, event: Event) -> bool:
        """Whether this event is for this handler."""
        return event.fits(self.events, source=self.source, tool=self.tool)


class Handlers:
    """What the store knows of handlers; to look at their code is for workers."""

    def __init__(self, database: Database, queue: Queue) -> None:
        self._database = database
        self._queue = queue
        self._insert = sqlite.insert if database.is_sqlite else postgresql.insert

    async def report(self, found: Sequence[Reported], *, worker: str) -> None:
        """Note that a worker is here with these handlers."""
        here = self._insert(beats)
        here = here.on_conflict_do_update(index_elements=["part"], set_={"seen_at": here.excluded.seen_at})
        statement = self._insert(handlers)
        told = {column.name: statement.excluded[column.name] for column in handlers.c if column.name != "name"}
        statement = statement.on_conflict_do_update(index_elements=["name"], set_=told)
        async with self._database.write() as connection:
            now = await self._database.now(connection)
            await connection.execute(here, {"part": _PART, "seen_at": now})
            about = {"worker": worker, "seen_at": now}
            # Always in the same order: two workers would else wait for each other.
            rows = [_row(one) | about for one in sorted(found, key=lambda one: one.name)]
            if rows:
                await connection.execute(statement, rows)

    async def silence(self) -> float | None:
        """Return the seconds for which no worker has reported, None if none ever has."""
        async with self._database.read() as connection:
            query = select(beats.c.seen_at).where(beats.c.part == _PART)
            seen_at = (await connection.execute(query)).scalar_one_or_none()
            return None if seen_at is None else await self._database.now(connection) - seen_at

    async def there(self) -> list[Reported]:
        """Return the handlers that some worker runs now, by name."""
        async with self._database.read() as connection:
            since = await self._database.now(connection) - THERE
            query = select(handlers).where(handlers.c.seen_at >= since).order_by(handlers.c.name)
            return [Reported.of(row) for row in (await connection.execute(query)).mappings()]

    async def names(self) -> Sequence[str]:
        """Return the names of all that workers ever told of, and of those that are paused, sorted."""
        query = union(select(handlers.c.name), select(pauses.c.handler)).order_by("name")
        async with self._database.read() as connection:
            return (await connection.execute(query)).scalars().all()

    async def list(self, also: Sequence[Reported] = ()) -> list[dict[str, Any]]:
        """Return every handler that is known, by name: those workers told of, `also` these, and others that have runs.

        `there` says whether a worker runs it now; `failed` counts up to COUNTED in all, and `failed_lately`
        those of them within LATELY; `latency` has the
        percentiles of its successes among the last JUDGED_BY of all handlers, None without one.
        """

        def look(connection: Connection) -> Any:
            now, due = self._database.time(connection), self._queue.waiting(connection)
            return _listed(connection, now=now, due=due, also=also)

        found: list[dict[str, Any]] = await self._database.looking(look)
        return found


_PAUSED = select(pauses.c.handler, pauses.c.paused_at)


def _listed(
    connection: Connection, *, now: float, due: Mapping[str, tuple[int, float]], also: Sequence[Reported]
) -> list[dict[str, Any]]:
    running = select(runs.c.handler, func.count()).where(runs.c.state == "running", runs.c.lease_until > 0)
    some = (
        select(runs.c.handler, runs.c.finished_at)
        .where(runs.c.state == "failed")
        .order_by(runs.c.id.desc())
        .limit(COUNTED)
    )
    last = some.subquery()
    lately = func.sum(case((last.c.finished_at >= now - LATELY, 1), else_=0))
    failed = select(last.c.handler, func.count(), lately).group_by(last.c.handler)
    latest = select(attempts).order_by(attempts.c.id.desc()).limit(JUDGED_BY).subquery()
    took = select(latest.c.handler, latest.c.finished_at - latest.c.started_at).where(latest.c.outcome == "done")
    told = {row["name"]: row for row in connection.execute(select(handlers)).mappings()}
    paused = {row[0]: row[1] for row in connection.execute(_PAUSED)}
    busy = {row[0]: row[1] for row in connection.execute(running.group_by(runs.c.handler))}
    lost = {row[0]: (row[1], row[2]) for row in connection.execute(failed)}
    seconds: dict[str, list[float]] = {}
    for name, one in connection.execute(took):
        seconds.setdefault(name, []).append(one)
    here = {one.name: one for one in also}
    return [
        {
            "name": name,
            **(_told(told.get(name), now) if name in told or name not in here else _untold(here[name])),
            "paused_at": paused.get(name),
            "waiting": due.get(name, (0, 0))[0],
            "overdue": max(0.0, now - due[name][1]) if name in due else 0.0,
            "running": busy.get(name, 0),
            "failed": lost.get(name, (0, 0))[0],
            "failed_lately": lost.get(name, (0, 0))[1],
            "latency": percentiles(seconds.get(name, [])),
        }
        for name in sorted({*told, *here, *paused, *due, *busy, *lost})
    ]


def percentiles(values: Sequence[float]) -> dict[str, float] | None:
    """Return the 50th, 95th and 99th percentile, None of nothing."""
    ordered = sorted(values)
    return {f"p{share}": ordered[(len(ordered) * share - 1) // 100] for share in (50, 95, 99)} if ordered else None


def _row(one: Reported) -> dict[str, Any]:
    return asdict(one) | {"events": json.dumps(one.events), "ordered": int(one.ordered), "captures": int(one.captures)}


def _untold(one: Reported) -> dict[str, Any]:
    return asdict(one) | {"there": False, "seen_at": None, "events": list(one.events)}


def _told(row: RowMapping | None, now: float) -> dict[str, Any]:
    if row is None:
        unknown = [field.name for field in fields(Reported) if field.name not in ("name", "events")]
        return {"there": False, "seen_at": None, "events": [], **dict.fromkeys(unknown)}
    told = asdict(Reported.of(row))
    return told | {"there": row["seen_at"] >= now - THERE, "seen_at": row["seen_at"], "events": list(told["events"])}
