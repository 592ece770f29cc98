"""One turn of a worker with the store: what ended is recorded, new events are fanned out, due runs are claimed.

These functions do not wait: they run where the database says, a whole turn at once.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Select,
    Table,
    bindparam,
    exists,
    func,
    literal_column,
    not_,
    or_,
    select,
    text,
)

from ..ids import new_id
from .given import Statement
from .ledger import NewJob, Told, enter, hear, held, told
from .tables import attempts, events, is_news, news, pauses, runs
from .text import storable

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


class Mark(NamedTuple):
    """What a claimed run is marked with."""

    worker: str
    lease_until: float
    started_at: float


class Taken(NamedTuple):
    """A run that has just been claimed."""

    id: str
    handler: str
    attempt: int
    token: int
    due_at: float
    expires_at: float | None
    event_id: str
    order_key: str | None


@dataclass(slots=True, kw_only=True)
class Work:
    """What a turn finds to do, thought through: in the transaction nothing is left but to write it."""

    mark: Mark
    news: Sequence[Mapping[str, Any]]
    told: Told
    due: Sequence[str]  #: runs to claim
    made: Sequence[tuple[Any, ...]]  #: rows of new runs
    begun: Sequence[Taken]  #: those of them that are claimed at once
    next_due: float | None
    more: bool  #: whether the next look will find something at once


def _columns(table: Table, names: str) -> list[Column[Any]]:
    return [table.c[name] for name in names.split()]


_WAITING = (
    select(*(events.c[name] for name in _NEWS))
    .join(news, is_news)
    .order_by(news.c.event_id)
    .limit(BATCH)
    .with_for_update(of=news, skip_locked=True)
)

_PAUSED = select(pauses.c.handler)

_NEXT_DUE = select(func.min(runs.c.due_at)).where(
    runs.c.state == "waiting",
    runs.c.handler.in_(bindparam("handlers", expanding=True)),
    runs.c.due_at > bindparam("now"),
)


#: Whatever a turn looks for it finds by an index, in its order. PostgreSQL, which counted before the latest rows came,
#: would else read and sort a whole backlog for its first rows.
_OTHER_WAYS = ("seqscan", "bitmapscan", "sort", "mergejoin", "hashjoin")
_BY_INDEX = text("SELECT " + ", ".join(f"set_config('enable_{way}', 'off', true)" for way in _OTHER_WAYS))


def look(
    connection: Connection, mark: Mark, free: Mapping[str, int], captures: Collection[str], wanted: Wanted
) -> Work:
    """Find what there is to do. PostgreSQL locks it for us, and passes over what others have locked."""
    now = mark.started_at
    if connection.dialect.name == "postgresql":
        connection.execute(_BY_INDEX)
    early = held(connection, now)
    rows = connection.execute(_WAITING if early is None else _WAITING.where(not_(early))).all()
    found = [dict(zip(_NEWS, row, strict=True)) for row in rows]
    paused = set(connection.execute(_PAUSED).scalars())
    open_for = {handler: limit for handler, limit in free.items() if handler not in paused}
    due: list[str] = []
    left: dict[str, int] = {}
    for handler, limit in open_for.items():
        ready = _due(connection, handler, limit, now, urgent=handler in captures) if limit > 0 else []
        due += ready
        left[handler] = limit - len(ready)
    next_due = connection.execute(_NEXT_DUE, {"handlers": list(open_for), "now": now}).scalar_one_or_none()
    made, begun = _new_runs(found, left, captures, wanted, mark)
    ordered = any(row[_ORDER_KEY] is not None for row in made)
    return Work(
        mark=mark,
        news=found,
        told=told(found, now),
        due=due,
        made=made,
        begun=begun,
        next_due=next_due,
        more=ordered or len(found) == BATCH,
    )


#: The mark of a run that waits.
_NOBODY: tuple[None, None, None] = (None, None, None)

_MADE = "id event_id handler order_key state attempt token due_at expires_at created_at worker lease_until started_at"
_EVENT_ID, _ORDER_KEY = (_MADE.split().index(name) for name in ("event_id", "order_key"))


def _new_runs(
    news: Sequence[Mapping[str, Any]], left: dict[str, int], captures: Collection[str], wanted: Wanted, mark: Mark
) -> tuple[list[tuple[Any, ...]], list[Taken]]:
    """Return the rows of the runs of new events, and those among them that there is room for, to be claimed at once."""
    now = mark.started_at
    made: list[tuple[Any, ...]] = []
    begun: list[Taken] = []
    for event in news:
        for name, key in wanted(event).items():
            expires_at = event["expires_at"] if name in captures else None
            at_once = key is None and left.get(name, 0) > 0
            state, tries, marked = ("running", 1, mark) if at_once else ("waiting", 0, _NOBODY)
            run = Taken(new_id("run"), name, 1, 1, now, expires_at, event["id"], key)
            if at_once:
                left[name] -= 1
                begun.append(run)
            made.append((run.id, run.event_id, name, key, state, tries, tries, now, expires_at, now, *marked))
    return made, begun


_CLAIM = Statement(
    f"""
    UPDATE runs SET state = 'running', token = runs.token + 1, attempt = runs.attempt + 1,
    worker = given.worker, lease_until = given.lease_until, started_at = given.started_at
    FROM given WHERE runs.id = given.id AND runs.state = 'waiting'
    RETURNING {", ".join(f"runs.{name}" for name in Taken._fields)}
    """,  # noqa: S608 - names of our own
    _columns(runs, "id worker lease_until started_at"),
)


def _claim(connection: Connection, work: Work) -> list[Taken]:
    if not work.due:
        return []
    return [Taken._make(row) for row in _CLAIM(connection, [(due, *work.mark) for due in work.due])]


_MAKE = Statement(
    f"INSERT INTO runs ({', '.join(_MADE.split())}) SELECT * FROM given WHERE true "  # noqa: S608 - names of our own
    "ON CONFLICT DO NOTHING RETURNING id",
    _columns(runs, _MADE),
)

_SEEN = Statement(
    "DELETE FROM news WHERE event_id IN (SELECT event_id FROM given)",
    _columns(news, "event_id"),
)


def _fan_out(connection: Connection, work: Work) -> list[Taken]:
    """Make the runs of new events; return those that are claimed at once."""
    if not work.news:
        return []
    contradictions = hear(connection, work.told, work.mark.started_at)
    made = [row for row in work.made if row[_EVENT_ID] not in contradictions] if contradictions else work.made
    # Of two workers that saw the same events, one makes the runs, and gets them.
    new = set(_MAKE(connection, made).scalars().all()) if made else set()
    _SEEN(connection, [(event["id"],) for event in work.news])
    return [run for run in work.begun if run.id in new]


#: What is read of a claimed run's event.
_READ = (*(column.name for column in events.c if column is not events.c.state), "metadata")

_EVENTS = Statement(
    f"""
    SELECT {", ".join(f"events.{name}" for name in _READ[:-1])}, jobs.metadata
    FROM given JOIN events ON events.id = given.id
    LEFT JOIN jobs ON jobs.source = events.source AND jobs.job_id = events.job_id
    """,  # noqa: S608 - names of our own
    _columns(events, "id"),
)


def with_events(connection: Connection, taken: Sequence[Taken], work: Work) -> list[Claimed]:
    """Return the claimed runs with their events: what expires first, then what is due longest."""
    if not taken:
        return []
    rows = _EVENTS(connection, [(event_id,) for event_id in {run.event_id for run in taken}]).all()
    found = {row[0]: dict(zip(_READ, row, strict=True)) for row in rows}
    return [
        Claimed(
            id=run.id,
            handler=run.handler,
            attempt=run.attempt,
            token=run.token,
            order_key=run.order_key,
            due_at=run.due_at,
            started_at=work.mark.started_at,
            event=found[run.event_id],
        )
        for run in sorted(taken, key=_urgency)
    ]


def _urgency(run: Taken) -> tuple[float, float, str]:
    return math.inf if run.expires_at is None else run.expires_at, run.due_at, run.id


# The token proves that the run is still ours.
_FINISH = Statement(
    """
    UPDATE runs SET state = given.state, due_at = given.due_at, finished_at = given.finished_at, error = given.error,
    lease_until = NULL
    FROM given WHERE runs.id = given.id AND runs.token = given.token AND runs.state = 'running'
    RETURNING runs.id
    """,
    _columns(runs, "id token state due_at finished_at error"),
)

_RECORDED = "run_id handler number outcome started_at finished_at error note"
_RECORD = Statement(
    f"INSERT INTO attempts ({', '.join(_RECORDED.split())}) SELECT * FROM given",  # noqa: S608 - names of our own
    _columns(attempts, _RECORDED),
)


def finish(connection: Connection, finished: Sequence[Finished], now: float) -> list[Finished]:
    """Record how attempts ended; return those that came too late, which are not recorded."""
    if not finished:
        return []
    ours = set(_FINISH(connection, [_ended(item, now) for item in finished]).scalars().all())
    mine = [item for item in finished if item.run.id in ours]
    enter(connection, [job for item in mine if item.outcome == "done" for job in item.jobs], now)
    if mine:
        _RECORD(connection, [_attempt(item) for item in mine])
    return [item for item in finished if item.run.id not in ours]


def change(connection: Connection, work: Work, finished: Sequence[Finished]) -> tuple[list[Finished], list[Taken]]:
    """Record, claim and fan out; return the attempts that came too late, and the runs that are now ours."""
    lost = finish(connection, finished, work.mark.started_at)
    work.more |= any(item.run.order_key for item in finished)
    taken = _claim(connection, work)
    work.more |= len(taken) < len(work.due)  # another worker was quicker: there is more where that came from
    return lost, taken + _fan_out(connection, work)


def _first_of_its_key() -> ColumnElement[bool]:
    """Whether no earlier event of the same key has still to be handled: by its id, as workers' clocks may differ."""
    run = runs.alias()
    unfinished = exists().where(
        run.c.handler == runs.c.handler,
        run.c.order_key == runs.c.order_key,
        run.c.finished_at.is_(None),
        run.c.event_id < runs.c.event_id,
    )
    # Another worker may be about to make its run.
    unseen = exists().where(
        events.c.job_id == runs.c.order_key,
        events.c.id < runs.c.event_id,
        news.c.event_id == events.c.id.concat(""),  # the events of the key first: the news may be many
    )
    return or_(runs.c.order_key.is_(None), not_(unfinished) & not_(unseen))


def _ready(due_at: ColumnElement[float]) -> Select[str]:
    """Return the query for some runs of a handler that can begin."""
    mine = (runs.c.state == "waiting") & (runs.c.handler == bindparam("handler"))
    query = select(runs.c.id).where(mine, due_at <= bindparam("now"), _first_of_its_key())
    return query.limit(bindparam("limit")).with_for_update(skip_locked=True)


_LONGEST = _ready(runs.c.due_at).order_by(runs.c.due_at, runs.c.id)
_NOT_EXPIRING = _LONGEST.where(runs.c.expires_at.is_(None))
# By the index of what expires: by that of due times SQLite would read and sort a whole backlog.
_EXPIRING = (
    _ready(runs.c.due_at + literal_column("0")).where(runs.c.expires_at.is_not(None)).order_by(runs.c.expires_at)
)


def _due(connection: Connection, handler: str, limit: int, now: float, *, urgent: bool) -> list[str]:
    """Return due runs of a handler: if `urgent` those that expire first, and then those due longest."""
    mine = {"handler": handler, "now": now}
    if not urgent:
        return list(connection.execute(_LONGEST, mine | {"limit": limit}).scalars())
    found = list(connection.execute(_EXPIRING, mine | {"limit": limit}).scalars())
    if len(found) < limit:
        # Those of unknown expiry come last: nothing says that they are in a hurry.
        found += connection.execute(_NOT_EXPIRING, mine | {"limit": limit - len(found)}).scalars()
    return found


def _ended(item: Finished, now: float) -> tuple[Any, ...]:
    again = item.outcome == "retry"
    return (
        item.run.id,
        item.run.token,
        "waiting" if again else item.outcome,
        now + (item.wait or 0) if again else item.run.due_at,
        None if again else now,
        storable(item.error),
    )


def _attempt(item: Finished) -> tuple[Any, ...]:
    run = item.run
    texts = storable(item.error), storable(item.note)
    return run.id, run.handler, run.attempt, item.outcome, run.started_at, item.finished_at, *texts


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
