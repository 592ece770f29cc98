"""One turn of a worker with the store: what ended is recorded, new events are fanned out, due runs are claimed.

These functions do not wait: they run where the database says, a whole turn at once.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Text,
    cast,
    exists,
    func,
    insert,
    not_,
    or_,
    select,
    update,
)

from ..ids import new_id
from .among import among
from .ledger import NewJob, enter, hear, held, with_metadata
from .tables import attempts, events, pauses, runs
from .text import storable

#: `insert` of the dialect, which knows conflicts.
Insert = Callable[..., Any]

#: Which handlers want an event, given as a row; each with the key by which its runs are ordered, or None.
Wanted = Callable[[Mapping[str, Any]], Mapping[str, str | None]]

#: What handlers choose events by.
MATCHED = ("id", "source", "type", "kind", "job_id", "tool", "road", "received_at", "occurred_at")

#: What a fan-out reads of an event.
_NEWS = (*MATCHED, "expires_at")

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
    note: str | None = None  #: what the handler wants kept beside the attempt
    wait: float | None = None
    jobs: Sequence[NewJob] = ()  #: what the handler submits, if it succeeded


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What one turn of a worker brought."""

    claimed: Sequence[Claimed]
    lost: Sequence[Finished]  #: attempts that came too late: their lease had gone to another worker
    more: bool  #: whether there is likely more to do at once
    next_due: float | None  #: when the next waiting run is due
    now: float  #: the store's clock


@dataclass(slots=True, kw_only=True)
class Work:
    """What a turn finds to do, and how many more runs of each handler there is room for."""

    now: float
    news: list[dict[str, Any]]
    due: list[str]
    left: dict[str, int]
    captures: Collection[str]  #: handlers whose most urgent run goes first
    next_due: float | None
    more: bool = False  #: whether the next look will find something at once


def look(connection: Connection, now: float, free: Mapping[str, int], captures: Collection[str] = ()) -> Work:
    """Find what there is to do. PostgreSQL locks it for us, and passes over what others have locked."""
    query = select(*(events.c[name] for name in _NEWS)).where(events.c.state == "waiting").order_by(events.c.id)
    if (early := held(connection, now)) is not None:
        query = query.where(not_(early))
    news = (connection.execute(query.limit(BATCH).with_for_update(skip_locked=True))).mappings().all()
    paused = set((connection.execute(select(pauses.c.handler))).scalars())
    open_for = {handler: limit for handler, limit in free.items() if handler not in paused}
    due: list[str] = []
    left: dict[str, int] = {}
    for handler, limit in open_for.items():
        found = _due(connection, handler, limit, now, urgent=handler in captures) if limit > 0 else []
        due += found
        left[handler] = limit - len(found)
    waits = (runs.c.state == "waiting") & runs.c.handler.in_(list(open_for)) & (runs.c.due_at > now)
    first = select(func.min(runs.c.due_at)).where(waits)
    next_due = (connection.execute(first)).scalar_one_or_none()
    return Work(
        now=now,
        news=[dict(row) for row in news],
        due=due,
        left=left,
        captures=captures,
        next_due=next_due,
        more=len(news) == BATCH,
    )


def _claim(connection: Connection, work: Work, mine: dict[str, Any]) -> list[RowMapping]:
    if not work.due:
        return []
    statement = (
        update(runs)
        .where(among(connection, runs.c.id, work.due), runs.c.state == "waiting")
        .values(state="running", token=runs.c.token + 1, attempt=runs.c.attempt + 1, **mine)
    )
    return list((connection.execute(statement.returning(*_TAKEN))).mappings())


def _fan_out(
    connection: Connection, work: Work, wanted: Wanted, mine: dict[str, Any], upsert: Insert
) -> list[RowMapping]:
    """Make the runs of new events. Those that there is room for are claimed at once."""
    made = []
    contradictions = hear(connection, work.news, work.now, upsert)
    for event in work.news:
        if event["id"] in contradictions:
            continue
        for name, key in wanted(event).items():
            expires_at = event["expires_at"] if name in work.captures else None
            row = run_row(event["id"], name, key, work.now, expires_at=expires_at)
            at_once = key is None and work.left.get(name, 0) > 0
            if at_once:
                work.left[name] -= 1
            made.append(row | (_AT_ONCE | mine if at_once else _LATER))
            work.more |= key is not None
    rows: list[RowMapping] = []
    if made:
        # Of two workers that saw the same events, one makes the runs, and gets them.
        statement = upsert(runs).on_conflict_do_nothing().returning(*_TAKEN, runs.c.state)
        rows = [row for row in (connection.execute(statement, made)).mappings() if row["state"] == "running"]
    if work.news:
        seen = among(connection, events.c.id, [event["id"] for event in work.news]) & (events.c.state == "waiting")
        connection.execute(update(events).where(seen).values(state="dispatched"))
    return rows


def with_events(connection: Connection, taken: Sequence[RowMapping], work: Work) -> list[Claimed]:
    """Return the claimed runs with their events: what expires first, then what is due longest."""
    if not taken:
        return []
    query = with_metadata().where(among(connection, events.c.id, [row["event_id"] for row in taken]))
    found = {event["id"]: dict(event) for event in connection.execute(query).mappings()}
    return [
        Claimed(
            **{name: row[name] for name in ("id", "handler", "attempt", "token", "due_at", "order_key")},
            started_at=work.now,
            event=found[row["event_id"]],
        )
        for row in sorted(taken, key=_urgency)
    ]


def _urgency(row: RowMapping) -> tuple[float, float, str]:
    return math.inf if row["expires_at"] is None else row["expires_at"], row["due_at"], row["id"]


def finish(connection: Connection, finished: Sequence[Finished], now: float) -> list[Finished]:
    """Record how attempts ended; return those that came too late, which are not recorded."""
    if not finished:
        return []
    done = [item.run for item in finished if item.outcome == "done"]
    ours = set()
    if done:  # the usual end: all in one statement, which the tokens guard
        ids, claims = [run.id for run in done], [f"{run.id}:{run.token}" for run in done]
        claim = runs.c.id + ":" + cast(runs.c.token, Text)
        held = among(connection, runs.c.id, ids) & among(connection, claim, claims) & (runs.c.state == "running")
        ended = update(runs).where(held)
        values = {"state": "done", "finished_at": now, "lease_until": None, "error": None}
        ours = set((connection.execute(ended.values(values).returning(runs.c.id))).scalars())
    for item in finished:
        if item.outcome != "done":
            theirs = (runs.c.id == item.run.id) & (runs.c.token == item.run.token) & (runs.c.state == "running")
            if (connection.execute(update(runs).where(theirs).values(_ended(item, now)))).rowcount:
                ours.add(item.run.id)
    mine = [item for item in finished if item.run.id in ours]
    enter(connection, [job for item in mine if item.outcome == "done" for job in item.jobs], now)
    if mine:
        # Asked for something back, SQLAlchemy writes them in one statement.
        connection.execute(insert(attempts).returning(attempts.c.id), [_attempt_row(item) for item in mine])
    return [item for item in finished if item.run.id not in ours]


def change(
    connection: Connection,
    work: Work,
    finished: Sequence[Finished],
    wanted: Wanted,
    mine: dict[str, Any],
    upsert: Insert,
) -> tuple[list[Finished], list[RowMapping]]:
    """Record, claim and fan out; return the attempts that came too late, and the runs that are now ours.

    `mine` is what a claimed run is marked with.
    """
    lost = finish(connection, finished, work.now)
    work.more |= any(item.run.order_key for item in finished)
    taken = _claim(connection, work, mine)
    work.more |= len(taken) < len(work.due)  # another worker was quicker: there is more where that came from
    return lost, taken + _fan_out(connection, work, wanted, mine, upsert)


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


def _due(connection: Connection, handler: str, limit: int, now: float, *, urgent: bool) -> list[str]:
    """Return due runs of a handler: if `urgent` those that expire first, and then those due longest."""
    query = (
        select(runs.c.id)
        .where(runs.c.state == "waiting", runs.c.handler == handler, runs.c.due_at <= now, _first_of_its_key())
        .with_for_update(skip_locked=True)
    )
    longest = query.order_by(runs.c.due_at, runs.c.id)
    if not urgent:
        return list(connection.execute(longest.limit(limit)).scalars())
    first = query.where(runs.c.expires_at.is_not(None)).order_by(runs.c.expires_at).limit(limit)
    found = list(connection.execute(first).scalars())
    if len(found) < limit:
        # Those of unknown expiry come last: nothing says that they are in a hurry.
        rest = longest.where(runs.c.expires_at.is_(None)).limit(limit - len(found))
        found += connection.execute(rest).scalars()
    return found


#: What a worker is told of a run that it has claimed.
_TAKEN = (
    *(runs.c.id, runs.c.handler, runs.c.attempt, runs.c.token),
    *(runs.c.due_at, runs.c.expires_at, runs.c.event_id, runs.c.order_key),
)

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
        "error": storable(item.error),
        "lease_until": None,
    }


def _attempt_row(item: Finished) -> dict[str, Any]:
    return {
        "run_id": item.run.id,
        "handler": item.run.handler,
        "number": item.run.attempt,
        "outcome": item.outcome,
        "worker": None,
        "started_at": item.run.started_at,
        "finished_at": item.finished_at,
        "error": storable(item.error),
        "note": storable(item.note),
    }


def new_again(now: float) -> dict[str, Any]:
    """Return what makes a run that has ended as new, due at once. What went wrong stays in its attempts."""
    return {"state": "waiting", "due_at": now, "attempt": 0, "finished_at": None, "error": None}


def run_row(
    event_id: str, handler: str, order_key: str | None, now: float, *, expires_at: float | None
) -> dict[str, Any]:
    """Return the row of a new run, due at once."""
    return {
        "id": new_id("run"),
        "event_id": event_id,
        "handler": handler,
        "expires_at": expires_at,
        "order_key": order_key,
        "state": "waiting",
        "due_at": now,
        "created_at": now,
    }
