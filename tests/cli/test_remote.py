"""The commands against a receiver elsewhere, following, and work on many."""

import asyncio
import io
import json
import math
import os
import re
import threading
import time

import pytest
import uvicorn

from receiver.app import Door
from receiver.cli import follow
from receiver.ids import new_id
from receiver.settings import Settings
from receiver.store import Alarm, Arrival, Finished, NewJob, Refusal, Reported, Store

TOKEN = "a-token-that-is-long-enough"


def stored(work):
    """Return what `work` makes of the store of this test."""

    async def opened():
        store = Store(os.environ["RECEIVER_DATABASE_URL"])
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(opened())


async def add(store, count=1, **changes):
    """Add events, each with a failed run of `log`; return the events' ids."""
    now = time.time()
    values = {"source": "videogen", "type": "x.y", "road": "webhook", "received_at": now, "occurred_at": now}
    values |= {"headers": "", "body": b'{"who": "Ann"}'} | changes
    added = await store.events.add([Arrival(**values, message_id=new_id("msg")) for _ in range(count)])
    common = {"worker": "w", "lease": 30, "wanted": lambda _event: {"log": None}}
    claimed = (await store.runs.turn(**common, free={"log": 1000}, finished=[])).claimed
    finished = [Finished(run=run, outcome="failed", finished_at=now, error="=1+1\r\n[red]") for run in claimed]
    await store.runs.turn(**common, free={}, finished=finished)
    await store.handlers.report([HANDLER], worker="w")
    return [one.event_id for one in added]


def refusal(reason, **changes):
    values = {"source": "videogen", "status": 401, "received_at": time.time(), "headers": "", "body": b"", "size": 0}
    return Refusal(reason=reason, **values | changes)


HANDLER = Reported(
    name="log", events=("*",), source=None, tool=None, retries=8, timeout=60.0, concurrency=8, ordered=False,
    captures=False, place="handlers.log:log",
)  # fmt: skip


@pytest.fixture
def elsewhere(environment):
    """A receiver on a port, over the store of this test: its URL."""
    settings = Settings(database_url=os.environ["RECEIVER_DATABASE_URL"], admin_token=TOKEN)
    began, ports, stop = threading.Event(), [], []

    async def serve():
        door = Door(settings, dispatch=False)
        async with door.open():
            server = uvicorn.Server(
                uvicorn.Config(
                    door.app,
                    interface="asgi3",
                    port=0,
                    log_config=None,
                    log_level="critical",
                    lifespan="off",
                    ws="none",
                )
            )
            stop.append(server)
            serving = asyncio.create_task(server.serve())
            while not server.started:
                await asyncio.sleep(0.01)
            ports.append(server.servers[0].sockets[0].getsockname()[1])
            began.set()
            await serving

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert began.wait(30)
    yield f"http://127.0.0.1:{ports[0]}"
    stop[0].should_exit = True
    thread.join()


def test_a_receiver_elsewhere_tells_the_same_and_does_the_same(run, elsewhere):
    [one, two] = stored(lambda store: add(store, 2))
    far = ("--url", elsewhere, "--token", TOKEN)
    [failed, _] = [json.loads(line) for line in run("runs", "list", "--json").out.splitlines()]
    for command in (
        ("events", "list", "--text", "Ann", "--since", "1h"),
        ("events", "show", one),
        ("runs", "list", "--state", "failed"),
        ("runs", "show", failed["id"]),
        ("jobs", "list"),
        ("endpoints", "list"),
        ("events", "refused"),
        ("stats",),
    ):
        here, there = run(*command, "--json"), run(*command, "--json", *far)
        assert (here.code, there.code, there.err) == (0, 0, "")
        assert [_still(line) for line in here.out.splitlines()] == [_still(line) for line in there.out.splitlines()]
    assert run("events", "replay", two, *far).out == "1 events match; 1 runs start again.\n"
    assert run("runs", "retry", *far).out == "1 failed runs start again.\n"
    waiting = json.loads(run("runs", "list", "--json", "--limit", "1").out)
    assert run("runs", "give-up", waiting["id"], *far).out == "log has given up.\n"
    assert run("runs", "retry", waiting["id"], *far).out == "log starts again.\n"
    assert run("handlers", "pause", "log", *far).out == "log is paused.\n"
    assert json.loads(run("handlers", "list", "--json", *far).out)["paused_at"] > 0
    assert run("jobs", "submit", "videogen", "generate-music", "prompt=rain", *far).code == 0
    for wrong in (("--token", "wrong"), ("--token", "")):
        assert run("events", "list", "--url", elsewhere, *wrong).code != 0


def test_what_is_done_now_and_then_is_done_elsewhere_too(run, elsewhere, monkeypatch):
    stored(add)
    far = ("--url", elsewhere, "--token", TOKEN)
    [job] = [json.loads(line) for line in run("jobs", "track", "videogen", "vg_1", "--json", *far).out.splitlines()]
    assert run("jobs", "show", job["id"], "--json").out == run("jobs", "show", "vg_1", "--json", *far).out
    for command in (("alarms", "list"), ("secrets", "list"), ("sources",), ("alarms", "list", "--state", "over")):
        here, there = run(*command, "--json"), run(*command, "--json", *far)
        assert (there.code, there.out) == (0, here.out)
    monkeypatch.setattr("sys.stdin", io.StringIO("kR7mW2pX9qL4vN8tB3zY"))
    assert "RECEIVER_SECRET_KEY is not set" in run("secrets", "add", "mux", *far).err
    assert "has not ended" in run("erase", "--job", "vg_1", *far).err
    assert "no job carries that" in run("erase", "--metadata", "customer=1", *far).err
    assert "1 events with failed runs would be" in run("prune", "--older-than", "0s", "--dry-run", *far).out
    assert "1 events with failed runs deleted" in run("prune", "--older-than", "0s", *far).out
    assert run("events", "list").out == "No events.\n"
    register = ("--url", "https://x.example/webhooks/videogen", "--receiver", elsewhere, "--token", TOKEN)
    assert "RECEIVER_SECRET_KEY is not set" in run(*register, command="register-webhook").err
    for command in (("check",), ("delete", "ep_1")):
        assert "VIDEOGEN_API_KEY is not set" in run("endpoints", *command, *far).err


def test_a_secret_is_not_sent_where_others_could_read_it(run, environment):
    ended = run("secrets", "add", "mux", "--url", "http://receiver.example", "--token", TOKEN)
    assert (ended.code, "https" in ended.err) == (2, True)


def _still(line):
    """A line without what changes with the moment of asking."""
    return {name: value for name, value in json.loads(line).items() if name not in ("backlog_age", "counts")}


def test_what_is_no_receiver_is_told_without_a_token(run, environment):
    ended = run("events", "list", "--url", "http://127.0.0.1:9", "--token", TOKEN)
    assert (ended.code, "does not answer" in ended.err, TOKEN in ended.err) == (1, True, False)
    assert run("events", "list", "--url", "ftp://x", "--token", TOKEN).code == 2


@pytest.mark.parametrize(("command", "as_json"), [("events", True), ("events", False), ("runs", True)])
def test_following_prints_what_comes_once_each(run, monkeypatch, command, as_json):
    first = stored(lambda store: add(store, 2))
    later, looks = [], []

    async def look(_seconds):
        looks.append(1)
        if len(looks) == 2:
            store = Store(os.environ["RECEIVER_DATABASE_URL"])
            later.extend(await add(store))
            await store.close()
        if len(looks) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(follow.asyncio, "sleep", look)
    ended = run(command, "list", "--follow", *(["--json"] if as_json else []))
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert len(lines) == 3
    for line, id in zip(lines, first + later, strict=True):
        assert id in line
    if not as_json:
        assert "\r" not in ended.out


def test_following_alarms_and_jobs_tells_each_change(run, monkeypatch):
    alarm = Alarm(watch="failing", about="mail", raised_at=2.0, calm_since=None, value=7, text="7 failed")
    over = {"watch": "failing", "about": "mail", "raised_at": 2.0, "value": 7, "text": "over: 7 failed"}
    steps = [
        lambda store: store.alarms.keep(raised=[(alarm, b"{}")], resolved=[], standing=[]),
        lambda store: store.alarms.keep(raised=[], resolved=[(alarm, json.dumps(over).encode())], standing=[]),
        lambda store: add(store, kind="job.succeeded", job_id="vg_1", fact="vg_1:succeeded"),
    ]
    job = stored(lambda store: store.jobs.track(NewJob(source="videogen", tool=None, job_id="vg_1")))
    left = []

    async def look(_seconds):
        if not left:
            raise KeyboardInterrupt
        store = Store(os.environ["RECEIVER_DATABASE_URL"])
        await left.pop(0)(store)
        await store.close()

    monkeypatch.setattr(follow.asyncio, "sleep", look)
    left[:] = steps[:2]
    rows = [json.loads(line) for line in run("alarms", "list", "--follow", "--json").out.splitlines()]
    assert [(row["about"], row["state"]) for row in rows] == [("mail", "on"), ("mail", "over")]
    left[:] = steps[2:]
    ended = run("jobs", "list", "--follow")
    shown = ended.out.splitlines()
    assert ended.err == ""
    assert [(job.id in line, state in line) for line, state in zip(shown, ("submitted", "succeeded"), strict=True)] == [
        (True, True)
    ] * 2


async def test_what_is_rare_is_looked_for_through_the_whole_history_once(monkeypatch, capsys):
    asked, looks = [], []

    async def pages(since):
        asked.append(since)
        yield []

    async def look(_seconds):
        looks.append(1)
        if len(looks) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(follow.asyncio, "sleep", look)
    began = time.time()
    await follow.follow([pages], ("id",), limit=50, as_json=True)
    assert asked[0] is None
    assert [0 <= since - (began - follow.LATE) < 30 for since in asked[1:]] == [True, True]


def test_hostile_text_is_one_row_of_a_table_and_as_it_is_in_json(run):
    stored(lambda store: add(store, type="=cmd|' /C calc'!A0\r\n[bold]\x1b[31m"))
    shown = run("events", "list").out
    assert "=cmd|' /C calc'!A0" in shown
    assert "[bold]" in shown
    assert "\x1b" not in shown
    assert len(shown.splitlines()) == 2
    assert json.loads(run("events", "list", "--json").out)["type"] == "=cmd|' /C calc'!A0\r\n[bold]\x1b[31m"
    assert len(run("runs", "list").out.splitlines()) == 2


def test_a_run_and_how_it_goes_are_shown_to_people(run):
    stored(add)
    stored(lambda store: store.events.add([], [refusal("wrong-signature", unlisted=1), refusal("not-json")]))
    [found] = [json.loads(line) for line in run("runs", "list", "--json", "--handler", "log").out.splitlines()]
    shown = run("runs", "show", found["id"]).out
    assert "attempt 1 failed" in shown
    assert "would start again" in run("runs", "retry", found["id"], "--dry-run").out
    stored(lambda store: store.runs.pause("log"))
    run("runs", "retry", found["id"])
    assert "waits       until its handler is resumed" in run("runs", "show", found["id"]).out
    stored(lambda store: store.runs.resume("log"))
    assert re.search(r"waits +until 20.* UTC", run("runs", "show", found["id"]).out)
    stored(lambda store: store.tally.keep_acks({0.005: 9, math.inf: 1}))
    told = run("stats", "--span", "hour", "--spans", "2").out
    assert "acks            50 % in 0.005 s, 95 % in over 10 s" in told
    assert "backlog" in told
    assert "duplicates" in told
    assert "refused         wrong-signature 2, not-json 1" in told


def test_a_listing_goes_on_over_pages_that_find_nothing(run, monkeypatch):
    stored(lambda store: add(store, 5))
    monkeypatch.setattr("receiver.store.page.SLICE", 2)
    monkeypatch.setattr("receiver.cli.link.ROWS", 2)
    assert len(run("events", "list", "--json", "--limit", "5").out.splitlines()) == 5
    assert run("events", "list", "--text", "nobody").out == "No events.\n"


def test_the_shell_completes_commands_and_states(run, monkeypatch):
    monkeypatch.setenv("_RECEIVER_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "receiver runs list --state fa")
    monkeypatch.setenv("COMP_CWORD", "4")
    assert "failed" in run().out
