"""Find handlers and sources: in folders, in modules, in installed plugins."""

import asyncio
import functools
import importlib
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from .context import Context
from .errors import ConfigError
from .events import Event
from .sources import Source

Function = Callable[[Event, Context], Awaitable[None] | None]

_MARK = "__receiver_handler__"


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """A function that wants some events, with its limits."""

    name: str  #: unique; runs are kept under it
    function: Function
    patterns: tuple[str, ...]
    source: str | None = None
    tool: str | None = None
    retries: int = 8  #: further attempts after the first
    timeout: float = 60  #: seconds an attempt may take
    concurrency: int = 8  #: attempts at once in one worker

    def wants(self, event: Event) -> bool:
        """Whether this event is for this handler."""
        return (
            (self.source is None or self.source == event.source)
            and (self.tool is None or self.tool == event.tool)
            and any(event.matches(pattern) for pattern in self.patterns)
        )

    @property
    def place(self) -> str:
        """Where it is defined, for people: `module:function`."""
        return f"{self.function.__module__}:{self.function.__qualname__}"


def handler(
    *patterns: str,
    name: str | None = None,
    source: str | None = None,
    tool: str | None = None,
    retries: int = 8,
    timeout: float = 60,
    concurrency: int = 8,
) -> Callable[[Any], Any]:
    """Mark a function as the handler of the events that `patterns` name.

    A pattern is a provider's own event name (`"tool_execution.succeeded"`, `"file.*"`, `"*"`) or one
    of ours across all providers: `"job.succeeded"`, `"job.failed"`, `"job.cancelled"`, `"job.*"`.
    `source` and `tool` narrow it. A failed attempt is followed by up to `retries` more; each may take
    `timeout` seconds; `concurrency` attempts run at once in one worker. Functions that are not async
    run in threads.

    Marking has no other effect: a handler runs only if the receiver finds its module.
    """
    if not patterns or not all(isinstance(pattern, str) for pattern in patterns):
        raise ConfigError('a handler names its events: write @handler("job.succeeded")')

    def mark(function: Function) -> Function:
        found = Handler(
            name=name or function.__name__,
            function=function,
            patterns=patterns,
            source=source,
            tool=tool,
            retries=retries,
            timeout=timeout,
            concurrency=concurrency,
        )
        _check(found)
        setattr(function, _MARK, found)
        return function

    return mark


def _check(found: Handler) -> None:
    problems = [
        problem
        for problem, wrong in (
            ("retries must be 0 or more", found.retries < 0),
            ("timeout must be above 0 seconds", found.timeout <= 0),
            ("concurrency must be 1 or more", found.concurrency < 1),
            ("it must take (event, context)", not _takes_two(found.function)),
        )
        if wrong
    ]
    if problems:
        raise ConfigError(f"handler {found.name} in {found.place}: {', '.join(problems)}")


def _takes_two(function: Function) -> bool:
    try:
        inspect.signature(function).bind(None, None)
    except TypeError:
        return False
    return True


def is_async(function: Function) -> bool:
    """Whether calling a handler's function gives something to await."""
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or asyncio.iscoroutinefunction(getattr(function, "__call__", None))


def find_handlers(places: Sequence[str]) -> list[Handler]:
    """Return every handler in `places` (folders or modules) and in installed plugins, sorted by name.

    Raises ConfigError if a place is missing, does not import, or two handlers share a name.
    """
    modules = [module for place in places for module in _modules(place)]
    modules += [_plugin(entry) for entry in entry_points(group="receiver.handlers")]
    found: dict[str, Handler] = {}
    for module in modules:
        for item in _marked(module):
            other = found.setdefault(item.name, item)
            if other.function is not item.function:
                raise ConfigError(
                    f"two handlers are named {item.name}: {other.place} and {item.place}; give one a name=…"
                )
    return sorted(found.values(), key=lambda item: item.name)


def find_sources() -> dict[str, Source]:
    """Return every source by name, from the entry points `receiver.sources`.

    Raises ConfigError if one does not import or is not a source.
    """
    found: dict[str, Source] = {}
    for entry in entry_points(group="receiver.sources"):
        made = _load(entry.value, entry.load)
        source = made() if inspect.isclass(made) else made
        if not isinstance(source, Source):
            raise ConfigError(f"the plugin {entry.value} is not a source: see receiver/sources/__init__.py")
        found[source.name] = source
    return found


def _marked(module: ModuleType) -> Iterator[Handler]:
    for value in vars(module).values():
        mark = getattr(value, _MARK, None)
        if isinstance(mark, Handler) and getattr(value, "__module__", None) == module.__name__:
            yield mark


def _modules(place: str) -> Iterable[ModuleType]:
    folder = Path(place)
    if folder.is_dir():
        return _folder(folder.resolve())
    module = _load(place, lambda: importlib.import_module(place))
    if not hasattr(module, "__path__"):
        return [module]
    names = [info.name for info in pkgutil.iter_modules(module.__path__, f"{place}.")]
    return [_load(name, functools.partial(importlib.import_module, name)) for name in sorted(names)]


def _folder(folder: Path) -> Iterable[ModuleType]:
    # A package of its own per folder: its files may import each other with a dot, and a folder called
    # `handlers` does not clash with the installed package of that name.
    package = "_handlers_" + "_".join(part for part in folder.parts if part.isidentifier())
    if package not in sys.modules:
        sys.modules[package] = ModuleType(package)
        sys.modules[package].__path__ = [str(folder)]
    files = sorted(file for file in folder.glob("*.py") if not file.name.startswith("_"))
    return [_load(str(file), functools.partial(importlib.import_module, f"{package}.{file.stem}")) for file in files]


def _plugin(entry: Any) -> ModuleType:
    loaded = _load(entry.value, entry.load)
    if not isinstance(loaded, ModuleType):
        raise ConfigError(f"the plugin {entry.value} must name a module with handlers")
    return loaded


def _load(place: str, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"cannot import {place}: {type(error).__name__}: {error}") from error
