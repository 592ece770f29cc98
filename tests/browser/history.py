"""A day of a receiver that is used: what the screenshots show."""

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from receiver import ids
from receiver.emulator.media import sound
from receiver.store import Arrival, Claimed, Endpoint, Finished, NewJob, Refusal, Reported, Store

SAMPLES = Path(__file__).parent.parent / "samples" / "videogen" / "webhooks"

TOOLS = ("GENERATE_SOUND_EFFECT", "GENERATE_VIDEO_CLIP", "TEXT_TO_SPEECH", "GENERATE_MUSIC")

DAY, STEP = 86_400, 1800

#: Steps before now from which on jobs are submitted here, and not only heard of.
SUBMITTED = 6


class Past:
    """A clock that is turned through the day before now."""

    def __init__(self, now: float) -> None:
        self.now = now - DAY

    def __call__(self) -> float:
        return self.now

    def time_ns(self) -> int:
        return int(self.now * 1e9)


async def write(url: str, now: float, *, files: Path, sealed: str) -> None:
    """Fill an empty database with a day that ends now. `sealed` is the signing secret."""
    past = Past(now)
    store = Store(url, clock=past)
    with mock.patch.object(ids.time, "time_ns", past.time_ns), mock.patch.object(ids, "_last", 0):
        day = Day(store, past, files)
        await day.begin(sealed)
        for number in range(DAY // STEP):
            submitted = number >= DAY // STEP - SUBMITTED
            await day.go_on(6 + round(5 * math.sin(number / 5)), submitted=submitted)
            past.now += STEP
        past.now = now
        await day.end()
    while await store.tally.add_up():
        pass
    await store.close()


class Day:
    """Events, runs, jobs and what went wrong."""

    def __init__(self, store: Store, past: Past, files: Path) -> None:
        self._store = store
        self._past = past
        self._files = files
        self._numbers = itertools.count(1)

    async def begin(self, sealed: str) -> None:
        """Register a webhook, and have a worker tell of its handlers."""
        await self._store.endpoints.add(
            Endpoint(
                source="videogen",
                id="vg_whep_7f3k2",
                url="https://hooks.example.com/webhooks/videogen",
                events=("tool_execution.succeeded", "tool_execution.failed", "workflow_run.succeeded"),
                description=None,
                created_at=self._past.now,
            ),
            sealed=sealed,
            last4="x3Qk",
        )

    async def go_on(self, events: int, *, submitted: bool) -> None:
        """Let so many events come, and handlers run on them."""
        numbers = [next(self._numbers) for _ in range(events)]
        refusals = [self._refusal()] if numbers[0] % 40 < 9 else []
        arrivals = [self._arrival(number, "reconcile" if number % 31 == 0 else "webhook") for number in numbers]
        for number in numbers if submitted else ():
            await self._track(number, f"vg_tool_{number:06}")
        await self._store.events.add(arrivals, refusals)
        await self._store.tally.keep_acks({0.0025: events, 0.005: 1 + numbers[0] % 3, 0.025: numbers[0] % 2})
        if numbers[0] % 7 == 0:
            await self._store.events.add(arrivals[:1])
        await self._run(lambda run: self._went(run, run.event["id"]))

    async def end(self) -> None:
        """Finish with what is still under way now."""
        handlers = [
            _reported("download", "job.succeeded"),
            _reported("log", "*"),
            _reported("publish_to_shop", "job.succeeded"),
        ]
        await self._store.handlers.report(handlers, worker="w")
        await self._store.endpoints.heard({"videogen": self._past.now - 4})
        body = (SAMPLES / "tool_execution.succeeded.json").read_bytes()
        named = json.loads(body)["toolExecutionId"]
        await self._track(4711, named)
        [added] = await self._store.events.add([self._arrival(4711, "webhook", job_id=named, body=body, again=4)])
        await self._store.events.add([self._arrival(4711, "webhook", job_id=named, body=body)])
        await self._run(lambda run: self._went(run, added.event_id))
        await self._capture(added.event_id, named)
        await self._store.jobs.track(
            NewJob(source="videogen", tool="GENERATE_MUSIC", metadata={"order": 4712}, job_id="vg_tool_004712")
        )
        await self._store.jobs.add(NewJob(source="finevoice", tool="sfx-generation", metadata={"order": 4713}))

    async def _track(self, number: int, job_id: str) -> None:
        tool = TOOLS[number % len(TOOLS)]
        self._past.now -= 40
        await self._store.jobs.track(NewJob(source="videogen", tool=tool, job_id=job_id, metadata={"order": number}))
        self._past.now += 40

    def _arrival(self, number: int, road: str, *, job_id: str = "", body: bytes = b"", again: int = 0) -> Arrival:
        job_id, tool = job_id or f"vg_tool_{number:06}", TOOLS[number % len(TOOLS)]
        failed = number % 29 == 0
        kind = "failed" if failed else "succeeded"
        told = {"event": f"tool_execution.{kind}", "toolExecutionId": job_id, "toolType": tool, "results": []}
        return Arrival(
            source="videogen",
            type=f"tool_execution.{kind}",
            kind=f"job.{kind}",
            job_id=job_id,
            tool=tool,
            road=road,
            received_at=self._past.now - again,
            occurred_at=self._past.now - again - 0.4,
            headers=f"content-type: application/json\nwebhook-id: msg_{number}\nwebhook-signature: v1,c2lnbmF0dXJl",
            body=body or json.dumps(told).encode(),
            message_id=f"msg_{number}" if road == "webhook" else None,
            fact=f"{job_id}:{kind}",
        )

    def _refusal(self) -> Refusal:
        return Refusal(
            source="videogen",
            reason="wrong-signature",
            status=401,
            received_at=self._past.now,
            headers="content-type: application/json\nuser-agent: curl/8.5.0",
            body=b'{"event": "tool_execution.succeeded"}',
            size=37,
            sender="203.0.113.54",
        )

    async def _run(self, went: Callable[[Claimed], Finished | None]) -> None:
        def wanted(event: object) -> dict[str, None]:
            return dict.fromkeys(("download", "log", "publish_to_shop"))

        free = dict.fromkeys(wanted(None), 50)
        turn = await self._store.runs.turn(worker="w", lease=60, finished=[], wanted=wanted, free=free)
        ends = [went(run) for run in turn.claimed]
        await self._store.runs.settle([end for end in ends if end], [])

    def _went(self, run: Claimed, last: str) -> Finished | None:
        """How an attempt went: now and then the shop is closed."""
        number = int(run.event["message_id"].removeprefix("msg_")) if run.event["message_id"] else 0
        took = {"download": 0.31, "log": 0.002, "publish_to_shop": 0.12}[run.handler] * (1 + number % 5 / 4)
        ended = {"run": run, "finished_at": run.started_at + took}
        closed = "HTTPStatusError: 503 from the shop's API at https://api.shop.example/products (publish.py:41)"
        if run.handler == "publish_to_shop" and (number % 37 == 0 or number == 4711):
            return Finished(**ended, outcome="failed", error=closed)
        if run.handler == "publish_to_shop" and number % 23 == 0:
            return Finished(**ended, outcome="retry", error=closed, wait=DAY * 2.0)
        return Finished(**ended, outcome="done")

    async def _capture(self, event_id: str, job_id: str) -> None:
        self._files.mkdir(exist_ok=True)
        file = self._files / f"videogen_{job_id}.wav"
        file.write_bytes(sound(seconds=2).content)
        await self._store.outputs.record(
            event_id=event_id,
            handler="download",
            output_id="vg_file_1",
            source="videogen",
            job_id=job_id,
            type="AUDIO",
            state="captured",
            expires_at=self._past.now + 3600,
            place=str(file),
            size=file.stat().st_size,
            sha256="0" * 64,
            media_type="audio/wav",
        )


def _reported(name: str, *events: str) -> Reported:
    return Reported(
        name=name,
        events=events,
        source=None,
        tool=None,
        retries=8,
        timeout=60,
        concurrency=8,
        ordered=False,
        captures=name == "download",
        place=f"handlers.{name}:{name}",
    )
