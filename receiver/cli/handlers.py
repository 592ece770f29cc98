"""The commands about handlers and sources, some importing what only they use."""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ..attempt import Ended
from ..errors import ConfigError
from ..events import Event, redact
from ..logs import configure
from ..registry import Handler, find_configurable, find_handlers, find_sources
from ..settings import Settings, load
from ..sources import Source, Told, WebhookSource
from ..sources.profiles import PROFILES
from .events import configured_handlers, with_store
from .output import Json, console, plain, show

app = typer.Typer(name="handlers", help="The functions that want events.", no_args_is_help=True)

Sample = Annotated[
    Path,
    typer.Option(
        "--event", metavar="FILE", help="An event of ours as JSON, as `forward` sends it, or a provider's body."
    ),
]
Whose = Annotated[str | None, typer.Option("--source", help="Whose body it is, if that cannot be told.")]


@app.command("list")
def list_handlers(
    as_json: Json = False,
    file: Annotated[
        Path | None, typer.Option("--event", metavar="FILE", help="Say of this event who gets it, and why not.")
    ] = None,
    source: Whose = None,
) -> None:
    """List the handlers that are found, which events each gets, and why it is there."""
    settings = load()
    event = _event_in(file, settings, source) if file else None
    rows = [
        {
            "name": handler.name,
            "events": list(handler.patterns),
            "source": handler.source,
            "tool": handler.tool,
            "retries": handler.retries,
            "timeout": handler.timeout,
            "concurrency": handler.concurrency,
            "place": handler.place,
            "why": handler.why,
            **({"gets_it": handler.why_not(event) or "yes"} if event else {}),
        }
        for handler in configured_handlers()
    ]
    limits = ("retries", "timeout", "concurrency")
    columns = ("name", "events", "source", "tool", *(("gets_it",) if event else limits), "place", "why")
    show(rows, columns, as_json=as_json, empty="No handlers: see RECEIVER_HANDLERS.")
    if not as_json:
        offers = ", ".join(offer.name for offer in find_configurable(settings.handlers)) or "nothing"
        console.print(f"receiver.toml may use: {offers}", highlight=False)


@app.command("test")
def try_handler(name: Annotated[str, typer.Argument(metavar="NAME")], file: Sample, source: Whose = None) -> None:
    """Run one handler on an event in a file, and say how it ends: exit 0 if it is done, 1 if it is not.

    Nothing is stored. Requests are really sent; files go to a temporary folder; jobs are not submitted.
    """
    from ..rehearsal import Stage

    handler = _named(name)
    settings = load()
    event = _event_in(file, settings, source)
    configure(format=settings.log_format, level=settings.log_level)
    folder = Path(tempfile.mkdtemp(prefix="receiver-test-"))
    if reason := handler.why_not(event):
        console.print(f"By itself it would not get this event: {plain(reason)}.", highlight=False, soft_wrap=True)
    stage = Stage(settings.model_copy(update={"files": str(folder)}))
    began = time.monotonic()
    ended = asyncio.run(stage.run(handler, event))
    for line in _told(name, event, ended, seconds=time.monotonic() - began):
        console.print(plain(line), highlight=False, soft_wrap=True)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files:
        console.print(f"  file {plain(str(path))}, {path.stat().st_size:,} bytes", highlight=False, soft_wrap=True)
    if not files:
        folder.rmdir()
    raise typer.Exit(0 if ended.outcome == "done" else 1)


def _event_in(file: Path, settings: Settings, source: str | None) -> Event:
    from ..rehearsal import read_event

    return read_event(file, find_sources(settings.providers), source=source)


def _told(name: str, event: Event, ended: Ended, *, seconds: float) -> Sequence[str]:
    when = f", in {ended.after:g} s" if ended.after is not None else ""
    error = f": {ended.error}" if ended.error else ""
    what = f"{name} on {event.id} ({event.source} {event.type})"
    lines = [f"{what} after {seconds:.3f} s: {_WORDS[ended.outcome]}{when}{error}"]
    lines += [f"  {line}" for line in (ended.note or "").splitlines()]
    lines += [f"  would submit {job.source} {job.tool} {redact(job.parameters)}" for job in ended.jobs]
    return lines


_WORDS = {"done": "done", "failed": "failed, and would not be tried again", "retry": "would be tried again"}


@app.command("new")
def new_handler(name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Write the beginning of a handler, and a test of it that passes."""
    from ..beginning import begin

    settings = load()
    place = settings.handlers[0] if settings.handlers else "handlers"
    if "." in place and not Path(place).is_dir():
        raise ConfigError(
            f"RECEIVER_HANDLERS begins with the module {place}: name a folder first, e.g. handlers,{place}"
        )
    before = configured_handlers()
    if name in {handler.name for handler in before}:
        raise ConfigError(f"there is a handler {name} already: see `receiver handlers list`")
    first = not Path(place).is_dir()
    for file in begin(name, Path(place)):
        console.print(f"written: {plain(str(file))}", highlight=False, soft_wrap=True)
    hidden = sorted({handler.name for handler in before} - {handler.name for handler in configured_handlers()})
    if first and hidden:
        console.print(
            f"From now on there is a folder {place}, and so these run only if they are named: {', '.join(hidden)}. "
            f"E.g. RECEIVER_HANDLERS={place},handlers.{hidden[0]}",
            highlight=False,
            soft_wrap=True,
        )


@app.command("docs")
def docs() -> None:
    """Print a page of Markdown about the handlers and what `receiver.toml` may use."""
    from ..handbook import page

    places = load().handlers
    typer.echo(page(find_handlers(places), find_configurable(places)), nl=False)


@app.command("pause")
def pause_handler(name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Let a handler's runs wait; new ones gather until it is resumed."""
    _named(name)
    with_store(lambda store: store.runs.pause(name))
    console.print(f"{name} is paused.", highlight=False)


@app.command("resume")
def resume_handler(name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Let a paused handler go on."""
    told = "goes on" if with_store(lambda store: store.runs.resume(name)) else "was not paused"
    console.print(f"{name} {told}.", highlight=False)


def sources(as_json: Json = False) -> None:
    """List the providers: those that call have a path for it, the others are asked."""
    settings = load()
    found = find_sources(settings.providers)
    known: dict[str, Source] = {**{profile.name: profile for profile in PROFILES}, **found}
    rows = [
        {
            "name": source.name,
            "path": f"/webhooks/{source.name}" if source.name in found and isinstance(source, WebhookSource) else None,
            "api_key": "set" if settings.provider(source.name).api_key else "not set",
            "events": len(source.events) if isinstance(source, WebhookSource) else 0,
            "tools": len(source.tools),
            "scheme": source.scheme.kind if isinstance(source, Told) else None,
            "trust": source.scheme.trust if isinstance(source, Told) else None,
            **{name: getattr(source, name, None) for name in ("certainty", "answer", "waits", "facts")},
        }
        for source in known.values()
    ]
    columns = ("name", "path", "api_key", "events", "tools", "scheme", "trust", "certainty")
    show(rows, columns, as_json=as_json, empty="No sources.")


def _named(name: str) -> Handler:
    found = {handler.name: handler for handler in configured_handlers()}
    if name not in found:
        raise ConfigError(f"no handler is called {name}: see `receiver handlers list`")
    return found[name]
