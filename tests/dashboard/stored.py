"""A store in which everything has happened once that the pages can show."""

import json
from dataclasses import dataclass
from pathlib import Path

from receiver.alarms import body
from receiver.store import Alarm, Arrival, Change, Claimed, Endpoint, Finished, NewJob, Refusal, Reported, Store

SIGNED = "https://files.example/f.wav?sig=a-signature-of-theirs"

#: What a stranger may write wherever there is room for a text. What a page that lets it makes, is of class `stranger`.
NASTY = (
    "</script></title></textarea><script class=stranger>alert(1)</script>"
    "\"'><img class=stranger src=x onerror=alert(2)><a class=stranger href=javascript:alert(3)>"
    '\r\nset-cookie: a=b\r\n\r\n=HYPERLINK("http://evil.example"){{77777*77777}}${77777*77777}'
    "\\[/x][link=http://evil.example]:skull:\0\x1b[2J\x9b2J\u202e"
)

#: The same where there is none for all of it: in a header, in a name of our own.
NARROW = NASTY.replace("\0", "").replace("\r\n", " ")


@dataclass
class Stored:
    """The ids of what is there."""

    done: str
    failed: str
    quarantined: str
    run: str
    job: str
    refused: str
    output: str


def arrival(number: int, at: float, **changes: object) -> Arrival:
    body = {
        "event": "tool_execution.succeeded",
        "toolExecutionId": f"vg_tool_{number}",
        "occurredAt": int(at),
        "toolType": "GENERATE_SOUND_EFFECT",
        "results": [{"fileId": f"f{number}", "type": "AUDIO", "downloadUrl": SIGNED}],
    }
    values: dict[str, object] = {
        "source": "videogen",
        "type": "tool_execution.succeeded",
        "kind": "job.succeeded",
        "job_id": f"vg_tool_{number}",
        "tool": "GENERATE_SOUND_EFFECT",
        "road": "webhook",
        "received_at": at,
        "occurred_at": at - 1.25,
        "headers": "content-type: application/json\nwebhook-id: msg\nwebhook-signature: v1,c2lnbmF0dXJl",
        "body": json.dumps(body).encode(),
        "message_id": f"msg_{number}",
        "fact": f"vg_tool_{number}:succeeded",
    }
    return Arrival(**(values | changes))  # type: ignore[arg-type]


async def fill(store: Store, folder: Path, *, at: float, text: str = "") -> Stored:
    """Let everything happen; `text` stands wherever a stranger's text can."""
    say = text or "words"
    handlers = [
        Reported(
            name=name,
            events=("job.*",),
            source=None,
            tool=None,
            retries=8,
            timeout=60,
            concurrency=8,
            ordered=False,
            captures=False,
            place=f"handlers.{name}:{name}",
        )
        for name in ("download", "publish")
    ]
    await store.handlers.report(handlers, worker="w")
    job = NewJob(source="videogen", tool="GENERATE_SOUND_EFFECT", job_id="vg_tool_1", metadata={"order": say})
    await store.jobs.track(job)
    odd = {"type": f"odd.{say}", "job_id": f"job {say}", "tool": say, "fact": None, "headers": f"x-odd: {say}"}
    added = await store.events.add(
        [
            arrival(1, at - 60),
            arrival(2, at - 30),
            arrival(
                3,
                at - 20,
                road="reconcile",
                body=json.dumps({"key " + say: say, "token": "tok_hidden"}).encode(),
                **odd,
            ),
            arrival(4, at - 10, reason=f"not JSON: {say}", body=say.encode(), fact=None, kind=None, job_id=None),
        ],
        [
            Refusal(
                source=say[:64],
                reason="wrong-signature",
                status=401,
                received_at=at - 5,
                headers=f"user-agent: {say}",
                body=say.encode(),
                size=9,
                sender="192.0.2.9",
                skew=-400.0,
            )
        ],
    )
    await store.events.add([arrival(1, at - 3)])
    ids = [one.event_id for one in added]
    turn = await store.runs.turn(
        worker="w",
        lease=60,
        finished=[],
        wanted=lambda event: {"download": None, "publish": None},
        free={"download": 9, "publish": 9},
    )
    ends = [_end(run, ids, say) for run in turn.claimed]
    await store.runs.settle([end for end in ends if end], [])
    file = folder / "f1.wav"
    folder.mkdir(exist_ok=True)  # noqa: ASYNC240 - in a test
    file.write_bytes(b"RIFF\x24\0\0\0WAVEfmt " + bytes(40))
    about = {"source": "videogen", "job_id": "vg_tool_1", "type": "AUDIO", "expires_at": at + 60}
    await store.outputs.record(
        event_id=ids[0],
        handler="download",
        output_id="f1",
        state="captured",
        place=str(file),
        size=56,
        sha256="0" * 64,
        media_type="audio/wav",
        **about,
    )
    await store.outputs.record(
        event_id=ids[0], handler="download", output_id=f"f2 {say}", state="missed", error=say, **about
    )
    await store.endpoints.add(
        Endpoint(
            source="videogen",
            id=f"ep {say}",
            url=f"https://hooks.example/webhooks/videogen?{say}",
            events=("tool_execution.succeeded", say),
            description=None,
            created_at=at - 600,
        ),
        sealed="sealed",
        last4="wxyz",
    )
    await store.endpoints.heard({"videogen": at - 60})
    run = next(run.id for run in turn.claimed if run.event.get("id") == ids[1] and run.handler == "publish")
    return Stored(
        done=ids[0],
        failed=ids[1],
        quarantined=ids[3],
        run=run,
        job=(await store.jobs.recent(source="videogen"))[-1].id,
        refused=(await store.events.deliveries())[-1]["id"],
        output=next(one["id"] for one in await store.outputs.recent(state="captured")),
    )


def _end(run: Claimed, ids: list[str], say: str) -> Finished | None:
    """How an attempt went: one of the second event failed, one of the third is to be tried again, the rest are done."""
    if run.event["id"] == ids[2]:
        again = {"outcome": "retry", "error": f"Retry: {say}", "wait": 600.0}
        return Finished(run=run, finished_at=run.started_at + 0.25, **again) if run.handler == "download" else None
    if run.event["id"] == ids[1] and run.handler == "publish":
        error = f"ValueError: {say} at https://files.example/f?sig=a-signature-of-theirs"
        return Finished(run=run, outcome="failed", finished_at=run.started_at + 1.5, error=error)
    return Finished(run=run, outcome="done", finished_at=run.started_at + 0.02, note=say)


class Strangers:
    """What strangers, and handlers that pass it on, have written into all that `fill` leaves out.

    Each text begins with the name of its field between two `@`, so that it can be told which one is seen.
    """

    def __init__(self, store: Store, at: float) -> None:
        self._store = store
        self._at = at
        self.fields: set[str] = set()
        self.handler = self.say("handler", NARROW)

    def say(self, field: str, text: str = NASTY) -> str:
        self.fields.add(field)
        return f"@{field}@{text}"

    async def write(self) -> list[str]:
        """Return the paths of the pages that show it."""
        event, quarantined = await self._events()
        run = await self._run(event)
        await self._outputs(event)
        await self._endpoint()
        text = self.say("alarm", NARROW)
        alarm = Alarm(watch="drift", about=text, raised_at=self._at, calm_since=None, value=1.0, text=text)
        told = body("alarm.raised", alarm, self._at)
        await self._store.alarms.keep(raised=[(alarm, told)], resolved=[], standing=[])
        job = await self._job(run)
        deliveries = await self._store.events.deliveries(limit=2)
        return [
            *(f"/events/{id}" for id in (event, quarantined)),
            f"/jobs/{job}",
            *(f"/refused/{one['id']}" for one in deliveries),
        ]

    async def _events(self) -> tuple[str, str]:
        error = {"event": "tool_execution.failed", "error": {"message": self.say("provider-error")}}
        common = {"fact": None, "headers": f"x-odd: {self.say('header', NARROW)}", "expires_at": self._at + 600}
        event = arrival(
            7,
            self._at,
            type=self.say("event-type"),
            kind="job.failed",
            job_id=self.say("event-job"),
            tool=self.say("event-tool"),
            message_id=self.say("message", NARROW),
            body=json.dumps(error).encode(),
            **common,
        )
        source = self.say("event-source", NARROW)
        recovered = arrival(8, self._at, source=source, road="reconcile", message_id=None, job_id=None, **common)
        about = {"reason": self.say("reason"), "kind": None, "job_id": None, "body": self.say("body").encode()}
        refusal = Refusal(
            source=self.say("refused-source")[:64],
            reason="wrong-signature",
            status=401,
            received_at=self._at,
            headers="",
            body=self.say("refused-body").encode(),
            size=9,
            sender=self.say("sender", NARROW),
        )
        added = await self._store.events.add([event, recovered, arrival(9, self._at, **common | about)], [refusal])
        await self._store.events.add([event])
        return added[0].event_id, added[2].event_id

    async def _run(self, event: str) -> str:
        name = self.handler
        handler = Reported(
            name=name,
            events=(self.say("handler-event", NARROW),),
            source=self.say("handler-source", NARROW),
            tool=self.say("handler-tool", NARROW),
            retries=8,
            timeout=60,
            concurrency=8,
            ordered=False,
            captures=True,
            place=self.say("handler-place", NARROW),
        )
        await self._store.handlers.report([handler], worker="w")
        turn = await self._store.runs.turn(
            worker="w", lease=60, finished=[], wanted=lambda _event: {name: None}, free={name: 9}, captures=[name]
        )
        [run] = [one for one in turn.claimed if one.event["id"] == event]
        told = {"error": self.say("attempt-error"), "note": self.say("attempt-note")}
        ended = Finished(run=run, outcome="retry", finished_at=run.started_at + 0.25, wait=600.0, **told)
        await self._store.runs.settle([ended], [])
        return run.id

    async def _outputs(self, event: str) -> None:
        about = {"event_id": event, "handler": "download", "source": "videogen", "job_id": self.say("event-job")}
        await self._store.outputs.record(
            output_id="1",
            type=self.say("output-type"),
            expires_at=None,
            state="captured",
            place=self.say("output-place"),
            size=1,
            sha256="0",
            media_type=self.say("output-media-type"),
            **about,
        )
        await self._store.outputs.record(
            output_id=self.say("missed-id"),
            type="AUDIO",
            expires_at=self._at + 60,
            state="missed",
            error=self.say("missed-error"),
            **about,
        )

    async def _endpoint(self) -> None:
        id = self.say("endpoint", NARROW)
        endpoint = Endpoint(
            source="videogen",
            id=id,
            url=f"https://hooks.example/{self.say('endpoint-url', NARROW)}",
            events=(self.say("endpoint-event"),),
            description=NASTY,
            created_at=self._at,
        )
        await self._store.endpoints.add(endpoint, sealed="sealed", last4="last")
        await self._store.endpoints.compared("videogen", {id: ("events", self.say("drift"))})

    async def _job(self, run: str) -> str:
        await self._store.jobs.add(
            NewJob(
                source="videogen",
                tool=self.say("job-tool", NARROW),
                parameters={self.say("parameter"): NASTY},
                metadata={self.say("metadata"): NASTY},
                run_id=run,
            )
        )
        ours = {"worker": "w", "lease": 60, "at_once": {}}
        turn = await self._store.jobs.turn(changes=[], room={"videogen": 50}, **ours)
        [job] = turn.to_send
        said = {"job_id": self.say("job"), "status": self.say("job-status"), "error": self.say("job-error")}
        stands = {"state": "running", "progress": 40.0, "conflict": self.say("job-conflict"), "due_at": self._at + 60}
        await self._store.jobs.turn(changes=[Change(job=job, values=said | stands)], room={}, **ours)
        return job.id
