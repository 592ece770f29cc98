"""The commands about handlers and sources, some importing what only they use."""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ..attempt import Ended
from ..errors import ConfigError
from ..events import Event, redact
from ..logs import configure
from ..registry import Handler, find_configurable, find_handlers, find_sources
from ..settings import Settings, load
from .events import configured_handlers
from .link import Link, linked, segment
from .output import Json, show, tell

Name = Annotated[str, typer.Argument(metavar="NAME")]

app = typer.Typer(name="handlers", help="The functions that want events.", no_args_is_help=True)

Sample = Annotated[
    Path,
    typer.Option(
        "--event", metavar="FILE", help="An event of ours as JSON, as `forward` sends it, or a provider's body."
    ),
]
Whose = Annotated[str | None, typer.Option("--source", help="Whose body it is, if that cannot be told.")]


@app.command("list")
@linked(make=True)
async def list_handlers(
    link: Link,
    as_json: Json = False,
    file: Annotated[
        Path | None, typer.Option("--event", metavar="FILE", help="Say of this event who gets it, and why not.")
    ] = None,
    source: Whose = None,
) -> None:
    """List the handlers, which events each gets, how its runs stand, and why it is there.

    Those that workers told of; without --url also those that are found here.
    """
    if file and not link.is_here:
        raise typer.BadParameter("--event asks the handlers that are found here: leave --url away")
    rows = (await link.get("/handlers"))["handlers"]
    settings = load()
    event = _event_in(file, settings, source) if file else None
    for row in rows if link.is_here else ():
        row.update(_why(row["name"], event))
    why = ("why",) if link.is_here else ()
    standing = ("gets_it",) if event else ("there", "waiting", "running", "failed", "paused_at")
    columns = ("name", "events", "source", "tool", *standing, "place", *why)
    show(rows, columns, as_json=as_json, empty="No handlers: see RECEIVER_HANDLERS.")
    if not as_json and link.is_here:
        offers = ", ".join(offer.name for offer in find_configurable(settings.handlers)) or "nothing"
        tell(f"receiver.toml may use: {offers}")


def _why(name: str, event: Event | None) -> dict[str, Any]:
    found = {handler.name: handler for handler in configured_handlers()}
    if name not in found:
        missing = "it is not found here"
        return {"why": missing} | ({"gets_it": missing} if event else {})
    return {"why": found[name].why} | ({"gets_it": found[name].why_not(event) or "yes"} if event else {})


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
        tell(f"By itself it would not get this event: {reason}.")
    stage = Stage(settings.model_copy(update={"files": str(folder)}))
    began = time.monotonic()
    ended = asyncio.run(stage.run(handler, event))
    for line in _told(name, event, ended, seconds=time.monotonic() - began):
        tell(line)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files:
        tell(f"  file {path}, {path.stat().st_size:,} bytes")
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
        tell(f"written: {file}")
    hidden = sorted({handler.name for handler in before} - {handler.name for handler in configured_handlers()})
    if first and hidden:
        tell(
            f"From now on there is a folder {place}, and so these run only if they are named: {', '.join(hidden)}. "
            f"E.g. RECEIVER_HANDLERS={place},handlers.{hidden[0]}"
        )


@app.command("docs")
def docs() -> None:
    """Print a page of Markdown about the handlers and what `receiver.toml` may use."""
    from ..handbook import page

    places = load().handlers
    typer.echo(page(find_handlers(places), find_configurable(places)), nl=False)


@app.command("pause")
@linked(make=True)
async def pause_handler(link: Link, name: Name) -> None:
    """Let a handler's runs wait; new ones gather until it is resumed."""
    await link.post(f"/handlers/{segment(name)}/pause")
    tell(f"{name} is paused.")


@app.command("resume")
@linked(make=True)
async def resume_handler(link: Link, name: Name) -> None:
    """Let a paused handler go on."""
    await link.post(f"/handlers/{segment(name)}/resume")
    tell(f"{name} goes on.")


@linked(make=True)
async def sources(link: Link, as_json: Json = False) -> None:
    """List the providers: those that call have a path for it, the others are asked."""
    rows = (await link.get("/sources"))["sources"]
    columns = ("name", "path", "api_key", "events", "tools", "scheme", "trust", "certainty")
    show(rows, columns, as_json=as_json, empty="No sources.")


def _named(name: str) -> Handler:
    found = {handler.name: handler for handler in configured_handlers()}
    if name not in found:
        raise ConfigError(f"no handler is called {name}: see `receiver handlers list`")
    return found[name]
