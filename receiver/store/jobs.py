"""Jobs: what providers work on, from the wish to its end.

waiting ──claim──▶ sending ──taken──▶ submitted ──▶ running ──▶ succeeded │ failed │ cancelled
▲                  │                  ▲             ▲  │
├──not reached─────┤                  │             │  └──▶ awaiting_approval
└──not taken───────┴──no answer──▶ uncertain        └──────┘

An event may end a job from every state. One that has ended stays as it is.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from operator import itemgetter
from typing import Any, Self

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, case, delete, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from .database import Database
from .ledger import NewJob, enter
from .page import PATIENCE, Looking, Page
from .tables import beats, events, jobs
from .text import storable, storable_row

#: Jobs claimed in one turn: keeps every transaction short.
BATCH = 200

#: How jobs end.
ENDED = ("succeeded", "failed", "cancelled")

#: Ended jobs of a tool by which the next ones are judged.
JUDGED_BY = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A row of the ledger. Times are Unix seconds, `progress` is in percent."""

    id: str
    source: str
    tool: str | None
    job_id: str | None
    state: str
    status: str | None
    progress: float | None
    parameters: Mapping[str, Any]
    metadata: Mapping[str, Any]
    run_id: str | None
    trace: str | None
    created_at: float
    submitted_at: float | None
    ended_at: float | None
    deadline_at: float | None
    cancel_at: float | None
    cancel_told_at: float | None
    due_at: float | None
    asked: int
    failures: int
    token: int
    error: str | None
    request_id: str | None
    event_id: str | None
    conflict: str | None

    @classmethod
    def of(cls, row: Mapping[str, Any] | RowMapping) -> Self:
        """Return the job of a row."""
        values = {field.name: row[field.name] for field in fields(cls)}
        return cls(**values | {"parameters": json.loads(row["parameters"]), "metadata": json.loads(row["metadata"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What became of a claimed job. It is dropped if the job is not ours any more."""

    job: Job
    values: Mapping[str, Any]  #: columns; `job_id` joins it with what events have told of it by then


@dataclass(frozen=True, slots=True, kw_only=True)
class JobTurn:
    """What one turn of a tracker brought."""

    to_send: Sequence[Job]
    to_ask: Sequence[Job]
    lost: Sequence[Change]  #: changes that came too late
    more: bool  #: whether there is likely more to do at once
    next_due: float | None
    now: float  #: the store's clock


class Jobs:
    """The jobs table."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert = sqlite.insert if database.is_sqlite else postgresql.insert

    async def add(self, *new: NewJob) -> None:
        """Enter new jobs, durably; they are submitted soon."""

        def act(connection: Connection) -> None:
            enter(connection, new, self._database.time(connection))

        await self._database.writing(act)

    async def track(self, new: NewJob) -> Job:
        """Enter a job that its provider has already; return it, or the one that was there."""
        mine = and_(jobs.c.source == new.source, jobs.c.job_id == new.job_id)

        def act(connection: Connection) -> RowMapping:
            found = connection.execute(select(jobs).where(mine)).mappings().one_or_none()
            if found is None:
                enter(connection, [new], self._database.time(connection))
            return found or connection.execute(select(jobs).where(mine)).mappings().one()

        return Job.of(await self._database.writing(act))

    async def get(self, id: str, *, source: str | None = None) -> Job | None:
        """Return a job by our id or its provider's; of two with the same, the newest (of this source)."""
        mine = or_(jobs.c.id == storable(id), jobs.c.job_id == storable(id))
        query = select(jobs).where(mine)
        if source is not None:
            query = query.where(jobs.c.source == storable(source))
        # All of them, in no order: to find the newest alone, engines go through all jobs from the newest on.
        async with self._database.read() as connection:
            found = (await connection.execute(query)).mappings().all()
        return Job.of(max(found, key=itemgetter("id"))) if found else None

    async def some(self, ids: Collection[str]) -> dict[str, Job]:
        """Return jobs by their ids here, in one query; ids that no job has are left out."""
        if not ids:
            return {}
        async with self._database.read() as connection:
            found = await connection.execute(select(jobs).where(jobs.c.id.in_(ids)))
            return {row["id"]: Job.of(row) for row in found.mappings()}

    async def recent(
        self,
        *,
        before: str | None = None,
        limit: int = 50,
        source: str | None = None,
        tool: str | None = None,
        state: str | None = None,
    ) -> list[Job]:
        """Return the newest jobs before the job `before`, newest first. `state` may also be `"open"`."""
        query = select(jobs).order_by(jobs.c.id.desc()).limit(limit)
        if before:
            query = query.where(jobs.c.id < before)
        if state:
            query = query.where(jobs.c.ended_at.is_(None) if state == "open" else jobs.c.state == state)
        for column, value in ((jobs.c.source, source), (jobs.c.tool, tool)):
            if value:
                query = query.where(column == value)
        async with self._database.read() as connection:
            return [Job.of(row) for row in (await connection.execute(query)).mappings()]

    async def page(
        self,
        *,
        source: str | None = None,
        tool: str | None = None,
        state: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
        patience: float = PATIENCE,
    ) -> Page[Job]:
        """Return the newest jobs that are meant. `state` may also be `"open"`."""
        narrow: list[ColumnElement[bool]] = []
        if state is not None:
            narrow.append(jobs.c.ended_at.is_(None) if state == "open" else jobs.c.state == storable(state))
        if source is not None:
            narrow.append(jobs.c.source.concat("") == storable(source))  # not by the index of ids at providers
        if tool is not None:
            narrow.append(jobs.c.tool == storable(tool))
        few = None
        if state is not None and state not in ENDED:
            few = select(jobs.c.id).where(jobs.c.ended_at.is_(None), *narrow)  # by the index of open ones
        looking = Looking(query=select(jobs), id=jobs.c.id, narrow=narrow, few=few)
        async with self._database.read() as connection:
            found = await looking.page(connection, before=cursor, limit=limit, patience=patience)
        return Page(rows=[Job.of(row) for row in found.rows], next=found.next)

    async def cancel(self, id: str) -> bool:
        """Ask for the end of a job, soon; return whether it had not ended yet."""
        async with self._database.write() as connection:
            now = await self._database.now(connection)
            mine = and_(jobs.c.id == id, jobs.c.ended_at.is_(None))
            values = {"cancel_at": func.coalesce(jobs.c.cancel_at, now), "due_at": now}
            return (await connection.execute(update(jobs).where(mine).values(values))).rowcount == 1

    async def turn(
        self,
        *,
        worker: str,
        lease: float,
        changes: Sequence[Change],
        room: Mapping[str, int],
        at_once: Mapping[str, int],
    ) -> JobTurn:
        """Record what became of claimed jobs and claim those that are due: one transaction.

        `room` says how many jobs of each source to claim at most; others are left alone. `at_once` says how many
        jobs a source works on at once: more wait here.
        """

        def look(connection: Connection) -> tuple[list[RowMapping], list[RowMapping], float | None, float]:
            now = self._database.time(connection)
            asks, sends = _due_asks(connection, room, now), _due_sends(connection, room, at_once, now)
            later = select(func.min(jobs.c.due_at)).where(jobs.c.due_at > now, jobs.c.source.in_(list(room)))
            return asks, sends, connection.execute(later).scalar_one_or_none(), now

        if not changes:
            # Most looks find nothing, and need not wait for their turn to write.
            asks, sends, next_due, now = await self._database.reading(look)
            if not asks and not sends:
                return JobTurn(to_send=(), to_ask=(), lost=(), more=False, next_due=next_due, now=now)

        def act(connection: Connection) -> JobTurn:
            now = self._database.time(connection)
            # In the order in which events lock them: else two workers might wait for each other.
            ordered = sorted(changes, key=lambda change: (change.job.source, change.job.job_id or ""))
            lost = [change for change in ordered if not self._change(connection, change, now)]
            if not self._database.is_sqlite and at_once:
                # Two workers that count at the same moment would both find room.
                connection.execute(select(func.pg_advisory_xact_lock(_COUNTING)))
            asks, sends, next_due, now = look(connection)
            mine = {"worker": worker, "lease_until": now + lease, "token": jobs.c.token + 1}
            to_ask = _claim(connection, asks, mine)
            to_send = _claim(connection, sends, mine | {"state": "sending", "submitted_at": now})
            more = len(asks) >= BATCH or len(sends) >= BATCH
            return JobTurn(to_send=to_send, to_ask=to_ask, lost=lost, more=more, next_due=next_due, now=now)

        return await self._database.writing(act)

    def _change(self, connection: Connection, change: Change, now: float) -> bool:
        job, values = change.job, storable_row(change.values)
        if values.get("job_id") and job.job_id is None:
            values |= _told_early(connection, job, values["job_id"])
        if values.get("due_at") is not None and job.cancel_at is None:
            # Somebody may have asked for its end while we asked how it stands.
            values["due_at"] = case((jobs.c.cancel_at.is_not(None), now), else_=values["due_at"])
        mine = and_(jobs.c.id == job.id, jobs.c.token == job.token)
        statement = update(jobs).where(mine).values(**values, worker=None, lease_until=None)
        return connection.execute(statement).rowcount == 1

    async def known(self, source: str, ids: Sequence[str], *, before: float) -> set[str]:
        """Return those of a provider's ids whose jobs were submitted here, or known before that moment."""
        ours = or_(jobs.c.submitted_at.is_not(None), jobs.c.created_at < before)
        query = select(jobs.c.job_id).where(jobs.c.source == source, jobs.c.job_id.in_(ids), ours)
        async with self._database.read() as connection:
            return set((await connection.execute(query)).scalars())

    async def uncertain(self, source: str, tool: str | None) -> int:
        """Return of how many jobs of a tool nobody knows whether their provider has them."""
        mine = [jobs.c.source == source, jobs.c.tool == tool, jobs.c.state.in_(("sending", "uncertain"))]
        query = select(func.count()).select_from(jobs).where(jobs.c.ended_at.is_(None), *mine)
        async with self._database.read() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def took(self, source: str, tool: str | None) -> list[float]:
        """Return how long the last succeeded jobs of a tool took, in seconds, sorted."""
        query = (
            select((jobs.c.ended_at - jobs.c.submitted_at).label("took"))
            .where(jobs.c.source == source, jobs.c.tool == tool)
            .where(jobs.c.state == "succeeded", jobs.c.submitted_at.is_not(None))
            .order_by(jobs.c.ended_at.desc())
            .limit(JUDGED_BY)
        )
        async with self._database.read() as connection:
            return sorted((await connection.execute(query)).scalars())

    async def recovered(self) -> dict[str, int]:
        """Return by source how many ends were found by asking although a webhook should have told them."""
        query = select(events.c.source, func.count()).where(events.c.road == "reconcile").group_by(events.c.source)
        async with self._database.read() as connection:
            return {row[0]: row[1] for row in await connection.execute(query)}

    async def counts(self) -> dict[str, int]:
        """Return how many open jobs there are in each state."""
        query = select(jobs.c.state, func.count()).where(jobs.c.ended_at.is_(None)).group_by(jobs.c.state)
        async with self._database.read() as connection:
            return {row[0]: row[1] for row in await connection.execute(query)}

    async def beat(self, part: str) -> float:
        """Note that a part of the receiver is here; return how long it had not been, in seconds."""
        async with self._database.write() as connection:
            now = await self._database.now(connection)
            query = select(beats.c.seen_at).where(beats.c.part == part)
            seen_at = (await connection.execute(query)).scalar_one_or_none()
            statement = self._insert(beats).values(part=part, seen_at=now)
            again = statement.on_conflict_do_update(index_elements=["part"], set_={"seen_at": now})
            await connection.execute(again)
            return 0.0 if seen_at is None else max(0.0, now - seen_at)

    async def ask_within(self, seconds: float) -> int:
        """Have all open jobs asked within so many seconds, not all at once; return how many there are."""
        async with self._database.write() as connection:
            now = await self._database.now(connection)
            spread = func.abs(func.random() % 1000) / 1000.0 if self._database.is_sqlite else func.random()
            late = and_(jobs.c.ended_at.is_(None), jobs.c.job_id.is_not(None), jobs.c.due_at > now + seconds)
            return (await connection.execute(update(jobs).where(late).values(due_at=now + seconds * spread))).rowcount


#: The lock under which PostgreSQL's workers count what a provider works on.
_COUNTING = 0x6A6F6273


def _free(now: float) -> ColumnElement[bool]:
    return and_(jobs.c.due_at <= now, or_(jobs.c.lease_until.is_(None), jobs.c.lease_until < now))


def _due_asks(connection: Connection, room: Mapping[str, int], now: float) -> list[RowMapping]:
    sources = [source for source, number in room.items() if number > 0]
    query = (
        select(jobs)
        .where(_free(now), jobs.c.state != "waiting", jobs.c.source.in_(sources))
        .order_by(jobs.c.due_at)
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    )
    return _first(connection.execute(query).mappings().all(), room)


def _due_sends(
    connection: Connection, room: Mapping[str, int], at_once: Mapping[str, int], now: float
) -> list[RowMapping]:
    waiting = select(jobs.c.source).distinct().where(jobs.c.ended_at.is_(None), jobs.c.state == "waiting")
    found: list[RowMapping] = []
    for source in connection.execute(waiting).scalars().all():
        limit = min(BATCH, room.get(source, 0))
        if source in at_once:
            there = and_(jobs.c.source == source, jobs.c.ended_at.is_(None), jobs.c.state != "waiting")
            busy = connection.execute(select(func.count()).select_from(jobs).where(there)).scalar_one()
            limit = min(limit, at_once[source] - busy)
        if limit > 0:
            query = select(jobs).where(_free(now), jobs.c.state == "waiting", jobs.c.source == source)
            query = query.order_by(jobs.c.due_at, jobs.c.id).limit(limit).with_for_update(skip_locked=True)
            found += connection.execute(query).mappings().all()
    return found


def _first(rows: Sequence[RowMapping], room: Mapping[str, int]) -> list[RowMapping]:
    left, found = dict(room), []
    for row in rows:
        if left[row["source"]] > 0:
            left[row["source"]] -= 1
            found.append(row)
    return found


def _claim(connection: Connection, rows: Sequence[RowMapping], values: Mapping[str, Any]) -> list[Job]:
    if not rows:
        return []
    statement = update(jobs).where(jobs.c.id.in_([row["id"] for row in rows])).values(**values).returning(jobs)
    claimed = [Job.of(row) for row in connection.execute(statement).mappings()]
    return sorted(claimed, key=lambda job: (job.due_at or 0, job.id))


def _told_early(connection: Connection, job: Job, job_id: str) -> dict[str, Any]:
    """Take over what an event told of this job before its provider's answer was recorded."""
    theirs = and_(jobs.c.source == job.source, jobs.c.job_id == job_id, jobs.c.id != job.id)
    early = connection.execute(select(jobs).where(theirs)).mappings().one_or_none()
    if early is None:
        return {}
    if early["submitted_at"] is not None:
        # It cannot be told apart from that one, so it is as good as unknown.
        return {"job_id": None, "state": "uncertain", "error": f"its provider gave it the id of {early['id']}"}
    connection.execute(delete(jobs).where(jobs.c.id == early["id"]))
    if early["ended_at"] is None:
        return {}
    kept = ("state", "ended_at", "event_id", "progress", "conflict", "due_at")
    return {name: early[name] for name in kept} | {"error": None}
