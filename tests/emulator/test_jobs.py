import asyncio
import io
import wave
from typing import Any

import pytest

from receiver.emulator.jobs import Execution

from .conftest import NOW, Emulator, Start

WEEK = 7 * 86_400


def only(emulator: Emulator) -> Execution:
    (execution,) = emulator.videogen.jobs.executions.values()
    return execution


async def states(emulator: Emulator, wanted: int) -> list[tuple[str, float]]:
    """The states a job goes through, as a client that asks all the time sees them."""
    seen: list[tuple[str, float]] = []
    while len(seen) < wanted:
        execution = only(emulator)
        if (state := (execution.status, execution.progress)) not in seen:
            seen.append(state)
        await asyncio.sleep(0)
    return seen


async def test_a_job_waits_runs_and_succeeds(start: Start) -> None:
    async with start(seconds=0.05) as emulator:
        answer = await emulator.client.post("/v1/tools/generate-sound-effect", json={"prompt": "rain"})
        assert answer.status_code == 202
        assert set(answer.json()) == {"toolExecutionId"}
        seen = await states(emulator, 6)
        assert [status for status, _ in seen] == ["pending", *["running"] * 4, "succeeded"]
        assert [progress for _, progress in seen] == sorted({progress for _, progress in seen})
        assert seen[-1] == ("succeeded", 100)


async def test_before_its_end_an_execution_has_neither_results_nor_error(start: Start) -> None:
    async with start(seconds=60) as emulator:
        job = (await emulator.client.post("/v1/tools/generate-music", json={"prompt": "a"})).json()["toolExecutionId"]
        assert await emulator.get(f"/v1/tools/executions/{job}") == {
            "toolExecutionId": job,
            "status": "pending",
            "toolType": "GENERATE_MUSIC",
            "progressPercentage": 0,
            "attemptIndex": 0,
            "results": [],
            "error": None,
        }


async def test_the_event_of_success_says_what_the_execution_says(emulator: Emulator) -> None:
    await emulator.register()
    execution = await emulator.run("generate-avatar", actorEntityId="e", audioFileId="f")
    assert execution["status"] == "succeeded"
    assert emulator.inbox.bodies == [
        {
            "event": "tool_execution.succeeded",
            "toolExecutionId": execution["toolExecutionId"],
            "occurredAt": int(NOW),
            "toolType": "GENERATE_AVATAR",
            "results": execution["results"],
        }
    ]


@pytest.mark.parametrize(
    ("tool", "parameters", "type", "extension"),
    [
        ("generate-image", {}, "IMAGE", "png"),
        ("vectorize-image", {"imageFileId": "f"}, "IMAGE", "svg"),
        ("remove-image-background", {"imageFileId": "f"}, "IMAGE", "png"),
        ("generate-video-clip", {}, "VIDEO", "mp4"),
        ("image-3d-effect", {"imageFileId": "f"}, "VIDEO", "mp4"),
        ("text-to-speech", {"ttsText": "Hello, " * 9, "voiceId": "v"}, "AUDIO", "wav"),
    ],
)
async def test_what_a_result_says_of_its_file_is_true(
    emulator: Emulator, tool: str, parameters: dict[str, Any], type: str, extension: str
) -> None:
    execution = await emulator.run(tool, **parameters)
    (result,) = execution["results"]
    file = result["file"]
    assert (file["type"], file["scope"]) == (result["type"], "GLOBAL") == (type, "GLOBAL")
    assert file["sourceToolExecutionId"] == execution["toolExecutionId"]
    assert file["sourceToolType"] == execution["toolType"]
    assert result["downloadUrlExpiresAt"] == file["downloadSource"]["expiresAt"] == NOW + WEEK
    assert result["downloadUrl"] == file["downloadUrl"] == file["downloadSource"]["url"]
    assert f"/{file['fileId']}/original.{extension}?" in result["downloadUrl"]
    for name in ("downloadSource", "previewSource", "thumbnailSource"):
        source = file[name]
        if source["status"] == "ready":
            answer = await emulator.client.get(source["url"])
            assert len(answer.content) == source["fileBytes"]
    assert (file["thumbnailSource"]["status"], result["thumbnailUrl"] is None) == (
        ("skipped", True) if type == "AUDIO" else ("ready", False)
    )
    assert (file["durationSeconds"] is None) == (type == "IMAGE")


async def test_a_sound_lasts_as_long_as_was_asked_for(emulator: Emulator) -> None:
    execution = await emulator.run("generate-sound-effect", durationSeconds=1.5)
    file = execution["results"][0]["file"]
    with wave.open(io.BytesIO((await emulator.client.get(file["downloadUrl"])).content)) as sound:
        assert sound.getnframes() / sound.getframerate() == file["durationSeconds"] == 1.5


@pytest.mark.parametrize(
    ("ratio", "size"),
    [(None, (256, 144)), ((16, 9), (256, 144)), ((9, 16), (144, 256)), ((1, 1), (192, 192))],
)
async def test_the_aspect_ratio_shapes_the_picture(
    emulator: Emulator, ratio: tuple[int, int] | None, size: tuple[int, int]
) -> None:
    given = {"aspectRatio": {"width": ratio[0], "height": ratio[1]}} if ratio else {}
    source = (await emulator.run("generate-image", **given))["results"][0]["file"]["downloadSource"]
    assert (source["width"], source["height"]) == size


async def test_several_results_are_several_files(emulator: Emulator) -> None:
    execution = await emulator.run("generate-image", numResults=3)
    assert len({result["fileId"] for result in execution["results"]}) == 3
    assert [result["file"]["displayName"] for result in execution["results"]] == [
        "Image",
        "Image 2",
        "Image 3",
    ]
    contents = {(await emulator.client.get(result["downloadUrl"])).content for result in execution["results"]}
    assert len(contents) == 3


async def test_temporary_output_is_marked(emulator: Emulator) -> None:
    execution = await emulator.run(isOutputTemporary=True)
    assert execution["results"][0]["file"]["scope"] == "TEMPORARY"


async def test_a_job_that_fails_says_why_in_answer_and_event(start: Start) -> None:
    async with start(fail=1) as emulator:
        await emulator.register()
        execution = await emulator.run()
        assert (execution["status"], execution["results"]) == ("failed", [])
        assert set(execution["error"]) == {"message", "code", "requirement", "internalErrorCode"}
        assert emulator.inbox.bodies == [
            {
                "event": "tool_execution.failed",
                "toolExecutionId": execution["toolExecutionId"],
                "occurredAt": int(NOW),
                "toolType": "GENERATE_SOUND_EFFECT",
                "error": execution["error"],
            }
        ]
        assert not emulator.videogen.library.files


async def test_the_same_seed_lets_the_same_jobs_fail(start: Start) -> None:
    async def run(seed: int) -> list[str]:
        async with start(fail=0.5, seed=seed) as emulator:
            return [(await emulator.run())["status"] for _ in range(12)]

    first = await run(1)
    assert set(first) == {"succeeded", "failed"}
    assert await run(1) == first
    assert await run(2) != first


async def test_a_cancelled_job_ends_without_results(start: Start) -> None:
    async with start(seconds=60) as emulator:
        await emulator.register()
        job = (await emulator.client.post("/v1/tools/generate-music", json={"prompt": "a"})).json()["toolExecutionId"]
        answer = await emulator.client.post(f"/v1/tools/executions/{job}/cancel")
        assert (answer.status_code, answer.json()) == (202, {"toolExecutionId": job})
        await emulator.videogen.settled()
        execution = await emulator.get(f"/v1/tools/executions/{job}")
        assert (execution["status"], execution["results"], execution["error"]) == ("cancelled", [], None)
        assert emulator.inbox.bodies == [
            {
                "event": "tool_execution.cancelled",
                "toolExecutionId": job,
                "occurredAt": int(NOW),
                "toolType": "GENERATE_MUSIC",
            }
        ]


async def test_cancelling_twice_is_cancelling_once(start: Start) -> None:
    async with start(seconds=60) as emulator:
        await emulator.register()
        started = await emulator.client.post("/v1/tools/generate-music", json={"prompt": "a"})
        for _ in range(2):
            path = f"/v1/tools/executions/{started.json()['toolExecutionId']}/cancel"
            assert (await emulator.client.post(path)).status_code == 202
        await emulator.videogen.settled()
        assert [body["event"] for body in emulator.inbox.bodies] == ["tool_execution.cancelled"]


async def test_cancelling_what_is_over_changes_nothing(emulator: Emulator) -> None:
    await emulator.register()
    execution = await emulator.run()
    path = f"/v1/tools/executions/{execution['toolExecutionId']}"
    assert (await emulator.client.post(f"{path}/cancel")).status_code == 202
    await emulator.videogen.settled()
    assert (await emulator.get(path))["status"] == "succeeded"
    assert [body["event"] for body in emulator.inbox.bodies] == ["tool_execution.succeeded"]


async def test_a_job_that_nobody_waits_for_ends_with_the_emulator(start: Start) -> None:
    async with start(seconds=3600) as emulator:
        await emulator.client.post("/v1/tools/generate-music", json={"prompt": "a"})
