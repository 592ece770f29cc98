"""The tracker: sends jobs off, asks providers how they stand, and lets their ends come in as ordinary events.

It asks once for everybody, so no handler ever polls. What a webhook tells is not asked for, unless it is overdue.
"""

import asyncio
import json
import random
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import httpx
import structlog

from . import meters, schedule, verdict
from .errors import BadParameters, ConfigError, ProviderError, ReceiverError, Unavailable
from .events import Reading
from .logs import scrub
from .settings import Settings
from .sources import Answer, Client, HintingSource, Source, Tool, find_tool
from .store import Arrival, Change, Job, NewJob, Store
from .store.ledger import DEADLINE
from .tracing import Tracing

log = structlog.get_logger(__name__)

#: Seconds between two looks at the ledger when nothing wakes us; jittered.
POLL = 0.5

#: Calls to one provider at once, from one worker.
CALLS = 64

#: Seconds for which a claimed job is ours. Longer than a call may take: a sending that was not recorded is not
#: sent again, so it must not be taken for one.
LEASE = 90.0

#: Refusals that say nothing about the job: the key, a time-out, a conflict, too early, too many.
_NOT_THE_JOB = (401, 408, 409, 425, 429)

#: Seconds until we look again for a sending whose outcome is unknown, times the looks so far; and the seconds after
#: it that a list must not have it for it to count as not taken.
LOOK_AGAIN, NOT_TAKEN = 10.0, 100.0

#: Answers in a row that say a job does not exist before it counts as lost: it may not be visible yet.
UNKNOWN = 6

#: The status of a job of which the last answer said so.
NOT_FOUND = "not found"

#: What came of a question, by the status of a provider's error; of any other, "failed".
_OUTCOMES = {404: "unknown-job", 429: "limited"}

#: Longest text of trouble that is kept with a job.
_LONGEST = 1000

Values = dict[str, Any]


class Tracker:
    """Looks after all open jobs until `stop`. One per worker process; they share the jobs by leases."""

    def __init__(
        self,
        *,
        store: Store,
        sources: Mapping[str, Source],
        settings: Settings,
        http: httpx.AsyncClient,
        worker: str,
        told: Callable[[], None] = lambda: None,
        tracing: Tracing | None = None,
        roll: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._sources = {
            name: source for name, source in sources.items() if source.tools or isinstance(source, HintingSource)
        }
        self._settings = settings
        self._http = http
        self._worker = worker
        self._told = told
        self._tracing = tracing
        self._roll = roll
        self._clients: dict[str, Client | None] = {}
        self._busy: dict[str, set[asyncio.Task[None]]] = {name: set() for name in self._sources}
        self._rests: dict[str, float] = {}  # until when a provider is left alone, by the store's clock
        self._usual: dict[tuple[str, str | None], tuple[float, float]] = {}  # seconds, and when that was learnt
        self._changes: list[Change] = []
        self._wakened = asyncio.Event()
        self._stopping = False
        self._clock = (0.0, time.monotonic())  # the store's at the last turn, and ours then

    @property
    def _now(self) -> float:
        """The store's clock, by which all times in the ledger are."""
        told, at = self._clock
        return told + time.monotonic() - at

    def wake(self) -> None:
        """Look at the ledger now: something new is there."""
        self._wakened.set()

    def stop(self) -> None:
        """Claim nothing more; `run` ends when what is on its way is recorded."""
        self._stopping = True
        self._wakened.set()

    async def run(self) -> None:
        """Look after jobs until `stop`."""
        try:
            while not self._stopping:
                self._wakened.clear()
                await self._pause(await self._turn())
        finally:
            await self._drain()

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._wakened.wait()
        except TimeoutError:
            pass

    async def _turn(self) -> float:
        """Do one turn with the ledger and start what was claimed. Return how long to rest."""
        changes, self._changes = self._changes, []
        room = self._room()
        if not changes and not any(self._client(name) for name in self._sources):
            return POLL  # no provider has a key here: its jobs wait for a worker that has
        try:
            turn = await self._store.jobs.turn(
                worker=self._worker, lease=LEASE, changes=changes, room=room, at_once=self._at_once()
            )
        except Unavailable as error:
            self._changes = changes + self._changes
            log.error("store_unavailable", error=str(error))
            return POLL + self._roll()
        self._clock = (turn.now, time.monotonic())
        for late in turn.lost:
            log.info("job_moved_on", job=late.job.id)  # its webhook was quicker
        for job in turn.to_send:
            self._start(job, self._send(job))
        for job in turn.to_ask:
            self._start(job, self._look_after(job))
        if turn.more or self._changes:
            return 0.0
        rest = POLL * (0.5 + self._roll())
        return rest if turn.next_due is None else min(rest, max(0.0, turn.next_due - turn.now))

    def _room(self) -> dict[str, int]:
        return {
            name: CALLS - len(tasks)
            for name, tasks in self._busy.items()
            if self._rests.get(name, 0.0) <= self._now and self._client(name) is not None
        }

    def _at_once(self) -> dict[str, int]:
        limits = {
            name: self._settings.provider(name).jobs_at_once or source.at_once for name, source in self._sources.items()
        }
        return {name: limit for name, limit in limits.items() if limit is not None}

    def _client(self, name: str) -> Client | None:
        """Return a provider's client; None if it has no key here, or none that works: its jobs wait."""
        if name not in self._clients:
            provider = self._settings.provider(name)
            if provider.api_key is None:
                return None
            try:
                self._clients[name] = self._sources[name].client(self._http, provider)
            except ConfigError as error:
                log.error("provider_not_usable", source=name, error=str(error))
                self._clients[name] = None
        return self._clients[name]

    def _asking(self, job: Job) -> Client:
        client = self._client(job.source)
        assert client is not None  # noqa: S101 - there was room for its jobs, so there is one
        return client

    def _start(self, job: Job, work: Coroutine[Any, Any, Values]) -> None:
        async def kept() -> None:
            with (
                self._traced(job),
                structlog.contextvars.bound_contextvars(job=job.id, source=job.source, job_id=job.job_id),
            ):
                try:
                    values = await work
                except Unavailable as error:
                    # Its lease ends, and it is looked after again.
                    log.error("store_unavailable", error=str(error))
                    return
                except ReceiverError as error:
                    values = self._trouble(job, error)
                self._changes.append(Change(job=job, values=values))

        task = asyncio.create_task(kept(), name=f"job {job.id}")
        self._busy[job.source].add(task)
        task.add_done_callback(lambda done: self._ended(job.source, done))

    def _traced(self, job: Job) -> AbstractContextManager[None]:
        if self._tracing is None:
            return nullcontext()
        return self._tracing.job(job.trace, job=job.id, source=job.source, job_id=job.job_id, run_id=job.run_id)

    def _ended(self, source: str, task: asyncio.Task[None]) -> None:
        self._busy[source].discard(task)
        if not task.cancelled() and (bug := task.exception()):
            log.error("job_not_looked_after", exc_info=bug)  # its lease ends, and it is looked after again
        self._wakened.set()

    # Sending

    async def _send(self, job: Job) -> Values:
        """Send a job off. It is never sent twice unless its provider certainly has not got it."""
        source, client = self._sources[job.source], self._asking(job)
        tool = find_tool(source, job.tool)
        if job.cancel_at is not None:
            return await self._conclude(job, "job.withdrawn", "cancelled before it was sent")
        if tool is None:
            return await self._conclude(job, "job.refused", f"{job.source} has no tool {job.tool}")
        # Looked up before: nothing that can fail lies between the provider's answer and its record.
        wait = await self._next(job, tool, age=0.0)
        try:
            taken = await client.submit(tool, job.parameters)
        except ProviderError as error:
            return await self._not_taken(job, error)
        meters.SUBMISSIONS.add(job.source, "taken")
        log.info("job_submitted", tool=tool.name, provider_id=taken.job_id)
        # A job that was done at once may have no id of its provider's; ours stands for it.
        job_id = taken.job_id or job.id
        values: Values = {"job_id": job_id, "state": "submitted", "error": None, "failures": 0}
        if taken.answer is not None:
            return values | await self._answered(job, tool, taken.answer, job_id=job_id)
        return values | {"due_at": self._now + wait}

    async def _not_taken(self, job: Job, error: ProviderError) -> Values:
        values = self._trouble(job, error)
        if not error.reached or error.status in _NOT_THE_JOB or error.exhausted:
            meters.SUBMISSIONS.add(job.source, "waits")
            log.warning("job_waits", error=str(error), exhausted=error.exhausted)
            return await self._unless_overdue(job, values | {"state": "waiting", "submitted_at": None})
        if 400 <= error.status < 500:
            meters.SUBMISSIONS.add(job.source, "refused")
            return await self._conclude(job, "job.refused", str(error), code=error.code, reference=error.request_id)
        meters.SUBMISSIONS.add(job.source, "uncertain")
        log.warning("job_uncertain", error=str(error))
        return values | {"state": "uncertain", "due_at": self._now + LOOK_AGAIN}

    async def _find(self, job: Job) -> Values:
        """Look in the provider's list for a job of which nobody knows whether it was taken."""
        if job.cancel_at is not None:
            text = "cancelled while nobody knew whether its provider had it; it may be made all the same"
            return await self._conclude(job, "job.withdrawn", text)
        tool = find_tool(self._sources[job.source], job.tool)
        try:
            listed = await self._asking(job).recent(tool) if tool else None
        except ProviderError as error:
            return await self._stay_uncertain(job, _short(error))
        if listed is None:
            text = f"{job.source} has no list that would tell whether it has this job: it is not sent again"
            return await self._stay_uncertain(job, text)
        known = await self._store.jobs.known(job.source, listed, before=job.submitted_at or job.created_at)
        # The list is in order of time: what comes after a job that we knew before is older than this one.
        newer = listed[: next((at for at, one in enumerate(listed) if one in known), len(listed))]
        if not newer:
            if self._now - (job.submitted_at or job.created_at) >= NOT_TAKEN:
                log.warning("job_sent_again")
                return {"state": "waiting", "submitted_at": None, "failures": 0, "due_at": self._now}
            return {"state": "uncertain", "failures": job.failures + 1, "due_at": self._look_again(job)}
        if len(newer) > 1 or await self._store.jobs.uncertain(job.source, job.tool) > 1:
            text = f"{job.source} has {len(newer)} jobs of which one may be this: it is not sent again"
            return await self._stay_uncertain(job, text)
        log.info("job_found", provider_id=newer[0])
        return {"job_id": newer[0], "state": "submitted", "error": None, "failures": 0, "due_at": self._now}

    async def _stay_uncertain(self, job: Job, text: str) -> Values:
        log.warning("job_uncertain", error=text)
        values = {"state": "uncertain", "error": text, "failures": job.failures + 1, "due_at": self._look_again(job)}
        return await self._unless_overdue(job, values)

    def _look_again(self, job: Job) -> float:
        return self._now + schedule.spread(min(LOOK_AGAIN * (job.failures + 1), schedule.SLOWEST), self._roll())

    # Asking

    async def _look_after(self, job: Job) -> Values:
        if job.job_id is None:
            return await (self._unheard(job) if job.state == "submitted" else self._find(job))
        if job.ended_at is not None:
            return await self._settle(job)
        return await self._ask(job)

    async def _unheard(self, job: Job) -> Values:
        """Conclude a job that others submitted, and whose provider has not called back in time."""
        if job.cancel_at is not None:
            text = "cancelled before its provider called back; it may be made all the same"
            return await self._conclude(job, "job.withdrawn", text)
        return await self._unless_overdue(job, {"error": "its provider did not call back", "due_at": job.deadline_at})

    async def _ask(self, job: Job) -> Values:
        """Ask how a job stands, once."""
        client, tool = self._asking(job), find_tool(self._sources[job.source], job.tool)
        assert job.job_id is not None  # noqa: S101 - one without was looked for
        told = await self._cancel(job, client, tool)
        values: Values = {"asked": job.asked + 1}
        try:
            answer = await client.ask(job.job_id, tool, job.parameters)
        except ProviderError as error:
            meters.QUESTIONS.add(job.source, _OUTCOMES.get(error.status, "failed"))
            values |= self._trouble(job, error)
            if error.status == 404:
                # Counted by themselves: other trouble says nothing about the job.
                times = job.failures + 1 if job.status == NOT_FOUND else 1
                if times >= UNKNOWN:
                    return told | await self._conclude(job, "job.lost", f"{job.source} does not know this job: {error}")
                values |= {"status": NOT_FOUND, "failures": times}
            else:
                self._rest(job.source, error)
                values |= {"status": None} if job.status == NOT_FOUND else {}
            return told | await self._unless_overdue(job, values)
        meters.QUESTIONS.add(job.source, "answered")
        return values | {"error": None, "failures": 0} | told | await self._answered(job, tool, answer)

    async def _cancel(self, job: Job, client: Client, tool: Tool | None) -> Values:
        """Tell the provider once that somebody wants the job's end."""
        if job.cancel_at is None or job.cancel_told_at is not None or job.job_id is None:
            return {}
        try:
            await client.cancel(job.job_id, tool)
        except ProviderError as error:
            log.warning("job_not_cancelled", error=str(error))
            if error.status in (0, 429) or error.status >= 500:
                return {}  # told at the next question
            return {"cancel_told_at": self._now, "error": f"not cancelled: {_short(error)}"}
        return {"cancel_told_at": self._now}

    async def _answered(self, job: Job, tool: Tool | None, answer: Answer, *, job_id: str | None = None) -> Values:
        """Record how a job stands; let its end come in as an event."""
        values: Values = {"status": answer.status[:_LONGEST], "progress": answer.progress}
        if answer.body is not None:
            reading = self._sources[job.source].read(answer.body)
            event_id = await self._tell(job, reading, answer.body, tool=tool, job_id=job_id, standing=answer.standing)
            return values | self._ends(answer.standing, event_id)
        if answer.standing == "awaiting_approval":
            log.warning("job_awaits_approval", tool=job.tool)
            due_at = self._now + schedule.spread(schedule.SLOWEST, self._roll())
            return values | {"state": answer.standing, "due_at": due_at}
        age = self._now - (job.submitted_at or job.created_at)
        wait = schedule.QUICKEST if job.cancel_at else await self._next(job, tool, age=age)
        return await self._unless_overdue(job, values | {"state": answer.standing, "due_at": self._now + wait})

    async def _settle(self, job: Job) -> Values:
        """Ask who is right when two different ends were told. The job stays as it is."""
        if job.conflict is None:
            return {"due_at": None}
        assert job.job_id is not None  # noqa: S101 - only what a provider told about can contradict itself
        tool = find_tool(self._sources[job.source], job.tool)
        try:
            answer = await self._asking(job).ask(job.job_id, tool, job.parameters)
        except ProviderError as error:
            self._rest(job.source, error)
            if error.status == 404:
                return {"conflict": f"{job.conflict}; its provider does not know it any more", "due_at": None}
            return {"failures": job.failures + 1, "due_at": self._trouble(job, error)["due_at"]}
        log.error("job_told_twice", told=job.state, later=job.conflict, provider=answer.standing)
        return {"conflict": f"{job.conflict}; asked, its provider says {answer.standing}", "due_at": None}

    # What is common to both

    async def _tell(
        self, job: Job, reading: Reading, body: bytes, *, tool: Tool | None, job_id: str | None, standing: str
    ) -> str:
        """Store the end of a job as an event, unless it is there; return the event's id."""
        provider_id = job_id or job.job_id or job.id
        road = "reconcile" if tool is not None and tool.calls and reading.type not in verdict.VERDICTS else "poll"
        arrival = Arrival(
            source=job.source,
            type=reading.type,
            kind=reading.kind or f"job.{standing}",
            job_id=provider_id,
            tool=job.tool or reading.tool,
            road=road,
            received_at=self._now,
            occurred_at=self._now if reading.occurred_at is None else reading.occurred_at,
            expires_at=reading.expires_at if reading.lifetime is None else self._now + reading.lifetime,
            fact=f"{provider_id}:{standing}",
            trace=self._tracing.here() if self._tracing else None,
            headers="",
            body=body,
        )
        event_id = await self._stored(arrival)
        log.info("job_ended", standing=standing, road=road, event_id=event_id)
        self._told()
        return event_id

    async def _stored(self, arrival: Arrival) -> str:
        """Store an event. A provider may tell it once only, so a store that does not answer is waited for."""
        while True:
            try:
                [added] = await self._store.events.add([arrival])
            except Unavailable as error:
                log.error("store_unavailable", error=str(error))
                await asyncio.sleep(POLL)
            else:
                return added.event_id

    async def _conclude(
        self, job: Job, type: str, message: str, *, code: str | None = None, reference: str | None = None
    ) -> Values:
        """End a job with a verdict of our own, which is an event like any other."""
        body = verdict.verdict(type, job.id, _short(message), code=code, reference=reference)
        reading = verdict.read(body)
        standing = "cancelled" if reading.kind == "job.cancelled" else "failed"
        log.warning("job_concluded", verdict=type, error=_short(message))
        event_id = await self._tell(job, reading, body, tool=None, job_id=None, standing=standing)
        values: Values = {"error": _short(message), "request_id": reference}
        return values | {"job_id": job.job_id or job.id} | self._ends(standing, event_id)

    def _ends(self, standing: str, event_id: str) -> Values:
        return {"state": standing, "ended_at": self._now, "event_id": event_id, "due_at": None}

    async def _unless_overdue(self, job: Job, values: Values) -> Values:
        if job.deadline_at is None or self._now < job.deadline_at:
            return values
        return values | await self._conclude(
            job, "job.overdue", f"no end was told in time; last: {values.get('error')}"
        )

    def _trouble(self, job: Job, error: ReceiverError) -> Values:
        """Return what a failed call leaves on a job: the reason, and a longer wait each time."""
        asked = error.retry_after if isinstance(error, ProviderError) else None
        wait = schedule.after_failure(job.failures, asked_to_wait=asked, roll=self._roll())
        if isinstance(error, ProviderError) and error.exhausted:
            wait = max(wait, schedule.spread(schedule.SLOWEST, self._roll()))
        request_id = error.request_id if isinstance(error, ProviderError) else None
        return {
            "failures": job.failures + 1,
            "error": _short(error),
            "request_id": request_id,
            "due_at": self._now + wait,
        }

    def _rest(self, source: str, error: ProviderError) -> None:
        """Leave a provider alone for as long as it asks for."""
        if error.status == 429 and not error.exhausted:
            wait = schedule.QUICKEST if error.retry_after is None else error.retry_after
            self._rests[source] = max(self._rests.get(source, 0.0), self._now + wait)

    async def _next(self, job: Job, tool: Tool | None, *, age: float) -> float:
        """Return the seconds until a job of this age is asked about."""
        likely = await self._likely(job.source, tool)
        if tool is not None and tool.calls:
            return schedule.next_reconcile(age, likely, latest=self._settings.reconcile_after, roll=self._roll())
        return schedule.next_question(age, likely, roll=self._roll())

    async def _likely(self, source: str, tool: Tool | None) -> float:
        """Return the seconds that a job of a tool takes, learnt anew each minute."""
        if tool is None:
            return schedule.UNKNOWN
        seconds, learnt_at = self._usual.get((source, tool.type), (0.0, float("-inf")))
        if self._now - learnt_at > 60:
            seconds = schedule.usual(await self._store.jobs.took(source, tool.type), tool.usual)
            self._usual[source, tool.type] = seconds, self._now
        return seconds

    async def _drain(self) -> None:
        tasks = [task for tasks in self._busy.values() for task in tasks]
        if tasks:
            # A sending that is cut off is uncertain, so what has begun may end; a client's calls are bounded.
            await asyncio.wait(tasks, timeout=self._settings.grace)
        if self._changes:
            try:
                await self._store.jobs.turn(
                    worker=self._worker, lease=LEASE, changes=self._changes, room={}, at_once={}
                )
            except Unavailable as error:
                log.error("store_unavailable", error=str(error))


def _short(text: object) -> str:
    return scrub(str(text))[:_LONGEST]


def new_job(
    sources: Mapping[str, Source],
    source: str,
    tool: str,
    parameters: Mapping[str, Any],
    *,
    metadata: Mapping[str, Any],
    run_id: str | None = None,
    deadline: float = DEADLINE,
) -> NewJob:
    """Return a job to be submitted, once it is checked. Raises BadParameters that says what is wrong with it."""
    if source not in sources:
        raise BadParameters(f"no source is called {source}: there are {', '.join(sources)}")
    found = find_tool(sources[source], tool)
    if found is None:
        names = ", ".join(one.name for one in sources[source].tools)
        raise BadParameters(f"{source} has no tool {tool}: there are {names or 'none'}")
    checked = found.check(parameters)
    try:
        json.dumps([checked, dict(metadata)], allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BadParameters(f"{tool}: parameters and metadata must be JSON: {error}") from None
    return NewJob(
        source=source, tool=found.type, parameters=checked, metadata=metadata, run_id=run_id, deadline=deadline
    )


def tracked_job(
    sources: Mapping[str, Source],
    source: str,
    job_id: str,
    tool: str | None,
    *,
    metadata: Mapping[str, Any],
    deadline: float = DEADLINE,
) -> NewJob:
    """Return a job that others submitted, to be entered by `Store.jobs.track`. Raises BadParameters if it cannot be."""
    if source not in sources:
        raise BadParameters(f"no source is called {source}: there are {', '.join(sources)}")
    found = find_tool(sources[source], tool)
    if tool and found is None:
        names = ", ".join(one.name for one in sources[source].tools)
        raise BadParameters(f"{source} has no tool {tool}: there are {names or 'none'}")
    if not job_id.isprintable():
        raise BadParameters("the provider's id of a job has no such characters")
    _check_metadata(metadata)
    return NewJob(
        source=source, tool=found.type if found else None, job_id=job_id, metadata=metadata, deadline=deadline
    )


def expected_job(
    sources: Mapping[str, Source], source: str, *, metadata: Mapping[str, Any], deadline: float = DEADLINE
) -> NewJob:
    """Return a job that others submit and whose provider calls back, to be entered by `Store.hints`.

    Raises BadParameters if it cannot be.
    """
    if not isinstance(sources.get(source), HintingSource):
        there = ", ".join(name for name, one in sources.items() if isinstance(one, HintingSource))
        raise BadParameters(
            f"only a source that is asked after each callback has such URLs, not {source}: {there or 'none'}"
        )
    _check_metadata(metadata)
    return NewJob(source=source, tool=None, metadata=metadata, deadline=deadline)


def _check_metadata(metadata: Mapping[str, Any]) -> None:
    try:
        json.dumps(dict(metadata), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BadParameters(f"metadata must be JSON: {error}") from None
