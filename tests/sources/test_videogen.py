import contextlib
import copy
import json
from pathlib import Path
from typing import Any

import pytest
import videogen
from hypothesis import example, given, settings
from hypothesis import strategies as st

from receiver import signatures
from receiver.errors import BadSignature, ConfigError, Unreadable
from receiver.events import JobError, Output, Reading
from receiver.registry import find_sources
from receiver.sources import Source
from receiver.sources.videogen import VideoGen

SAMPLES = Path(__file__).parent.parent / "samples" / "videogen"
SECRET = "whsec_dmlkZW9nZW4tc2FtcGxlLXNlY3JldC0wMQ=="
TOOL = "vg_tool_cmh3k9q2x0001l508ab12cd34"
FILE = "vg_file_Zx81qLr0TKe-5s_Wn2mYAg"
STORAGE = "https://storage.example.invalid"
T0 = 1793232000.0
WEEK = 7 * 86400


def body(name: str, folder: str = "webhooks") -> bytes:
    return (SAMPLES / folder / f"{name}.json").read_bytes()


def payload(name: str) -> dict[str, Any]:
    return json.loads(body(name))


def read(data: object) -> Reading:
    return VideoGen().read(data if isinstance(data, bytes) else json.dumps(data).encode())


def avatar(**changes: Any) -> Output:
    """The output of `tool_execution.succeeded.json`."""
    usual = {
        "id": FILE,
        "type": "VIDEO",
        "url": f"{STORAGE}/{FILE}/original.mp4?X-Signature=made-up",
        "expires_at": T0 + WEEK,
        "size": 18234511,
    }
    return Output(**(usual | changes))


def test_it_is_found_as_the_source_videogen():
    source = find_sources()["videogen"]
    assert isinstance(source, VideoGen)
    assert isinstance(source, Source)


def test_the_known_events_are_the_eighteen_and_each_has_a_sample():
    assert len(VideoGen.events) == len(set(VideoGen.events)) == 18
    assert VideoGen.events[0] == "tool_execution.succeeded"
    assert VideoGen.events[-1] == "project_export.cancelled"
    named = {path.stem for path in (SAMPLES / "webhooks").glob("*.json")}
    assert set(VideoGen.events) <= named


def test_a_success_is_read_with_everything_in_it():
    data = payload("tool_execution.succeeded")
    assert read(body("tool_execution.succeeded")) == Reading(
        type="tool_execution.succeeded",
        occurred_at=T0,
        kind="job.succeeded",
        job_id=TOOL,
        tool="GENERATE_AVATAR",
        outputs=(avatar(),),
        expires_at=avatar().expires_at,
        fact=f"{TOOL}:succeeded",
        data=data,
    )


def test_a_failure_is_read_with_its_error():
    data = payload("tool_execution.failed")
    assert read(body("tool_execution.failed")) == Reading(
        type="tool_execution.failed",
        occurred_at=T0 + 41,
        kind="job.failed",
        job_id=TOOL,
        tool="GENERATE_AVATAR",
        error=JobError(message="The audio file could not be processed.", code="invalid_request", reference="VG-7F3A21"),
        fact=f"{TOOL}:failed",
        data=data,
    )


def test_a_cancellation_is_read():
    data = payload("tool_execution.cancelled")
    assert read(body("tool_execution.cancelled")) == Reading(
        type="tool_execution.cancelled",
        occurred_at=T0 + 12,
        kind="job.cancelled",
        job_id=TOOL,
        tool="GENERATE_AVATAR",
        fact=f"{TOOL}:cancelled",
        data=data,
    )


@pytest.mark.parametrize(
    ("name", "kind", "job_id", "tool", "error"),
    [
        (
            "workflow_run.succeeded",
            "job.succeeded",
            "vg_work_cmh3kb7yt0004l508ef56gh78",
            "SCRIPT_TO_VIDEO",
            None,
        ),
        (
            "workflow_run.cancelled",
            "job.cancelled",
            "vg_work_cmh3kb7yt0004l508ef56gh78",
            "SCRIPT_TO_VIDEO",
            None,
        ),
        (
            "workflow_run.failed",
            "job.failed",
            "vg_work_cmh3kb7yt0004l508ef56gh78",
            "SCRIPT_TO_VIDEO",
            JobError(message="Not enough credits to finish this run.", code="insufficient_credits"),
        ),
        (
            "assistant_message.succeeded",
            "job.succeeded",
            "vg_mesg_cmh3kd1vv0009l508ij90kl12",
            "ASSISTANT_MESSAGE",
            None,
        ),
        (
            "assistant_message.cancelled",
            "job.cancelled",
            "vg_mesg_cmh3kd1vv0009l508ij90kl12",
            "ASSISTANT_MESSAGE",
            None,
        ),
        (
            "assistant_message.failed",
            "job.failed",
            "vg_mesg_cmh3kd1vv0009l508ij90kl12",
            "ASSISTANT_MESSAGE",
            JobError(message="The assistant did not offer a workflow.", code="no_workflow_suggestion"),
        ),
        ("project_export.failed", "job.failed", "vg_expo_5cJm9qS3tZ6yN2wM4uD8xe", "PROJECT_EXPORT", None),
        ("project_export.cancelled", "job.cancelled", "vg_expo_5cJm9qS3tZ6yN2wM4uD8xe", "PROJECT_EXPORT", None),
    ],
)
def test_other_jobs_end_like_tools_do(name, kind, job_id, tool, error):
    reading = read(body(name))
    state = kind.removeprefix("job.")
    assert (reading.type, reading.kind, reading.job_id, reading.tool) == (name, kind, job_id, tool)
    assert (reading.error, reading.outputs, reading.fact) == (error, (), f"{job_id}:{state}")
    assert reading.occurred_at == payload(name)["occurredAt"]


def test_an_export_names_its_file_and_nothing_more():
    reading = read(body("project_export.succeeded"))
    assert reading.outputs == (Output(id="vg_file_E1mP4xYd7Qk-0rT_u5VsHw"),)
    assert reading.fact == "vg_expo_5cJm9qS3tZ6yN2wM4uD8xe:succeeded"


def test_a_workflow_that_exported_by_itself_has_its_file():
    export = {"exportId": "vg_expo_1", "exportFileId": "vg_file_1", "downloadUrl": "https://a/x.mp4?sig=1"}
    more = {"downloadUrlExpiresAt": T0 + WEEK, "thumbnailUrl": None, "thumbnailUrlExpiresAt": None}
    reading = read(payload("workflow_run.succeeded") | export | more)
    assert reading.job_id == "vg_work_cmh3kb7yt0004l508ef56gh78"
    assert reading.outputs == (Output(id="vg_file_1", url="https://a/x.mp4?sig=1", expires_at=T0 + WEEK),)


def test_an_export_may_say_why_it_failed():
    reading = read(payload("project_export.failed") | {"error": {"message": "no space", "code": None}})
    assert reading.error == JobError(message="no space")


@pytest.mark.parametrize("event", [event for event in VideoGen.events if event.startswith("file.")])
def test_a_file_event_ends_no_job_and_is_one_fact_per_name(event):
    reading = read(body(event))
    assert (reading.type, reading.kind, reading.outputs) == (event, None, ())
    assert reading.job_id == "vg_file_p7HcQ3uTSJ2m0aVfXk9BzA"
    assert reading.fact == f"{reading.job_id}:{event}"
    assert (reading.error is not None) == event.endswith("failed")


def test_several_results_are_several_outputs_in_their_order():
    outputs = read(body("tool_execution.succeeded--multi-result")).outputs
    assert [output.id for output in outputs] == [f"vg_file_img{n}AAAAAAAAAAAAAAAAAA" for n in (1, 2, 3)]
    assert [output.size for output in outputs] == [2100001, 2100002, 2100003]


def test_a_temporary_output_says_so():
    assert read(body("tool_execution.succeeded--temporary-output")).outputs == (avatar(temporary=True),)


def test_a_file_that_is_not_ready_has_no_url_although_its_preview_has():
    found = read(body("tool_execution.succeeded--download-still-finalizing")).outputs
    assert found == (avatar(url=None, expires_at=None, size=None),)


def test_audio_without_a_thumbnail_is_read():
    (output,) = read(body("tool_execution.succeeded--audio-no-thumbnail")).outputs
    assert (output.type, output.url is not None) == ("AUDIO", True)


def test_an_unknown_event_is_read_as_far_as_it_goes_and_is_no_known_fact():
    assert read(body("unknown-event--forward-compat")) == Reading(
        type="tool_execution.awaiting_approval",
        occurred_at=T0,
        job_id=TOOL,
        tool="GENERATE_AVATAR",
        data=payload("unknown-event--forward-compat"),
    )


def test_an_event_about_a_new_sort_of_thing_still_finds_its_job():
    reading = read({"event": "shot.succeeded", "exportId": "vg_expo_1", "occurredAt": T0})
    assert (reading.kind, reading.job_id, reading.tool, reading.fact) == (None, "vg_expo_1", None, None)
    assert read({"event": "team.renamed"}) == Reading(type="team.renamed", data={"event": "team.renamed"})


@pytest.mark.parametrize("path", sorted((SAMPLES / "webhooks").glob("*.json")), ids=lambda path: path.stem)
def test_every_sample_keeps_its_json_untouched(path):
    reading = read(path.read_bytes())
    assert reading.data == json.loads(path.read_bytes())
    assert reading.type == reading.data["event"]


def test_the_shape_of_april_2026_is_set_aside():
    with pytest.raises(Unreadable, match="legacy"):
        read(body("2026-04_tool_execution.succeeded", "webhooks-legacy"))


def test_only_tool_executions_without_their_id_are_taken_for_old_ones():
    assert read({"event": "render.done", "result": {}}).type == "render.done"
    assert read({"event": "tool_execution.succeeded", "toolExecutionId": "a", "result": {}}).job_id == "a"


def test_the_shape_of_may_2026_is_read():
    reading = read(body("2026-05_tool_execution.succeeded", "webhooks-legacy"))
    assert reading.outputs == (
        Output(
            id="vg_file_abc123def456ghi789jkl0",
            type="IMAGE",
            url=f"{STORAGE}/downloadSource",
            expires_at=1777600800.0,
        ),
    )
    assert reading.fact == "vg_exec_cm9abc123def456:succeeded"


def test_iso_times_and_absent_errors_of_2026_are_read():
    july = read(body("2026-07_workflow_run.succeeded--iso-occurredAt", "webhooks-legacy"))
    assert (july.kind, july.occurred_at, july.error) == ("job.succeeded", 1783543553.0, None)
    september = read(body("2026-09_workflow_run.succeeded--error-absent", "webhooks-legacy"))
    assert (september.kind, september.occurred_at, september.error) == ("job.succeeded", T0, None)


def test_the_other_spelling_of_cancelled_is_the_same_fact():
    reading = read({"event": "tool_execution.canceled", "toolExecutionId": "a"})
    assert (reading.type, reading.kind) == ("tool_execution.canceled", "job.cancelled")
    assert reading.fact == "a:cancelled"


def test_an_answer_to_a_poll_is_the_same_fact_and_the_same_outputs_as_the_webhook():
    answer = json.loads(body("get-tool-execution.succeeded.200", "rest"))["body"]
    polled = read({"event": f"tool_execution.{answer['status']}", **answer})
    told = read(body("tool_execution.succeeded"))
    assert (polled.fact, polled.outputs, polled.tool) == (told.fact, told.outputs, told.tool)


def ready(url: str, **more: Any) -> dict[str, Any]:
    return {"status": "ready", "url": url, **more}


@pytest.mark.parametrize(
    ("result", "url", "expires_at", "size"),
    [
        (
            {"downloadUrl": "https://a", "downloadUrlExpiresAt": 5, "file": {"downloadUrl": "https://b"}},
            "https://a",
            5,
            None,
        ),
        ({"file": {"downloadUrl": "https://b", "downloadUrlExpiresAt": 6}}, "https://b", 6, None),
        ({"file": {"downloadSource": ready("https://c", expiresAt=7)}}, "https://c", 7, None),
        ({"file": {"downloadSource": ready("https://c") | {"status": "pending"}}}, None, None, None),
        (
            {
                "downloadUrl": "https://c",
                "file": {"downloadSource": ready("https://c", expiresAt=8, fileBytes=9)},
            },
            "https://c",
            8,
            9,
        ),
        (
            {
                "downloadUrl": "https://a",
                "file": {"downloadSource": ready("https://c", expiresAt=8, fileBytes=9)},
            },
            "https://a",
            None,
            None,
        ),
        ({"downloadUrl": "javascript:x", "file": {"downloadUrl": 4, "downloadSource": []}}, None, None, None),
    ],
)
def test_the_url_is_looked_for_in_every_place_in_order(result, url, expires_at, size):
    event = {"event": "tool_execution.succeeded", "results": [{"fileId": "f", **result}]}
    (output,) = read(event).outputs
    assert (output.url, output.expires_at, output.size) == (url, expires_at, size)


@pytest.mark.parametrize("size", [True, "9", -1, 2**63, 1.5, None])
def test_a_size_that_is_no_number_of_bytes_is_none(size):
    file = {"downloadSource": {"status": "ready", "url": "https://c", "fileBytes": size}}
    (output,) = read({"event": "tool_execution.succeeded", "results": [{"fileId": "f", "file": file}]}).outputs
    assert output.size is None


def test_a_result_takes_its_id_from_its_file_and_without_any_is_left_out():
    results = [{"file": {"fileId": "inner"}}, {"downloadUrl": "https://a"}, None, 7]
    (output,) = read({"event": "tool_execution.succeeded", "results": results}).outputs
    assert output.id == "inner"


@pytest.mark.parametrize("id", ["", " ", "x" * 513, 7, None, ["a"], "a\0b", "a\nb", "\ud800"])
def test_an_event_whose_id_cannot_be_used_is_kept_without_it(id):
    reading = read({"event": "tool_execution.succeeded", "toolExecutionId": id})
    assert (reading.kind, reading.job_id, reading.fact) == ("job.succeeded", None, None)


def test_ids_are_opaque():
    for known in ("vg_exec_x", "wh/../x?y=1", "ключ", "x" * 512):
        assert read({"event": "tool_execution.failed", "toolExecutionId": known}).fact == f"{known}:failed"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (None, None),
        ({}, None),
        ([], None),
        (False, None),
        ("Out of memory", JobError(message="Out of memory")),
        ({"code": "x"}, JobError(message="x", code="x")),
        ({"message": 5, "code": 6, "internalErrorCode": 7}, JobError(message="the provider gave no reason")),
        (
            {"message": "cannot fetch https://a.example/x.mp4?sig=abc\nwith whsec_AAAA"},
            JobError(message="cannot fetch https://a.example/x.mp4?[redacted] with [redacted]"),
        ),
    ],
)
def test_an_error_is_read_in_any_shape_and_keeps_no_secret(error, expected):
    assert read({"event": "tool_execution.failed", "error": error}).error == expected


@pytest.mark.parametrize(
    ("occurred_at", "expected"),
    [
        (T0, T0),
        (str(int(T0)), T0),
        (T0 * 1000, T0),
        ("2026-10-29T00:00:00Z", T0),
        ("2026-10-29T00:00:00", T0),
        ("soon", None),
        (None, None),
        (True, None),
        ([], None),
        (10**400, None),
    ],
)
def test_time_is_read_in_every_form_it_has_had(occurred_at, expected):
    assert read({"event": "file.download_ready", "occurredAt": occurred_at}).occurred_at == expected


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not UTF-8"),
        ('{"event":"é"}'.encode("latin-1"), "not UTF-8"),
        ('{"event":"a"}'.encode("utf-16"), "not UTF-8"),
        (b'\xef\xbb\xbf{"event":"a"}', "not JSON"),
        (b"<html>", "not JSON"),
        (b'{"event":"a"} x', "not JSON"),
        (b'{"event":"a","n":NaN}', "not JSON"),
        (b'{"event":"a","n":-Infinity}', "not JSON"),
        (b'{"event":"a","n":1e999}', "not JSON"),
        (b'{"event":"a","n":' + b"9" * 5000 + b"}", "not JSON"),
        (b"[]", "not an object"),
        (b"null", "not an object"),
        (b'"event"', "not an object"),
        (b"{}", "no event name"),
        (b'{"event":null}', "no event name"),
        (b'{"event":""}', "no event name"),
        (b'{"event":"  "}', "no event name"),
        (b'{"event":["a"]}', "no event name"),
        (b'{"event":"\\ud800"}', "no event name"),
        (b'{"event":"' + b"a" * 513 + b'"}', "no event name"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"event":"a","n":' + b"[" * 64 + b"]" * 64 + b"}", "nested too deeply"),
    ],
)
def test_a_body_that_makes_no_sense_is_unreadable_and_not_quoted(raw, reason):
    with pytest.raises(Unreadable) as caught:
        read(raw)
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 100


def test_sixty_four_levels_are_read():
    levels = 63
    reading = read(b'{"event":"a","n":' + b"[" * levels + b"]" * levels + b',"m":[{"k":"v"},1,null]}')
    assert reading.data["m"] == [{"k": "v"}, 1, None]


def test_half_a_character_becomes_a_replacement_and_whole_ones_stay():
    reading = read(rb'{"event":"a","x":"1\ud800","\udc00k":["\ud83d\ude00"],"y":{"z":"\u0000"}}')
    assert reading.data == {"event": "a", "x": "1\ufffd", "\ufffdk": ["\U0001f600"], "y": {"z": "\0"}}


def test_of_a_name_that_comes_twice_the_last_value_counts():
    assert read(b'{"event":"a","event":"b"}').type == "b"


def test_a_huge_integer_is_kept_exactly():
    assert read(b'{"event":"a","n":' + b"9" * 400 + b"}").data["n"] == int("9" * 400)


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_are_read_or_unreadable(raw):
    with contextlib.suppress(Unreadable):
        read(raw)


TEXTS = st.text() | st.text(st.characters(categories=["Cs", "Cc"]))
TELLING = st.sampled_from(["https://a.example/x?sig=1", "ready", "TEMPORARY", "tool_execution.failed", "nan"])
KEYS = st.text(max_size=3) | st.sampled_from(["message", "error", "url", "file"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS | TELLING,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


def places(value: object, path: tuple = ()):
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*path, key))
    if isinstance(value, list):
        for index in range(len(value)):
            yield from places(value[index], (*path, index))


EVERYWHERE = [
    (path.stem, place)
    for path in sorted((SAMPLES / "webhooks").glob("*.json"))
    for place in places(json.loads(path.read_bytes()))
    if place
]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(EVERYWHERE), JSON)
@example(("tool_execution.succeeded", ("results",)), {"0": 1})
@example(("tool_execution.succeeded", ("results", 0, "file")), None)
@example(("tool_execution.succeeded", ("results", 0, "file", "downloadSource", "url")), ["https://a"])
@example(("assistant_message.failed", ("message",)), "text")
def test_any_value_in_any_field_is_read_or_unreadable_and_can_be_stored(spot, value):
    name, place = spot
    changed = copy.deepcopy(payload(name))
    inside = changed
    for step in place[:-1]:
        inside = inside[step]
    inside[place[-1]] = value
    try:
        reading = read(changed)
    except Unreadable:
        assert place == ("event",)
        return
    texts = [
        reading.type,
        reading.job_id,
        reading.tool,
        reading.fact,
        *(output.url for output in reading.outputs),
    ]
    for text in texts:
        assert text is None or ("\0" not in text and text.encode())
    json.dumps(reading.data, allow_nan=False, ensure_ascii=False).encode()


def test_deliveries_are_verified_the_standard_way_and_secrets_decoded():
    source, raw = VideoGen(), body("tool_execution.succeeded")
    key = source.decode_secret(SECRET)
    signature = signatures.sign(key, id="msg_1", timestamp=int(T0), body=raw)
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(T0)), "webhook-signature": signature}
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert source.verify(pairs, raw, keys=[key], now=T0 + 1) == "msg_1"
    with pytest.raises(BadSignature):
        source.verify(pairs, raw + b" ", keys=[key], now=T0)
    with pytest.raises(ConfigError):
        source.decode_secret("whsec_")


def test_the_providers_own_library_reads_the_same_names_out_of_a_delivery(monkeypatch):
    raw = body("tool_execution.succeeded")
    key = VideoGen().decode_secret(SECRET)
    monkeypatch.setattr("time.time", lambda: T0)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(T0)),
        "webhook-signature": signatures.sign(key, id="msg_1", timestamp=int(T0), body=raw),
    }
    theirs = videogen.verify_webhook_signature(raw, headers, SECRET)
    ours = read(raw)
    assert (theirs["event"], theirs["tool_execution_id"], theirs["tool_type"]) == (
        ours.type,
        ours.job_id,
        ours.tool,
    )
    assert theirs["results"][0]["download_url"] == ours.outputs[0].url


@pytest.mark.parametrize("path", sorted((SAMPLES / "webhooks").glob("*.json")), ids=lambda path: path.stem)
def test_the_first_expiry_is_that_of_the_outputs(path):
    reading = read(path.read_bytes())
    moments = [output.expires_at for output in reading.outputs if output.expires_at is not None]
    assert reading.expires_at == (min(moments, default=None) if reading.kind == "job.succeeded" else None)
