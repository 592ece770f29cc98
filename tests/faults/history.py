"""The history checker: what the sender was told and what handlers did, held against what the store has.

The rules, whatever the fault and whatever the speed:

- what was answered 200 is stored, as it was sent, under the id that was told, and once;
- nothing else is answered than 200 and 503 with `Retry-After`;
- what was stored once stays stored, and a run that ended never moves again;
- nothing is handled before it is stored: who handles it sees it over a connection of its own;
- a job that ended never moves again: of two ends that were told one counts, and the other is set aside;
- a step under `context.once` happens at most once, and is on record if it did;
- in the end each event has its run, and all runs are done, failed or waiting for a later time; none is stuck.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from receiver.store.alarms import OURSELVES
from receiver.store.ledger import ENDS

from .databases import ask
from .deliveries import body

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a history comes to. It holds if there are no violations."""

    acked: int  #: deliveries answered 200
    refused: int  #: answers 503
    stored: int  #: events
    lost: int  #: deliveries answered 200 that are no event
    doubled: int  #: events with more than one effect
    taken_over: int  #: attempts that ended because their worker's lease did
    violations: tuple[str, ...]

    def with_violations(self, more: Sequence[str]) -> "Verdict":
        """Return this with further violations."""
        return replace(self, violations=(*self.violations, *more))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What is in the store."""

    events: Mapping[str, Row]
    runs: Mapping[str, Row]
    attempts: Mapping[str, Sequence[Row]]  #: by run, in order
    steps: Mapping[str, Row]  #: by run; only steps named `effect`
    jobs: Mapping[str, Row]  #: by the provider's id
    damage: Sequence[str] = ()  #: what the engine's own check of its files found


@dataclass(slots=True)
class Watch:
    """Looks at the store now and then: what was there stays there, what has ended stays ended."""

    events: set[str] = field(default_factory=set)
    ended: dict[str, tuple[object, ...]] = field(default_factory=dict)  #: runs and jobs, e.g. `"run run_…"`
    violations: list[str] = field(default_factory=list)

    def look(self, url: str) -> None:
        """Compare what the store has now with what it had before."""
        events = {row[0] for row in ask(url, "SELECT id FROM events")}
        runs = ask(url, "SELECT id, state, finished_at FROM runs WHERE finished_at IS NOT NULL")
        jobs = ask(url, "SELECT job_id, state, ended_at, event_id FROM jobs WHERE ended_at IS NOT NULL")
        kinds = {"run": runs, "job": jobs}
        self.compare(events, {f"{kind} {id}": tuple(end) for kind, rows in kinds.items() for id, *end in rows})

    def compare(self, events: set[str], ended: dict[str, tuple[object, ...]]) -> None:
        """Compare this with what was there before."""
        self.violations += [f"event {id} was stored and is gone" for id in self.events - events]
        self.violations += [
            f"{what} had ended {before} and is now {ended.get(what)}"
            for what, before in self.ended.items()
            if ended.get(what) != before
        ]
        self.events, self.ended = events, ended


def stored(url: str) -> Stored:
    """Return what is in the store. Call it when nothing writes any more."""
    attempts = defaultdict(list)
    for row in _rows(url, "attempts", "run_id number outcome started_at finished_at", order="id"):
        attempts[row["run_id"]].append(row)
    steps = _rows(url, "steps", "run_id key begun_at done_at")
    events = _by_id(_rows(url, "events", "id source state kind job_id message_id received_at body"))
    for (new,) in ask(url, "SELECT event_id FROM news"):
        events[new]["state"] = "waiting"
    return Stored(
        events=events,
        runs=_by_id(_rows(url, "runs", "id event_id handler state attempt due_at finished_at lease_until")),
        attempts=attempts,
        steps={row["run_id"]: row for row in steps if row["key"] == "effect"},
        jobs={row["job_id"]: row for row in _rows(url, "jobs", "job_id state event_id")},
        damage=[row[0] for row in ask(url, "PRAGMA integrity_check") if row[0] != "ok"] if "sqlite" in url else (),
    )


def lines(path: Path) -> list[Row]:
    """Return the JSON lines of a log; none if it was never begun."""
    # What follows the last newline is still being written.
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]] if path.exists() else []


def judge(there: Stored, sent: Sequence[Row], effects: Sequence[Row], *, now: float) -> Verdict:
    """Hold the log of the sender and that of the handlers against the store."""
    by_message = {row["message_id"]: row for row in there.events.values()}
    acked = {row["message"]: row for row in sent if row["status"] == 200}
    lost = [message for message in acked if message not in by_message]
    counted = Counter(row["event"] for row in effects if row["what"] == "effect")
    doubled = [event for event, times in counted.items() if times > 1]
    violations = [
        *(f"{message} was answered 200 and is not stored" for message in lost),
        *(f"{event} had its effect {counted[event]} times" for event in doubled),
        *(f"the database is damaged: {text}" for text in there.damage),
        *_answers(sent, by_message),
        *_events(there, sent),
        *_handled(there, effects),
        *_fanned_out(there),
        *_jobs(there),
        *_runs(there, now),
        *_steps(there, counted),
    ]
    return Verdict(
        acked=len(acked),
        refused=sum(row["status"] == 503 for row in sent),
        stored=len(there.events),
        lost=len(lost),
        doubled=len(doubled),
        taken_over=sum(row["outcome"] == "lost" for rows in there.attempts.values() for row in rows),
        violations=tuple(violations),
    )


def _answers(sent: Sequence[Row], by_message: Mapping[str, Row]) -> Iterator[str]:
    for row in sent:
        match row["status"]:
            case None:
                continue  # no answer: nothing was promised
            case 200:
                event = by_message.get(row["message"])
                if event and row["told"]["event"] != event["id"]:
                    yield f"{row['message']} is {event['id']}, and the sender was told {row['told']['event']}"
            case 503:
                if not row["retry_after"]:
                    yield f"{row['message']} was answered 503 without Retry-After"
            case status:
                yield f"{row['message']} was answered {status}"


def _events(there: Stored, sent: Sequence[Row]) -> Iterator[str]:
    numbers = {row["message"]: row["number"] for row in sent}
    for event in there.events.values():
        if event["source"] == OURSELVES:
            pass  # a backlog that grew old on the way is told as an event of our own
        elif event["message_id"] not in numbers:
            yield f"{event['id']} was never sent"
        elif bytes(event["body"]) != body(numbers[event["message_id"]]):
            yield f"{event['id']} is not what was sent"


def _fanned_out(there: Stored) -> Iterator[str]:
    handled = {run["event_id"] for run in there.runs.values() if run["handler"] == "effect"}
    for id, event in there.events.items():
        if event["state"] == "waiting":
            yield f"{id} was never fanned out"
        elif event["state"] == "conflicting" and id in handled:
            yield f"{id} contradicts what was told before, and has a run"
        elif event["state"] != "conflicting" and id not in handled:
            yield f"{id} is {event['state'] or 'dispatched'} and has no run"


def _jobs(there: Stored) -> Iterator[str]:
    told = {row["event_id"]: row for row in there.jobs.values()}
    for id, event in there.events.items():
        job = there.jobs.get(event["job_id"])
        if event["source"] == OURSELVES or event["state"] == "waiting":
            continue
        if job is None or job["event_id"] not in there.events:
            yield f"{id} tells the end of {event['job_id']}, which has none on record"
        elif event["state"] is None and (id not in told or ENDS[event["kind"]] != job["state"]):
            yield f"{id} was taken for the end of {event['job_id']}, which is {job['state']} by {job['event_id']}"
        elif event["state"] == "conflicting" and ENDS[event["kind"]] == job["state"]:
            yield f"{id} was set aside, and {event['job_id']} is {job['state']}"


def _handled(there: Stored, effects: Sequence[Row]) -> Iterator[str]:
    if effects and not any(row.get("stored") for row in effects):
        yield "no handler could look up what it handled"
    for row in effects:
        if row.get("stored") is False:
            yield f"{row['event']} was handled before it was stored"
        if row["event"] not in there.events:
            yield f"{row['event']} was handled and is not stored"
        elif there.events[row["event"]]["source"] == OURSELVES:
            pass  # by a worker's clock, which may be what the fault is about
        elif row["at"] < there.events[row["event"]]["received_at"]:
            yield f"{row['event']} was handled before it was received"


def _runs(there: Stored, now: float) -> Iterator[str]:
    for run in there.runs.values():
        outcomes = [row["outcome"] for row in there.attempts.get(run["id"], ())]
        ends = [number for number, outcome in enumerate(outcomes, 1) if outcome in ("done", "failed")]
        if run["state"] == "running":
            yield f"run {run['id']} is stuck running"
        elif run["state"] == "waiting" and run["due_at"] <= now:
            yield f"run {run['id']} is due and nobody runs it"
        if len(ends) > 1 or (ends and ends[0] != len(outcomes)):
            yield f"run {run['id']} went on after its end: {', '.join(outcomes)}"
        if run["state"] == "done" and outcomes[-1:] != ["done"]:
            yield f"run {run['id']} is done without an attempt that was"


def _steps(there: Stored, counted: Mapping[str, int]) -> Iterator[str]:
    for run in there.runs.values():
        if run["handler"] != "effect":
            continue
        step, times = there.steps.get(run["id"]), counted.get(run["event_id"], 0)
        if step is None and (times or run["state"] == "done"):
            yield f"run {run['id']} is {run['state']} with {times} effects and no step on record"
        elif step and step["done_at"] and not times:
            yield f"run {run['id']} has its step done on record, and there was no effect"


def _rows(url: str, table: str, columns: str, *, order: str = "1") -> list[Row]:
    names = columns.split()
    found = ask(url, f"SELECT {', '.join(names)} FROM {table} ORDER BY {order}")
    return [dict(zip(names, row, strict=True)) for row in found]


def _by_id(rows: Sequence[Row]) -> dict[str, Row]:
    return {row["id"]: row for row in rows}
