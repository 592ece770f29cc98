"""Events and jobs as people and handlers see them, from what the store holds."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from . import verdict
from .errors import Unreadable
from .events import Event, Reading, redact
from .sources import Source, wire
from .store import Job, Store


async def described(store: Store, job: Job, sources: Mapping[str, Source]) -> dict[str, Any]:
    """Return a job as the API and the commands tell it, with the outputs and the error of its end."""
    return (await all_described(store, [job], sources))[0]


async def all_described(store: Store, jobs: Sequence[Job], sources: Mapping[str, Source]) -> list[dict[str, Any]]:
    """Return jobs as `described` does, with one query for the ends of all."""
    ends = await store.events.some({job.event_id for job in jobs if job.event_id})
    return [_described(job, ends.get(job.event_id or ""), sources) for job in jobs]


def _described(job: Job, row: Mapping[str, Any] | None, sources: Mapping[str, Source]) -> dict[str, Any]:
    event = event_of(row, sources) if row else None
    error = {"message": job.error, "code": None, "reference": job.request_id} if job.error else None
    if event and event.error:
        error = {"message": event.error.message, "code": event.error.code, "reference": event.error.reference}
    return {
        **{name: getattr(job, name) for name in _TOLD},
        "parameters": redact(job.parameters),
        "metadata": job.metadata,
        "error": error,
        "outputs": [
            {name: getattr(output, name) for name in ("id", "type", "url", "expires_at", "size")}
            for output in (event.outputs if event else ())
        ],
    }


_TOLD = (
    *("id", "source", "tool", "job_id", "state", "status", "progress"),
    *("created_at", "submitted_at", "ended_at", "deadline_at", "due_at"),
    *("asked", "failures", "request_id", "event_id", "conflict", "run_id"),
)


def event_of(row: Mapping[str, Any], sources: Mapping[str, Source]) -> Event:
    """Return the event of a row of the store, read again by its source: what it means may be known better by now."""
    reading = _reading(row, sources.get(row["source"]))
    return Event(
        id=row["id"],
        source=row["source"],
        type=row["type"],
        kind=row["kind"],
        job_id=row["job_id"],
        tool=row["tool"],
        outputs=reading.outputs,
        error=reading.error,
        occurred_at=row["occurred_at"],
        received_at=row["received_at"],
        road=row["road"],
        data=reading.data,
        metadata=json.loads(row.get("metadata") or "{}"),
        body=row["body"],
    )


def _reading(row: Mapping[str, Any], source: Source | None) -> Reading:
    try:
        if row["type"] in verdict.VERDICTS and row["road"] != "webhook":
            return verdict.read(row["body"])
        if source is not None:
            return source.read(row["body"])
        return Reading(type=row["type"], data=wire.parse(row["body"]))
    except (Unreadable, ValueError, RecursionError):
        return Reading(type=row["type"])
