"""Events and jobs as people and handlers see them, from what the store holds."""

import json
import math
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from . import verdict
from .errors import Unreadable
from .events import Event, Reading, redact
from .logs import scrub
from .sources import Source, wire
from .store import Job, Reported, Store, headers_of, reached, total
from .usual import Usual, is_overdue


async def described(store: Store, job: Job, sources: Mapping[str, Source], usual: Usual) -> dict[str, Any]:
    """Return a job as the API and the commands tell it, with the outputs and the error of its end."""
    return (await all_described(store, [job], sources, usual))[0]


async def all_described(
    store: Store, jobs: Sequence[Job], sources: Mapping[str, Source], usual: Usual
) -> list[dict[str, Any]]:
    """Return jobs as `described` does, with one query for the ends of all."""
    ends = await store.events.some({job.event_id for job in jobs if job.event_id})
    seconds, now = await usual.of(jobs), time.time()
    return [
        {
            **_described(job, ends.get(job.event_id or ""), sources),
            "usual": seconds[job.source, job.tool],
            "overdue": is_overdue(job, seconds[job.source, job.tool], now),
        }
        for job in jobs
    ]


def _described(job: Job, row: Mapping[str, Any] | None, sources: Mapping[str, Source]) -> dict[str, Any]:
    event = event_of(row, sources) if row else None
    error = {"message": job.error, "code": None, "reference": job.request_id} if job.error else None
    if event and event.error:
        error = {"message": event.error.message, "code": event.error.code, "reference": event.error.reference}
    return {
        **{name: getattr(job, name) for name in _TOLD},
        "parameters": safe(job.parameters),
        "metadata": hidden(job.metadata),
        "error": safe(error),
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
        metadata={} if row.get("metadata") in _NO_METADATA else json.loads(row["metadata"]),
        body=row["body"],
    )


_NO_METADATA = (None, "", "{}")


def _reading(row: Mapping[str, Any], source: Source | None) -> Reading:
    try:
        if row["type"] in verdict.VERDICTS and row["road"] != "webhook":
            return verdict.read(row["body"])
        if source is not None:
            return source.read(row["body"])
        return Reading(type=row["type"], data=wire.parse(row["body"]))
    except (Unreadable, ValueError, RecursionError):
        return Reading(type=row["type"])


def event_told(row: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return an event as the API and the commands tell it, with its runs."""
    event = {name: value for name, value in row.items() if name not in ("headers", "body")}
    runs: dict[str, dict[str, Any]] = {}
    for one in history:
        run = runs.setdefault(one["id"], {name: one[name] for name in _RUN} | {"attempts": []})
        if one["number"] is not None:
            run["attempts"].append(
                {
                    **{name: one[name] for name in ("number", "outcome", "note")},
                    "started_at": one["attempt_started_at"],
                    "finished_at": one["attempt_finished_at"],
                    "error": one["attempt_error"],
                }
            )
    told = safe({**event, "runs": list(runs.values())})
    return {**told, "headers": headers_told(row["headers"]), "data": data_of(row["body"])}


_RUN = ("id", "handler", "state", "attempt", "due_at", "paused", "behind", "error")


def attempts_told(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Return the attempts of a run as the API and the commands tell them."""
    names = ("number", "outcome", "started_at", "finished_at", "error", "note")
    return safe([{name: row[name] for name in names} for row in rows])


def refusal_told(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a delivery that made no event as the API and the commands tell it."""
    told = {name: value for name, value in row.items() if name not in ("headers", "body")}
    return {**safe(told), "headers": headers_told(row["headers"]), "data": data_of(row["body"])}


def data_of(body: bytes) -> Any:
    """Return the JSON of a body without secrets and signatures; of one that cannot be read its beginning."""
    try:
        return safe(json.loads(body, parse_constant=str))
    except (ValueError, RecursionError):
        return {"unreadable": safe(body[:4096].decode("utf-8", "backslashreplace")), "bytes": len(body)}


def headers_told(text: str) -> dict[str, str]:
    """Return stored headers by name, without the values of those that prove who sent them."""
    return {name: HIDDEN if _SECRET.search(name) else safe(value) for name, value in headers_of(text).items()}


def safe(data: Any) -> Any:
    """Return JSON data that may be shown: no URL keeps its query, and nothing is told that opens a door."""
    return hidden(redact(data))


def hidden(data: Any) -> Any:
    """Return JSON data without what looks like a secret, and without the values of the keys that name one."""
    if isinstance(data, Mapping):
        return {key: HIDDEN if _tells(str(key), value) else hidden(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [hidden(value) for value in data]
    return scrub(data) if isinstance(data, str) else data


def _tells(key: str, value: Any) -> bool:
    if value is None or isinstance(value, bool) or not _SECRET.search(key):
        return False
    # How many tokens a model used is a number, and no secret.
    return not (isinstance(value, int | float) and key.lower().endswith("tokens"))


#: What is shown instead of a secret.
HIDDEN = "[hidden]"

#: Headers and keys of JSON whose values open a door.
_SECRET = re.compile(r"(?i)(authorization|cookie|secret|password|signature|token)s?$|api[-_]?key")


async def endpoints_told(store: Store) -> list[dict[str, Any]]:
    """Return the registered webhooks as the API and the commands tell them."""
    secrets = {(one.source, one.endpoint_id): one.last4 for one in await store.endpoints.secrets()}
    heard = await store.endpoints.last_heard()
    return [
        {
            **{name: getattr(one, name) for name in ("id", "source", "description", "created_at")},
            **{name: getattr(one, name) for name in ("compared_at", "drift", "drift_text", "drifted_at")},
            "url": redact(one.url),
            "events": list(one.events),
            "secret_last4": secrets.get((one.source, one.id)),
            "heard_at": heard.get(one.source),
        }
        for one in await store.endpoints.live()
    ]


async def handlers_told(store: Store, also: Sequence[Reported] = ()) -> list[dict[str, Any]]:
    """Return the handlers as the API and the commands tell them, `also` those that are found somewhere else."""
    counts = await store.tally.over(since=time.time() - 3540, step=60)
    hour: dict[str, Counter[str]] = {}
    for count in counts:
        for name, outcomes in count.attempts.items():
            hour.setdefault(name, Counter()).update(outcomes)
    return [{**row, "last_hour": dict(hour.get(row["name"], {}))} for row in await store.handlers.list(also)]


def seconds_told(times: Mapping[float, int]) -> dict[str, float | None] | None:
    """Return up to how many seconds half, 95 % and 99 % took, None for what took longer than is told apart.

    None of nothing.
    """
    found = {f"p{share}": reached(times, share) for share in (50, 95, 99)} if times else None
    return found and {name: None if upto == math.inf else upto for name, upto in found.items()}


async def stats_told(store: Store, *, since: float, step: float) -> dict[str, Any]:
    """Return how it goes, with the counts of each span of `step` seconds since then."""
    left = await store.backlog.left()
    counts = await store.tally.over(since=since, step=step)
    jobs: dict[str, dict[str, int]] = {}
    for (source, state), number in left.open_jobs.items():
        jobs.setdefault(source, {})[state] = number
    return {
        "backlog_age": max([left.event_age, *(age for _, age in left.waiting.values())]),
        "waiting": {handler: number for handler, (number, _) in left.waiting.items()},
        "running": left.running,
        "open_jobs": jobs,
        "recovered": left.recovered,
        "heard": await store.endpoints.last_heard(),
        "ack_seconds": seconds_told(total(count.acks for count in counts)),
        "attempt_seconds": seconds_told(total(count.times for count in counts)),
        "counts": [
            {
                **{name: getattr(count, name) for name in ("at", "events", "duplicates", "refused", "refusals")},
                **{outcome: count.ended(outcome) for outcome in ("done", "retry", "failed", "lost")},
                "ack_seconds": seconds_told(count.acks),
                "attempt_seconds": seconds_told(count.times),
            }
            for count in counts
        ],
    }
