"""`receiver.toml` gives handlers without code, and each mistake in it is told with its line."""

import json
from pathlib import Path

import pytest

from receiver import Event, registry
from receiver.config import Config, read
from receiver.errors import ConfigError
from receiver.registry import find_handlers

OFFER = """
from pydantic import BaseModel
from receiver import Secret, configurable

class Shout(BaseModel):
    word: str
    times: int = 1
    secret: Secret | None = None

@configurable(retries=3, timeout=5)
def shout(options: Shout):
    async def handle(event, context):
        context.append(options.word * options.times)
    return handle
"""


@pytest.fixture
def find(tmp_path, monkeypatch):
    """The handlers of a file, with one that can be used."""
    monkeypatch.setattr(registry, "entry_points", lambda group: ())
    folder = tmp_path / "offers"
    folder.mkdir()
    (folder / "shout.py").write_text(OFFER)
    return lambda text: find_handlers([str(folder)], Config(Path("receiver.toml"), text))


def event(**changes):
    given = {"id": "1", "source": "videogen", "type": "x", "kind": "job.succeeded", "occurred_at": 1, "received_at": 1}
    return Event(**given | changes)


async def test_a_handler_is_made_from_its_options_with_the_limits_of_its_maker(find):
    (made,) = find('\n[[handlers]]\nuse = "shout"\non = "job.*"\nword = "hey"\ntimes = 2\nretries = 0\n')
    said = []
    await made.function(event(), said)
    assert said == ["heyhey"]
    assert (made.name, made.place, made.retries, made.timeout) == ("shout", "receiver.toml:2", 0, 5)


@pytest.mark.parametrize(
    ("change", "wanted"),
    [({}, True), ({"source": "other"}, False), ({"tool": "other"}, False), ({"kind": None}, False)],
)
def test_only_events_that_pass_every_filter_are_wanted(find, change, wanted):
    text = '[[handlers]]\nuse = "shout"\non = ["job.*"]\nsource = "videogen"\ntool = "A"\nword = "a"\n'
    assert find(text)[0].wants(event(**{"tool": "A"} | change)) is wanted


HEAD = '# first\n[[handlers]]\nuse = "shout"\non = "*"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (HEAD + 'word = [\n"a",\n]\n', "receiver.toml:5: handlers[1].word: "),
        (HEAD + 'word = """\n[[handlers]]\n"""\ntimes = "x"', "receiver.toml:8: handlers[1].times: "),
        (HEAD, "receiver.toml:2: handlers[1].word: Field required"),
        (HEAD + 'word = "a"\nwodr = "b"', "receiver.toml:6: handlers[1].wodr: "),
        (HEAD + 'word = "a"\n[[handlers]]\nuse = "nothing"\non = "*"', "receiver.toml:7: there is no handler nothing"),
        (HEAD + 'word = "a"\n' + HEAD + 'word = "b"', "receiver.toml:2 and receiver.toml:7; give one a name"),
        ('[[handlers]]\nuse = "shout"\non = "a*b"', "receiver.toml:3: handlers[1].on: a pattern is"),
        ('[handlers]\nuse = "shout"', "receiver.toml:1: write [[handlers]], with two brackets"),
        ('\n\n[handler]\nuse = "shout"', "receiver.toml:3: there is no section handler"),
        ("a = \n", "line 1"),
    ],
)
def test_a_mistake_is_told_with_its_line(find, text, told):
    with pytest.raises(ConfigError) as error:
        find(text)
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('raise ValueError("no such shop")', "receiver.toml:2: shout: ValueError: no such shop"),
        ("raise SystemExit(3)", "receiver.toml:2: shout: SystemExit: 3"),
        ("return None", "it must take (event, context)"),
        ("return lambda event: None", "it must take (event, context)"),
    ],
)
def test_a_maker_that_makes_no_handler_is_told_with_the_line_that_uses_it(find, tmp_path, line, told):
    text = OFFER.replace("    async def", f"    {line}\n    async def").replace("shout", "shouting")
    (tmp_path / "offers" / "shouting.py").write_text(text)
    with pytest.raises(ConfigError) as error:
        find(HEAD.replace("shout", "shouting") + 'word = "a"')
    assert told.replace("shout:", "shouting:") in str(error.value)


def test_a_secret_comes_from_the_variable_that_is_named(find, monkeypatch):
    text = HEAD + 'word = "a"\nsecret = { env = "SHOUT_SECRET" }'
    with pytest.raises(ConfigError, match=r"receiver.toml:6: .*SHOUT_SECRET is not set"):
        find(text)
    monkeypatch.setenv("SHOUT_SECRET", "hush")
    assert find(text)[0].name == "shout"


def test_a_secret_in_the_file_is_refused_and_not_repeated(find):
    with pytest.raises(ConfigError, match="name a variable") as error:
        find(HEAD + 'word = "a"\nsecret = "hunter2"')
    assert "hunter2" not in str(error.value)


def test_the_file_here_is_read_and_a_named_one_must_be_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read() == Config()
    (tmp_path / "receiver.toml").write_text("# nothing")
    assert read().text == "# nothing"
    with pytest.raises(ConfigError, match="RECEIVER_CONFIG"):
        read(tmp_path / "other.toml")
    (tmp_path / "receiver.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="UTF-8"):
        read()


def test_the_listing_says_where_a_handler_is_configured(tmp_path, monkeypatch, capsys):
    from receiver import cli

    (tmp_path / "handlers").mkdir()
    (tmp_path / "handlers" / "shout.py").write_text(OFFER)
    (tmp_path / "receiver.toml").write_text(HEAD + 'word = "a"')
    monkeypatch.chdir(tmp_path)
    cli.app(["handlers", "list", "--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["place"] == "receiver.toml:2"
