"""A handler can be tried on an event without a store: on samples of any kind, with the real rules."""

import json
import os
import runpy
import subprocess
import sys

import httpx
import pytest

from receiver.beginning import begin
from receiver.errors import ConfigError
from receiver.registry import find_sources
from receiver.rehearsal import read_event, rehearse, sample

HANDLERS = """
from receiver import GiveUp, Retry, handler

@handler("*", timeout=5)
async def busy(event, context):
    async with context.once("step") as first:
        assert first
    answer = await context.http.get("https://example.com/")
    context.note(f"{answer.status_code} at {context.files.place}")
    async with context.files.new("made") as part:
        await part.keep("made", media_type="text/plain")
    await context.submit("videogen", "generate-music", prompt="a waltz")

@handler("*", timeout=0.05)
async def hangs(event, context):
    import asyncio
    await asyncio.sleep(60)

@handler("*")
def waits(event, context):
    raise Retry("not yet", after=7)

@handler("*")
def stops(event, context):
    raise GiveUp("never")
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.delenv("RECEIVER_CONFIG", raising=False)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "some.py").write_text(HANDLERS)
    return tmp_path / "own"


def test_everything_that_a_handler_may_ask_for_is_there_and_nothing_is_stored(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    http = httpx.AsyncClient(transport=httpx.MockTransport(lambda _request: httpx.Response(204)))
    ended = rehearse("busy", sample(), handlers=folder, files=tmp_path, http=http)
    assert (ended.outcome, ended.error, ended.note) == ("done", None, f"204 at {tmp_path}")
    assert [(job.source, job.parameters["prompt"]) for job in ended.jobs] == [("videogen", "a waltz")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "own"]


@pytest.mark.parametrize(
    ("name", "outcome", "error", "after"),
    [
        ("hangs", "retry", "took longer than 0.05 s", None),
        ("waits", "retry", "not yet", 7),
        ("stops", "failed", "gave up: never", None),
    ],
)
def test_it_ends_as_it_would_in_a_worker(folder, name, outcome, error, after):
    ended = rehearse(name, sample(), handlers=folder)
    assert (ended.outcome, ended.error, ended.after) == (outcome, error, after)


def test_a_handler_that_is_not_there_is_told_with_those_that_are(folder):
    with pytest.raises(ConfigError, match=r"no handler is called sings in .*: busy, hangs, stops, waits"):
        rehearse("sings", sample(), handlers=folder)


# Samples


@pytest.fixture
def read(tmp_path):
    """The event in a file with these bytes."""

    def read(body, **arguments):
        (tmp_path / "sample.json").write_bytes(body if isinstance(body, bytes) else json.dumps(body).encode())
        return read_event(tmp_path / "sample.json", find_sources(), **arguments)

    return read


def test_an_event_of_ours_is_read_back_as_it_was_told(read):
    told = sample(metadata={"order": "1"}, data={"a": [1.5]}, tool=None)
    back = read(told.as_json())
    assert back.as_json() == told.as_json()
    assert json.loads(back.body) == {"a": [1.5]}


def test_a_providers_body_is_told_by_its_event(read, sample):
    event = read(sample("tool_execution.succeeded"))
    assert (event.source, event.type, event.kind) == ("videogen", "tool_execution.succeeded", "job.succeeded")
    assert event.outputs
    assert event.body == sample("tool_execution.succeeded")


def test_a_body_whose_owner_cannot_be_told_needs_a_name(read):
    body = {"event": "never.heard_of", "data": {}}
    with pytest.raises(ConfigError, match="--source"):
        read(body)
    assert read(body, source="videogen").type == "never.heard_of"
    with pytest.raises(ConfigError, match="no source nobody"):
        read(body, source="nobody")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"\xff", "UTF-8"),
        (b"[1]", "not an object"),
        (b"{", "not JSON"),
        ({"id": "1", "source": "x", "type": "y", "received_at": 1}, "fields of an event of ours, but occurred_at"),
        ({"id": "1", "source": "x", "type": "y", "received_at": 1, "occurred_at": 1, "outputs": [{}]}, "outputs.0.id"),
    ],
)
def test_a_file_that_makes_no_sense_is_told_with_the_reason(read, body, told):
    with pytest.raises(ConfigError, match=told):
        read(body)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read .*No such file"):
        read_event(tmp_path / "nothing", {})


# A handler of one's own, begun


def test_what_is_begun_passes_its_own_test(tmp_path):
    """In a folder like a user's, with pytest as a user runs it."""
    files = begin("publish_sound", tmp_path / "handlers")
    assert [str(file.relative_to(tmp_path)) for file in files] == [
        "handlers/publish_sound.py",
        "tests/test_publish_sound.py",
    ]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    alone = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # as where nothing but pytest is installed
    ended = subprocess.run(command, cwd=tmp_path, env=alone, capture_output=True, text=True, check=False)
    assert "2 passed" in ended.stdout, ended.stdout + ended.stderr


def test_the_test_of_what_is_begun_can_fail(tmp_path):
    file, test = begin("publish_sound", tmp_path / "handlers")
    file.write_text(file.read_text().replace("    for output", "    raise ValueError\n    for output"))
    tests = runpy.run_path(str(test))
    for name in ("takes_a_finished_job", "takes_a_job_without_outputs"):
        with pytest.raises(AssertionError, match="ValueError"):
            tests[f"test_publish_sound_{name}"]()


@pytest.mark.parametrize("name", ["", "two words", "class", "_hidden", "../up", "1st", "a.b", "é"])
def test_a_name_that_no_function_can_have_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match="cannot name a handler"):
        begin(name, tmp_path / "handlers")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", ["handlers/mail.py", "tests/test_mail.py"])
def test_nothing_is_written_over(tmp_path, there):
    (tmp_path / there).parent.mkdir()
    (tmp_path / there).write_text("mine")
    with pytest.raises(ConfigError, match="is there already: nothing was written"):
        begin("mail", tmp_path / "handlers")
    assert (tmp_path / there).read_text() == "mine"
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1
