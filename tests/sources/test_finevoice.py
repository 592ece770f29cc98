"""FineVoice: both of its documents, and its client against the emulator."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.errors import BadParameters, ProviderError, Unreadable
from receiver.events import JobError, Output
from receiver.sources import Source, WebhookSource, find_tool
from receiver.sources.finevoice import FineVoice
from receiver.sources.finevoice.api import _answer
from receiver.sources.finevoice.reading import read, standing_of

SFX = find_tool(FineVoice(), "sfx-generation")
SPLIT = find_tool(FineVoice(), "separation")
URL = "https://cdn.finevoice.ai/output/a.wav"


async def ended(app, client, job_id):
    await app.state.finevoice._background.settled()
    return await client.ask(job_id, SFX, {})


def reading(**data):
    return read(json.dumps(data).encode())


@pytest.mark.parametrize(
    ("data", "standing"),
    [
        ({"status": 202, "taskId": "t"}, "running"),
        ({"status": 200, "url": URL}, "succeeded"),
        ({"status": "completed", "url": URL, "error": None}, "succeeded"),
        ({"status": "success"}, "succeeded"),
        ({"status": "pending", "url": None, "error": None}, "running"),
        ({"status": "processing"}, "running"),
        ({"status": "failed", "error": "no"}, "failed"),
        ({"status": "failed", "url": URL}, "failed"),
        ({"status": 500, "error": {"code": "x", "message": "no"}}, "failed"),
        ({"error": {"message": "no"}}, "failed"),
        ({"status": "dreaming"}, "running"),
        ({"status": True}, "running"),
        ({"urls": [URL]}, "succeeded"),
        ({"url": "not a url", "status": 202}, "running"),
    ],
)
def test_both_vocabularies_are_read_and_what_nobody_knows_is_no_end(data, standing):
    assert standing_of(data) == standing


def test_a_finished_task_is_an_event_with_all_its_files_in_order():
    found = reading(status=200, taskId="t1", url=URL, urls=[URL, f"{URL}?2", 7, None], timestamp="soon")
    assert (found.type, found.kind, found.job_id) == ("task.completed", "job.succeeded", "t1")
    assert found.outputs == (Output(id="0", url=URL), Output(id="1", url=f"{URL}?2"))
    assert found.occurred_at is None
    assert found.data["timestamp"] == "soon"


@pytest.mark.parametrize(
    ("error", "told"),
    [("no luck", JobError(message="no luck")), ({"code": "c", "message": "no"}, JobError(message="no", code="c"))],
)
def test_a_failed_task_says_why_in_either_shape(error, told):
    found = reading(status="failed", task_id="t2", error=error)
    assert (found.type, found.kind, found.job_id, found.error) == ("task.failed", "job.failed", "t2", told)


@given(
    st.binary() | st.recursive(st.none() | st.booleans() | st.text() | st.floats(), st.lists).map(str).map(str.encode)
)
def test_any_bytes_are_read_or_unreadable(body):
    with contextlib.suppress(Unreadable):
        read(body)


@given(
    st.dictionaries(
        st.sampled_from(["status", "url", "urls", "error", "taskId"]),
        st.none()
        | st.booleans()
        | st.integers()
        | st.text()
        | st.lists(st.text())
        | st.dictionaries(st.text(), st.text()),
    )
)
def test_any_answer_tells_how_the_task_stands_or_is_an_error_and_reads_alike(data):
    try:
        answer = _answer(data)
    except ProviderError:
        return
    if answer.body is not None:
        assert read(answer.body).kind == f"job.{answer.standing}"


@pytest.mark.parametrize("vocabulary", ["numbers", "words"])
async def test_a_task_goes_from_submission_to_file(emulated, vocabulary):
    app, client = await emulated(FineVoice())
    app.state.finevoice.vocabulary = vocabulary
    taken = await client.submit(SFX, {"prompt": "rain", "duration": 2})
    assert taken.answer is None
    answer = await ended(app, client, taken.job_id)
    assert answer.standing == "succeeded"
    [output] = FineVoice().read(answer.body).outputs
    file = await client._connection._http.get(output.url)
    assert file.content.startswith(b"RIFF")
    assert (await client.refresh(Output(id="0", url="old"), job_id=taken.job_id)).url == output.url


async def test_a_task_that_is_answered_at_once_is_done_and_has_no_id(emulated):
    _app, client = await emulated(FineVoice())
    taken = await client.submit(SFX, {"prompt": "rain", "useAsync": False})
    assert (taken.job_id, taken.answer.standing) == (None, "succeeded")


async def test_a_task_with_several_files_keeps_them_all(emulated):
    app, client = await emulated(FineVoice())
    taken = await client.submit(SPLIT, {"sourceUrl": "https://x.example/a.wav"})
    answer = await ended(app, client, taken.job_id)
    assert [output.id for output in FineVoice().read(answer.body).outputs] == ["0", "1"]


@pytest.mark.parametrize("vocabulary", ["numbers", "words"])
async def test_a_failing_task_is_told_with_its_reason(emulated, vocabulary):
    app, client = await emulated(FineVoice(), fail=1.0)
    app.state.finevoice.vocabulary = vocabulary
    taken = await client.submit(SFX, {"prompt": "rain"})
    answer = await ended(app, client, taken.job_id)
    assert answer.standing == "failed"
    assert "emulator" in FineVoice().read(answer.body).error.message


@pytest.mark.parametrize(("knobs", "status"), [({"outage": 1.0}, 503), ({"limit": 1.0}, 429), ({"garbage": 1.0}, 200)])
async def test_trouble_at_the_provider_is_a_provider_error(emulated, knobs, status):
    _app, client = await emulated(FineVoice(), **knobs)
    with pytest.raises(ProviderError) as refused:
        await client.ask("t1", SFX, {})
    assert refused.value.status == status
    assert "key_of_mine" not in str(refused.value)


async def test_an_unknown_task_and_wrong_parameters_are_refused_by_the_provider(emulated):
    _app, client = await emulated(FineVoice())
    for call, status in ((client.ask("none", SFX, {}), 404), (client.submit(SFX, {"duration": 99}), 422)):
        with pytest.raises(ProviderError) as refused:
            await call
        assert refused.value.status == status


async def test_what_it_has_not_is_said(emulated):
    app, client = await emulated(FineVoice())
    assert await client.recent(SFX) is None
    with pytest.raises(ProviderError, match="no way to cancel"):
        await client.cancel("t1", SFX)
    with pytest.raises(ProviderError, match="by its task"):
        await client.refresh(Output(id="0"), job_id=None)
    assert app.state.finevoice.asked == []


@pytest.mark.parametrize(
    ("parameters", "rule"),
    [
        ({"duration": 31}, "duration: Input should be less than or equal to 30"),
        ({"sourceUrl": "https://x.example"}, "sourceType is required with sourceUrl"),
        ({"sourceType": "audio", "sourceUrl": "u"}, "sourceType: Input should be 'image' or 'video'"),
        ({"prompt": 7}, "prompt: Input should be a valid string"),
        ({"useAsync": "yes"}, "useAsync"),
    ],
)
def test_what_is_certainly_wrong_is_refused_with_its_rule(parameters, rule):
    with pytest.raises(BadParameters, match=f"sfx-generation: {rule}.*api.finevoice.ai"):
        SFX.check(parameters)


def test_it_is_a_source_that_does_not_call():
    assert isinstance(FineVoice(), Source)
    assert not isinstance(FineVoice(), WebhookSource)
    assert SFX.check({"prompt": "rain", "negative_prompt": None, "new": 1}) == {
        "prompt": "rain",
        "negative_prompt": None,
        "new": 1,
    }
