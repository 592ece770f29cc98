"""The commands about webhooks registered at providers."""

from typing import Annotated, Any

import typer

from .link import RECEIVER, Link, linked, segment
from .output import Json, show, tell

app = typer.Typer(name="endpoints", help="Webhooks registered at providers.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID")]
SourceName = Annotated[str, typer.Option("--source", help="The provider, as in `receiver sources`.")]
Force = Annotated[bool, typer.Option("--force", help="Also if this receiver did not register it.")]
DeliverTo = Annotated[str, typer.Option("--url", help="Where deliveries go: https://YOUR-HOST/webhooks/SOURCE.")]
Events = Annotated[str, typer.Option(help="Event names, separated by commas. Default: all that are known.")]
Replace = Annotated[bool, typer.Option("--force", help="Replace an endpoint for this URL made by others.")]


@linked(make=True, options=RECEIVER)
async def register(
    link: Link, deliver_to: DeliverTo, source: SourceName = "videogen", events: Events = "", force: Replace = False
) -> None:
    """Register a webhook at a provider and keep its signing secret, sealed.

    Doing it again changes nothing. What differs at the provider is put right: the new endpoint is there before the
    old one goes, and both secrets count for a while, so that no delivery is refused.
    """
    wanted = [event.strip() for event in events.split(",") if event.strip()]
    body = {"source": source, "url": deliver_to, "events": wanted or None, "force": force}
    _print(await link.post("/endpoints", body))


@app.command("list")
@linked()
async def list_endpoints(link: Link, as_json: Json = False) -> None:
    """List the webhooks that this receiver registered, and when each source was last heard."""
    rows = (await link.get("/endpoints"))["endpoints"]
    empty = "None: register one with `register-webhook --url https://YOUR-HOST/webhooks/videogen`."
    columns = ("id", "source", "url", "events", "created_at", "secret_last4", "heard_at", "drift", "compared_at")
    if not as_json:
        rows = [row | {"events": len(row["events"])} for row in rows]
    show(rows, columns, as_json=as_json, empty=empty)


@app.command("check")
@linked(make=True)
async def check_endpoints(link: Link, source: SourceName = "videogen", as_json: Json = False) -> None:
    """Compare with what the provider has. Exit 1 if something drifted."""
    rows = (await link.post("/endpoints/check", {"source": source}))["findings"]
    columns = ("id", "url", "drift", "text")
    show(rows, columns, as_json=as_json, empty="Nothing is registered, here or there.")
    if any(row["drift"] for row in rows):
        raise typer.Exit(1)


@app.command("rotate")
@linked(make=True)
async def rotate_endpoint(link: Link, id: Id, source: SourceName = "videogen") -> None:
    """Replace an endpoint and so its secret. The old secret still counts for a day."""
    _print(await link.post(f"/endpoints/{segment(id)}/rotate", {"source": source}))


@app.command("delete")
@linked(make=True)
async def delete_endpoint(link: Link, id: Id, source: SourceName = "videogen", force: Force = False) -> None:
    """Remove an endpoint at the provider. Its secret counts until what is on its way has arrived."""
    _print(await link.post(f"/endpoints/{segment(id)}/delete", {"source": source, "force": force}))


def _print(change: dict[str, Any]) -> None:
    tell("; ".join((change["text"], *change["remarks"])))
