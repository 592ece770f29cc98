"""Runs: one handler on one event, from fan-out to its end.

waiting ──claim──▶ running ──done──▶ done
▲                  │
├──retry, release──┤
└──lease ended─────┴──failed, out of attempts──▶ failed
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import ColumnElement, Connection, Delete, RowMapping, Select, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ..errors import Retry, Unavailable
from .database import Database
from .page import PATIENCE, Looking, Page
from .tables import attempts, behind, events, is_paused, oldest_news, pauses, runs, steps
from .text import storable
from .turn import (
    BATCH,
    Claimed,
    Finished,
    Mark,
    Taken,
    Turn,
    Wanted,
    Work,
    change,
    finish,
    look,
    new_again,
    with_events,
)

log = structlog.get_logger(__name__)

#: Seconds until a store that was away is asked again to write what must not be lost.
AGAIN = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Which runs are meant; what is None does not narrow."""

    state: str | None = None
    handler: str | None = None
    event_id: str | None = None


class Runs:
    """The runs table with its attempts and steps."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert = sqlite.insert if database.is_sqlite else postgresql.insert
        self._raised: dict[tuple[str, int, str], Claimed] = {}  # steps that are as if not begun, once that is written

    async def turn(
        self,
        *,
        worker: str,
        lease: float,
        finished: Sequence[Finished],
        wanted: Wanted,
        free: Mapping[str, int],
        captures: Collection[str] = (),
    ) -> Turn:
        """Record what ended, fan new events out, and claim due runs: one transaction, one fsync.

        `wanted` names the handlers of an event, each with its order key. `free` says how many runs of each
        handler to claim at most. Of the handlers in `captures`, the runs whose outputs expire first go first.
        """

        def find(connection: Connection) -> Work:
            now = self._database.time(connection)
            return look(connection, Mark(worker, now + lease, now), free, captures, wanted)

        # SQLite has one place to write, which we keep the shorter for looking before. What another worker does
        # meanwhile is noticed by the statements that change. PostgreSQL locks what it finds.
        before = await self._database.reading(find) if self._database.is_sqlite else None
        if before and not (finished or before.news or before.due):
            return Turn(claimed=[], lost=[], more=False, next_due=before.next_due, now=before.mark.started_at)

        def act(connection: Connection) -> tuple[Work, list[Finished], list[Taken]]:
            work = before or find(connection)
            return work, *change(connection, work, finished)

        work, lost, taken = await self._database.writing(act)
        claimed = await self._database.reading(lambda one: with_events(one, taken, work)) if taken else []
        now = work.mark.started_at
        again = [now + item.wait for item in finished if item.wait is not None]
        next_due = min([moment for moment in (work.next_due, *again) if moment is not None], default=None)
        return Turn(claimed=claimed, lost=lost, more=work.more, next_due=next_due, now=now)

    async def extend(self, held: Sequence[Claimed], *, worker: str, lease: float) -> None:
        """Extend the leases of the runs that a worker is busy with.

        Not all that bear its name: it may never have learned of a claim whose answer was lost, or have had a
        predecessor of the same name. Those end, and are taken over.
        """

        def extended(connection: Connection) -> None:
            now = self._database.time(connection)
            mine = runs.c.id.in_([run.id for run in held]) & (runs.c.worker == worker) & (runs.c.state == "running")
            alive = mine & (runs.c.lease_until >= now)
            connection.execute(update(runs).where(alive).values(lease_until=now + lease))

        await self._database.writing(extended)

    async def settle(self, finished: Sequence[Finished], given_back: Sequence[Claimed]) -> list[Finished]:
        """Record what ended and give the other runs back: due at once, the attempt not counted.

        Return the attempts that came too late, which are not recorded.
        """

        def settled(connection: Connection) -> list[Finished]:
            now = self._database.time(connection)
            lost = finish(connection, finished, now)
            again = {"state": "waiting", "due_at": now, "lease_until": None, "attempt": runs.c.attempt - 1}
            for run in given_back:
                connection.execute(update(runs).where(_held(run)).values(again))
            # Steps that raised, and could not say so. After the runs: what was just beginning is there by now.
            for (_, _, key), run in list(self._raised.items()):
                connection.execute(delete(steps).where(_step(run, key)))
            return lost

        return await self._database.writing(settled)

    async def reap(
        self, *, limits: Mapping[str, int], worker: str | None = None, wait: Callable[[int], float] = lambda _attempt: 0
    ) -> int:
        """Take runs back whose lease ended, or that a dead `worker` held; return how many.

        Their attempt counts: it may be what killed the worker. `limits` says how many attempts each
        handler allows; a run that had them all has failed. `wait` gives the seconds after attempt number so
        and so: those that went down with a killer should not all meet it again.
        """

        def reaped(connection: Connection) -> int:
            now = self._database.time(connection)
            gone = runs.c.worker == worker if worker else runs.c.lease_until < now
            query = select(runs).where(runs.c.state == "running", gone).limit(BATCH).with_for_update(skip_locked=True)
            found = connection.execute(query).mappings().all()
            for run in found:
                over = run["attempt"] >= limits.get(run["handler"], run["attempt"] + 1)
                values = _reaped(over=over, now=now, due_at=now + wait(run["attempt"]))
                connection.execute(update(runs).where(runs.c.id == run["id"]).values(values))
            if found:
                connection.execute(insert(attempts), [_lost_row(run, now) for run in found])
            return len(found)

        return await self._database.writing(reaped)

    @asynccontextmanager
    async def once(self, run: Claimed, key: str) -> AsyncIterator[bool]:
        """Yield True if step `key` of this run was not begun before; undo that if the step raises.

        Raises Retry if the run has gone to another worker: this attempt does not count, nor may it begin anything.
        """
        first = await self._begin(run, key)
        try:
            yield first
        except BaseException:
            if first:
                await self._undo(run, key)
            raise
        if first:
            ended = update(steps).where(_step(run, key))
            await self._surely(lambda one: one.execute(ended.values(done_at=self._database.time(one))))

    async def _begin(self, run: Claimed, key: str) -> bool:
        def begun(connection: Connection) -> bool:
            # Locked, so that nobody gives the run to another before this is there for them to see.
            if connection.execute(select(runs.c.id).where(_held(run)).with_for_update(read=True)).first() is None:
                raise Retry("this run has gone to another worker")
            row = {"run_id": run.id, "key": key, "token": run.token, "begun_at": self._database.time(connection)}
            return connection.execute(self._insert(steps).values(row).on_conflict_do_nothing()).rowcount == 1

        beginning = asyncio.ensure_future(self._database.writing(begun))
        try:
            return await asyncio.shield(beginning)
        except Retry:
            raise
        except BaseException:
            # Cut off by its time limit, or by the store in the middle of COMMIT: it may have begun all the same.
            self._raised[run.id, run.token, key] = run
            await asyncio.wait([beginning])
            if beginning.exception() is None and not beginning.result():
                self._raised.pop((run.id, run.token, key), None)
            else:
                await self._undo(run, key)
            raise

    async def _undo(self, run: Claimed, key: str) -> None:
        self._raised[run.id, run.token, key] = run
        await self._surely(lambda one: one.execute(delete(steps).where(_step(run, key))))
        self._raised.pop((run.id, run.token, key), None)

    async def _surely(self, work: Callable[[Connection], object]) -> None:
        """Write what must not be lost, however long the store is away: without it, nor can the attempt end."""
        while True:
            try:
                await self._database.writing(work)
            except Unavailable as error:
                log.error("store_unavailable", error=str(error))
                await asyncio.sleep(AGAIN)
            else:
                return

    async def counts(self) -> dict[str, int]:
        """Return how many runs there are in each state."""
        async with self._database.read() as connection:
            found = await connection.execute(select(runs.c.state, func.count().label("number")).group_by(runs.c.state))
            return {row.state: row.number for row in found}

    async def page(
        self, wanted: RunFilter, *, cursor: str | None = None, limit: int = 50, patience: float = PATIENCE
    ) -> Page[dict[str, Any]]:
        """Return the newest runs that are meant, with their event's source, type and job.

        Failed ones come first, unless one state is meant.
        """
        async with self._database.read() as connection:
            if wanted.state is not None:
                looking = _looking(wanted, wanted.state)
                return await looking.page(connection, before=cursor, limit=limit, patience=patience)
            failed: list[dict[str, Any]] = []
            if cursor is None or cursor.startswith(FAILED):
                before = cursor.removeprefix(FAILED) if cursor else None
                first = await _looking(wanted, "failed").page(connection, before=before, limit=limit, patience=patience)
                if first.next is not None:
                    return Page(rows=first.rows, next=FAILED + first.next)
                if len(first.rows) == limit:
                    return Page(rows=first.rows, next=AFTER_FAILED)
                failed, cursor = first.rows, None
            others = _looking(wanted, None)
            rest = await others.page(connection, before=cursor, limit=limit - len(failed), patience=patience)
            return Page(rows=failed + rest.rows, next=rest.next)

    async def standings(self, event_ids: Collection[str]) -> dict[str, dict[str, int]]:
        """Return by event how many runs it has in each state; events without runs are left out."""
        found: dict[str, dict[str, int]] = {}
        if event_ids:
            query = select(runs.c.event_id, runs.c.state, func.count()).where(runs.c.event_id.in_(event_ids))
            async with self._database.read() as connection:
                for event_id, state, number in await connection.execute(query.group_by(runs.c.event_id, runs.c.state)):
                    found.setdefault(event_id, {})[state] = number
        return found

    async def get(self, id: str) -> dict[str, Any] | None:
        """Return one run with its event's source, type and job."""
        async with self._database.read() as connection:
            row = (await connection.execute(_SHOWN.where(runs.c.id == storable(id)))).mappings().one_or_none()
            return dict(row) if row else None

    async def attempts(self, id: str) -> list[dict[str, Any]]:
        """Return the attempts of a run, in order."""
        query = select(attempts).where(attempts.c.run_id == storable(id)).order_by(attempts.c.id)
        async with self._database.read() as connection:
            return [dict(row) for row in (await connection.execute(query)).mappings()]

    async def retry(self, id: str) -> bool:
        """Let a run that has ended start again, with all its attempts, and one that waits for a later moment now.

        False if there is no such run. A step that is done is not made again; one that began and was never known to
        end is, if the run had ended.
        """
        mine = update(runs).where(runs.c.id == storable(id))
        async with self._database.write() as connection:
            now = await self._database.now(connection)
            later = mine.where(runs.c.state == "waiting", runs.c.due_at > now).values(due_at=now)
            if (await connection.execute(later)).rowcount == 1:
                return True
            ended = mine.where(runs.c.finished_at.is_not(None)).values(new_again(now))
            again = (await connection.execute(ended)).rowcount == 1
            if again:
                await connection.execute(unfinished([storable(id)]))
            return again

    async def give_up(self, id: str) -> bool:
        """Let a waiting run fail for good; False if no run of this id waits."""
        async with self._database.write() as connection:
            now = await self._database.now(connection)
            waiting = update(runs).where(runs.c.id == storable(id), runs.c.state == "waiting")
            return (await connection.execute(waiting.values(given_up(now)))).rowcount == 1

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

    async def backlog(self) -> float:
        """Return the age in seconds of the oldest work that is due and not begun; 0 if there is none."""
        due = select(func.min(runs.c.due_at)).where(runs.c.state == "waiting")
        async with self._database.read() as connection:
            now = await self._database.now(connection)
            since = [(await connection.execute(query)).scalar() for query in (due, oldest_news)]
        return max([0.0, *(now - float(moment) for moment in since if moment is not None)])


#: How a cursor begins while failed runs are listed, and the one after the last of them.
FAILED = "failed."
AFTER_FAILED = "run_" + "f" * 32

_SHOWN = select(runs, events.c.source, events.c.type, events.c.job_id, is_paused, behind).join(events)


def _looking(wanted: RunFilter, state: str | None) -> Looking:
    """Look for runs in a state; None for all that have not failed."""
    base = [runs.c.state == "failed"] if state == "failed" else []
    narrow = [] if state == "failed" else [runs.c.state == state if state else runs.c.state != "failed"]
    if wanted.handler is not None:
        # Joined with nothing: not by the index of what is due, which is in another order.
        narrow.append(runs.c.handler.concat("") == storable(wanted.handler))
    if wanted.event_id is not None:
        narrow.append(runs.c.event_id == storable(wanted.event_id))
    exact = wanted.event_id is not None
    few = None if exact else _few(wanted, state)
    return Looking(query=_SHOWN, id=runs.c.id, base=base, narrow=narrow, exact=exact, few=few)


def _few(wanted: RunFilter, state: str | None) -> Select[tuple[str]] | None:
    """Return the query for the runs in a state that are few, by an index that is in another order."""
    mine = [runs.c.handler == storable(wanted.handler)] if wanted.handler is not None else []
    if state == "running":
        # Each of them has a lease: with that said, the index of leases finds them.
        return select(runs.c.id).where(runs.c.state == "running", runs.c.lease_until > 0, *mine)
    return select(runs.c.id).where(runs.c.state == "waiting", *mine) if state == "waiting" else None


def given_up(now: float) -> dict[str, Any]:
    """Return what makes a waiting run fail for good."""
    return {"state": "failed", "finished_at": now, "error": "given up by hand"}


def unfinished(run_ids: Collection[str]) -> Delete:
    """Return what forgets the steps of runs that began and were never known to end.

    A worker died in them, and no attempt makes them again. Whoever starts a run again by hand wants them made.
    """
    return delete(steps).where(steps.c.run_id.in_(run_ids), steps.c.done_at.is_(None))


def _step(run: Claimed, key: str) -> ColumnElement[bool]:
    """Whether a step is the one that this attempt began, and has not ended."""
    mine = (steps.c.run_id == run.id) & (steps.c.token == run.token)
    return mine & (steps.c.key == key) & steps.c.done_at.is_(None)


def _held(run: Claimed) -> ColumnElement[bool]:
    """Whether a run is still the worker's that claimed it."""
    return (runs.c.id == run.id) & (runs.c.token == run.token) & (runs.c.state == "running")


_LOST = "the worker stopped in the middle of this attempt"


def _reaped(*, over: bool, now: float, due_at: float) -> dict[str, Any]:
    ended = {"state": "failed", "finished_at": now} if over else {"state": "waiting", "due_at": due_at}
    return {**ended, "lease_until": None, "error": _LOST}


def _lost_row(run: RowMapping, now: float) -> dict[str, Any]:
    return {
        "run_id": run["id"],
        "handler": run["handler"],
        "number": run["attempt"],
        "outcome": "lost",
        "worker": run["worker"],
        "started_at": run["started_at"],
        "finished_at": now,
        "error": _LOST,
    }
