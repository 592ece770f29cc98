"""Runs: one handler on one event, from fan-out to its end.

waiting ──claim──▶ running ──done──▶ done
   ▲                  │
   ├──retry, release──┤
   └──lease ended─────┴──failed, out of attempts──▶ failed
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, delete, exists, func, insert, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from ..ids import new_id
from .database import Database
from .tables import attempts, events, pauses, runs, steps

#: Which handlers want an event, given as a row; each with the key by which its runs are ordered, or None.
Wanted = Callable[[Mapping[str, Any]], Mapping[str, str | None]]

#: What handlers choose events by.
MATCHED = ("id", "source", "type", "kind", "job_id", "tool", "road", "received_at", "occurred_at")

#: Events looked at in one fan-out, and runs given up in one sweep: keeps every transaction short.
BATCH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A run that belongs to this worker until its lease ends, with its event's row."""

    id: str
    handler: str
    attempt: int  #: 1 at the first try
    token: int  #: proves the claim when the run is finished
    order_key: str | None = None  #: runs of the same handler and key wait for this one
    due_at: float
    started_at: float
    event: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How an attempt went. `wait` is the seconds until it is tried again, None if the run ends here."""

    run: Claimed
    outcome: str  #: `"done"`, `"retry"` or `"failed"`
    finished_at: float
    error: str | None = None
    wait: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What one turn of a worker brought."""

    claimed: Sequence[Claimed]
    lost: Sequence[Finished]  #: attempts that came too late: their lease had gone to another worker
    more: bool  #: whether there is likely more to do at once
    next_due: float | None  #: when the next waiting run is due
    now: float  #: the store's clock


@dataclass(slots=True, kw_only=True)
class _Work:
    """What a turn finds to do, and how many more runs of each handler there is room for."""

    now: float
    news: list[dict[str, Any]]
    due: list[str]
    left: dict[str, int]
    next_due: float | None
    ordered: bool = False  #: whether it is now the turn of runs that only the next look finds


class Runs:
    """The runs table with its attempts and steps."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert = sqlite.insert if database.is_sqlite else postgresql.insert

    async def turn(
        self,
        *,
        worker: str,
        lease: float,
        finished: Sequence[Finished],
        wanted: Wanted,
        free: Mapping[str, int],
    ) -> Turn:
        """Record what ended, fan new events out, and claim due runs: one transaction, one fsync.

        `wanted` names the handlers of an event, each with its order key. `free` says how many runs of each
        handler to claim at most.
        """
        if self._database.is_sqlite:
            # Looked at before the transaction: while this process thinks, the door can write. Whatever another
            # worker did meanwhile is noticed by the statements that change.
            async with self._database.read() as connection:
                work = await self._look(connection, free)
            if not (finished or work.news or work.due):
                return Turn(claimed=[], lost=[], more=False, next_due=work.next_due, now=work.now)
        async with self._database.write() as connection:
            if not self._database.is_sqlite:
                work = await self._look(connection, free)
            lost = await self._finish(connection, finished, work.now)
            mine = {"worker": worker, "lease_until": work.now + lease, "started_at": work.now}
            taken = await self._claim(connection, work, mine)
            work.ordered |= any(item.run.order_key for item in finished)
            outrun = len(taken) < len(work.due)  # another worker was quicker: there is more where that came from
            taken += await self._fan_out(connection, work, wanted, mine)
        claimed = await self._with_events(taken, work)
        again = [work.now + item.wait for item in finished if item.wait is not None]
        next_due = min([moment for moment in (work.next_due, *again) if moment is not None], default=None)
        return Turn(
            claimed=claimed,
            lost=lost,
            more=outrun or work.ordered or len(work.news) == BATCH,
            next_due=next_due,
            now=work.now,
        )

    async def _look(self, connection: AsyncConnection, free: Mapping[str, int]) -> "_Work":
        """Find what there is to do. PostgreSQL locks it for us, and passes over what others have locked."""
        now = await self._database.now(connection)
        query = select(*(events.c[name] for name in MATCHED)).where(events.c.state == "waiting").order_by(events.c.id)
        news = (await connection.execute(query.limit(BATCH).with_for_update(skip_locked=True))).mappings().all()
        paused = set((await connection.execute(select(pauses.c.handler))).scalars())
        open_for = {handler: limit for handler, limit in free.items() if handler not in paused}
        due: list[str] = []
        left: dict[str, int] = {}
        for handler, limit in open_for.items():
            found = list((await connection.execute(_due(handler, limit, now))).scalars()) if limit > 0 else []
            due += found
            left[handler] = limit - len(found)
        waits = (runs.c.state == "waiting") & runs.c.handler.in_(list(open_for)) & (runs.c.due_at > now)
        first = select(func.min(runs.c.due_at)).where(waits)
        next_due = (await connection.execute(first)).scalar_one_or_none()
        return _Work(now=now, news=[dict(row) for row in news], due=due, left=left, next_due=next_due)

    async def _claim(self, connection: AsyncConnection, work: "_Work", mine: dict[str, Any]) -> list[RowMapping]:
        if not work.due:
            return []
        statement = (
            update(runs)
            .where(runs.c.id.in_(work.due), runs.c.state == "waiting")
            .values(state="running", token=runs.c.token + 1, attempt=runs.c.attempt + 1, **mine)
        )
        return list((await connection.execute(statement.returning(*_TAKEN))).mappings())

    async def _fan_out(
        self, connection: AsyncConnection, work: "_Work", wanted: Wanted, mine: dict[str, Any]
    ) -> list[RowMapping]:
        """Make the runs of new events. Those that there is room for are claimed at once."""
        made = []
        for event in work.news:
            for name, key in wanted(event).items():
                row = run_row(event["id"], name, key, work.now)
                at_once = key is None and work.left.get(name, 0) > 0
                if at_once:
                    work.left[name] -= 1
                made.append(row | (_AT_ONCE | mine if at_once else _LATER))
                work.ordered |= key is not None
        rows: list[RowMapping] = []
        if made:
            # Of two workers that saw the same events, one makes the runs, and gets them.
            statement = self._insert(runs).on_conflict_do_nothing().returning(*_TAKEN, runs.c.state)
            rows = [row for row in (await connection.execute(statement, made)).mappings() if row["state"] == "running"]
        if work.news:
            seen = events.c.id.in_([event["id"] for event in work.news]) & (events.c.state == "waiting")
            await connection.execute(update(events).where(seen).values(state="dispatched"))
        return rows

    async def _with_events(self, taken: Sequence[RowMapping], work: "_Work") -> list[Claimed]:
        if not taken:
            return []
        async with self._database.read() as connection:
            query = select(events).where(events.c.id.in_([row["event_id"] for row in taken]))
            found = {event["id"]: dict(event) for event in (await connection.execute(query)).mappings()}
        return [
            Claimed(
                **{name: row[name] for name in ("id", "handler", "attempt", "token", "due_at", "order_key")},
                started_at=work.now,
                event=found[row["event_id"]],
            )
            for row in sorted(taken, key=lambda row: (row["due_at"], row["id"]))
        ]

    async def _finish(self, connection: AsyncConnection, finished: Sequence[Finished], now: float) -> list[Finished]:
        if not finished:
            return []
        done = [(item.run.id, item.run.token) for item in finished if item.outcome == "done"]
        held = set()
        if done:  # the usual end: all in one statement, which the tokens guard
            ended = update(runs).where(tuple_(runs.c.id, runs.c.token).in_(done), runs.c.state == "running")
            values = {"state": "done", "finished_at": now, "lease_until": None, "error": None}
            held = set((await connection.execute(ended.values(values).returning(runs.c.id))).scalars())
        for item in finished:
            if item.outcome != "done":
                theirs = (runs.c.id == item.run.id) & (runs.c.token == item.run.token) & (runs.c.state == "running")
                if (await connection.execute(update(runs).where(theirs).values(_ended(item, now)))).rowcount:
                    held.add(item.run.id)
        mine = [item for item in finished if item.run.id in held]
        if mine:
            # Asked for something back, SQLAlchemy writes them in one statement.
            await connection.execute(insert(attempts).returning(attempts.c.id), [_attempt_row(item) for item in mine])
        return [item for item in finished if item.run.id not in held]

    async def extend(self, held: Sequence[Claimed], *, worker: str, lease: float) -> None:
        """Extend the leases of the runs that a worker is busy with.

        Not all that bear its name: it may never have learned of a claim whose answer was lost, or have had a
        predecessor of the same name. Those end, and are taken over.
        """
        async with self._database.write() as connection:
            now = await self._database.now(connection)
            mine = runs.c.id.in_([run.id for run in held]) & (runs.c.worker == worker) & (runs.c.state == "running")
            alive = mine & (runs.c.lease_until >= now)
            await connection.execute(update(runs).where(alive).values(lease_until=now + lease))

    async def settle(self, finished: Sequence[Finished], given_back: Sequence[Claimed]) -> None:
        """Record what ended and give the other runs back: due at once, the attempt not counted."""
        async with self._database.write() as connection:
            now = await self._database.now(connection)
            await self._finish(connection, finished, now)
            for run in given_back:
                held = (runs.c.id == run.id) & (runs.c.token == run.token) & (runs.c.state == "running")
                await connection.execute(
                    update(runs)
                    .where(held)
                    .values(state="waiting", due_at=now, lease_until=None, attempt=runs.c.attempt - 1)
                )

    async def reap(
        self, *, limits: Mapping[str, int], worker: str | None = None, wait: Callable[[int], float] = lambda _attempt: 0
    ) -> int:
        """Take runs back whose lease ended, or that a dead `worker` held; return how many.

        Their attempt counts: it may be what killed the worker. `limits` says how many attempts each
        handler allows; a run that had them all has failed. `wait` gives the seconds after attempt number so
        and so: those that went down with a killer should not all meet it again.
        """
        async with self._database.write() as connection:
            now = await self._database.now(connection)
            gone = runs.c.worker == worker if worker else runs.c.lease_until < now
            query = select(runs).where(runs.c.state == "running", gone).limit(BATCH).with_for_update(skip_locked=True)
            found = (await connection.execute(query)).mappings().all()
            for run in found:
                over = run["attempt"] >= limits.get(run["handler"], run["attempt"] + 1)
                await connection.execute(
                    update(runs)
                    .where(runs.c.id == run["id"])
                    .values(_reaped(over=over, now=now, due_at=now + wait(run["attempt"])))
                )
            if found:
                await connection.execute(insert(attempts), [_lost_row(run, now) for run in found])
        return len(found)

    @asynccontextmanager
    async def once(self, run_id: str, key: str) -> AsyncIterator[bool]:
        """Yield True if step `key` of this run was not begun before; undo that if the step raises."""
        async with self._database.write() as connection:
            now = await self._database.now(connection)
            statement = self._insert(steps).values(run_id=run_id, key=key, begun_at=now)
            first = (await connection.execute(statement.on_conflict_do_nothing())).rowcount == 1
        mine = (steps.c.run_id == run_id) & (steps.c.key == key)
        try:
            yield first
        except BaseException:
            if first:
                async with self._database.write() as connection:
                    await connection.execute(delete(steps).where(mine))
            raise
        if first:
            async with self._database.write() as connection:
                await connection.execute(update(steps).where(mine).values(done_at=await self._database.now(connection)))

    async def counts(self) -> dict[str, int]:
        """Return how many runs there are in each state."""
        async with self._database.read() as connection:
            found = await connection.execute(select(runs.c.state, func.count().label("number")).group_by(runs.c.state))
            return {row.state: row.number for row in found}

    async def recent(self, *, state: str | None = None, limit: int = 50) -> list[dict[str, Any]]:
        """Return the newest runs with their event's source, type and job, newest first."""
        query = select(runs, events.c.source, events.c.type, events.c.job_id).join(events)
        if state:
            query = query.where(runs.c.state == state)
        async with self._database.read() as connection:
            found = await connection.execute(query.order_by(runs.c.id.desc()).limit(limit))
            return [dict(row) for row in found.mappings()]

    async def pause(self, handler: str) -> None:
        """Let the runs of a handler wait; new ones gather. Those that are running end."""
        async with self._database.write() as connection:
            row = {"handler": handler, "paused_at": await self._database.now(connection)}
            await connection.execute(self._insert(pauses).values(row).on_conflict_do_nothing())

    async def resume(self, handler: str) -> bool:
        """Let the runs of a handler go on; False if it was not paused."""
        async with self._database.write() as connection:
            return (await connection.execute(delete(pauses).where(pauses.c.handler == handler))).rowcount > 0

    async def paused(self) -> set[str]:
        """Return the handlers that are paused."""
        async with self._database.read() as connection:
            return set((await connection.execute(select(pauses.c.handler))).scalars())

    async def backlog(self) -> float:
        """Return the age in seconds of the oldest work that is due and not begun; 0 if there is none."""
        due = select(func.min(runs.c.due_at)).where(runs.c.state == "waiting")
        new = select(events.c.received_at).where(events.c.state == "waiting").order_by(events.c.id).limit(1)
        async with self._database.read() as connection:
            now = await self._database.now(connection)
            since = [(await connection.execute(query)).scalar() for query in (due, new)]
        return max([0.0, *(now - float(moment) for moment in since if moment is not None)])


def _first_of_its_key() -> ColumnElement[bool]:
    """Whether no earlier run of the same handler and order key is still to end."""
    earlier = runs.alias()
    return or_(
        runs.c.order_key.is_(None),
        ~exists().where(
            earlier.c.handler == runs.c.handler,
            earlier.c.order_key == runs.c.order_key,
            earlier.c.finished_at.is_(None),
            earlier.c.id < runs.c.id,
        ),
    )


def _due(handler: str, limit: int, now: float) -> Select[Any]:
    return (
        select(runs.c.id)
        .where(runs.c.state == "waiting", runs.c.handler == handler, runs.c.due_at <= now, _first_of_its_key())
        .order_by(runs.c.due_at, runs.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )


#: What a worker is told of a run that it has claimed.
_TAKEN = (runs.c.id, runs.c.handler, runs.c.attempt, runs.c.token, runs.c.due_at, runs.c.event_id, runs.c.order_key)

#: A new run that is claimed as it is made, and one that waits. Rows of one statement have the same columns.
_AT_ONCE: dict[str, Any] = {"state": "running", "attempt": 1, "token": 1}
_LATER: dict[str, Any] = {
    "state": "waiting",
    "attempt": 0,
    "token": 0,
    "worker": None,
    "lease_until": None,
    "started_at": None,
}


def _ended(item: Finished, now: float) -> dict[str, Any]:
    again = item.outcome == "retry"
    return {
        "state": "waiting" if again else item.outcome,
        "due_at": now + (item.wait or 0) if again else item.run.due_at,
        "finished_at": None if again else now,
        "error": item.error,
        "lease_until": None,
    }


def _attempt_row(item: Finished) -> dict[str, Any]:
    return {
        "run_id": item.run.id,
        "number": item.run.attempt,
        "outcome": item.outcome,
        "worker": None,
        "started_at": item.run.started_at,
        "finished_at": item.finished_at,
        "error": item.error,
    }


def run_row(event_id: str, handler: str, order_key: str | None, now: float) -> dict[str, Any]:
    """Return the row of a new run, due at once."""
    return {
        "id": new_id("run"),
        "event_id": event_id,
        "handler": handler,
        "order_key": order_key,
        "state": "waiting",
        "due_at": now,
        "created_at": now,
    }


_LOST = "the worker stopped in the middle of this attempt"


def _reaped(*, over: bool, now: float, due_at: float) -> dict[str, Any]:
    ended = {"state": "failed", "finished_at": now} if over else {"state": "waiting", "due_at": due_at}
    return {**ended, "lease_until": None, "error": _LOST}


def _lost_row(run: RowMapping, now: float) -> dict[str, Any]:
    return {
        "run_id": run["id"],
        "number": run["attempt"],
        "outcome": "lost",
        "worker": run["worker"],
        "started_at": run["started_at"],
        "finished_at": now,
        "error": _LOST,
    }
