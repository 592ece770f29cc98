"""Find handlers and sources: in folders, in modules, in installed plugins."""

import functools
import hashlib
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, field_validator

from .config import Config, Placed
from .context import Context
from .errors import ConfigError
from .events import Event
from .settings import Provider
from .sources import Source, WebhookSource

Function = Callable[[Event, Context], Awaitable[None] | None]
Marked = TypeVar("Marked", bound=Function)

Factory = Callable[[Any], Function]
Offered = TypeVar("Offered", bound=Factory)

_MARK = "__receiver_handler__"
_OFFER = "__receiver_configurable__"

#: How the packages begin that stand for folders.
_FOLDER = "_handlers_"


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
    ordered: bool = False  #: whether the events of one job are handled one after the other, as they came
    captures: bool = False  #: whether it keeps outputs: the most urgent go first, and late ones raise an alarm
    configured: str | None = None  #: where it is configured, e.g. `receiver.toml:3`; None if a decorator marks it
    why: str = ""  #: why it is among the handlers, for people

    def wants(self, event: Event) -> bool:
        """Whether this event is for this handler."""
        return event.fits(self.patterns, source=self.source, tool=self.tool)

    def why_not(self, event: Event) -> str | None:
        """Why this event is not for this handler, for people; None if it is."""
        if self.wants(event):
            return None
        if self.source not in (None, event.source):
            return f"it is for {self.source}"
        if self.tool not in (None, event.tool):
            return f"it is for the tool {self.tool}"
        return f"its events are {', '.join(self.patterns)}"

    @property
    def place(self) -> str:
        """Where it is configured, or else defined: `receiver.toml:3`, `handlers/own.py:5` or `module:function`."""
        if self.configured:
            return self.configured
        if not self.function.__module__.startswith(_FOLDER):
            return f"{self.function.__module__}:{self.function.__qualname__}"
        code = inspect.unwrap(self.function).__code__
        file, here = Path(code.co_filename), Path.cwd()
        return f"{file.relative_to(here) if file.is_relative_to(here) else file}:{code.co_firstlineno}"


def handler(
    *patterns: str,
    name: str | None = None,
    source: str | None = None,
    tool: str | None = None,
    retries: int = 8,
    timeout: float = 60,
    concurrency: int = 8,
    ordered: bool = False,
    captures: bool = False,
) -> Callable[[Marked], Marked]:
    """Mark a function as the handler of the events that `patterns` name.

    A pattern is a provider's own event name (`"tool_execution.succeeded"`, `"file.*"`, `"*"`) or one
    of ours across all providers: `"job.succeeded"`, `"job.failed"`, `"job.cancelled"`, `"job.*"`.
    `source` and `tool` narrow it. A failed attempt is followed by up to `retries` more; each may take
    `timeout` seconds; `concurrency` attempts run at once in one worker. With `ordered`, the events of one
    job go one after the other, as they came: a run waits until the one before it is done or has failed.
    One that `captures` keeps outputs: events whose URLs expire first go first. Functions that are not async
    run in threads.

    Marking has no other effect: a handler runs only if the receiver finds its module.
    """
    if not patterns or not all(isinstance(pattern, str) and pattern for pattern in patterns):
        raise ConfigError('a handler names its events: write @handler("job.succeeded")')

    def mark(function: Marked) -> Marked:
        if not isinstance(function, FunctionType):
            raise ConfigError("a handler is a function: put what is marked here into a def")
        found = Handler(
            name=name or function.__name__,
            function=function,
            patterns=patterns,
            source=source,
            tool=tool,
            retries=retries,
            timeout=timeout,
            concurrency=concurrency,
            ordered=ordered,
            captures=captures,
        )
        _check(found)
        setattr(function, _MARK, found)
        return function

    return mark


@dataclass(frozen=True, slots=True)
class Configurable:
    """A handler that `receiver.toml` may use, with options."""

    name: str
    options: type[BaseModel]
    make: Factory
    retries: int
    timeout: float
    concurrency: int
    captures: bool


def configurable(
    *,
    name: str | None = None,
    retries: int = 8,
    timeout: float = 60,
    concurrency: int = 8,
    captures: bool = False,
) -> Callable[[Offered], Offered]:
    """Mark a function as one that makes a handler from options, for `use = "…"` in `receiver.toml`.

        class Shout(BaseModel):
            word: str

        @configurable()
        def shout(options: Shout) -> Callable[[Event, Context], Awaitable[None]]:
            async def handle(event: Event, context: Context) -> None: ...
            return handle

    Its one parameter is annotated with a pydantic model: what stands in the file is checked against it, and
    what the model does not know is refused unless it says what to do with `extra`. The limits are those of
    `handler`, where the file names none. It is found in the folders of RECEIVER_HANDLERS and in packages that
    name it as an entry point of the group `receiver.configurable`.
    """

    def mark(make: Offered) -> Offered:
        called = name or str(getattr(make, "__name__", "?"))
        limits = (retries, timeout, concurrency, captures)
        setattr(make, _OFFER, Configurable(called, _options(make, called), make, *limits))
        return make

    return mark


def _options(make: Factory, name: str) -> type[BaseModel]:
    hints = [hint for key, hint in get_type_hints(make).items() if key != "return"]
    if len(hints) != 1 or not (inspect.isclass(hints[0]) and issubclass(hints[0], BaseModel)):
        raise ConfigError(f"configurable {name}: its one parameter must be annotated with a pydantic model")
    if "extra" in hints[0].model_config:
        return hints[0]
    # A mistyped option is told, not ignored.
    return type(hints[0].__name__, (hints[0],), {"model_config": ConfigDict(extra="forbid"), "__module__": __name__})


def _check(found: Handler) -> None:
    problems = [
        problem
        for problem, wrong in (
            ("retries must be 0 or more", not found.retries >= 0),
            ("timeout must be above 0 seconds", not found.timeout > 0),
            ("concurrency must be 1 or more", not found.concurrency >= 1),
            ("a * in a pattern goes at its end", any("*" in pattern[:-1] for pattern in found.patterns)),
            ("it must take (event, context)", not _takes_two(found.function)),
            ("it must not yield", _is_generator(found.function)),
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


def _is_generator(function: Function) -> bool:
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)


@functools.cache  # asked before each run
def is_async(function: Function) -> bool:
    """Whether a handler's function is an `async def`, to be called on the event loop."""
    return inspect.iscoroutinefunction(function)


class Entry(BaseModel):
    """What `[[handlers]]` has for every handler; the other keys are options of the one that is used."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False, hide_input_in_errors=True)

    use: str = Field(description="What makes the handler: one of those below, or of yours or an installed package's.")
    name: str | None = Field(
        None, min_length=1, description="Its name, unless it is that of what is used. Runs are kept under it."
    )
    on: tuple[str, ...] = Field(
        min_length=1,
        description='Its events, one or a list: `"job.succeeded"`, `"job.*"`, a provider\'s own `"file.*"`, `"*"`.',
    )
    source: str | None = Field(None, description="Only events of this provider.")
    tool: str | None = Field(None, description="Only events of this tool.")
    retries: int | None = Field(None, ge=0, description="Attempts after the first one.")
    timeout: float | None = Field(None, gt=0, description="Seconds that an attempt may take.")
    concurrency: int | None = Field(None, ge=1, description="Attempts at once in one worker.")
    ordered: bool = Field(False, description="Whether the events of one job go one after the other, as they came.")

    @field_validator("on", mode="before")
    @classmethod
    def _one_or_more(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("on")
    @classmethod
    def _star_at_the_end(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        if not all(pattern and "*" not in pattern[:-1] for pattern in patterns):
            raise ValueError("a pattern is an event's name, or its beginning and a * at the end")
        return patterns


def find_handlers(places: Sequence[str], config: Config | None = None) -> list[Handler]:
    """Return every handler in `places` (folders, modules, packages), in installed plugins and in `config`, by name.

    A folder gives its `*.py` files, a package itself and its modules; names that begin with `_` are left
    out. What a module only imported from elsewhere does not count as its own.

    Raises ConfigError if a place is missing, does not import, or two handlers share a name.
    """
    modules = [(module, f"RECEIVER_HANDLERS has {place}") for place in places for module in _modules(place)]
    modules += _plugins()
    handlers = [replace(item, why=why) for module, why in modules for item in _marked(module)]
    handlers += _configured(config, [module for module, _ in modules]) if config else []
    found: dict[str, Handler] = {}
    for item in handlers:
        other = found.setdefault(item.name, item)
        if other.function is not item.function:
            raise ConfigError(
                f"two handlers are named {item.name}: {other.place} and {item.place}; "
                + ('give one a name = "…"' if item.configured else "give one a name=…")
            )
    return sorted(found.values(), key=lambda item: item.name)


@functools.cache
def entry_points(group: str) -> EntryPoints:
    """Return a group's entry points of all installed packages, whose files are read once in a process."""
    return metadata.entry_points(group=group)


def find_configurable(places: Sequence[str]) -> list[Configurable]:
    """Return all that `receiver.toml` may use, by name: of `places` and of installed packages.

    Raises ConfigError if one cannot be found.
    """
    offers = {offer.name: offer for place in places for module in _modules(place) for offer in _offered(module)}
    for point in entry_points(group="receiver.configurable"):
        if point.name not in offers and (offer := _installed(point.name)):
            offers[point.name] = offer
    return sorted(offers.values(), key=lambda offer: offer.name)


def _plugins() -> Iterator[tuple[ModuleType, str]]:
    for entry in entry_points(group="receiver.handlers"):
        package = entry.dist.name if entry.dist else entry.value
        for module in _plugin(entry):
            yield module, f"{package} is installed"


def _configured(config: Config, modules: Iterable[ModuleType]) -> list[Handler]:
    entries = config.tables("handlers", Entry)
    offers: dict[str, Configurable] = {}
    for module in modules if entries else ():
        offers |= {offer.name: offer for offer in _offered(module)}
    return [_make(config, entry, offers) for entry in entries]


def _make(config: Config, entry: Placed[Entry], offers: Mapping[str, Configurable]) -> Handler:
    wanted = entry.value
    offer = offers.get(wanted.use) or _installed(wanted.use)
    if offer is None:
        known = {*offers, *(point.name for point in entry_points(group="receiver.configurable"))}
        place = config.place(*entry.path, "use")
        raise ConfigError(
            f"{place}: there is no handler {wanted.use} to use; there are: {', '.join(sorted(known)) or 'none'}"
        )
    options = config.check(wanted.model_extra or {}, offer.options, *entry.path)
    try:
        function = offer.make(options)
    except ConfigError as error:
        raise ConfigError(f"{entry.place}: {wanted.use}: {error}") from error
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{entry.place}: {wanted.use}: {type(error).__name__}: {error}") from error
    made = Handler(
        name=wanted.name or wanted.use,
        function=function,
        patterns=wanted.on,
        source=wanted.source,
        tool=wanted.tool,
        retries=offer.retries if wanted.retries is None else wanted.retries,
        timeout=wanted.timeout or offer.timeout,
        concurrency=wanted.concurrency or offer.concurrency,
        ordered=wanted.ordered,
        captures=offer.captures,
        configured=entry.place,
        why=f"it uses {wanted.use}",
    )
    _check(made)
    return made


def _offered(module: ModuleType) -> Iterator[Configurable]:
    for value in vars(module).values():
        offer = value.__dict__.get(_OFFER) if type(value) is FunctionType else None
        if isinstance(offer, Configurable) and value.__module__ == module.__name__:
            yield offer


def _installed(name: str) -> Configurable | None:
    for entry in entry_points(group="receiver.configurable"):
        if entry.name == name:
            offer = getattr(_load(entry.value, entry.load), _OFFER, None)
            if not isinstance(offer, Configurable):
                raise ConfigError(f"the plugin {entry.value} is not marked with @configurable()")
            return offer
    return None


def find_sources(providers: Mapping[str, Provider] | None = None) -> dict[str, Source]:
    """Return every source by name: from the entry points `receiver.sources`, and with `providers` the usable profiles.

    Raises ConfigError if one does not import, is not a source, has the name of another, or cannot be trusted.
    """
    found: dict[str, Source] = {}
    origin: dict[str, str] = {}
    for entry in entry_points(group="receiver.sources"):
        source = _load(entry.value, functools.partial(_source, entry))
        if not isinstance(source, Source):
            raise ConfigError(f"the plugin {entry.value} is not a source: see receiver/sources/__init__.py")
        if origin.setdefault(source.name, entry.value) != entry.value:
            raise ConfigError(f"two sources are named {source.name}: {origin[source.name]} and {entry.value}")
        found[source.name] = source
    if providers is None:
        return found
    from .sources import profiles  # not before: who imports `handler` needs no cryptography

    return {**profiles.usable(providers), **found}


def webhook_sources(sources: Mapping[str, Source]) -> dict[str, WebhookSource]:
    """Return those of the sources that call."""
    return {name: source for name, source in sources.items() if isinstance(source, WebhookSource)}


def _source(entry: EntryPoint) -> object:
    made = entry.load()
    return made() if inspect.isclass(made) else made


def _marked(module: ModuleType) -> Iterator[Handler]:
    for value in vars(module).values():
        # The exact type first: a module may hold objects that do not like to be asked for attributes.
        mark = value.__dict__.get(_MARK) if type(value) is FunctionType else None
        if isinstance(mark, Handler) and value.__module__ == module.__name__:
            # A decorator above ours copies the mark to its own function: that one is meant.
            yield replace(mark, function=value)


def _modules(place: str) -> Iterable[ModuleType]:
    folder = Path(place)
    if place and folder.is_dir():
        return _folder(folder.resolve())
    if not all(part.isidentifier() for part in place.split(".")):
        raise ConfigError(f"there is no folder {place!r} with handlers, and no module can have this name")
    return _with_submodules(_import(place, place))


def _folder(folder: Path) -> Iterable[ModuleType]:
    # A package of its own per folder: its files may import each other with a dot, and a folder called
    # `handlers` does not clash with the installed package of that name.
    digest = hashlib.sha256(str(folder).encode(errors="surrogateescape")).hexdigest()[:8]
    package = f"{_FOLDER}{re.sub(r'[^0-9A-Za-z]', '_', folder.name)}_{digest}"
    if package not in sys.modules:
        sys.modules[package] = ModuleType(package)
        sys.modules[package].__path__ = [str(folder)]
    files = sorted(file for file in folder.glob("*.py") if not file.name.startswith("_"))
    return [_import(f"{package}.{file.stem}", str(file)) for file in files]


def _plugin(entry: EntryPoint) -> Iterable[ModuleType]:
    loaded = _load(entry.value, entry.load)
    if not isinstance(loaded, ModuleType):
        raise ConfigError(f"the plugin {entry.value} must name a module with handlers")
    return _with_submodules(loaded)


def _with_submodules(module: ModuleType) -> Iterable[ModuleType]:
    names = sorted(info.name for info in pkgutil.iter_modules(getattr(module, "__path__", ())))
    full = [f"{module.__name__}.{name}" for name in names if not name.startswith("_")]
    return [module, *(_import(name, name) for name in full)]


def _import(name: str, place: str) -> ModuleType:
    module: ModuleType = _load(place, functools.partial(importlib.import_module, name))
    return module


def _load(place: str, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from error
    except (Exception, SystemExit) as error:
        told = f"cannot import {place}: {type(error).__name__}: {error}"
        raise ConfigError(told + _hidden_by(error)) from error


def _hidden_by(error: BaseException) -> str:
    """Return where a package was found that lacks a module: another of the same name may have come first."""
    package = (getattr(error, "name", None) or "").rpartition(".")[0]
    places = list(getattr(sys.modules.get(package), "__path__", ()))
    return f"; {package} is {places[0]}" if isinstance(error, ModuleNotFoundError) and places else ""
