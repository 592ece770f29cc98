"""Alarms that are on, the signs they are judged by, and whose turn it is to judge."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from sqlalchemy import case, delete, func, insert, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from ..ids import first_id
from .backlog import Backlog, Left
from .beats import our_turn
from .connection import AsyncConnection
from .database import Database
from .endpoints import HEARD
from .events import Arrival, event_row
from .ingest import COLUMNS
from .tables import alarms, attempts, beats, deliveries, endpoints, events, jobs, pauses, runs

#: How events about ourselves name their source.
OURSELVES = "receiver"

#: How the part is called that notes since when a source is expected to call; its name follows.
_EXPECTED = "expected:"

#: How the part beats that judges.
_PART = "alarms"

#: Refusals that tell of a clock; the signature was right.
_OFF = ("stale-timestamp", "future-timestamp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """An alarm that is on."""

    watch: str  #: what is watched, e.g. `"backlog"`
    about: str  #: the handler, the source, or the source and the tool; empty if it is all of it
    raised_at: float
    calm_since: float | None  #: since when it would not be raised any more
    value: float
    text: str  #: for people

    def now(self, **changes: Any) -> Self:
        """Return it as it stands now."""
        return replace(self, **changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """What alarms are judged by, at one instant. Times are Unix seconds, ages seconds."""

    now: float
    left: Left
    failing: dict[str, int]  # by handler that is not paused: runs that failed lately, or three times so far
    refused: dict[str, int]  # by source: deliveries that were refused lately, other than for their time
    skews: dict[str, list[float]]  # by source: of those refused for their time, seconds ahead of our clock
    heard: dict[str, tuple[float, float | None]]  # by source that is to call: its last delivery, the first job since
    drifted: dict[str, tuple[int, str]]  # by source: endpoints that its provider has otherwise, and how one of them
    ages: dict[tuple[str, str], float]  # by source and tool: of the oldest job that its provider works on


class Alarms:
    """The alarms table."""

    def __init__(self, database: Database, backlog: Backlog) -> None:
        self._database = database
        self._backlog = backlog
        self._insert = sqlite.insert if database.is_sqlite else postgresql.insert

    async def mine(self, every: float) -> bool:
        """Whether it is time to judge, `every` so many seconds, and for us to do it: one process is told so."""
        return await our_turn(self._database, _PART, every)

    async def expect(self, sources: Collection[str]) -> None:
        """Note, once, since when it is expected that these sources call."""
        parts = {_EXPECTED + source for source in sources}
        async with self._database.read() as connection:
            there = (await connection.execute(select(beats.c.part).where(beats.c.part.in_(parts)))).scalars().all()
        if not parts.difference(there):
            return
        async with self._database.write() as connection:
            now = await self._database.now(connection)
            rows = [{"part": part, "seen_at": now} for part in sorted(parts)]
            await connection.execute(self._insert(beats).on_conflict_do_nothing(), rows)

    async def signs(self, sources: Collection[str], *, lookback: float, expected: Collection[str] = ()) -> Signs:
        """Return what alarms are judged by. What is counted is that of the last `lookback` seconds.

        Sources that are `expected` to call count from when that was noted, if they never did.
        """
        left = await self._backlog.left()
        async with self._database.read() as connection:
            now = await self._database.now(connection)
            since = now - lookback
            refused, skews = await _refusals(connection, sources, since)
            return Signs(
                now=now,
                left=left,
                failing=await _failing(connection, since),
                refused=refused,
                skews=skews,
                heard=await _heard(connection, sources, expected),
                drifted=await _drifted(connection),
                ages=await _ages(connection, now),
            )

    async def active(self) -> list[Alarm]:
        """Return the alarms that are on, oldest first."""
        async with self._database.read() as connection:
            found = await connection.execute(
                select(alarms).order_by(alarms.c.raised_at, alarms.c.watch, alarms.c.about)
            )
            return [Alarm(**row) for row in found.mappings()]

    async def keep(
        self,
        *,
        raised: Sequence[tuple[Alarm, bytes]],
        resolved: Sequence[tuple[Alarm, bytes]],
        standing: Iterable[Alarm],
    ) -> int:
        """Keep what changed, each with the body of its event; return how many events there are now.

        An alarm that another process has raised or resolved meanwhile is not told again.
        """
        told = []
        async with self._database.write() as connection:
            now = await self._database.now(connection)
            for alarm, body in raised:
                row = {column.name: getattr(alarm, column.name) for column in alarms.c}
                if (await connection.execute(self._insert(alarms).values(row).on_conflict_do_nothing())).rowcount == 1:
                    told.append(_event("alarm.raised", body, now))
            for alarm, body in resolved:
                gone = delete(alarms).where(_is(alarm), alarms.c.raised_at == alarm.raised_at)
                if (await connection.execute(gone)).rowcount == 1:
                    told.append(_event("alarm.resolved", body, now))
            for alarm in standing:
                values = {"value": alarm.value, "text": alarm.text, "calm_since": alarm.calm_since}
                await connection.execute(update(alarms).where(_is(alarm)).values(values))
            if told:
                await connection.execute(insert(events), told)
        return len(told)


def _is(alarm: Alarm) -> Any:
    return (alarms.c.watch == alarm.watch) & (alarms.c.about == alarm.about)


def _event(type: str, body: bytes, now: float) -> dict[str, Any]:
    arrival = Arrival(source=OURSELVES, type=type, road="poll", received_at=now, occurred_at=now, headers="", body=body)
    return dict(zip(COLUMNS, event_row(arrival), strict=True))


async def _failing(connection: AsyncConnection, since: float) -> dict[str, int]:
    """Return the runs that are out of attempts lately, and those that wait for a fourth or later one."""
    over = select(attempts.c.handler, func.count()).where(attempts.c.finished_at >= since)
    over = over.where(attempts.c.outcome == "failed").group_by(attempts.c.handler)
    again = select(runs.c.handler, func.count()).where(text("state = 'waiting' AND attempt >= 3"))
    found = Counter(dict(tuple(row) for row in await connection.execute(over)))
    found.update(dict(tuple(row) for row in await connection.execute(again.group_by(runs.c.handler))))
    for handler in (await connection.execute(select(pauses.c.handler))).scalars():
        found.pop(handler, None)
    return dict(found)


async def _refusals(
    connection: AsyncConnection, sources: Collection[str], since: float
) -> tuple[dict[str, int], dict[str, list[float]]]:
    """Return those of our sources: what is sent elsewhere is somebody who guesses."""
    columns = (deliveries.c.source, deliveries.c.reason, deliveries.c.skew, deliveries.c.unlisted)
    query = select(*columns).where(deliveries.c.received_at >= since, deliveries.c.verdict == "refused")
    refused: dict[str, int] = {}
    skews: dict[str, list[float]] = {}
    for source, reason, skew, unlisted in await connection.execute(query.where(deliveries.c.source.in_(sources))):
        if reason in _OFF and skew is not None:
            skews.setdefault(source, []).append(skew)
        else:
            refused[source] = refused.get(source, 0) + 1 + unlisted
    return refused, skews


async def _heard(
    connection: AsyncConnection, sources: Collection[str], expected: Collection[str]
) -> dict[str, tuple[float, float | None]]:
    """Return the sources that are to call us: with an endpoint, expected, or that called and never had one here."""
    live = func.min(case((endpoints.c.deleted_at.is_(None), endpoints.c.created_at)))
    query = select(endpoints.c.source, live).group_by(endpoints.c.source)
    registered: dict[str, float | None] = dict(tuple(row) for row in await connection.execute(query))
    parts = select(beats.c.part, beats.c.seen_at).where(beats.c.part.startswith(HEARD))
    last = {part.removeprefix(HEARD): at for part, at in await connection.execute(parts)}
    since = {source: at for source, at in registered.items() if at is not None}
    since |= {source: at for source, at in last.items() if source in sources and source not in registered}
    noted = select(beats.c.part, beats.c.seen_at).where(beats.c.part.in_(_EXPECTED + source for source in expected))
    since = {part.removeprefix(_EXPECTED): at for part, at in await connection.execute(noted)} | since
    found = {}
    for source, began_at in since.items():
        heard_at = max(began_at, last.get(source, 0.0))
        # Ids are made when a job is: the range keeps this off those before.
        later = select(jobs.c.submitted_at).where(jobs.c.id > first_id("job", heard_at), jobs.c.source == source)
        later = later.where(jobs.c.submitted_at > heard_at).order_by(jobs.c.id).limit(1)
        found[source] = heard_at, (await connection.execute(later)).scalar()
    return found


async def _drifted(connection: AsyncConnection) -> dict[str, tuple[int, str]]:
    query = select(endpoints.c.source, func.count(), func.min(endpoints.c.drift_text))
    query = query.where(endpoints.c.deleted_at.is_(None), endpoints.c.drift.is_not(None)).group_by(endpoints.c.source)
    return {source: (count, text) for source, count, text in await connection.execute(query)}


async def _ages(connection: AsyncConnection, now: float) -> dict[tuple[str, str], float]:
    """Return the ages of the oldest: without those that wait to be sent, or for somebody's approval."""
    began = func.min(func.coalesce(jobs.c.submitted_at, jobs.c.created_at))
    query = select(jobs.c.source, jobs.c.tool, began).where(jobs.c.ended_at.is_(None))
    query = query.where(jobs.c.state.in_(("sending", "uncertain", "submitted", "running")))
    found = await connection.execute(query.group_by(jobs.c.source, jobs.c.tool))
    return {(source, tool or ""): now - since for source, tool, since in found}
