"""The README tells the truth about settings and commands."""

import re
from pathlib import Path

import pytest
import typer.main
from pydantic import AliasChoices
from pydantic_core import PydanticUndefined

from receiver.cli import app
from receiver.handbook import page
from receiver.registry import find_configurable, find_handlers
from receiver.settings import Settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def settings_table() -> str:
    """The settings as the README must have them."""
    rows = ["| variable | default | meaning |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        variable = str(alias.choices[0]) if isinstance(alias, AliasChoices) else f"RECEIVER_{name.upper()}"
        if name == "providers":
            rows.append(f"| `<NAME>_API_KEY` … | | {field.description} |")
            continue
        default = "" if field.default in (None, PydanticUndefined, ()) else f"`{_told(field.default)}`"
        rows.append(f"| `{variable}` | {default} | {field.description} |")
    return "\n".join(rows)


def _told(value: object) -> str:
    return (
        ",".join(value) if isinstance(value, tuple) else str(value).lower() if isinstance(value, bool) else str(value)
    )


def commands() -> list[str]:
    """Every command there is, with its group."""
    group = typer.main.get_command(app)
    found = []
    for name, command in group.commands.items():
        inner = getattr(command, "commands", None)
        found += [f"{name} {one}" for one in inner] if inner else [name]
    return found


def test_the_settings_table_is_that_of_the_code():
    told = README.split("<!-- settings -->\n")[1].split("\n<!-- /settings -->")[0]
    assert told == settings_table(), f"write this into the README:\n\n{settings_table()}"


@pytest.mark.parametrize("command", commands())
def test_every_command_is_in_the_readme(command):
    rows = [line for line in README.splitlines() if line.startswith("| `receiver ")]
    group, _, name = command.partition(" ")
    assert any(re.search(rf"`receiver {group}\b", row) and (not name or re.search(rf"\b{name}\b", row)) for row in rows)


@pytest.mark.parametrize("command", commands())
def test_every_command_has_help(command):
    found = typer.main.get_command(app)
    for part in command.split():
        found = found.commands[part]
    assert found.help
    assert all(
        getattr(option, "help", None)
        for option in found.params
        if getattr(option, "opts", [""])[0].startswith("--") and not option.hidden
    )


def test_every_file_that_the_readme_links_to_is_there():
    links = re.findall(r"\]\((?!https?://)([^)#]+)\)", README)
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_variable_that_the_readme_names_is_understood():
    known = set(re.findall(r"`((?:RECEIVER|VIDEOGEN)_[A-Z_]+)`", settings_table()))
    named = set(re.findall(r"\b(RECEIVER_[A-Z_]+)\b", README))
    assert named <= known | {"RECEIVER_", "RECEIVER_URL"}


def test_the_page_about_handlers_is_that_of_the_handlers(monkeypatch):
    monkeypatch.chdir(ROOT)
    said = page(find_handlers(["handlers"]), find_configurable(["handlers"]))
    assert (ROOT / "docs" / "handlers.md").read_text() == said, "write it anew: make docs"


def test_every_option_of_a_handler_says_what_it_means():
    told = (ROOT / "docs" / "handlers.md").read_text()
    assert {"forward", "notify", "publish", "run", "download"} <= set(re.findall(r"^### (\w+)$", told, re.MULTILINE))
    assert [line for line in told.splitlines() if line.endswith("| not told |")] == []
