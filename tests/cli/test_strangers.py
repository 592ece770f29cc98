"""What strangers wrote, in a terminal: it moves no cursor, colours nothing, makes no link and hides no line."""

import asyncio
import os
import time

import pytest

from receiver.cli import output
from receiver.cli.endpoints import _print
from receiver.store import Store

from ..dashboard.stored import NASTY, Strangers, fill

LISTINGS = (
    "events list",
    "events refused",
    "events refused --duplicates",
    "runs list",
    "jobs list",
    "outputs list",
    "outputs expiring",
    "endpoints list",
    "handlers list",
    "alarms list",
    "stats",
)


@pytest.fixture
def written(environment, tmp_path):
    """A store in which strangers wrote wherever they can: into which fields, and what shows single things of it."""

    async def write():
        store, now = Store(os.environ["RECEIVER_DATABASE_URL"]), time.time()
        await fill(store, tmp_path / "files", at=now - 600, text=NASTY)
        strangers = Strangers(store, now)
        own = await strangers.write()
        events = [path.replace("/", " ").replace(" events", "events show") for path in own if "/events/" in path]
        run = next(one for one in await store.runs.recent() if one["handler"] == strangers.handler and one["error"])
        [job] = [path.replace("/jobs/", "jobs show ") for path in own if "/jobs/" in path]
        await store.close()
        return strangers.fields, [*events, f"runs show {run['id']}", job]

    return asyncio.run(write())


def harmless(text):
    return all(char.isprintable() or char == "\n" for char in text)


def test_what_strangers_wrote_is_shown_as_text_in_a_terminal(run, written, monkeypatch):
    fields, single = written
    printed = []
    for width, commands in ((400, LISTINGS[:4]), (80, (*LISTINGS, *single))):
        monkeypatch.setattr(output.console, "_width", width)
        for command in commands:
            ended = run(*command.split())
            assert (ended.code, ended.err) == (0, ""), command
            assert harmless(ended.out), command
            printed.append(ended.out.replace("\n", ""))
    everything = "".join(printed)
    assert "\\[/x][link=http://evil.example]:skull:" in everything
    pages_only = {"drift", "endpoint-event", "endpoint-url", "header", "missed-id", "output-type", "refused-body"}
    assert {field for field in fields if f"@{field}@" not in everything} <= pages_only


@pytest.mark.parametrize("say", [output.complain, lambda text: _print({"text": text, "remarks": [text]})])
def test_what_is_said_of_a_provider_is_text_too(capsys, say):
    say(NASTY)
    told = "".join(capsys.readouterr())
    assert harmless(told)
    assert "\\[/x][link=http://evil.example]:skull:" in told


@pytest.mark.parametrize("text", ["\\", "a\\[/]", "[/]", "\\\\[bold]", "[", "a:b:c :skull:"])
def test_plain_text_is_what_is_seen(capsys, text):
    output.tell((text, "bold"), "|")
    assert capsys.readouterr().out == f"{text}|\n"
