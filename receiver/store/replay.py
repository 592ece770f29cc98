"""Running handlers again on the events that a filter means."""

import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, exists, func, literal, select, update
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

#: Runs of which it is asked, in a count, whether their events are meant.
LOOKED = 2_000

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
    """How many runs there were at a moment, in Unix seconds of the store; with `more`, at least so many."""

    runs: int
    at: float
    more: bool = False  #: whether there were others, whose events were not looked at


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
        later = [events.c.id > after, *filter.received()]
        slices = select(events.c.id).where(*later).order_by(events.c.id).offset(SLICE - 1).limit(1)
        query = select(*(events.c[name] for name in MATCHED)).where(*later, *filter.clauses())
        query = query.where(event_state.not_in(("quarantined", "erased"))).order_by(events.c.id).limit(STEP)
        async with self._database.read() as connection:
            end = None if filter.is_exact else (await connection.execute(slices)).scalar_one_or_none()
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
        """Return how many runs have failed, or wait, on the events that are meant.

        Where no index finds these, only the events of LOOKED runs are asked, of failed ones the newest.
        """
        asked, standing = filter.clauses(), _standing(state, handler)
        if asked and not filter.is_exact:
            query = _among(state, standing, asked)
        else:
            here = [runs.c.event_id.in_(select(events.c.id).where(*asked))] if asked else []
            query = select(func.count(), literal(0)).select_from(runs).where(*standing, *here)
        async with self._database.read() as connection:
            at = await self._database.now(connection)
            number, looked = (await connection.execute(query)).one()
            return Counted(runs=number, at=at, more=looked > LOOKED)

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


#: In which order the index of each state has its runs, for failed ones from the newest on.
_ORDER: dict[Changed, Sequence[ColumnElement[Any]]] = {
    "failed": [runs.c.id.desc()],
    "waiting": [runs.c.handler, runs.c.due_at, runs.c.id],
}


def _among(
    state: Changed, standing: Sequence[ColumnElement[bool]], asked: Sequence[ColumnElement[bool]]
) -> Select[int, int]:
    """Count of LOOKED runs those whose events are meant, and all that were looked at: one more if there are others."""
    looked = select(runs.c.event_id).where(*standing).order_by(*_ORDER[state]).limit(LOOKED + 1).subquery()
    # A value, not a join: so that no engine reads through all events for it.
    meant = select(literal(1)).where(events.c.id == looked.c.event_id, *asked).scalar_subquery()
    return select(func.count(meant), func.count()).select_from(looked)


def _on(filter: Filter) -> list[ColumnElement[bool]]:
    asked = filter.clauses()  # if none, no event is looked at, and an index alone tells how many there are
    return [exists().where(events.c.id == runs.c.event_id, *asked)] if asked else []
