from typing import Any

import pytest

from .conftest import NOW, Emulator, Start
from .test_jobs import WEEK


async def opens(emulator: Emulator, url: str) -> bool:
    return (await emulator.client.get(url)).status_code == 200


async def test_a_file_is_told_without_urls_until_it_is_hydrated(emulator: Emulator) -> None:
    file_id = (await emulator.run("generate-image"))["results"][0]["fileId"]
    plain = await emulator.get(f"/v1/files/{file_id}")
    assert {value for key, value in plain.items() if key.endswith(("Source", "Url", "ExpiresAt"))} == {None}
    assert plain["fileAnalysisMetadata"]["analysisLoadingState"] == "UNATTEMPTED"
    full = (await emulator.client.post(f"/v1/files/{file_id}/hydrate")).json()
    assert full["downloadUrlExpiresAt"] == NOW + WEEK
    assert await opens(emulator, full["downloadUrl"])


async def test_files_are_listed_newest_first_until_they_are_archived(emulator: Emulator) -> None:
    ids = [(await emulator.run())["results"][0]["fileId"] for _ in range(3)]
    listed = await emulator.get("/v1/files")
    assert [file["fileId"] for file in listed["files"]] == ids[::-1]
    assert (listed["hasMore"], listed["nextCursor"]) == (False, None)
    archived = await emulator.client.post(f"/v1/files/{ids[1]}/archive")
    assert (archived.status_code, archived.json()["fileId"]) == (200, ids[1])
    assert [file["fileId"] for file in (await emulator.get("/v1/files"))["files"]] == [ids[2], ids[0]]


@pytest.mark.parametrize("life", [0, -100])
async def test_urls_can_come_expired_and_live_after_a_hydrate_or_a_look_at_the_job(start: Start, life: float) -> None:
    async with start(url_seconds=life) as emulator:
        await emulator.register()
        answer = await emulator.client.post("/v1/tools/generate-music", json={"prompt": "a"})
        await emulator.videogen.settled()
        (result,) = emulator.inbox.bodies[0]["results"]
        assert result["downloadUrlExpiresAt"] == NOW + life
        assert not await opens(emulator, result["downloadUrl"])
        (listed,) = (await emulator.get("/v1/tools/executions"))["toolExecutions"]
        assert not await opens(emulator, listed["results"][0]["downloadUrl"])
        execution = await emulator.get(f"/v1/tools/executions/{answer.json()['toolExecutionId']}")
        assert await opens(emulator, execution["results"][0]["downloadUrl"])
        hydrated = await emulator.client.post(f"/v1/files/{result['fileId']}/hydrate")
        assert await opens(emulator, hydrated.json()["downloadUrl"])


async def test_a_look_at_the_job_signs_again_when_less_than_an_hour_is_left(start: Start) -> None:
    now = [NOW]

    def expiry(execution: dict[str, Any]) -> float:
        (result,) = execution["results"]
        found: float = result["downloadUrlExpiresAt"]
        return found

    async with start(clock=lambda: now[0]) as emulator:
        path = f"/v1/tools/executions/{(await emulator.run())['toolExecutionId']}"
        now[0] = NOW + WEEK - 3600
        assert expiry(await emulator.get(path)) == NOW + WEEK
        now[0] += 1
        (listed,) = (await emulator.get("/v1/tools/executions"))["toolExecutions"]
        assert expiry(listed) == NOW + WEEK
        assert expiry(await emulator.get(path)) == now[0] + WEEK
        (listed,) = (await emulator.get("/v1/tools/executions"))["toolExecutions"]
        assert expiry(listed) == now[0] + WEEK


async def test_urls_lead_to_the_host_that_was_asked(emulator: Emulator) -> None:
    execution = await emulator.run()
    assert execution["results"][0]["downloadUrl"].startswith("http://emulator.test:4010/storage/")
