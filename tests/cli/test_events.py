import asyncio
import json
import os
import time

import pytest

from receiver.store import Arrival, Finished, Refusal, Store

BODY = {
    "event": "tool_execution.succeeded",
    "toolExecutionId": "vg_tool_1",
    "results": [{"fileId": "f", "downloadUrl": "https://s.example/f.mp4?X-Signature=hunter2"}],
}


@pytest.fixture
def filled(environment):
    """A store with one event, done by `log` after a retry, one in quarantine and one refusal; their ids."""

    async def fill():
        store = Store(os.environ["RECEIVER_DATABASE_URL"])
        now = time.time()
        common = {"source": "videogen", "road": "webhook", "received_at": now, "occurred_at": now}
        good = Arrival(
            **common,
            type="tool_execution.succeeded",
            kind="job.succeeded",
            job_id="vg_tool_1",
            message_id="m1",
            headers="webhook-id: m1",
            body=json.dumps(BODY).encode(),
        )
        bad = Arrival(**common, type="unreadable", message_id="m2", headers="{}", body=b"\xff", reason="not UTF-8")
        refusal = Refusal(
            source="videogen", reason="wrong-signature", status=401, received_at=now, headers="{}", body=b"", size=0
        )
        added = await store.events.add([good, bad], [refusal])
        common = {"worker": "w", "lease": 30, "wanted": lambda _event: {"log": None}, "free": {"log": 5}}
        [run] = (await store.runs.turn(**common, finished=[])).claimed
        retry = Finished(run=run, outcome="retry", finished_at=now + 1, error="[red]not yet[/]\x1b[31m", wait=0)
        await store.runs.turn(**common, finished=[retry])
        [run] = (await store.runs.turn(**common, finished=[])).claimed
        await store.runs.turn(
            **common, finished=[Finished(run=run, outcome="done", finished_at=now, note="two\n[b]lines")]
        )
        await store.close()
        return [one.event_id for one in added]

    return asyncio.run(fill())


def test_listings_have_one_json_object_a_line_with_the_names_of_the_api(run, filled):
    lines = [json.loads(line) for line in run("events", "list", "--json").out.splitlines()]
    assert [line["id"] for line in lines] == filled[::-1]
    assert {"id", "source", "type", "kind", "job_id", "road", "received_at"} <= lines[0].keys()
    assert len(run("events", "list", "--json", "--limit", "1").out.splitlines()) == 1
    assert [json.loads(line)["state"] for line in run("runs", "list", "--json").out.splitlines()] == ["done"]
    assert json.loads(run("events", "refused", "--json").out)["reason"] == "wrong-signature"


def test_tables_are_for_people(run, filled):
    shown = run("events", "list").out
    assert filled[0] in shown
    assert "vg_tool_1" in shown
    assert "wrong-signature" in run("events", "refused").out
    assert "log" in run("runs", "list", "--state", "done").out
    assert run("runs", "list", "--state", "failed").out == "No runs.\n"


def test_an_event_is_shown_with_its_attempts_and_without_signatures(run, filled):
    ended = run("events", "show", filled[0])
    assert ended.code == 0
    assert "hunter2" not in ended.out
    assert "f.mp4?[redacted]" in ended.out
    assert "attempt 1 retry" in ended.out
    assert "[red]not yet[/]" in ended.out
    assert "\x1b[31m" not in ended.out
    assert "    two\n    [b]lines\n" in ended.out
    event = json.loads(run("events", "show", filled[0], "--json").out)
    assert [attempt["outcome"] for attempt in event["runs"][0]["attempts"]] == ["retry", "done"]


def test_a_body_that_cannot_be_read_is_shown_all_the_same(run, filled):
    shown = run("events", "show", filled[1]).out
    assert "not UTF-8" in shown
    assert "\\\\xff" in shown


def test_an_event_that_is_not_there_is_an_error_with_advice(run, filled):
    ended = run("events", "show", "evt_none")
    assert (ended.code, ended.out) == (1, "")
    assert "receiver events list" in ended.err


def test_a_replayed_event_runs_its_handlers_again(run, filled):
    assert run("events", "replay", filled[0], "--handler", "log", "--dry-run").out == (
        "1 events match; 1 runs would start again at most.\n"
    )
    assert run("events", "replay", filled[0], "--handler", "log").out == "1 events match; 1 runs start again.\n"
    [line] = run("runs", "list", "--json").out.splitlines()
    assert json.loads(line)["state"] == "waiting"


def test_a_replay_needs_to_be_told_what_and_with_what(run, filled):
    assert run("events", "replay").code == 2
    assert run("events", "replay", "--all", "--handler", "nobody").code == 1
    assert run("events", "replay", "evt_none").code == 1
    assert run("events", "replay", "--since", "yesterday").code == 2
    assert run("events", "replay", "--all", "--handler", "log").out == "1 events match; 1 runs start again.\n"
    assert run("events", "replay", "--since", "1h", "--kind", "job.failed").out.startswith("0 events match")


def test_failed_runs_are_counted_and_start_again(run, filled):
    assert run("runs", "retry", "--dry-run").out == "0 failed runs would start again.\n"
    assert run("runs", "retry", "--handler", "log", "--since", "2h").out == "0 failed runs start again.\n"


def test_who_counts_too_many_runs_is_told_that_there_may_be_more(run, filled, monkeypatch):
    assert run("events", "replay", filled[0], "--handler", "log").code == 0
    monkeypatch.setattr("receiver.store.replay.LOOKED", 0)
    counted = run("runs", "give-up", "--source", "nobody", "--dry-run").out
    assert counted == "0 waiting runs would fail, and perhaps more: there are too many to look at all of them now.\n"
    assert run("runs", "give-up", "--source", "nobody").out == "0 waiting runs fail.\n"


def test_waiting_runs_are_counted_and_given_up(run, filled):
    assert run("runs", "give-up").code == 2, "not all there are, for want of a word"
    assert run("events", "replay", filled[0], "--handler", "log").code == 0
    assert run("runs", "give-up", "--handler", "log", "--dry-run").out == "1 waiting runs would fail.\n"
    assert run("runs", "give-up", "--handler", "mail").out == "0 waiting runs fail.\n"
    assert run("runs", "give-up", "--all").out == "1 waiting runs fail.\n"
    [line] = run("runs", "list", "--json").out.splitlines()
    assert (json.loads(line)["state"], json.loads(line)["error"]) == ("failed", "given up by hand")


def test_old_events_are_counted_and_deleted(run, filled):
    counts = run("prune", "--older-than", "1h", "--dry-run").out.splitlines()
    assert counts[0].split() == ["0", "events", "would", "be", "deleted"]
    assert "        1 refused deliveries deleted\n" not in run("prune").out  # a month is the usual
    assert "          events: kept\n" in run("prune").out
    deleted = run("prune", "--older-than", "0s").out
    assert "        1 events deleted\n" in deleted
    assert "        1 refused deliveries deleted\n" in deleted
    assert "        1 jobs deleted\n" in deleted
    assert run("events", "list").out == "No events.\n"
    assert run("prune", "--older-than", "much").code == 2


def test_without_a_database_the_commands_say_how_to_make_one(run, tmp_path):
    (tmp_path / "receiver.db").unlink()
    ended = run("events", "list")
    assert ended.code == 2
    assert "receiver migrate" in ended.err
    assert run("migrate").code == 0
    assert run("events", "list").out == "No events.\n"
    assert run("events", "list", "--json").out == ""


def test_wrong_usage_is_exit_2(run):
    assert run("events", "list", "--limit", "0").code == 2
    assert run("nonsense").code == 2


def test_settings_that_cannot_work_are_exit_2_and_named(run, monkeypatch):
    monkeypatch.setenv("RECEIVER_QUEUE", "none")
    monkeypatch.setenv("RECEIVER_GRACE", "-1")
    ended = run("events", "list")
    assert ended.code == 2
    assert "RECEIVER_QUEUE" in ended.err
    assert "RECEIVER_GRACE" in ended.err
