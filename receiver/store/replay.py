"""Running handlers again on the events that a filter means."""

import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Literal

from sqlalchemy import ColumnElement, exists, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from .database import Database
from .filter import Filter
from .page import SLICE
from .runs import given_up, unfinished
from .tables import event_state, events, runs
from .text import storable
from .turn import MATCHED, new_again, run_row

#: Events or runs changed in one transaction: short enough that no delivery waits for it.
STEP = 500

#: States of runs of which many are changed by hand.
Changed = Literal["failed", "waiting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Some events with what handlers choose by, oldest first, and after which id the next step begins; None at the end.

    Many steps may have no events: those looked at were not meant.
    """

    rows: list[dict[str, Any]]
    last: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """How many runs there were at a moment, in Unix seconds of the store."""

    runs: int
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """How many runs were changed, and after which id to go on; None at the end."""

    runs: int
    last: str | None


class Replays:
    """Handlers run again: on the events of a filter, or where they failed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert = sqlite.insert if database.is_sqlite else postgresql.insert

    async def matching(self, filter: Filter, *, after: str = "") -> AsyncIterator[Step]:
        """Yield the events that are meant and came after the one with that id, oldest first, in steps.

        Those in quarantine, or erased, are left out: no handler could read them.
        """
        last: str | None = after
        while last is not None:
            step = await self._step(filter, last)
            yield step
            last = step.last

    async def _step(self, filter: Filter, after: str) -> Step:
        exact = filter.id is not None or filter.job_id is not None
        later = [events.c.id > after, *filter.received()]
        slices = select(events.c.id).where(*later).order_by(events.c.id).offset(SLICE - 1).limit(1)
        query = select(*(events.c[name] for name in MATCHED)).where(*later, *filter.clauses())
        query = query.where(event_state.not_in(("quarantined", "erased"))).order_by(events.c.id).limit(STEP)
        async with self._database.read() as connection:
            end = None if exact else (await connection.execute(slices)).scalar_one_or_none()
            if end is not None:
                query = query.where(events.c.id <= end)
            found = [dict(row) for row in (await connection.execute(query)).mappings()]
        return Step(rows=found, last=found[-1]["id"] if len(found) == STEP else end)

    async def again(self, pairs: Sequence[tuple[str, str, str | None]], *, captures: Collection[str] = ()) -> int:
        """Let handlers run on events, given as event id, handler and order key; return how many start.

        Of the handlers in `captures`, the runs whose outputs expire first go first. A run that ended has all
        its attempts again; one that was never made is made; one that is waiting or running is left alone.
        """
        if not pairs:
            return 0
        async with self._database.write() as connection:
            now = await self._database.now(connection)
            statement = self._insert(runs).on_conflict_do_update(
                index_elements=["event_id", "handler"],
                set_=new_again(now),
                where=runs.c.finished_at.is_not(None),
            )
            wanted = {event_id for event_id, handler, _ in pairs if handler in captures}
            query = select(events.c.id, events.c.expires_at).where(events.c.id.in_(wanted))
            ends = {row.id: row.expires_at for row in await connection.execute(query)} if wanted else {}
            rows = [
                run_row(event_id, handler, key, now, expires_at=ends.get(event_id) if handler in captures else None)
                for event_id, handler, key in pairs
            ]
            again = (await connection.execute(statement.returning(runs.c.id), rows)).scalars().all()
            await connection.execute(unfinished(again))
            return len(again)

    async def count(self, state: Changed, filter: Filter, *, handler: str | None = None) -> Counted:
        """Return how many runs have failed, or wait, on the events that are meant."""
        query = select(func.count()).select_from(runs).where(*_standing(state, handler), *_on(filter))
        async with self._database.read() as connection:
            at = await self._database.now(connection)
            return Counted(runs=int((await connection.execute(query)).scalar_one()), at=at)

    async def retry_some(
        self,
        filter: Filter,
        *,
        handler: str | None = None,
        after: str = "",
        until: float | None = None,
        patience: float = inf,
    ) -> Piece:
        """Let failed runs start again with all their attempts, for so many seconds.

        Begins after the run with the id `after`: whoever goes on like that meets no run twice, also if it fails
        again at once. Leaves those alone that failed after the moment `until`.
        """
        mine = _standing("failed", handler)
        if until is not None:
            mine.append(runs.c.finished_at <= until)
        change = _Change(key=runs.c.id, mine=mine, on=_on(filter), values=new_again)
        return await self._pieces(change, after, patience)

    async def give_up_some(
        self,
        filter: Filter,
        *,
        handler: str | None = None,
        after: str = "",
        until: float | None = None,
        patience: float = inf,
    ) -> Piece:
        """Let waiting runs fail for good, for so many seconds; else as `retry_some`.

        Leaves those alone that were made after the moment `until`.
        """
        mine = _standing("waiting", handler)
        if until is not None:
            mine.append(runs.c.created_at <= until)
        # Joined with nothing, so that the index of what is due finds them, not that of all there ever were.
        change = _Change(key=runs.c.id.concat(""), mine=mine, on=_on(filter), values=given_up)
        return await self._pieces(change, after, patience)

    async def _pieces(self, change: "_Change", after: str, patience: float) -> Piece:
        end, total = time.monotonic() + patience, 0
        while True:
            piece = await self._piece(change, after)
            total += piece.runs
            if piece.last is None or time.monotonic() > end:
                return Piece(runs=total, last=piece.last)
            after = piece.last

    async def _piece(self, change: "_Change", after: str) -> Piece:
        """Look at the next STEP runs, and change those on events that are meant."""
        looked = select(runs.c.id).where(*change.mine, change.key > after).order_by(change.key).limit(STEP)
        async with self._database.write() as connection:
            ids = (await connection.execute(looked)).scalars().all()
            now = await self._database.now(connection)
            some = update(runs).where(runs.c.id.in_(ids), *change.mine, *change.on).values(change.values(now))
            changed = (await connection.execute(some.returning(runs.c.id))).scalars().all()
            await connection.execute(unfinished(changed))
        return Piece(runs=len(changed), last=ids[-1] if len(ids) == STEP else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """What becomes of runs in one state."""

    key: ColumnElement[str]  #: the id, by which they are looked through
    mine: Sequence[ColumnElement[bool]]  #: which are looked at
    on: Sequence[ColumnElement[bool]]  #: which of these are meant
    values: Callable[[float], dict[str, Any]]


def _standing(state: Changed, handler: str | None) -> list[ColumnElement[bool]]:
    return [runs.c.state == state, *([runs.c.handler == storable(handler)] if handler else [])]


def _on(filter: Filter) -> list[ColumnElement[bool]]:
    asked = filter.clauses()  # if none, no event is looked at, and an index alone tells how many there are
    return [exists().where(events.c.id == runs.c.event_id, *asked)] if asked else []
