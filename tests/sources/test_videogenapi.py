"""VideoGenAPI: what its documents say, and its client against the emulator."""

import contextlib
import json

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.errors import BadParameters, ProviderError, Unreadable
from receiver.events import Output
from receiver.settings import Provider
from receiver.sources import Source, WebhookSource, find_tool
from receiver.sources.videogenapi import Api, VideoGenApi
from receiver.sources.videogenapi.api import _answer
from receiver.sources.videogenapi.reading import read, standing_of

TEXT = find_tool(VideoGenApi(), "text-to-video")
PATH = "/api/v1"


def answering(status, data):
    def answer(request):
        return httpx.Response(status, json=data)

    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    return Api(http, Provider(api_key="key_of_mine"))


async def ended(app, client, job_id):
    await app.state.videogenapi._background.settled()
    return await client.ask(job_id, TEXT, {})


@pytest.mark.parametrize(
    ("status", "standing"),
    [
        ("pending", "submitted"),
        ("in_queue", "submitted"),
        ("in_progress", "running"),
        ("processing", "running"),
        ("completed", "succeeded"),
        ("failed", "failed"),
        ("dreaming", "running"),
        (7, "running"),
    ],
)
def test_every_status_has_its_standing_and_what_nobody_knows_is_no_end(status, standing):
    assert standing_of({"status": status}) == standing


def test_a_completed_generation_is_an_event_and_its_time_without_a_zone_stays_as_it_is():
    data = {
        "generation_id": "gen_1",
        "status": "completed",
        "video_url": "https://videogenapi.com/api/v1/video/gen_1",
        "completed_at": "2025-01-04 00:08:42",
    }
    found = read(json.dumps(data).encode())
    assert (found.type, found.kind, found.job_id) == ("generation.completed", "job.succeeded", "gen_1")
    assert found.outputs == (Output(id="0", type="VIDEO", url=data["video_url"]),)
    assert (found.occurred_at, found.data) == (None, data)


@given(st.binary())
def test_any_bytes_are_read_or_unreadable(body):
    with contextlib.suppress(Unreadable):
        read(body)


@given(
    st.dictionaries(
        st.sampled_from(["status", "video_url", "error", "generation_id", "message"]),
        st.sampled_from(["completed", "failed", "pending"])
        | st.none()
        | st.integers()
        | st.text()
        | st.lists(st.text())
        | st.dictionaries(st.text(), st.text()),
    )
)
def test_any_answer_tells_how_it_stands_or_is_an_error_and_reads_alike(data):
    try:
        answer = _answer(data)
    except ProviderError:
        return
    if answer.body is not None:
        assert read(answer.body).kind == f"job.{answer.standing}"


@pytest.mark.parametrize(
    ("tool", "parameters"),
    [
        ("text-to-video", {"prompt": "a boat"}),
        ("image-to-video", {"prompt": "a boat", "image_url": "https://x.example/a.png"}),
        ("multi-image-to-video", {"prompt": "a boat", "reference_image_urls": ["https://x.example/a.png"]}),
    ],
)
async def test_a_generation_goes_from_submission_to_file(emulated, tool, parameters):
    app, client = await emulated(VideoGenApi(), PATH)
    found = find_tool(VideoGenApi(), tool)
    taken = await client.submit(found, found.check(parameters))
    assert app.state.videogenapi.generations[taken.job_id].type == tool
    answer = await ended(app, client, taken.job_id)
    assert answer.standing == "succeeded"
    [output] = VideoGenApi().read(answer.body).outputs
    file = await client._connection._http.get(output.url)
    assert file.content[4:8] == b"ftyp"
    assert (await client.refresh(Output(id="0", url="old"), job_id=taken.job_id)).url == output.url
    assert await client.recent(found) == [taken.job_id]
    assert (await client.usage())["usage"]["current_month_usage"] == 1


async def test_a_failing_generation_is_told_with_its_reason(emulated):
    app, client = await emulated(VideoGenApi(), PATH, fail=1.0)
    taken = await client.submit(TEXT, {"prompt": "a boat"})
    answer = await ended(app, client, taken.job_id)
    assert answer.standing == "failed"
    assert "emulator" in VideoGenApi().read(answer.body).error.message


@pytest.mark.parametrize("status", [429, 200, 403])
async def test_the_limit_of_a_model_says_when_it_ends_whatever_the_status(status):
    limit = {"error": "Sora-2 rate limit exceeded", "details": {"limit": 10, "seconds_until_reset": 3247}}
    with pytest.raises(ProviderError, match="rate limit exceeded") as refused:
        await answering(status, limit).submit(TEXT, {"prompt": "a boat"})
    assert refused.value.retry_after == 3247


@pytest.mark.parametrize("limit", [{"seconds_until_reset": -1}, {"seconds_until_reset": "soon"}, {}, "prose"])
async def test_a_limit_that_tells_no_time_is_a_limit_without_one(limit):
    with pytest.raises(ProviderError) as refused:
        await answering(429, {"error": "slow down", "details": limit}).ask("gen_1", TEXT, {})
    assert (refused.value.status, refused.value.retry_after) == (429, None)


async def test_an_answer_that_is_complete_already_ends_the_job():
    done = {"status": "completed", "video_url": "https://x.example/v.mp4"}
    taken = await answering(200, done).submit(TEXT, {"prompt": "a boat"})
    assert (taken.job_id, taken.answer.standing) == (None, "succeeded")
    with pytest.raises(ProviderError, match="under which id"):
        await answering(200, {"success": True}).submit(TEXT, {"prompt": "a boat"})


async def test_a_list_in_an_unknown_shape_tells_what_looks_like_a_generation_or_nothing():
    shape = {"data": {"items": [{"generation_id": "b"}, {"generation_id": "a", "type": "image-to-video"}, {"x": 1}]}}
    assert await answering(200, shape).recent(TEXT) == ["b"]
    assert await answering(200, {"data": []}).recent(TEXT) is None


@pytest.mark.parametrize(("knobs", "status"), [({"outage": 1.0}, 503), ({"limit": 1.0}, 429), ({"garbage": 1.0}, 200)])
async def test_trouble_at_the_provider_is_a_provider_error(emulated, knobs, status):
    _app, client = await emulated(VideoGenApi(), PATH, **knobs)
    with pytest.raises(ProviderError) as refused:
        await client.ask("gen_1", TEXT, {})
    assert refused.value.status == status
    assert "key_of_mine" not in str(refused.value)


async def test_the_status_is_asked_for_by_id_as_the_documented_url_leads_nowhere(emulated):
    app, client = await emulated(VideoGenApi(), PATH)
    with pytest.raises(ProviderError) as refused:
        await client.ask("gen_none", TEXT, {})
    assert refused.value.status == 404
    await client.submit(TEXT, {"prompt": "a boat"})
    [generation] = app.state.videogenapi.generations.values()
    status_url = f"/v1/status/{generation.id}"
    assert (await client._connection._http.get(f"http://emulator{PATH}{status_url}")).status_code == 404


async def test_what_it_has_not_is_said(emulated):
    _app, client = await emulated(VideoGenApi(), PATH)
    with pytest.raises(ProviderError, match="no way to cancel"):
        await client.cancel("gen_1", TEXT)
    with pytest.raises(ProviderError, match="by its generation"):
        await client.refresh(Output(id="0"), job_id=None)


@pytest.mark.parametrize(
    ("tool", "parameters", "rule"),
    [
        ("text-to-video", {}, "prompt: Field required"),
        ("text-to-video", {"prompt": "x" * 1001}, "prompt: String should have at most 1000"),
        ("text-to-video", {"prompt": "x", "duration": 61}, "duration"),
        ("image-to-video", {"prompt": "x"}, "image_url: Field required"),
        ("multi-image-to-video", {"prompt": "x", "reference_image_urls": ["https://x"] * 6}, "reference_image_urls"),
    ],
)
def test_what_is_certainly_wrong_is_refused_with_its_rule(tool, parameters, rule):
    with pytest.raises(BadParameters, match=f"^{tool}: {rule}.*videogenapi.com/docs"):
        find_tool(VideoGenApi(), tool).check(parameters)


def test_it_is_a_source_that_does_not_call():
    assert isinstance(VideoGenApi(), Source)
    assert not isinstance(VideoGenApi(), WebhookSource)
