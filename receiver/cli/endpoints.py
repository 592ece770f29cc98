"""The commands about webhooks registered at providers."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import typer

from ..endpoints import Registrar
from ..errors import ConfigError
from ..outbound import create_client
from ..registry import find_sources, webhook_sources
from ..settings import load
from ..sources.profiles import PROFILES
from ..store import Store
from .link import Link, linked
from .output import Json, console, show

app = typer.Typer(name="endpoints", help="Webhooks registered at providers.", no_args_is_help=True)

#: Whose API the receiver does not know.
BY_HAND = frozenset(profile.name for profile in PROFILES)

Id = Annotated[str, typer.Argument(metavar="ID")]
SourceName = Annotated[str, typer.Option("--source", help="The provider, as in `receiver sources`.")]
Force = Annotated[bool, typer.Option("--force", help="Also if this receiver did not register it.")]


def register(
    url: Annotated[str, typer.Option(help="Where deliveries go: https://YOUR-HOST/webhooks/SOURCE.")],
    source: SourceName = "videogen",
    events: Annotated[str, typer.Option(help="Event names, separated by commas. Default: all that are known.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace an endpoint for this URL made by others.")] = False,
) -> None:
    """Register a webhook at a provider and keep its signing secret, sealed.

    Doing it again changes nothing. What differs at the provider is put right: the new endpoint is there before the
    old one goes, and both secrets count for a while, so that no delivery is refused.
    """
    found = webhook_sources(find_sources())
    known = found[source].events if source in found else ()
    wanted = [event.strip() for event in events.split(",") if event.strip()]

    async def work(registrar: Registrar) -> str:
        return str(await registrar.register(url, wanted or known, force=force))

    _told(source, work)


@app.command("list")
@linked()
async def list_endpoints(link: Link, as_json: Json = False) -> None:
    """List the webhooks that this receiver registered, and when each source was last heard."""
    rows = (await link.get("/endpoints"))["endpoints"]
    empty = "None: register one with `register-webhook --url https://YOUR-HOST/webhooks/videogen`."
    columns = ("id", "source", "url", "events", "created_at", "secret_last4", "heard_at")
    show(rows, columns, as_json=as_json, empty=empty)


@app.command("check")
def check_endpoints(source: SourceName = "videogen", as_json: Json = False) -> None:
    """Compare with what the provider has. Exit 1 if something drifted."""

    async def work(registrar: Registrar) -> list[dict[str, Any]]:
        return [{"id": finding.id, "url": finding.url, "drift": finding.drift} for finding in await registrar.check()]

    rows = _with_registrar(source, work)
    show(rows, ("id", "url", "drift"), as_json=as_json, empty="Nothing is registered, here or there.")
    if any(row["drift"] for row in rows):
        raise typer.Exit(1)


@app.command("rotate")
def rotate_endpoint(id: Id, source: SourceName = "videogen") -> None:
    """Replace an endpoint and so its secret. The old secret still counts for a day."""
    _told(source, lambda registrar: registrar.rotate(id))


@app.command("delete")
def delete_endpoint(id: Id, source: SourceName = "videogen", force: Force = False) -> None:
    """Remove an endpoint at the provider. Its secret counts until what is on its way has arrived."""
    _told(source, lambda registrar: registrar.delete(id, force=force))


def _told(source: str, work: Callable[[Registrar], Awaitable[object]]) -> None:
    console.print(str(_with_registrar(source, work)), highlight=False, markup=False, soft_wrap=True)


def _with_registrar(name: str, work: Callable[[Registrar], Awaitable[Any]]) -> Any:
    async def opened() -> Any:
        settings = load()
        found = find_sources()
        sources = webhook_sources(found)
        if name in BY_HAND:
            raise ConfigError(
                f"{name} is registered at the provider by hand: let it deliver to /webhooks/{name}, and put the secret "
                f"it gives you into {name.upper()}_WEBHOOK_SECRET, or store it with `receiver secrets add {name}`"
            )
        if name not in found:
            raise ConfigError(f"no source is called {name}: there are {', '.join(found)}")
        if name not in sources:
            raise ConfigError(
                f"{name} sends no webhooks: the receiver asks it for its jobs, nothing is to be registered"
            )
        store = Store(settings.database_url)
        try:
            if store.database.is_sqlite:
                await store.migrate()
            await store.check()
            async with create_client(allow=settings.outbound_allow) as http:
                return await work(Registrar(source=sources[name], settings=settings, store=store, http=http))
        finally:
            await store.close()

    return asyncio.run(opened())
