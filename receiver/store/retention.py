"""Deleting what is old, in steps that no delivery has to wait for."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Table,
    and_,
    delete,
    exists,
    func,
    not_,
    or_,
    select,
    update,
)

from ..ids import first_id
from .beats import our_turn
from .database import Database
from .tables import attempts, beats, deliveries, event_state, events, jobs, outputs, runs, secrets

#: Rows deleted in one transaction, and seconds of rest before the next; more after one that took long.
STEP = 25
REST = 0.02

#: How many times as long as a step took is rested, and how many times as long as it waited: deleting has a fifth of the
#: time that there is to write, and where others write too, a small part of that. Never longer than `LONGEST` seconds:
#: somebody may be waiting for the end.
RESTS, YIELDS, LONGEST = 4, 40, 1.0

#: Rows found at once, to be deleted in steps, and attempts looked at.
FIND = 500
LOOK = 2000

#: Captured files deleted before their rows: each may have to be read whole first.
FILES = 10

#: Deletes the file at a place, of that size and digest, and returns whether it was there.
Remove = Callable[[str, int, str], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of what gets old, by a word that people configure."""

    name: str
    told: str  #: for people: "12 {told} are deleted"
    table: Table
    old: Callable[[float], Sequence[ColumnElement[bool]]]


@dataclass(slots=True)
class Pruned:
    """What was deleted, by kind, and where to go on; None at the end."""

    deleted: dict[str, int] = field(default_factory=dict)
    last: str | None = None  #: kind and id, e.g. `"events:evt_…"`


class _Step(NamedTuple):
    deleted: int
    waited: float  #: seconds, for the place to write
    took: float  #: seconds, for which others may have waited


class Retention:
    """Events, deliveries, attempts, jobs, secrets and captured files by age. Times are Unix seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def old(self, before: Mapping[str, float]) -> dict[str, int]:
        """Return by kind how much `prune` would delete."""
        found = {}
        for kind in _wanted(before):
            query = select(func.count()).select_from(kind.table).where(*kind.old(before[kind.name]))
            async with self._database.read() as connection:
                found[kind.name] = (await connection.execute(query)).scalar_one()
        return found

    async def prune(
        self,
        before: Mapping[str, float],
        *,
        remove: Remove,
        after: str | None = None,
        patience: float = math.inf,
        told: Callable[[], object] = lambda: None,
    ) -> Pruned:
        """Delete what is older than the moment given for its kind, for `patience` seconds, from where `after` says.

        What its handlers are not through with stays, however old. Kinds: those of `KINDS`; a kind that is not
        given is left alone. Not one of the steps keeps a delivery waiting for longer than it takes. After each
        one the turn is noted as ours, and `told` is called. A captured file is removed before its row: what was cut
        short can be done again. One that `remove` does not find keeps its row.
        """
        done, until = Pruned(), time.monotonic() + patience
        begin, last = _place(after)
        wanted = [kind for kind in _wanted(before) if KINDS.index(kind) >= begin]
        for kind in wanted:
            done.deleted[kind.name] = 0
            async for ids in self._found(kind, before[kind.name], last if KINDS.index(kind) == begin else ""):
                gone = await self._emptied(ids, before[kind.name], remove) if kind.table is outputs else ids
                step = await self._delete(kind, before[kind.name], gone)
                done.deleted[kind.name] += step.deleted
                told()
                if time.monotonic() > until:
                    done.last = f"{kind.name}:{ids[-1]}"
                    return done
                await asyncio.sleep(_rest(step))
        return done

    async def _delete(self, kind: Kind, before: float, ids: Sequence[object]) -> "_Step":
        """Delete those of the rows that are old still."""

        def step(connection: Connection) -> tuple[int, float]:
            began = time.monotonic()
            deleted = connection.execute(delete(kind.table).where(kind.table.c.id.in_(ids), *kind.old(before)))
            now = self._database.time(connection)
            connection.execute(update(beats).where(beats.c.part == _PART).values(seen_at=now))
            return deleted.rowcount, began

        asked = time.monotonic()
        deleted, began = await self._database.writing(step)
        return _Step(deleted=deleted, waited=began - asked, took=time.monotonic() - began)

    async def turn(self, every: float) -> bool:
        """Return whether nobody has pruned for so many seconds; if so, it is our turn, and nobody else's."""
        return await our_turn(self._database, _PART, every)

    async def _found(self, kind: Kind, before: float, last: str) -> AsyncIterator[list[object]]:
        """Yield the ids of what is old, after `last`, oldest first, in steps. What must stay is looked at once."""
        if kind.table is attempts:
            async for ids in self._old_attempts(before, int(last or 0)):
                yield ids
            return
        step = min(STEP, FILES) if kind.table is outputs else STEP
        while True:
            query = select(kind.table.c.id).where(*kind.old(before), kind.table.c.id > last)
            async with self._database.read() as connection:
                found = list((await connection.execute(query.order_by(kind.table.c.id).limit(FIND))).scalars())
            for start in range(0, len(found), step):
                yield found[start : start + step]
            if len(found) < FIND:
                return
            last = found[-1]

    async def _emptied(self, ids: Sequence[object], before: float, remove: Remove) -> list[object]:
        """Remove the files of these outputs; return all outputs that have none any more."""
        columns = (outputs.c.id, outputs.c.job_id, outputs.c.place, outputs.c.size, outputs.c.sha256)
        query = select(*columns).where(outputs.c.id.in_(ids), *_old_files(before))
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        kept = {row.place: row for row in rows if row.place}
        removed = {
            place: row.job_id for place, row in kept.items() if await remove(place, row.size or 0, row.sha256 or "")
        }
        # Other events of a job, or other handlers, may have told of the same file: they go with it.
        same = select(outputs.c.id).where(outputs.c.job_id.in_(removed.values()), outputs.c.place.in_(removed))
        async with self._database.read() as connection:
            others = set((await connection.execute(same)).scalars())
        return list(others.union(row.id for row in rows if not row.place or row.place in removed))

    async def _old_attempts(self, before: float, last: int) -> AsyncIterator[list[object]]:
        # They have no time in their id, but are numbered in order: the first that is young enough ends it.
        while True:
            query = (
                select(attempts.c.id, attempts.c.finished_at, runs.c.finished_at.label("ended_at"))
                .join(runs)
                .where(attempts.c.id > last)
                .order_by(attempts.c.id)
                .limit(LOOK)
            )
            async with self._database.read() as connection:
                rows = (await connection.execute(query)).mappings().all()
            old: list[RowMapping] = [row for row in rows if row["finished_at"] < before]
            ids: list[object] = [row["id"] for row in old if row["ended_at"] is not None]
            for start in range(0, len(ids), STEP):
                yield ids[start : start + STEP]
            if len(old) < LOOK:
                return
            last = rows[-1]["id"]


def _rest(step: _Step) -> float:
    """Return the seconds to rest after a step."""
    return min(LONGEST, max(REST, RESTS * step.took + YIELDS * step.waited)) if REST else 0


#: Who pruned last, among the beats.
_PART = "retention"


def _wanted(before: Mapping[str, float]) -> list[Kind]:
    return [kind for kind in KINDS if kind.name in before]


def _place(after: str | None) -> tuple[int, str]:
    """Return at which kind to begin, and after which id of it."""
    name, _, last = (after or "").partition(":")
    return next((number for number, kind in enumerate(KINDS) if kind.name == name), 0), last


def _of_run(*more: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(runs.c.event_id == events.c.id, *more)


_OPEN = runs.c.finished_at.is_(None)
_FAILED = runs.c.state == "failed"

# Ids are made on receipt and sort by time: the range keeps these off what stays.


def _old_events(before: float) -> Sequence[ColumnElement[bool]]:
    through = event_state.not_in(("waiting", "quarantined"))
    return events.c.id < first_id("evt", before), through, ~_of_run(_OPEN), ~_of_run(_FAILED)


def _old_failures(before: float) -> Sequence[ColumnElement[bool]]:
    return events.c.id < first_id("evt", before), event_state != "waiting", ~_of_run(_OPEN), _of_run(_FAILED)


def _old_quarantined(before: float) -> Sequence[ColumnElement[bool]]:
    return events.c.id < first_id("evt", before), events.c.state == "quarantined"


def _old_deliveries(verdict: str) -> Callable[[float], Sequence[ColumnElement[bool]]]:
    return lambda before: (deliveries.c.id < first_id("dlv", before), deliveries.c.verdict == verdict)


def _attempts(before: float) -> Sequence[ColumnElement[bool]]:
    ended = exists().where(runs.c.id == attempts.c.run_id, runs.c.finished_at.is_not(None))
    return attempts.c.finished_at < before, ended


def _old_jobs(before: float) -> Sequence[ColumnElement[bool]]:
    # The handlers of its event still want what was said when it was submitted.
    busy = exists().where(events.c.id == jobs.c.event_id, not_(and_(event_state != "waiting", ~_of_run(_OPEN))))
    return jobs.c.id < first_id("job", before), jobs.c.ended_at < before, ~busy


def _old_secrets(before: float) -> Sequence[ColumnElement[bool]]:
    return (secrets.c.valid_until < before,)


def _old_files(before: float) -> Sequence[ColumnElement[bool]]:
    busy = exists().where(runs.c.event_id == outputs.c.event_id, _OPEN)
    other = outputs.alias()
    younger = or_(other.c.changed_at >= before, exists().where(runs.c.event_id == other.c.event_id, _OPEN))
    wanted = exists().where(other.c.job_id == outputs.c.job_id, other.c.place == outputs.c.place, younger)
    return outputs.c.id < first_id("out", before), outputs.c.changed_at < before, ~busy, ~wanted


#: What gets old, in the order in which it is deleted.
KINDS = (
    Kind("events", "events", events, _old_events),
    Kind("failed", "events with failed runs", events, _old_failures),
    Kind("quarantined", "events in quarantine", events, _old_quarantined),
    Kind("refused", "refused deliveries", deliveries, _old_deliveries("refused")),
    Kind("copies", "copies of deliveries", deliveries, _old_deliveries("duplicate")),
    Kind("attempts", "attempts", attempts, _attempts),
    Kind("jobs", "jobs", jobs, _old_jobs),
    Kind("secrets", "signing secrets that were over", secrets, _old_secrets),
    Kind("files", "captured files, or notes of what was missed", outputs, _old_files),
)
