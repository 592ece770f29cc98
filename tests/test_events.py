"""What events match, when things happened, and that no signed URL is shown."""

import json
import time
from dataclasses import FrozenInstanceError, fields
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.events import Event, JobError, Output, Reading, redact, redact_url, seconds

prove = settings(deadline=None, derandomize=True, database=None, max_examples=200)
T0 = 1793232000.0


def event(type="tool_execution.succeeded", kind="job.succeeded", **values):
    return Event(id="evt_1", source="videogen", type=type, kind=kind, occurred_at=T0, received_at=T0, **values)


def test_as_json_it_has_every_field_under_its_name():
    told = event(
        outputs=(Output(id="file_1", type="VIDEO"),), error=JobError(message="no"), data={"a": [1]}, metadata={"o": "é"}
    )
    back = json.loads(json.dumps(told.as_json()))
    assert set(back) == {field.name for field in fields(Event)} - {"body"}
    assert back["outputs"][0]["type"] == "VIDEO"
    assert (back["error"]["message"], back["data"], back["metadata"]) == ("no", {"a": [1]}, {"o": "é"})
    assert back["received_at"] == T0


def test_as_json_without_urls_nothing_in_it_opens_a_file():
    url = "https://storage.example/a.mp4?X-Signature=hush"
    told = event(outputs=(Output(id="file_1", url=url),), error=JobError(message=f"see {url}"), data={"url": url})
    back = told.as_json(urls=False)
    assert "hush" not in json.dumps(back)
    assert back["outputs"][0] == {**told.as_json()["outputs"][0], "url": None}
    assert told.as_json()["outputs"][0]["url"] == url


# Patterns


@pytest.mark.parametrize(
    "pattern",
    [
        "tool_execution.succeeded",
        "tool_execution.*",
        "tool_*",
        "*",
        "job.succeeded",
        "job.*",
        "tool_execution.succeeded*",
    ],
)
def test_an_event_is_named_by_its_type_its_kind_or_the_beginning_of_either(pattern):
    assert event().matches(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "tool_execution",
        "tool_execution.failed",
        "tool_execution.succeede",
        "job.failed",
        "job",
        "Job.*",
        "file.*",
        "*.succeeded",
    ],
)
def test_an_event_is_not_named_by_anything_else(pattern):
    assert not event().matches(pattern)


def test_an_event_that_ends_no_job_has_no_kind_to_be_named_by():
    upload = event("file.upload.completed", None)
    assert upload.matches("file.*")
    assert upload.matches("*")
    assert not upload.matches("job.*")


# Values


def test_events_do_not_change():
    with pytest.raises(FrozenInstanceError):
        event().type = "other"


def test_reprs_show_no_signed_url_and_nothing_of_the_provider_s_json():
    url = "https://files.example.com/a?signature=hunter2"
    output = Output(id="file_1", url=url)
    told = [
        repr(output),
        repr(event(outputs=(output,), data={"url": url}, metadata={"callback": url})),
    ]
    assert [text for text in told if "hunter2" in text] == []
    assert "file_1" in told[1]


def test_an_error_is_the_provider_s_words():
    assert event(error=JobError(message="no credits")).error == JobError(
        message="no credits", code=None, reference=None
    )


def test_a_reading_decides_nothing_it_does_not_know():
    assert Reading(type="x") == Reading(
        type="x", occurred_at=None, kind=None, job_id=None, tool=None, outputs=(), error=None, fact=None, data=None
    )


# Times


@pytest.mark.parametrize(
    "told",
    [
        1793232000,
        1793232000.0,
        "1793232000",
        " 1793232000 ",
        1793232000000,
        "1793232000000",
        "2026-10-29T00:00:00Z",
        "2026-10-29T00:00:00.000Z",
        "2026-10-29T00:00:00",
        "2026-10-29 00:00:00",
        "2026-10-29",
        "2026-10-29T02:00:00+02:00",
        "20261029T000000Z",
    ],
)
def test_one_moment_is_understood_in_all_its_spellings(told):
    assert seconds(told) == T0


def test_fractions_are_kept():
    assert seconds(1793232000.25) == seconds("1793232000250") == seconds("2026-10-29T00:00:00.250Z") == T0 + 0.25


@pytest.mark.parametrize(
    "told",
    [
        None,
        True,
        False,
        "",
        "soon",
        "nan",
        "inf",
        "-inf",
        float("nan"),
        float("inf"),
        -1,
        "-1793232000",
        "1969-12-31T23:59:59Z",
        253_402_300_800_000,
        "9999-12-31T23:59:59-12:00",
        [],
        {},
        b"1793232000",
        "2026-13-01",
        "\ud800",
    ],
)
def test_what_is_no_moment_from_1970_to_9999_is_none(told):
    assert seconds(told) is None


def test_a_number_of_any_length_is_no_trouble():
    for told in (10**400, 10**5000, -(10**5000), "1" * 5000, "1" * 16):
        assert seconds(told) is None


def test_the_last_moment_is_the_end_of_the_year_9999():
    assert seconds("9999-12-31T23:59:59Z") == 253_402_300_799


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters()), inner, max_size=4),
    max_leaves=12,
)


@prove
@given(
    _json
    | st.integers(-(10**16), 10**16)
    | st.from_regex(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?)?")
)
def test_any_value_gives_a_moment_that_can_be_shown_or_none(told):
    moment = seconds(told)
    assert moment is None or datetime.fromtimestamp(moment, UTC)


# URLs


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://files.example.com/a/b.mp4", "https://files.example.com/a/b.mp4"),
        ("https://files.example.com/a?X-Amz-Signature=hunter2", "https://files.example.com/a?[redacted]"),
        ("https://files.example.com?hunter2:8080", "https://files.example.com?[redacted]"),
        ("https://files.example.com/a#hunter2", "https://files.example.com/a"),
        ("https://user:hunter2@files.example.com:8443/a", "https://files.example.com:8443/a"),
        ("HTTPS://FILES.example.com/A?hunter2", "https://files.example.com/A?[redacted]"),
        ("http://[2001:db8::1]:8080/a?hunter2", "http://[2001:db8::1]:8080/a?[redacted]"),
        ("http://127.0.0.1:8000/webhooks/videogen", "http://127.0.0.1:8000/webhooks/videogen"),
        ("s3://bucket/key?hunter2", "s3://bucket/key?[redacted]"),
    ],
)
def test_a_url_is_shown_without_user_query_and_fragment(url, shown):
    assert redact_url(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hunter2",
        "/path?hunter2",
        "https:hunter2",
        "https://",
        "https://[hunter2",
        "https://h:hunter2/",
        "https://h:99999/",
        "//h/?hunter2",
    ],
)
def test_what_is_no_url_is_not_shown_at_all(url):
    assert redact_url(url) == "[a malformed URL]"


def test_urls_are_found_wherever_json_can_hide_them():
    url = "https://files.example.com/a?sig=hunter2"
    hidden = {
        "plain": url,
        "in a list": [url, [url]],
        "in a text": f"could not fetch {url}, see {url}.",
        "with space around": f" {url}\n",
        "with space inside": "https://files.example.com/a?x=1 2&sig=hunter2",
        "with a line break inside": "https://files.example.com/a?x=1\n&sig=hunter2",
        "in capitals": url.replace("https", "HTTPS"),
        "of another kind": "gs://bucket/a?sig=hunter2",
        "as json in json": json.dumps({"a": url, "b": [url]}),
        "escaped as some do": json.dumps({"a": url}).replace("/", "\\/"),
        "with quotes": f"<a href=\"{url}&b='c'\">",
        "without a path": "https://files.example.com?sig=hunter2",
        url: "a key",
    }
    shown = json.dumps(redact(hidden))
    assert "hunter2" not in shown
    assert redact(hidden)["in a text"].startswith("could not fetch https://files.example.com/a?[redacted]")
    assert redact(hidden)["https://files.example.com/a?[redacted]"] == "a key"


def test_what_holds_no_url_stays_as_it_is():
    data = {"a": [1, 2.5, None, True, "50 % off? yes: http"], "b": {"c": "tool_execution.succeeded"}}
    assert redact(data) == data
    assert redact(data) is not data


def test_redacting_changes_only_the_copy():
    data = {"url": "https://h.example.com/a?b"}
    redact(data)
    assert data == {"url": "https://h.example.com/a?b"}


def test_json_as_deep_as_can_be_parsed_is_redacted_and_its_depths_are_not_shown():
    deep = "hunter2"
    for _ in range(900):
        deep = {"inner": [deep]}
    shown = redact(deep)
    assert "hunter2" not in json.dumps(shown)
    assert "nested too deeply" in json.dumps(shown)


def test_a_long_text_takes_no_time():
    for text in ("a" * 10**6, "a:" * 10**6, "a:/" * 10**6, "https:" * 10**5):
        started = time.process_time()
        redact(text)
        assert time.process_time() - started < 2


@prove
@given(_json)
def test_any_json_can_be_redacted(data):
    redact(data)


@prove
@given(st.text(st.characters()) | st.text(st.sampled_from("ahtps:/?#@[]1%\\ .")))
def test_any_text_can_be_redacted(text):
    redact_url(text)
    redact(text)


_queries = st.text(st.characters(), max_size=30)
_hosts = st.sampled_from(["h.example.com", "user:pw@h.example.com:8443", "[2001:db8::1]:80", "127.0.0.1"])


@prove
@given(before=_queries, after=_queries, host=_hosts, path=st.sampled_from(["", "/", "/a/b.mp4", "/a b"]))
def test_no_query_survives_in_a_url(before, after, host, path):
    shown = redact(f"https://{host}{path}?{before}hunter2{after}")
    assert "hunter2" not in shown
    assert "pw" not in shown


@prove
@given(
    prose=st.text(st.characters()),
    query=st.text(st.characters()).filter(lambda text: not any(char.isspace() for char in text)),
    host=_hosts,
)
def test_no_query_survives_in_a_text(prose, query, host):
    assert "hunter2" not in json.dumps(redact({"message": [f"{prose} https://{host}/a?{query}hunter2 {prose}"]}))
