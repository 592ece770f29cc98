"""Run a command as a person does, in this process."""

import functools
import sys
from dataclasses import dataclass

import pytest
import typer.main

from receiver import cli

#: A process makes its commands of their functions once; here they are run many times.
COMMANDS = functools.cache(typer.main.get_command)


@dataclass
class Ended:
    code: int
    out: str
    err: str


@pytest.fixture
def run(monkeypatch, capsys):
    """Run `receiver`, or another command by name: `run("events", "list")`."""

    def invoke(*arguments: str, command: str = "receiver") -> Ended:
        monkeypatch.setattr(sys, "argv", [command, *arguments])
        monkeypatch.setattr(typer.main, "get_command", COMMANDS)
        entry = cli.main if command == "receiver" else cli.register_webhook
        with pytest.raises(SystemExit) as ended:
            entry()
            raise SystemExit(0)
        printed = capsys.readouterr()
        code = ended.value.code
        return Ended(code=code if isinstance(code, int) else int(bool(code)), out=printed.out, err=printed.err)

    return invoke


@pytest.fixture(autouse=True)
def environment(sqlite_url, tmp_path, monkeypatch):
    """An environment of the test's own: a database with the schema in its folder, wide tables."""
    import os

    for name in list(os.environ):
        if name.startswith(("RECEIVER_", "VIDEOGEN_")) or name in ("DATABASE_URL", "PORT"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("RECEIVER_DATABASE_URL", sqlite_url)
    monkeypatch.setattr(cli.output.console, "_width", 400)
    monkeypatch.chdir(tmp_path)
