"""The job ledger, as far as a worker's turn with the store touches it: jobs that end, begin, or are about to be known.

These functions do not wait: they run inside the turn's transaction.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, exists, insert, select, tuple_, update

from ..ids import new_id
from .given import Statement
from .tables import events, jobs

#: How each kind of event leaves its job.
ENDS = {"job.succeeded": "succeeded", "job.failed": "failed", "job.cancelled": "cancelled"}

#: Seconds for which an event of a job that nobody knows waits while a submission is on its way: it may be that
#: job's, and its handlers want the metadata. Longer than a call to a provider may take.
HOLD = 70.0

#: Seconds after which a job has failed if its end was never told.
DEADLINE = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job to be submitted; with a `job_id`, one that its provider has already."""

    id: str = field(default_factory=lambda: new_id("job"))
    source: str
    tool: str | None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    job_id: str | None = None
    run_id: str | None = None  #: the run whose handler submits it
    trace: str | None = None  #: that run's span, as a traceparent
    deadline: float = DEADLINE  #: seconds


def enter(connection: Connection, new: Sequence[NewJob], now: float) -> None:
    """Write new jobs, due at once."""
    if new:
        connection.execute(insert(jobs), [job_row(job, now) for job in new])


def job_row(job: NewJob, now: float) -> dict[str, Any]:
    """Return the row of a new job."""
    return {
        "id": job.id,
        "source": job.source,
        "tool": job.tool,
        "job_id": job.job_id,
        "state": "submitted" if job.job_id else "waiting",
        "parameters": json.dumps(dict(job.parameters)),
        "metadata": json.dumps(dict(job.metadata)),
        "run_id": job.run_id,
        "trace": job.trace,
        "created_at": now,
        "deadline_at": now + job.deadline,
        "due_at": now,
    }


def held(connection: Connection, now: float) -> ColumnElement[bool] | None:
    """Return which new events wait for a submission that is on its way; None, as usual, if none is."""
    sources = list(connection.execute(_SENDING).scalars())
    if not sources:
        return None
    known = exists().where(jobs.c.source == events.c.source, jobs.c.job_id == events.c.job_id)
    return and_(events.c.source.in_(sources), events.c.kind.is_not(None), events.c.received_at > now - HOLD, ~known)


class Told(NamedTuple):
    """What new events tell of jobs: those events, in the order of the jobs, and a row for each job."""

    events: Sequence[Mapping[str, Any]]
    rows: Sequence[tuple[Any, ...]]


def told(news: Sequence[Mapping[str, Any]], now: float) -> Told:
    """Return what these events tell of jobs."""
    ends = sorted((event for event in news if event["kind"] and event["job_id"]), key=_job_of)
    first: dict[tuple[str, str], Mapping[str, Any]] = {}
    for event in ends:
        first.setdefault(_job_of(event), event)
    return Told(ends, [_heard_row(event, now) for event in first.values()])


def hear(connection: Connection, told: Told, now: float) -> set[str]:
    """Let jobs end as new events say. Return the ids of those events that tell another end than was told before.

    A job that nobody here submitted appears with this. One that has ended stays as it is.
    """
    if not told.rows:
        return set()
    moved = set(_HEARD(connection, told.rows).scalars().all())
    others = [event for event in told.events if event["id"] not in moved]
    return _contradictions(connection, others, now) if others else set()


def _contradictions(connection: Connection, told: Sequence[Mapping[str, Any]], now: float) -> set[str]:
    query = select(jobs.c.source, jobs.c.job_id, jobs.c.id, jobs.c.state, jobs.c.event_id).where(
        tuple_(jobs.c.source, jobs.c.job_id).in_([_job_of(event) for event in told])
    )
    ended = {(row["source"], row["job_id"]): row for row in connection.execute(query).mappings()}
    found = set()
    for event in told:
        job = ended[_job_of(event)]
        if ENDS[event["kind"]] != job["state"]:
            found.add(event["id"])
            mine = and_(jobs.c.id == job["id"], jobs.c.conflict.is_(None))
            # Its provider is asked who is right. The job stays as it is in any case.
            again = {"conflict": f"{ENDS[event['kind']]} by {event['id']}", "due_at": now}
            connection.execute(update(jobs).where(mine).values(again))
        elif job["event_id"] is None:
            connection.execute(update(jobs).where(jobs.c.id == job["id"]).values(event_id=event["id"]))
    if found:
        connection.execute(update(events).where(events.c.id.in_(found)).values(state="conflicting"))
    return found


def _job_of(event: Mapping[str, Any]) -> tuple[str, str]:
    return event["source"], event["job_id"]


def _heard_row(event: Mapping[str, Any], now: float) -> tuple[Any, ...]:
    state = ENDS[event["kind"]]
    progress = 100.0 if state == "succeeded" else None
    return new_id("job"), event["source"], event["tool"], event["job_id"], state, progress, now, now, event["id"]


_HEARD_COLUMNS = ("id", "source", "tool", "job_id", "state", "progress", "created_at", "ended_at", "event_id")

#: What a job has of the event that ends it, or has no more.
_AFRESH = ("state", "ended_at", "event_id", "progress", "due_at", "worker", "lease_until", "error", "failures")

#: Jobs end, or appear with their end, in the order given: else two workers might wait for each other.
_HEARD = Statement(
    f"""
    INSERT INTO jobs ({", ".join(_HEARD_COLUMNS)}) SELECT * FROM given WHERE true
    ON CONFLICT (source, job_id) DO UPDATE
    SET {", ".join(f"{name} = excluded.{name}" for name in _AFRESH)}, token = jobs.token + 1
    WHERE jobs.ended_at IS NULL
    RETURNING event_id
    """,  # noqa: S608 - names of our own
    [jobs.c[name] for name in _HEARD_COLUMNS],
)

#: Sources with submissions on their way.
_SENDING = select(jobs.c.source).distinct().where(jobs.c.ended_at.is_(None), jobs.c.state.in_(("sending", "uncertain")))
