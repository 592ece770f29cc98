"""The commands about handlers and sources."""

import typer

from ..registry import find_handlers, find_sources
from ..settings import load
from .output import Json, show

app = typer.Typer(name="handlers", help="The functions that want events.", no_args_is_help=True)


@app.command("list")
def list_handlers(as_json: Json = False) -> None:
    """List the handlers that are found, and which events each gets."""
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
        for handler in find_handlers(load().handlers)
    ]
    columns = ("name", "events", "source", "tool", "retries", "timeout", "concurrency", "place")
    show(rows, columns, as_json=as_json, empty="No handlers: see RECEIVER_HANDLERS.")


def sources(as_json: Json = False) -> None:
    """List the sources that deliveries can come from."""
    settings = load()
    rows = [
        {
            "name": source.name,
            "path": f"/webhooks/{source.name}",
            "api_key": "set" if settings.provider(source.name).api_key else "not set",
            "events": len(source.events),
        }
        for source in find_sources().values()
    ]
    show(rows, ("name", "path", "api_key", "events"), as_json=as_json, empty="No sources.")
