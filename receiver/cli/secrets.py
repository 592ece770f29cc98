"""The commands about secrets."""

import sys
from typing import Annotated

import typer

from ..errors import ConfigError
from ..signatures import new_pair, new_secret
from ..vault import new_key
from .link import Link, linked, segment
from .output import Json, ahead, moment, show, tell

app = typer.Typer(name="secrets", help="Keys and signing secrets.", no_args_is_help=True)

Time = "a time like 2026-12-01T08:00Z, or 36h from now"


@app.callback()
def _group() -> None:
    """Keys and signing secrets."""


@app.command("key")
def key() -> None:
    """Print a fresh key for RECEIVER_SECRET_KEY."""
    typer.echo(new_key())


@app.command("signing")
def signing(
    pair: Annotated[
        bool, typer.Option("--pair", help="An ed25519 pair: who verifies gets the public key, and can sign nothing.")
    ] = False,
) -> None:
    """Print a fresh secret to sign with, for handlers that tell your own services."""
    for made in new_pair() if pair else (new_secret(),):
        typer.echo(made)


@app.command("add")
@linked()
async def add(
    link: Link,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The provider, as in `receiver sources`.")],
    arguments: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    since: Annotated[str | None, typer.Option("--from", help=f"When it begins to count: {Time}. Default: now.")] = None,
    until: Annotated[str | None, typer.Option("--until", help=f"When it ends: {Time}. Default: never.")] = None,
) -> None:
    """Store a signing secret, sealed, beside those that there are. It is read from standard input.

    Running receivers take it within seconds; nothing is to be started anew.
    """
    if arguments:
        raise ConfigError(
            "a secret on the command line is seen by every process here and stays in the shell's history: count that "
            "one as told, and give a new one on standard input"
        )
    if not link.is_private:
        raise ConfigError("everybody on the way could read the secret: --url must be an https URL for this")
    times = {"valid_from": ahead(since) if since else None, "valid_until": ahead(until) if until else None}
    told = await link.post("/secrets", {"source": source, "secret": _given(), **times})
    if told["did"] == "nothing":
        tell(f"it is stored already, as {told['id']}: retire that one first to change when it counts")
    else:
        tell(f"{told['id']} …{told['last4']} is stored for {source}")


@app.command("list")
@linked()
async def list_secrets(
    link: Link,
    source: Annotated[str | None, typer.Argument(metavar="[SOURCE]", help="Only of this provider.")] = None,
    as_json: Json = False,
) -> None:
    """List the signing secrets by their last four characters, and when each counts."""
    rows = (await link.get("/secrets", source=source))["secrets"]
    columns = ("id", "source", "last4", "state", "valid_from", "valid_until", "place")
    show(rows, columns, as_json=as_json, empty="None: every delivery is refused. Store one with `secrets add`.")


@app.command("retire")
@linked()
async def retire(
    link: Link,
    id: Annotated[str, typer.Argument(metavar="ID", help="As in `receiver secrets list`.")],
    at: Annotated[str | None, typer.Option("--at", help=f"When it ends: {Time}. Default: now.")] = None,
) -> None:
    """Let a stored secret count no longer: at once, or from a time on. Running receivers know within seconds."""
    told = await link.post(f"/secrets/{segment(id)}/retire", {"at": ahead(at) if at else None})
    text = f"{id} counts until {moment(told['valid_until'])} UTC"
    if not told["others"]:
        text += f"; after that no secret of {told['source']} does, and its deliveries are refused"
    tell(text)


def _given() -> str:
    try:
        text: str = typer.prompt("secret", hide_input=True) if sys.stdin.isatty() else sys.stdin.read()
    except UnicodeDecodeError:
        raise ConfigError("what stands on standard input is not text: its bytes are no UTF-8") from None
    return text.strip()
