import json
import re
import subprocess
import sys
from pathlib import Path

from cryptography.fernet import Fernet

from receiver.signatures import new_secret

HANDLER = '''
from receiver import handler

@handler("job.succeeded", "file.*", tool="GENERATE_AVATAR", retries=3)
async def publish(event, context):
    """Publish."""
'''


def test_handlers_are_listed_with_what_they_get(run, tmp_path):
    (tmp_path / "handlers").mkdir()
    (tmp_path / "handlers" / "own.py").write_text(HANDLER)
    row = json.loads(run("handlers", "list", "--json").out)
    assert (row["name"], row["events"], row["tool"], row["retries"]) == (
        "publish",
        ["job.succeeded", "file.*"],
        "GENERATE_AVATAR",
        3,
    )
    assert "job.succeeded, file.*" in run("handlers", "list").out


def test_a_folder_without_handlers_says_so(run, tmp_path):
    (tmp_path / "handlers").mkdir()
    assert "RECEIVER_HANDLERS" in run("handlers", "list").out


def test_the_handlers_that_come_along_are_found_without_a_folder(run):
    names = [json.loads(line)["name"] for line in run("handlers", "list", "--json").out.splitlines()]
    assert names == ["download", "log", "talking_avatar"]


def test_sources_are_listed(run, monkeypatch):
    monkeypatch.setenv("VIDEOGEN_API_KEY", "sk_videogen_live_hunter2")
    ended = run("sources")
    assert "/webhooks/videogen" in ended.out
    assert "hunter2" not in ended.out


def test_a_handler_is_paused_and_resumed(run):
    run("migrate")
    assert run("handlers", "pause", "log").out == "log is paused.\n"
    assert run("handlers", "resume", "log").out == "log goes on.\n"
    assert json.loads(run("handlers", "list", "--json").out.splitlines()[1])["paused_at"] is None
    assert run("handlers", "pause", "nobody").code == 1


def test_a_fresh_key_is_a_key(run):
    first, second = run("secrets", "key").out.strip(), run("secrets", "key").out.strip()
    assert first != second
    Fernet(first)


def test_the_listing_says_why_each_handler_is_there(run, tmp_path, monkeypatch):
    monkeypatch.setenv("OWN", new_secret())
    (tmp_path / "handlers").mkdir()
    (tmp_path / "handlers" / "own.py").write_text(HANDLER)
    (tmp_path / "receiver.toml").write_text(
        '[[handlers]]\nuse = "forward"\non = "job.*"\nurl = "https://app.example.com"\nsecret = { env = "OWN" }\n'
    )
    rows = [json.loads(line) for line in run("handlers", "list", "--json").out.splitlines()]
    assert [(row["name"], row["place"], row["why"]) for row in rows] == [
        ("forward", "receiver.toml:1", "it uses forward"),
        ("publish", "handlers/own.py:4", "RECEIVER_HANDLERS has handlers"),
    ]
    assert "receiver.toml may use: forward, " in run("handlers", "list").out


def test_the_listing_says_who_gets_an_event_and_why_not(run, tmp_path, sample):
    (tmp_path / "handlers").mkdir()
    (tmp_path / "handlers" / "own.py").write_text(HANDLER.replace('tool="GENERATE_AVATAR", ', ""))
    for name in ("tool_execution.succeeded", "tool_execution.failed"):
        (tmp_path / name).write_bytes(sample(name))
    row = json.loads(run("handlers", "list", "--json", "--event", "tool_execution.succeeded").out)
    assert row["gets_it"] == "yes"
    assert "its events are job.succeeded, file.*" in run("handlers", "list", "--event", "tool_execution.failed").out


TRY = """
from receiver import Retry, handler

@handler("job.failed")
async def count(event, context):
    async with context.files.new("outputs") as part:
        await part.write(b"x" * len(event.outputs))
        await part.keep("outputs", media_type="text/plain")
    context.note("counted [them]")
    await context.submit("videogen", "generate-music", prompt="see https://a.example/?signature=hush")

@handler("job.succeeded")
async def later(event, context):
    raise Retry("not yet", after=60)
"""


def test_one_handler_is_tried_on_an_event_and_nothing_is_stored(run, tmp_path, sample):
    (tmp_path / "receiver.db").unlink()
    (tmp_path / "handlers").mkdir()
    (tmp_path / "handlers" / "try.py").write_text(TRY)
    (tmp_path / "event.json").write_bytes(sample("tool_execution.succeeded"))
    ended = run("handlers", "test", "count", "--event", "event.json")
    assert ended.code == 0
    assert re.search(r"after [0-9.]+ s: done\n", ended.out)
    assert "By itself it would not get this event: its events are job.failed." in ended.out
    assert "count on evt_sample (videogen tool_execution.succeeded)" in ended.out
    assert "  counted [them]\n" in ended.out
    assert "would submit videogen" in ended.out
    assert "hush" not in ended.out
    (file,) = re.findall(r"file (/\S+/outputs), 1 bytes", ended.out)
    assert Path(file).read_text() == "x"
    assert not (tmp_path / "receiver.db").exists()
    assert not (tmp_path / "files").exists()


def test_what_is_not_done_exits_with_1_and_says_what_would_follow(run, tmp_path, sample):
    (tmp_path / "handlers").mkdir()
    (tmp_path / "handlers" / "try.py").write_text(TRY)
    (tmp_path / "event.json").write_bytes(sample("tool_execution.succeeded"))
    ended = run("handlers", "test", "later", "--event", "event.json")
    assert ended.code == 1
    assert "would be tried again, in 60 s" in ended.out
    assert "not yet" in ended.out
    assert run("handlers", "test", "nobody", "--event", "event.json").code == 2
    assert run("handlers", "test", "later", "--event", "nothing.json").code == 2


def test_a_new_handler_is_found_and_those_that_its_folder_hides_are_told(run, tmp_path):
    ended = run("handlers", "new", "publish_sound")
    assert ended.code == 0
    assert "written: handlers/publish_sound.py\nwritten: tests/test_publish_sound.py\n" in ended.out
    assert "so these run only if they are named: download, log, talking_avatar" in ended.out
    assert json.loads(run("handlers", "list", "--json").out)["name"] == "publish_sound"
    again = run("handlers", "new", "publish_sound")
    assert (again.code, again.out) == (2, "")
    assert "only if they are named" not in run("handlers", "new", "second").out


def test_the_name_of_another_handler_is_refused(run, tmp_path):
    assert run("handlers", "new", "download").code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["receiver.db"]


def test_a_users_own_package_of_handlers_does_not_hide_those_that_come_along(tmp_path):
    """The worker is started as `python -m receiver`, which looks into the folder it is started in."""
    (tmp_path / "handlers").mkdir()
    (tmp_path / "handlers" / "__init__.py").touch()
    (tmp_path / "handlers" / "own.py").write_text(HANDLER)
    (tmp_path / "receiver.toml").write_text('[[handlers]]\nuse = "run"\non = "*"\ncommand = ["true"]\n')
    command = [sys.executable, "-m", "receiver", "handlers", "list", "--json"]
    listed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert [json.loads(line)["name"] for line in listed.stdout.splitlines()] == ["publish", "run"], listed.stderr
