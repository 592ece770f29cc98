"""Handlers are found where they are, and whatever is wrong with one is said with its place."""

import functools
import json
import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from receiver import Event, handler, registry
from receiver.errors import ConfigError
from receiver.registry import Handler, find_handlers, find_sources, is_async
from receiver.signatures import new_secret
from receiver.sources.videogen import VideoGen

PLUGIN = Path(__file__).parent / "plugins" / "receiver-example-handlers"
SOURCE_PLUGIN = PLUGIN.parent / "receiver-example-source"
HANDLER = """
from receiver import handler

@handler("job.succeeded")
async def {name}(event, context):
    ...
"""


@pytest.fixture(autouse=True)
def _only_what_the_test_installs(monkeypatch, tmp_path):
    """No installed plugin takes part, and what a test writes and imports is forgotten after it."""
    monkeypatch.setattr(registry, "entry_points", lambda group: ())
    yield
    for name, module in list(sys.modules.items()):
        places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
        if any(str(place).startswith(str(tmp_path)) for place in places):
            del sys.modules[name]


@pytest.fixture
def folder(tmp_path):
    """Write files to a folder of handlers and return its path: `folder(mail="…")`."""

    def write(place="place", /, **files):
        (tmp_path / place).mkdir(exist_ok=True)
        for name, text in files.items():
            (tmp_path / place / f"{name}.py").write_text(text)
        return str(tmp_path / place)

    return write


@pytest.fixture
def install(monkeypatch):
    """Have entry points as if a plugin were installed: `install("receiver.handlers", "module")`."""

    def install(group, *values):
        entries = [EntryPoint(name=f"plugin{number}", value=value, group=group) for number, value in enumerate(values)]
        monkeypatch.setattr(
            registry, "entry_points", lambda group: [entry for entry in entries if entry.group == group]
        )

    return install


def names(*places):
    return [found.name for found in find_handlers(places)]


def marked(function) -> Handler:
    return getattr(function, registry._MARK)


def event(**values):
    given = {"source": "videogen", "type": "tool_execution.succeeded", "kind": "job.succeeded", "tool": "UPSCALE_VIDEO"}
    return Event(id="evt_1", occurred_at=0, received_at=0, **(given | values))


# Marking


def test_marking_gives_the_function_back_as_it_was_and_registers_nothing():
    async def publish(event, context):
        return None

    before = set(sys.modules), dict(vars(registry))
    assert handler("job.succeeded")(publish) is publish
    assert (set(sys.modules), dict(vars(registry))) == before
    assert names() == []


def test_the_limits_have_defaults_and_can_be_chosen():
    @handler("job.*")
    def usual(event, context): ...

    @handler(
        "file.*",
        "job.failed",
        name="x",
        source="videogen",
        tool="T",
        retries=0,
        timeout=0.5,
        concurrency=1,
        ordered=True,
    )
    def chosen(event, context): ...

    assert marked(usual) == Handler(
        name="usual",
        function=usual,
        patterns=("job.*",),
        source=None,
        tool=None,
        retries=8,
        timeout=60,
        concurrency=8,
        ordered=False,
    )
    assert marked(chosen) == Handler(
        name="x",
        function=chosen,
        patterns=("file.*", "job.failed"),
        source="videogen",
        tool="T",
        retries=0,
        timeout=0.5,
        concurrency=1,
        ordered=True,
    )
    assert marked(chosen).place == f"{__name__}:{chosen.__qualname__}"


@pytest.mark.parametrize("patterns", [(), ("",), ("job.succeeded", ""), (None,), (lambda event, context: None,)])
def test_a_handler_names_its_events(patterns):
    with pytest.raises(ConfigError, match="names its events"):
        handler(*patterns)


@pytest.mark.parametrize(
    ("limits", "problem"),
    [
        ({"retries": -1}, "retries must be 0 or more"),
        ({"timeout": 0}, "timeout must be above 0 seconds"),
        ({"timeout": float("nan")}, "timeout must be above 0 seconds"),
        ({"concurrency": 0}, "concurrency must be 1 or more"),
    ],
)
def test_limits_that_cannot_work_are_refused_with_the_handler_and_its_place(limits, problem):
    def publish(event, context): ...

    with pytest.raises(ConfigError) as caught:
        handler("job.succeeded", **limits)(publish)
    assert problem in str(caught.value)
    assert f"handler publish in {__name__}:" in str(caught.value)


def test_all_that_is_wrong_is_said_at_once():
    def publish(event): ...

    with pytest.raises(ConfigError) as caught:
        handler("tool_*.failed", retries=-1)(publish)
    for problem in ("retries", "a * in a pattern goes at its end", "it must take (event, context)"):
        assert problem in str(caught.value)


def one(event): ...
def three(event, context, more): ...
def named(event, *, context): ...
def generator(event, context):
    yield


async def async_generator(event, context):
    yield


@pytest.mark.parametrize("function", [one, three, named])
def test_a_handler_takes_event_and_context(function):
    with pytest.raises(ConfigError, match="take"):
        handler("*")(function)


@pytest.mark.parametrize("function", [generator, async_generator])
def test_a_generator_is_no_handler_because_calling_it_would_run_nothing(function):
    with pytest.raises(ConfigError, match="must not yield"):
        handler("*")(function)


@pytest.mark.parametrize("thing", [functools.partial(three, more=1), print, Path, staticmethod(one)])
def test_what_is_marked_must_be_a_function(thing):
    with pytest.raises(ConfigError, match="put what is marked here into a def"):
        handler("*")(thing)


@pytest.mark.parametrize(
    "function",
    [lambda *both: None, lambda event, context, retries=3: None, lambda event, context, **more: None],
)
def test_what_can_take_the_two_may_take_more(function):
    assert marked(handler("*")(function)).function is function


def test_only_async_functions_are_called_on_the_event_loop():
    async def on_the_loop(event, context): ...

    assert is_async(on_the_loop)
    assert not is_async(three)
    assert not is_async(async_generator)


# Which events a handler wants


@pytest.mark.parametrize(
    ("wanted", "source", "tool", "gets"),
    [
        ("job.succeeded", None, None, True),
        ("job.succeeded", "videogen", "UPSCALE_VIDEO", True),
        ("job.*", "finevoice", None, False),
        ("job.*", None, "OTHER", False),
        ("job.failed", "videogen", "UPSCALE_VIDEO", False),
    ],
)
def test_pattern_source_and_tool_must_all_fit(wanted, source, tool, gets):
    @handler(wanted, source=source, tool=tool)
    def publish(event, context): ...

    assert marked(publish).wants(event()) is gets


def test_one_of_several_patterns_is_enough():
    @handler("file.*", "job.failed", "tool_execution.*")
    def publish(event, context): ...

    assert marked(publish).wants(event())
    assert marked(publish).wants(event(type="file.upload.completed", kind=None))
    assert not marked(publish).wants(event(type="workflow_run.succeeded"))


def test_an_event_without_a_tool_is_not_for_a_handler_of_one():
    @handler("*", tool="T")
    def publish(event, context): ...

    assert not marked(publish).wants(event(tool=None))


# Folders


def test_every_file_of_a_folder_is_looked_at_in_the_order_of_names(folder):
    place = folder(two=HANDLER.format(name="b"), one=HANDLER.format(name="z") + HANDLER.format(name="a"))
    found = find_handlers([place])
    assert [each.name for each in found] == ["a", "b", "z"]
    assert found[1].place.endswith("/place/two.py:4")


def test_files_that_begin_with_an_underscore_are_for_the_others(folder):
    place = folder(
        _shared="EVENTS = 'file.*'\n",
        mail="from ._shared import EVENTS" + HANDLER.format(name="mail").replace('"job.succeeded"', "EVENTS"),
        __init__="raise RuntimeError('nobody imports this')",
    )
    [found] = find_handlers([place])
    assert found.patterns == ("file.*",)


def test_a_handler_that_was_only_imported_is_not_found_twice(folder):
    place = folder(one=HANDLER.format(name="a"), two="from .one import a\n")
    assert names(place) == ["a"]


def test_a_handler_from_elsewhere_does_not_run_because_it_was_imported(folder, tmp_path, monkeypatch):
    (tmp_path / "elsewhere_module.py").write_text(HANDLER.format(name="elsewhere"))
    monkeypatch.syspath_prepend(tmp_path)
    assert names(folder(mine="from elsewhere_module import elsewhere\n")) == []


def test_two_folders_of_one_name_are_two_folders(folder):
    for parent, name in (("app-1", "a"), ("app-2", "b")):
        folder(parent)
        folder(f"{parent}/handlers", one=HANDLER.format(name=name))
    root = Path(folder("app-1")).parent
    assert names(str(root / "app-1" / "handlers"), str(root / "app-2" / "handlers")) == ["a", "b"]


def test_a_folder_may_be_named_twice_and_relatively(folder, monkeypatch):
    place = folder("handlers", one=HANDLER.format(name="a"))
    monkeypatch.chdir(Path(place).parent)
    assert names("handlers", "./handlers", place) == ["a"]


def test_an_empty_folder_has_no_handlers(folder):
    assert names(folder()) == []


def test_finding_does_not_change_where_python_looks(folder):
    before = list(sys.path)
    names(folder(one=HANDLER.format(name="a")))
    assert sys.path == before


def test_a_decorator_above_ours_is_run_too(folder):
    place = folder(
        one="""
import functools
from receiver import handler

def traced(function):
    @functools.wraps(function)
    def outer(event, context):
        return "traced"
    return outer

@traced
@handler("*")
def a(event, context):
    return "bare"
"""
    )
    [found] = find_handlers([place])
    assert found.function(None, None) == "traced"


def test_objects_that_do_not_like_to_be_looked_at_are_left_alone(folder):
    shy = """
class Shy:
    def __getattribute__(self, name):
        raise RuntimeError(name)

shy = Shy()
"""
    assert names(folder(one=shy + HANDLER.format(name="a"))) == ["a"]


# Modules and packages


def test_a_module_a_package_and_its_modules_are_looked_at(folder, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "single_module.py").write_text(HANDLER.format(name="single"))
    folder(
        "some_package",
        __init__=HANDLER.format(name="top"),
        inner=HANDLER.format(name="inner"),
        __main__="raise RuntimeError('this would start a program')",
        _private="raise RuntimeError('this is private')",
    )
    assert names("single_module") == ["single"]
    assert names("some_package") == ["inner", "top"]
    assert names("some_package.inner", "some_package", "single_module") == ["inner", "single", "top"]


def test_the_handlers_that_come_with_the_receiver_are_found_by_their_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # away from the folder of that name
    assert {found.place.partition(".")[0] for found in find_handlers(["handlers"])} == {"handlers"}


@pytest.mark.parametrize("place", ["/nowhere/at/all", "./nowhere", "no-module", "", "nowhere/..", "a..b"])
def test_a_place_that_is_neither_folder_nor_module_is_named(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        find_handlers([place])
    assert repr(place) in str(caught.value)


def test_a_module_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match=r"cannot import no_such_module: ModuleNotFoundError"):
        find_handlers(["no_such_module"])


# What is wrong


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("def broken(:", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("from receiver import handler\nhandler()", "a handler names its events"),
        ("from receiver import handler\n@handler('*', retries=-1)\ndef f(event, context): ...", "retries"),
        ("from receiver import handler\n@handler('*', retries='3')\ndef f(event, context): ...", "TypeError"),
    ],
)
def test_a_file_that_does_not_import_is_named_with_the_reason(folder, text, told):
    place = folder(fine=HANDLER.format(name="a"), wrong=text)
    with pytest.raises(ConfigError) as caught:
        find_handlers([place])
    assert str(Path(place) / "wrong.py") in str(caught.value)
    assert told in str(caught.value)


def test_two_handlers_of_one_name_are_refused_with_both_places(folder):
    place = folder(one=HANDLER.format(name="a"), two=HANDLER.format(name="a"))
    with pytest.raises(ConfigError) as caught:
        find_handlers([place])
    for told in ("two handlers are named a", "/place/one.py:4 and /", "/place/two.py:4", "give one a name="):
        assert told in str(caught.value)


def test_one_function_under_two_names_is_one_handler(folder):
    assert names(folder(one=HANDLER.format(name="a") + "\nb = a\n")) == ["a"]


# Plugins


def test_a_plugin_may_be_a_module_or_a_package_and_be_listed_twice(folder, tmp_path, monkeypatch, install):
    monkeypatch.syspath_prepend(tmp_path)
    folder("plugin_package", __init__="", inner=HANDLER.format(name="inner"))
    (tmp_path / "plugin_module.py").write_text(HANDLER.format(name="module"))
    install("receiver.handlers", "plugin_module", "plugin_package", "plugin_module")
    assert names() == ["inner", "module"]
    assert names("plugin_module") == ["inner", "module"]


def test_a_plugin_that_does_not_import_is_named(install):
    install("receiver.handlers", "no_such_plugin")
    with pytest.raises(ConfigError, match="cannot import no_such_plugin"):
        find_handlers([])


def test_a_plugin_of_handlers_must_be_a_module(install):
    install("receiver.handlers", "json:dumps")
    with pytest.raises(ConfigError, match="json:dumps must name a module"):
        find_handlers([])


def test_an_installed_package_is_found(tmp_path):
    """The example package is built and installed by pip, and another process finds its handlers, and ours.

    A user's own folder of handlers hides none that `receiver.toml` uses.
    """
    (tmp_path / "handlers").mkdir()
    (tmp_path / "receiver.toml").write_text(
        '[[handlers]]\nuse = "say"\non = "*"\nword = "ready"\n'
        '[[handlers]]\nuse = "forward"\non = "job.*"\nurl = "https://app.example.com"\nsecret = { env = "OWN" }\n'
    )
    install = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            *install,
            "--target",
            str(tmp_path / "site"),
            str(PLUGIN),
            str(SOURCE_PLUGIN),
        ],
        check=True,
        cwd=tmp_path,
    )
    script = """
import json
from receiver.config import read
from receiver.registry import find_handlers, find_sources
assert "atelier" in find_sources()
print(json.dumps([[found.name, found.place, found.patterns] for found in find_handlers(["handlers"], read())]))
"""
    listed = subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site"), "OWN": new_secret()},
        capture_output=True,
        text=True,
    )
    assert json.loads(listed.stdout) == [
        ["forward", "receiver.toml:5", ["job.*"]],
        ["say", "receiver.toml:1", ["*"]],
        ["say_outputs", "receiver_example_handlers:say_outputs", ["job.succeeded"]],
    ]


# Sources


def test_the_receiver_s_own_sources_are_plugins_like_any_other(monkeypatch):
    monkeypatch.undo()
    assert isinstance(find_sources()["videogen"], VideoGen)


def test_a_source_may_be_a_class_or_a_thing_and_be_listed_twice(tmp_path, monkeypatch, install):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "other_source.py").write_text(
        "from receiver.sources.videogen import VideoGen\n"
        "class Other(VideoGen):\n    name = 'other'\n"
        "thing = VideoGen()\n"
    )
    install("receiver.sources", "other_source:Other", "other_source:thing", "other_source:Other")
    assert sorted(find_sources()) == ["other", "videogen"]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("no_such_source:Source", "cannot import no_such_source:Source"),
        ("json:nothing", "cannot import json:nothing"),
        ("json:dumps", "json:dumps is not a source"),
        ("receiver.inbox:Inbox", "cannot import receiver.inbox:Inbox: TypeError"),
    ],
)
def test_what_is_no_source_is_named(install, value, told):
    install("receiver.sources", value)
    with pytest.raises(ConfigError, match=told):
        find_sources()


def test_no_plugin_takes_the_place_of_a_source_by_its_name(tmp_path, monkeypatch, install):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "impostor.py").write_text("from receiver.sources.videogen import VideoGen as Impostor\n")
    install("receiver.sources", "receiver.sources.videogen:VideoGen", "impostor:Impostor")
    with pytest.raises(
        ConfigError, match=r"two sources are named videogen: receiver.sources.videogen:VideoGen and imp"
    ):
        find_sources()
