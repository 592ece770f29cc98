"""The official SDK 2.5.3, unchanged, over real sockets."""

import asyncio
import inspect
import io
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import av
import httpx
import pytest
import standardwebhooks
import svix
from starlette.routing import Match
from videogen import AsyncVideoGen, VideoGen, VideoGenError, verify_webhook_signature

from receiver.emulator import Knobs, create_emulator, media
from receiver.emulator import VideoGen as Account
from receiver.emulator.tools import TOOLS

from .conftest import ALL, Inbox, Serve
from .test_videogen import MINIMAL

FAST = {"poll_interval_ms": 5, "timeout_ms": 5000}


@dataclass
class Stage:
    """An emulator behind a socket, and the SDK before it."""

    sdk: VideoGen
    url: str
    account: Account

    async def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await asyncio.to_thread(function, *args, **kwargs)


@pytest.fixture
async def stage(serve: Serve) -> AsyncIterator[Stage]:
    app = create_emulator(Knobs(seconds=0.02, retry_scale=0))
    async with serve(app) as url:
        with VideoGen(api_key="sk_videogen_live_x", base_url=url) as sdk:
            # The first answer tells that the emulator is up.
            assert (await asyncio.to_thread(sdk.account.get_me))["api_key_id"] == "vg_key_emulator"
            yield Stage(sdk, url, app.state.videogen)


async def test_webhooks_are_made_listed_and_deleted(stage: Stage) -> None:
    webhooks = stage.sdk.webhooks
    made = [
        await stage.call(
            webhooks.create_webhook_endpoint,
            url="http://127.0.0.1:9/in",
            events=ALL,
            description=f"app:{name}",
        )
        for name in "abc"
    ]
    page = await stage.call(webhooks.list_webhook_endpoints, limit=2)
    rest = await stage.call(webhooks.list_webhook_endpoints, limit=2, cursor=page["next_cursor"])
    assert [each["description"] for each in page["endpoints"] + rest["endpoints"]] == [
        "app:c",
        "app:b",
        "app:a",
    ]
    assert await stage.call(webhooks.delete_webhook_endpoint, endpoint_id=made[0]["endpoint_id"]) is None
    with pytest.raises(VideoGenError) as caught:
        await stage.call(webhooks.delete_webhook_endpoint, endpoint_id=made[0]["endpoint_id"])
    assert (caught.value.status, caught.value.body["code"]) == (404, "not_found")
    assert caught.value.request_id


async def test_every_tool_can_be_waited_for(stage: Stage) -> None:
    for tool in TOOLS:
        name = {"image-3d-effect": "image3d_effect"}.get(tool.path, tool.path.replace("-", "_"))
        parameters = {"prompt": "a"} | MINIMAL.get(tool.path, {})
        run = getattr(stage.sdk.tools, f"{name}_and_wait")
        done = await stage.call(run, **parameters, **FAST)
        assert (done["status"], done["tool_type"], len(done["results"])) == ("succeeded", tool.type, 1)


async def test_what_the_seeds_call_their_parameters_still_works(stage: Stage) -> None:
    tools = stage.sdk.tools
    speech = await stage.call(tools.text_to_speech_and_wait, tts_text="Hello", voice_id="v", **FAST)
    audio = speech["results"][0]["file_id"]
    for call, parameters in (
        (tools.generate_sound_effect, {"prompt": "a", "duration_seconds": 2, "prompt_influence": 0.5}),
        (
            tools.generate_video_clip,
            {"image_file_ids": ["vg_file_a"], "aspect_ratio": {"width": 16, "height": 9}},
        ),
        (tools.generate_video_clip, {"video_file_id": "vg_file_a", "generate_audio": True}),
        (tools.generate_avatar, {"avatar_presenter_id": "vg_pres_emulator", "audio_storage_file_id": audio}),
        (tools.generate_avatar, {"actor_entity_id": "vg_enti_emulator", "audio_file_id": audio}),
        (tools.upscale_image, {"image_storage_file_id": "vg_file_a"}),
        (
            tools.upscale_video,
            {"video_storage_file_id": "vg_file_a", "num_results": 2, "is_output_temporary": True},
        ),
    ):
        started = await stage.call(call, **parameters)
        assert set(started) == {"tool_execution_id"}
    await stage.account.settled()
    listed = await stage.call(tools.list_tool_executions, limit=200, self_only=True)
    assert {each["status"] for each in listed["tool_executions"]} == {"succeeded"}
    assert [result["file"]["scope"] for result in listed["tool_executions"][0]["results"]] == ["TEMPORARY"] * 2


async def test_a_job_can_be_looked_at_and_cancelled(stage: Stage) -> None:
    tools = stage.sdk.tools
    job = (await stage.call(tools.generate_music, prompt="a"))["tool_execution_id"]
    assert await stage.call(tools.cancel_tool_execution, tool_execution_id=job) == {"tool_execution_id": job}
    done = await stage.call(stage.sdk.poll_executed_tool, job, throw_on_failure=False, **FAST)
    assert done["status"] in ("cancelled", "succeeded")
    assert await stage.call(tools.get_tool_execution_info, tool_execution_id=job) == done


async def test_a_bad_request_is_an_sdk_error_with_the_api_message(stage: Stage) -> None:
    with pytest.raises(VideoGenError, match="prompt is required") as caught:
        await stage.call(stage.sdk.tools.generate_image)
    assert (caught.value.status, caught.value.body["code"]) == (400, "invalid_request")


async def test_files_go_up_and_come_down_without_the_key(stage: Stage) -> None:
    video = media.video(width=256, height=144, seconds=1).content
    uploaded = await stage.call(stage.sdk.upload_file, io.BytesIO(video), display_name="a.mp4", poll_interval_ms=5)
    await stage.account.settled()
    assert await stage.call(stage.sdk.download_file, uploaded["file_id"]) == video
    clip = await stage.call(stage.sdk.tools.generate_video_clip_and_wait, prompt="a", **FAST)
    content = await stage.call(stage.sdk.download_file, clip["results"][0]["file_id"])
    with av.open(io.BytesIO(content)) as file:
        assert len(list(file.decode(video=0))) == 20
    assert {(each.method, each.status) for each in stage.account.library.transfers} == {
        ("PUT", 200),
        ("GET", 200),
    }
    assert not any(each.key_sent for each in stage.account.library.transfers)
    files = stage.sdk.files
    assert len((await stage.call(files.get_files))["files"]) == 2
    hydrated = await stage.call(files.hydrate_file, file_id=uploaded["file_id"])
    assert hydrated["download_source"]["status"] == "ready"
    await stage.call(files.archive_file, file_id=uploaded["file_id"])
    assert [each["file_id"] for each in (await stage.call(files.get_files))["files"]] == [clip["results"][0]["file_id"]]


async def test_catalogues_can_be_read(stage: Stage) -> None:
    voices = await stage.call(stage.sdk.resources.list_tts_voices, limit=1)
    assert voices["has_more"] is True
    assert voices["tts_voices"][0]["supports_direct_tool_execution"] is True
    assert (await stage.call(stage.sdk.resources.list_languages))["languages"]
    entities = await stage.call(stage.sdk.entities.list_entities, entity_type="ACTOR")
    assert entities["entities"][0]["entity_id"] == "vg_enti_emulator"
    presenters = await stage.call(stage.sdk.request, method="GET", path="/v1/resources/avatar-presenters")
    assert presenters["avatar_presenters"][0]["avatar_presenter_id"] == "vg_pres_emulator"


async def test_a_delivery_arrives_and_three_libraries_verify_it(stage: Stage, serve: Serve) -> None:
    inbox = Inbox()
    async with serve(inbox) as url:
        made = await stage.call(stage.sdk.webhooks.create_webhook_endpoint, url=f"{url}/in", events=ALL)
        done = await stage.call(stage.sdk.tools.generate_image_and_wait, prompt="a", num_results=2, **FAST)
        await stage.account.settled()
    (request,) = inbox.requests
    headers, body, secret = dict(request.headers), request.content, made["signing_secret"]
    event = verify_webhook_signature(body, headers, secret)
    assert (event["event"], event["tool_execution_id"]) == (
        "tool_execution.succeeded",
        done["tool_execution_id"],
    )
    assert event["results"] == done["results"]
    assert standardwebhooks.Webhook(secret).verify(body, headers)["toolExecutionId"] == done["tool_execution_id"]
    svix.Webhook(secret).verify(body, headers)
    with pytest.raises(svix.WebhookVerificationError):
        svix.Webhook(secret).verify(body + b" ", headers)


async def test_the_async_client_works_as_well(stage: Stage) -> None:
    async with AsyncVideoGen(api_key="x", base_url=stage.url) as sdk:
        done = await sdk.tools.generate_sound_effect_and_wait(prompt="rain", **FAST)
        assert (await sdk.download_file(done["results"][0]["file_id"]))[:4] == b"RIFF"


@pytest.mark.parametrize(
    "name",
    ["script_to_video", "voiceover_to_video", "slideshow_to_video", "prompt_to_video_clip", "video_to_video"],
)
async def test_every_workflow_can_be_waited_for_and_its_project_exported(stage: Stage, name: str) -> None:
    run = await stage.call(getattr(stage.sdk.workflows, f"{name}_and_wait"), prompt="a", **FAST)
    assert (run["status"], run["workflow_type"]) == ("succeeded", name.upper())
    export = await stage.call(stage.sdk.projects.export_and_wait, project_id=run["project_id"], **FAST)
    content = await stage.call(stage.sdk.download_file, export["export_file_id"])
    with av.open(io.BytesIO(content)) as file:
        assert list(file.decode(video=0))
    listed = await stage.call(stage.sdk.projects.list_project_exports, project_id=run["project_id"])
    assert [each["export_id"] for each in listed["exports"]] == [export["export_id"]]


async def test_remixes_interchanges_imports_and_messages_can_be_waited_for(stage: Stage) -> None:
    sdk, call = stage.sdk, stage.call
    project = (await call(sdk.workflows.script_to_video_and_wait, script="a", **FAST))["project_id"]
    actions = [{"type": "ENABLE_CAPTIONS"}, {"type": "CONVERT_IMAGES_TO_VIDEOS"}]
    remixed = await call(sdk.projects.remix_and_wait, project_id=project, remix_actions=actions, **FAST)
    assert {action["type"] for action in remixed["remix_actions"]} == {action["type"] for action in actions}
    for done in (
        await call(sdk.projects.create_timeline_interchange_and_wait, project_id=project, **FAST),
        await call(sdk.files.create_file_url_import_and_wait, url="https://example.com/a.png", **FAST),
        await call(sdk.assistant.start_assistant_chat_and_wait, prompt="a", **FAST),
    ):
        assert done["status"] == "succeeded"
    assistant = done["assistant_id"]
    sent = await call(sdk.assistant.send_assistant_message_and_wait, assistant_id=assistant, content="b", **FAST)
    acted = await call(sdk.assistant.act_on_assistant_action_and_wait, assistant, "action", **FAST)
    known = await call(sdk.assistant.get_assistant, assistant_id=assistant)
    assert known["messages"] == [done, sent, acted]
    assert (await call(sdk.text.generate_text, prompt="a"))["text"]


async def test_a_run_is_listed_and_cancelled_and_a_project_found(stage: Stage) -> None:
    workflows, call = stage.sdk.workflows, stage.call
    started = await call(workflows.script_to_video, script="a")
    assert await call(workflows.cancel_workflow_run, workflow_run_id=started["workflow_run_id"]) == {
        "workflow_run_id": started["workflow_run_id"]
    }
    await stage.account.settled()
    (run,) = (await call(workflows.list_workflow_runs, limit=5, self_only=True))["workflow_runs"]
    assert run["status"] in ("cancelled", "succeeded")
    (project,) = (await call(stage.sdk.projects.list_projects))["projects"]
    assert await call(stage.sdk.projects.get_project, project_id=started["project_id"]) == project


async def test_no_method_of_the_sdk_leads_nowhere(stage: Stage) -> None:
    routes = create_emulator().routes
    names = (
        "account",
        "tools",
        "workflows",
        "projects",
        "files",
        "webhooks",
        "entities",
        "assistant",
        "resources",
        "text",
    )
    asked = []
    for resource in (type(getattr(stage.sdk, name)) for name in names):
        for name, method in inspect.getmembers(resource, inspect.isfunction):
            if name.startswith("_") or name.endswith("_and_wait"):
                continue
            source = inspect.getsource(method)
            path = re.sub("{(\\w+)}", "x", re.findall(r"format_path\('([^']+)'", source)[0])
            verb = re.findall(r"method='(\w+)'", source)[0]
            asked.append((name, {"type": "http", "method": verb, "path": path}))
    assert len(asked) > 50
    assert [name for name, scope in asked if not any(route.matches(scope)[0] is Match.FULL for route in routes)] == []


async def test_entities_are_made_changed_and_put_away(stage: Stage) -> None:
    entities, call = stage.sdk.entities, stage.call
    made = await call(entities.create_entity, name="Kim", entity_type="ACTOR")
    entity = made["entity_id"]
    assert (await call(entities.update_entity, entity_id=entity, name="Kit"))["name"] == "Kit"
    added = await call(entities.add_entity_reference, entity_id=entity, file_id="vg_file_a")
    assert added["references"] == [{"file_id": "vg_file_a"}]
    assert (await call(entities.remove_entity_reference, entity_id=entity, file_id="vg_file_a"))["references"] == []
    assert (await call(entities.get_entity, entity_id=entity))["name"] == "Kit"
    await call(entities.archive_entity, entity_id=entity)
    with pytest.raises(VideoGenError) as caught:
        await call(entities.get_entity, entity_id=entity)
    assert caught.value.status == 404


async def test_a_file_is_found_and_shown_to_everybody(stage: Stage) -> None:
    sdk, call = stage.sdk, stage.call
    picture = media.picture(width=64, height=64).content
    file = (await call(sdk.upload_file, io.BytesIO(picture), display_name="Boat.png", poll_interval_ms=5))["file_id"]
    await stage.account.settled()
    assert [each["file_id"] for each in (await call(sdk.files.search_files, query="boat"))["files"]] == [file]
    shown = await call(sdk.create_public_preview, file, poll_interval_ms=5, wait_for_embed_playback_id=True)
    assert shown["static_public_preview_source"]["expires_at"] is None
    url = shown["static_public_preview_source"]["url"]
    assert (await call(httpx.get, url, trust_env=False)).content == picture
    hidden = await call(sdk.files.disable_public_preview, file_id=file)
    assert hidden["static_public_preview_source"] is None
