"""The commands about handlers and sources."""

from typing import Annotated

import typer

from ..errors import ConfigError
from ..registry import find_sources
from ..settings import load
from ..sources import Source, WebhookSource
from ..sources.profile import Profile
from ..sources.profiles import PROFILES
from .events import configured_handlers, with_store
from .output import Json, console, show

app = typer.Typer(name="handlers", help="The functions that want events.", no_args_is_help=True)


@app.command("list")
def list_handlers(as_json: Json = False) -> None:
    """List the handlers that are found, which events each gets, and where that is said."""
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
        }
        for handler in configured_handlers()
    ]
    columns = ("name", "events", "source", "tool", "retries", "timeout", "concurrency", "place")
    show(rows, columns, as_json=as_json, empty="No handlers: see RECEIVER_HANDLERS.")


@app.command("pause")
def pause_handler(name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Let a handler's runs wait; new ones gather until it is resumed."""
    if name not in {handler.name for handler in configured_handlers()}:
        raise ConfigError(f"no handler is called {name}: see `receiver handlers list`")
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
            "scheme": source.scheme.kind if isinstance(source, Profile) else None,
            "trust": source.scheme.trust if isinstance(source, Profile) else None,
            "certainty": source.certainty if isinstance(source, Profile) else None,
            "answer": source.answer if isinstance(source, Profile) else None,
            "waits": source.waits if isinstance(source, Profile) else None,
            "facts": source.facts if isinstance(source, Profile) else None,
        }
        for source in known.values()
    ]
    columns = ("name", "path", "api_key", "events", "tools", "scheme", "trust", "certainty")
    show(rows, columns, as_json=as_json, empty="No sources.")
