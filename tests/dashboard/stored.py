"""A store in which everything has happened once that the pages can show."""

import json
from dataclasses import dataclass
from pathlib import Path

from receiver.store import Arrival, Claimed, Endpoint, Finished, NewJob, Refusal, Reported, Store

SIGNED = "https://files.example/f.wav?sig=a-signature-of-theirs"


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
