import httpx
import pytest

from receiver.emulator import Knobs, create_emulator
from receiver.emulator.tools import TOOLS

from .conftest import Emulator, Start

MINIMAL = {
    "generate-video-clip": {"prompt": "a"},
    "text-to-speech": {"ttsText": "a", "voiceId": "v"},
    "generate-avatar": {"avatarPresenterId": "p", "audioStorageFileId": "f"},
    "remove-video-background": {"videoFileId": "f"},
    "upscale-video": {"videoFileId": "f"},
} | {
    path: {"imageFileId": "f"}
    for path in ("vectorize-image", "remove-image-background", "upscale-image", "image-3d-effect")
}


@pytest.mark.parametrize("tool", [tool.path for tool in TOOLS])
async def test_every_tool_runs_to_a_file_that_can_be_downloaded(emulator: Emulator, tool: str) -> None:
    execution = await emulator.run(tool, **MINIMAL.get(tool, {}))
    assert execution["toolType"] == tool.upper().replace("-", "_")
    answer = await emulator.client.get(execution["results"][0]["downloadUrl"])
    assert answer.status_code == 200
    assert answer.content


async def test_a_tool_that_is_refused_starts_nothing(emulator: Emulator) -> None:
    answer = await emulator.client.post("/v1/tools/generate-image", json={"numResults": 0})
    assert answer.status_code == 400
    assert (await emulator.get("/v1/tools/executions"))["toolExecutions"] == []


async def test_executions_are_listed_newest_first(emulator: Emulator) -> None:
    ids = [(await emulator.run())["toolExecutionId"] for _ in range(3)]
    first = await emulator.get("/v1/tools/executions?limit=2&selfOnly=true")
    rest = await emulator.get(f"/v1/tools/executions?limit=2&cursor={first['nextCursor']}")
    listed = first["toolExecutions"] + rest["toolExecutions"]
    assert [each["toolExecutionId"] for each in listed] == ids[::-1]
    assert listed[0] == await emulator.get(f"/v1/tools/executions/{ids[2]}")


async def test_there_is_something_to_choose_from(emulator: Emulator) -> None:
    voices = (await emulator.get("/v1/resources/tts-voices"))["ttsVoices"]
    assert {voice["supportsDirectToolExecution"] for voice in voices} == {True, False}
    presenters = (await emulator.get("/v1/resources/avatar-presenters"))["avatarPresenters"]
    assert [presenter["avatarPresenterId"] for presenter in presenters] == ["vg_pres_emulator"]
    assert {"languageCode": "en", "name": "English"} in (await emulator.get("/v1/resources/languages"))["languages"]
    for query, count in (("", 1), ("?entityType=ACTOR", 1), ("?entityType=VISUAL_STYLE", 0)):
        listed = await emulator.get(f"/v1/entities{query}")
        assert (len(listed["entities"]), listed["hasMore"], listed["nextCursor"]) == (count, False, None)


async def test_any_event_can_be_announced(emulator: Emulator) -> None:
    await emulator.register(events=["workflow_run.succeeded"])
    emulator.videogen.announce("workflow_run.succeeded", {"workflowRunId": "vg_work_a"})
    await emulator.videogen.settled()
    assert emulator.inbox.bodies == [{"event": "workflow_run.succeeded", "workflowRunId": "vg_work_a"}]
    assert [(made.event, made.attempt, made.status) for made in emulator.videogen.deliveries] == [
        ("workflow_run.succeeded", 1, 200)
    ]


async def test_ids_differ_between_runs_with_the_same_seed(start: Start) -> None:
    ids = set()
    for _ in range(2):
        async with start(seed=3) as emulator:
            execution = await emulator.run()
            ids |= {execution["toolExecutionId"], execution["results"][0]["fileId"]}
    assert len(ids) == 4


async def test_nobody_is_called_who_did_not_register(start: Start) -> None:
    async with start() as emulator:
        await emulator.run()
        await emulator.run("generate-image", imageFileIds=["https://elsewhere.example.com/a.png"])
        assert emulator.inbox.requests == []


async def test_redirects_are_not_followed_and_proxies_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    made: list[httpx.AsyncClient] = []
    init = httpx.AsyncClient.__init__

    def note(self: httpx.AsyncClient, **options: object) -> None:
        init(self, **options)  # type: ignore[arg-type]
        made.append(self)

    monkeypatch.setattr(httpx.AsyncClient, "__init__", note)
    app = create_emulator(Knobs())
    async with app.router.lifespan_context(app):
        (client,) = made
        assert (client.trust_env, client.follow_redirects, client._mounts) == (False, False, {})
    assert client.is_closed
