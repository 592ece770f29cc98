"""What is sent and answered has the fields of the samples, no more and no less, at every level."""

import json
from pathlib import Path
from typing import Any

import pytest

from receiver.emulator import media

from .conftest import Emulator, Start

SAMPLES = Path(__file__).parent.parent / "samples" / "videogen"


def body(name: str) -> Any:
    data = json.loads((SAMPLES / f"{name}.json").read_text())
    return data["body"] if name.startswith("rest/") else data


def differences(ours: Any, sample: Any, place: str = "") -> list[str]:
    if isinstance(ours, dict) and isinstance(sample, dict):
        found = [f"{place}.{key}" for key in ours.keys() ^ sample.keys()]
        return found + [
            each
            for key in ours.keys() & sample.keys()
            for each in differences(ours[key], sample[key], f"{place}.{key}")
        ]
    if isinstance(ours, list) and isinstance(sample, list):
        return differences(ours[0], sample[0], f"{place}[]") if ours and sample else []
    kinds = [float if isinstance(each, int) and not isinstance(each, bool) else type(each) for each in (ours, sample)]
    return [] if None in (ours, sample) or kinds[0] is kinds[1] else [f"{place}: {kinds}"]


@pytest.mark.parametrize(
    ("tool", "parameters", "sample"),
    [
        ("generate-avatar", {"actorEntityId": "e", "audioFileId": "f"}, ""),
        (
            "generate-avatar",
            {"actorEntityId": "e", "audioFileId": "f", "isOutputTemporary": True},
            "--temporary-output",
        ),
        ("generate-image", {"numResults": 3}, "--multi-result"),
        ("text-to-speech", {"ttsText": "a", "voiceId": "v"}, "--audio-no-thumbnail"),
    ],
)
async def test_success_looks_like_the_samples(
    emulator: Emulator, tool: str, parameters: dict[str, Any], sample: str
) -> None:
    await emulator.register()
    execution = await emulator.run(tool, **parameters)
    assert differences(emulator.inbox.bodies[0], body(f"webhooks/tool_execution.succeeded{sample}")) == []
    assert differences(execution, body("rest/get-tool-execution.succeeded.200")) == []
    file = (await emulator.client.post(f"/v1/files/{execution['results'][0]['fileId']}/hydrate")).json()
    assert differences(file, body("rest/hydrate-file.200")) == []
    assert differences(await emulator.get(f"/v1/files/{file['fileId']}"), body("rest/get-file.unhydrated.200")) == []
    assert differences(await emulator.get("/v1/tools/executions"), body("rest/list-tool-executions.200")) == []


async def test_failure_looks_like_the_samples(start: Start) -> None:
    async with start(fail=1) as emulator:
        await emulator.register()
        execution = await emulator.run()
        assert differences(emulator.inbox.bodies[0], body("webhooks/tool_execution.failed")) == []
        assert differences(execution, body("rest/get-tool-execution.failed.200")) == []


async def test_cancellation_looks_like_the_samples(start: Start) -> None:
    async with start(seconds=60) as emulator:
        await emulator.register()
        started = await emulator.client.post("/v1/tools/generate-music", json={"prompt": "a"})
        assert differences(started.json(), body("rest/tool-accepted.202")) == []
        path = f"/v1/tools/executions/{started.json()['toolExecutionId']}"
        assert differences(await emulator.get(path), body("rest/get-tool-execution.pending.200")) == []
        assert (
            differences((await emulator.client.post(f"{path}/cancel")).json(), body("rest/cancel-tool-execution.202"))
            == []
        )
        await emulator.videogen.settled()
        assert differences(emulator.inbox.bodies[0], body("webhooks/tool_execution.cancelled")) == []
        assert differences(await emulator.get(path), body("rest/get-tool-execution.cancelled.200")) == []


async def test_file_events_look_like_the_samples(emulator: Emulator) -> None:
    names = ["upload.completed", "playback_ready", "download_ready", "analysis_completed", "upload.failed"]
    await emulator.register(events=[f"file.{name}" for name in names])
    for content in (media.video(width=16, height=16, seconds=1).content, b""):
        created = (await emulator.client.post("/v1/files/upload", json={"displayName": "a"})).json()
        assert differences(created, body("rest/create-file-upload.200")) == []
        await emulator.client.put(created["uploadUrl"], content=content)
        await emulator.videogen.settled()
    assert [sent["event"] for sent in emulator.inbox.bodies] == [f"file.{name}" for name in names]
    for sent in emulator.inbox.bodies:
        expected = body(f"webhooks/{sent['event']}")
        assert differences(sent, expected) == []


async def test_the_rest_looks_like_the_samples(emulator: Emulator) -> None:
    made = await emulator.register()
    assert differences(made, body("rest/create-webhook-endpoint.201")) == []
    listed = await emulator.get("/v1/webhooks/endpoints")
    assert differences(listed, body("rest/list-webhook-endpoints.200")) == []
    assert differences(await emulator.get("/v1/me"), body("rest/get-me.200")) == []
    for answer, sample in (
        (await emulator.client.get("/v1/tools/executions/vg_tool_x"), "404-not-found"),
        (await emulator.client.post("/v1/tools/generate-image", json={}), "400-invalid-parameters"),
        (
            await emulator.client.post("/v1/tools/upscale-image", json={"imageFileId": "f", "watermarkMode": "NONE"}),
            "403-requirement",
        ),
    ):
        assert answer.status_code == int(sample[:3])
        assert differences(answer.json(), body(f"rest/error.{sample}")) == []
