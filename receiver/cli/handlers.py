"""The commands about handlers and sources."""

from typing import Annotated

import typer

from ..registry import find_sources
from ..settings import load
from ..sources import Source, WebhookSource
from ..sources.profile import Profile
from ..sources.profiles import PROFILES
from .link import Link, linked
from .output import Json, console, plain, show

Name = Annotated[str, typer.Argument(metavar="NAME")]

app = typer.Typer(name="handlers", help="The functions that want events.", no_args_is_help=True)


@app.command("list")
@linked(make=True)
async def list_handlers(link: Link, as_json: Json = False) -> None:
    """List the handlers, which events each gets, where that is said, and how the runs of each stand.

    Without --url those that are found here are among them.
    """
    rows = (await link.get("/handlers"))["handlers"]
    columns = ("name", "there", "events", "source", "tool", "waiting", "running", "failed", "paused_at", "place")
    show(rows, columns, as_json=as_json, empty="No handlers: see RECEIVER_HANDLERS.")


@app.command("pause")
@linked(make=True)
async def pause_handler(link: Link, name: Name) -> None:
    """Let a handler's runs wait; new ones gather until it is resumed."""
    await link.post(f"/handlers/{name}/pause")
    console.print(f"{plain(name)} is paused.", highlight=False)


@app.command("resume")
@linked(make=True)
async def resume_handler(link: Link, name: Name) -> None:
    """Let a paused handler go on."""
    await link.post(f"/handlers/{name}/resume")
    console.print(f"{plain(name)} goes on.", highlight=False)


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
