"""`run`, with real programs: what they get, what their end means, and that nothing of them is left."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from handlers import run as module
from receiver import Event, Output
from receiver.attempt import Calls, Ended
from receiver.config import Config
from receiver.errors import ConfigError
from receiver.registry import Handler, find_handlers

from ..store.conftest import arrival  # noqa: F401 - a fixture
from ..test_dispatcher import dispatching, recorded

Make = Callable[..., Any]
URL = "https://storage.example/a.mp4?X-Signature=hush"


@pytest.fixture
def handler(tmp_path: Path) -> Callable[..., Handler]:
    """The handler that `receiver.toml` makes of a command and options."""

    def make(*command: str, **options: Any) -> Handler:
        given = {"command": command} | options
        lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in given.items())
        text = f'[[handlers]]\nuse = "run"\non = "*"\n{lines}'
        found = find_handlers([str(tmp_path)], Config(Path("receiver.toml"), text))
        return next(one for one in found if one.configured)

    return make


@pytest.fixture
def finished(event: Make) -> Event:
    made: Event = event(Output(id="file_1", url=URL), metadata={"order": "42"})
    return made


@pytest.fixture
def attempt(handler: Make, context: Make, finished: Event) -> Callable[..., Any]:
    """Run a command on an event once, as a worker does."""

    async def run(*command: str, **options: Any) -> Ended:
        return await Calls().attempt(handler(*command, **options), finished, context(attempt=2), last=False)

    return run


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], list[str]]:
    """A program in Python of which only this is written."""

    def write(text: str) -> list[str]:
        (tmp_path / "script").write_text(text)
        return [sys.executable, "-I", "-S", str(tmp_path / "script")]

    return write


async def gone(file: Path) -> None:
    """Wait until every process whose id is in `file` has ended, reaped or not."""
    async with asyncio.timeout(20):
        while any(map(alive, written(file))):
            await asyncio.sleep(0.01)


def written(file: Path) -> list[str]:
    return file.read_text().split() if file.exists() else []


def alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# What it gets


async def test_it_gets_the_event_and_nothing_of_the_environment_that_is_not_named(
    attempt: Make, script: Make, finished: Event, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDEOGEN_API_KEY", "sk_videogen_live_hunter2")
    monkeypatch.setenv("CMS_TOKEN", "for the program")
    tell = "import json, os, sys; json.dump([dict(os.environ), json.load(sys.stdin)], open(sys.argv[1], 'w'))"
    ended = await attempt(*script(tell), str(tmp_path / "told"), variables=["CMS_TOKEN"])
    assert (ended.outcome, ended.note) == ("done", None)
    environment, told = json.loads((tmp_path / "told").read_text())
    assert told == finished.as_json()
    assert environment.pop("PATH") == os.environ["PATH"]
    environment.pop("LC_CTYPE", None)  # Python's own, where no locale is set
    assert environment == {
        "RECEIVER_EVENT_ID": "evt_1",
        "RECEIVER_EVENT_SOURCE": "videogen",
        "RECEIVER_EVENT_TYPE": "tool_execution.succeeded",
        "RECEIVER_EVENT_KIND": "job.succeeded",
        "RECEIVER_EVENT_JOB_ID": "vg_tool_1",
        "RECEIVER_EVENT_TOOL": "GENERATE_VIDEO_CLIP",
        "RECEIVER_EVENT_ROAD": "webhook",
        "RECEIVER_ATTEMPT": "2",
        "RECEIVER_FILES": str(tmp_path / "files"),
        "CMS_TOKEN": "for the program",
    }


async def test_no_shell_reads_its_arguments(attempt: Make) -> None:
    odd = "$(id) `id` ; exit 3 | * 'é"
    assert (await attempt("printf", "%s", odd)).note == f"stdout: {odd}"


async def test_what_an_event_does_not_have_is_empty_and_odd_characters_do_no_harm(
    handler: Make, context: Make, event: Make
) -> None:
    odd = event(job_id=None, tool="A\0B\ud800", kind=None)
    tell = 'printf "%s" "$RECEIVER_EVENT_JOB_ID|$RECEIVER_EVENT_KIND|$RECEIVER_EVENT_TOOL"'
    ended = await Calls().attempt(handler("sh", "-c", tell), odd, context(), last=True)
    assert (ended.outcome, ended.note) == ("done", "stdout: ||AB?")


async def test_it_need_not_read_a_long_event(handler: Make, context: Make, event: Make) -> None:
    long = event(data={"text": "x" * 2**21})
    assert (await Calls().attempt(handler("true"), long, context(), last=True)).outcome == "done"


# What its end means


@pytest.mark.parametrize(
    ("command", "outcome", "error"),
    [
        ("exit 0", "done", None),
        ("exit 75", "retry", "exit 75: it asks to be tried again"),
        ("exit 1", "failed", "gave up: exit 1"),
        ("exit 255", "failed", "gave up: exit 255"),
        ("kill -SEGV $$", "retry", "ended by SIGSEGV"),
        ("kill -KILL $$", "retry", "ended by SIGKILL"),
        ("kill -40 $$", "retry", "ended by signal 40"),
    ],
)
async def test_the_exit_code_decides(attempt: Make, command: str, outcome: str, error: str | None) -> None:
    ended = await attempt("sh", "-c", command)
    assert (ended.outcome, ended.error) == (outcome, error)


async def test_what_it_printed_is_kept_however_it_ends_without_what_opens_something(
    attempt: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CMS_TOKEN", "hunter2-hunter2")
    said = f"echo fetched {URL}; echo token $CMS_TOKEN >&2; printf '\\377' >&2; exit 1"
    ended = await attempt("sh", "-c", said, variables=["CMS_TOKEN"])
    assert ended.note is not None
    assert ended.note.splitlines() == [
        "stdout: fetched https://storage.example/a.mp4?[redacted]",
        "stderr: token [redacted]",
        "\N{REPLACEMENT CHARACTER}",
    ]


async def test_of_long_output_only_the_end_is_kept(attempt: Make) -> None:
    much = "yes a | head -c 3000000; yes b | head -c 3000000 >&2; echo last; echo last >&2"
    ended = await attempt("sh", "-c", much)
    assert (ended.outcome, len(ended.note) <= 4096) == ("done", True)
    out, err = ended.note.split("stderr: ")
    assert (out.startswith("stdout: "), out.endswith("last\n"), err.endswith("last")) == (True, True, True)


async def test_endless_output_is_cut_off_at_its_time(attempt: Make) -> None:
    ended = await attempt("yes", timeout=0.3)
    assert (ended.outcome, ended.error) == ("retry", "took longer than 0.3 s")
    assert len(ended.note or "") <= 4096


# What is left of it


async def cut_off(made: Handler, event: Event, context: Any, ready: Path) -> None:
    """Run a handler, and cancel it as its time limit does, once it has written to a file."""
    task = asyncio.create_task(Calls().attempt(made, event, context, last=False))
    async with asyncio.timeout(20):
        while not written(ready):
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("stubborn", ["", "trap '' TERM; "])
async def test_when_it_is_cut_off_all_that_it_started_ends(
    handler: Make, context: Make, finished: Event, tmp_path: Path, stubborn: str
) -> None:
    pids = tmp_path / "pids"
    start = f"{stubborn}sleep 60 & echo $! $$ > {pids}.new; mv {pids}.new {pids}; wait; sleep 60"
    await cut_off(handler("sh", "-c", start), finished, context(), pids)
    assert len(written(pids)) == 2
    await gone(pids)


async def test_it_may_say_a_last_word_when_it_is_cut_off(
    handler: Make, context: Make, finished: Event, tmp_path: Path
) -> None:
    ready, given = tmp_path / "ready", context()
    start = f"trap 'echo tidied up; exit 0' TERM; sleep 60 & echo yes > {ready}; wait"
    await cut_off(handler("sh", "-c", start), finished, given, ready)
    assert given.noted == "stdout: tidied up"


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_what_it_leaves_behind_ends_with_it(
    run: Callable[..., Any], handler: Make, context: Make, finished: Event, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    made = handler("sh", "-c", f"sleep 60 & echo $! > {pids}; echo done")

    async def work() -> Ended:
        ended = await Calls().attempt(made, finished, context(), last=True)
        await gone(pids)
        return ended

    began = time.monotonic()
    ended = run(work())
    assert (ended.outcome, ended.note) == ("done", "stdout: done")
    assert time.monotonic() - began < 30


async def test_one_that_had_to_be_killed_is_waited_for(attempt: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    started, start = [], asyncio.create_subprocess_exec

    async def noted(*arguments: Any, **options: Any) -> asyncio.subprocess.Process:
        started.append(await start(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", noted)
    # It holds no pipe that could tell of its end.
    await attempt("sh", "-c", "trap '' TERM; exec >&- 2>&-; while :; do sleep 9; done", timeout=0.2)
    assert started[0].returncode == -signal.SIGKILL


async def test_a_worker_that_stops_ends_it_with_all_it_started_and_gives_the_run_back(
    handler: Make,
    store: Any,
    clock: Any,
    arrival: Any,  # noqa: F811
    tmp_path: Path,
) -> None:
    pids = tmp_path / "pids"
    made = handler("sh", "-c", f"sleep 60 & echo $! $$ > {pids}.new; mv {pids}.new {pids}; wait")
    await store.events.add([arrival()])
    async with dispatching(store, clock, made, grace=0), asyncio.timeout(20):
        while not written(pids):
            await asyncio.sleep(0.01)
    await gone(pids)
    [row] = await store.runs.recent()
    assert (row["state"], row["attempt"]) == ("waiting", 0)


async def test_what_it_printed_stands_beside_its_attempt_in_the_store(
    handler: Make,
    store: Any,
    clock: Any,
    arrival: Any,  # noqa: F811
) -> None:
    [added] = await store.events.add([arrival()])
    async with dispatching(store, clock, handler("sh", "-c", "echo said; exit 3")):
        await recorded(store, added.event_id, 1)
    [row] = await store.events.history(added.event_id)
    assert (row["state"], row["attempt_error"], row["note"]) == ("failed", "gave up: exit 3", "stdout: said")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of the death of its parent")
async def test_a_worker_that_is_killed_outright_takes_it_along(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    argv = [sys.executable, "-I", "-S", str(Path(module.__file__).with_name("_start.py")), "0", "0", "/bin/sh"]
    argv += ["sh", "-c", f"echo $$ > {pids}.new; mv {pids}.new {pids}; exec sleep 60"]
    parent = "import subprocess, sys; subprocess.run(sys.argv[1:])"
    process = await asyncio.create_subprocess_exec(sys.executable, "-I", "-S", "-c", parent, *argv)
    async with asyncio.timeout(20):
        while not written(pids):
            await asyncio.sleep(0.01)
    process.kill()
    await process.wait()
    await gone(pids)


# Limits


async def test_it_may_not_have_more_memory_than_it_is_allowed(attempt: Make, script: Make) -> None:
    ended = await attempt(*script("bytearray(2**30)"), memory="300MiB")
    assert ended.outcome == "failed"
    assert "MemoryError" in ended.note


async def test_it_may_not_have_more_processor_time_than_it_is_allowed(attempt: Make) -> None:
    ended = await attempt("sh", "-c", "while :; do :; done", cpu=1)
    assert (ended.outcome, ended.error) == ("retry", "ended by SIGXCPU")


async def test_a_program_that_is_not_there_any_more_is_tried_again(
    handler: Make, context: Make, finished: Event, tmp_path: Path
) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    made = handler(str(program))
    program.unlink()
    ended = await Calls().attempt(made, finished, context(), last=False)
    assert ended.outcome == "retry"
    assert ended.note == f"stderr: {program}: No such file or directory"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"command": []}, r"receiver\.toml:4: handlers\[1\]\.command: "),
        ({"command": ["no-such-program"]}, r"receiver\.toml:4: .*there is no program no-such-program"),
        ({"command": ["/etc/passwd"]}, "there is no program /etc/passwd"),
        ({"command": ["true", "a\0"]}, "NUL"),
        ({"command": ["true"], "variables": ["NOT_SET_HERE"]}, r"receiver\.toml:5: .*NOT_SET_HERE is not set"),
        ({"command": ["true"], "memory": 0}, "greater than 0"),
        ({"command": ["true"], "memory": "much"}, "memory"),
        ({"command": "true"}, "command"),
    ],
)
def test_what_cannot_run_is_told_at_the_start_with_its_line(handler: Make, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        handler(**options)
