import json

from cryptography.fernet import Fernet

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
