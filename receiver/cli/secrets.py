"""The commands about secrets."""

import sys
import time
from typing import Annotated, Any

import typer

from ..errors import ConfigError
from ..registry import find_sources, webhook_sources
from ..settings import Settings, load
from ..signatures import new_pair, new_secret
from ..sources import WebhookSource
from ..sources.profile import Profile
from ..sources.profiles import PROFILES, why_not
from ..store import Secret, Store
from ..vault import Vault, new_key
from .events import with_store
from .output import Json, ahead, console, moment, show

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
def add(
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
    settings = load()
    found = _source(settings, source)
    now = time.time()
    begins, ends = ahead(since) if since else now, ahead(until) if until else None
    if ends is not None and ends <= max(begins, now):
        raise ConfigError("--until lies before it would count")
    text = _given()
    found.decode_secret(text)
    vault = Vault(settings.secret_keys)

    async def work(store: Store) -> str:
        for there in await store.endpoints.secrets(source):
            if (there.valid_until is None or there.valid_until > now) and vault.open(there.sealed) == text:
                return f"it is stored already, as {there.id}: retire that one first to change when it counts"
        made = await store.endpoints.add_secret(
            source, sealed=vault.seal(text), last4=text[-4:], valid_from=begins, valid_until=ends
        )
        return f"{made} …{text[-4:]} is stored for {source}"

    _say(with_store(work))


@app.command("list")
def list_secrets(
    source: Annotated[str | None, typer.Argument(metavar="[SOURCE]", help="Only of this provider.")] = None,
    as_json: Json = False,
) -> None:
    """List the signing secrets by their last four characters, and when each counts."""
    settings = load()
    stored = with_store(lambda store: store.endpoints.secrets(source))
    rows = [*_configured(settings, source), *(_row(secret, time.time()) for secret in stored)]
    columns = ("id", "source", "last4", "state", "valid_from", "valid_until", "place")
    show(rows, columns, as_json=as_json, empty="None: every delivery is refused. Store one with `secrets add`.")


@app.command("retire")
def retire(
    id: Annotated[str, typer.Argument(metavar="ID", help="As in `receiver secrets list`.")],
    at: Annotated[str | None, typer.Option("--at", help=f"When it ends: {Time}. Default: now.")] = None,
) -> None:
    """Let a stored secret count no longer: at once, or from a time on. Running receivers know within seconds."""
    end = ahead(at) if at else time.time()

    async def work(store: Store) -> str:
        if not await store.endpoints.end_secret(id, at=end):
            raise ConfigError(f"no stored secret has the id {id}: see `receiver secrets list`")
        everything = await store.endpoints.secrets()
        source = next(one.source for one in everything if one.id == id)
        left = [one for one in await store.endpoints.secrets(source, now=end) if one.id != id]
        told = f"{id} counts until {moment(end)} UTC"
        if left or load().provider(source).webhook_secrets:
            return told
        return f"{told}; after that no secret of {source} does, and its deliveries are refused"

    _say(with_store(work))


def _source(settings: Settings, name: str) -> WebhookSource:
    """Return a source that may have a secret. Raises ConfigError that says why one may not."""
    found = find_sources(settings.providers)
    if name in found and name not in webhook_sources(found):
        raise ConfigError(f"{name} sends no webhooks: the receiver asks it for its jobs, and needs no secret for that")
    if name in found:
        source = webhook_sources(found)[name]
        if isinstance(source, Profile) and source.scheme.kind == "none":
            raise ConfigError(f"{name} signs nothing, so no secret is needed: see docs/sources.md")
        return source
    for profile in PROFILES:
        if profile.name == name:
            raise ConfigError(why_not(profile, settings.provider(name)) or name)
    raise ConfigError(f"no source is called {name}: see `receiver sources`, or set {name.upper()}_WEBHOOK_SCHEME")


def _given() -> str:
    try:
        text: str = typer.prompt("secret", hide_input=True) if sys.stdin.isatty() else sys.stdin.read()
    except UnicodeDecodeError:
        raise ConfigError("what stands on standard input is not text: its bytes are no UTF-8") from None
    return text.strip()


def _configured(settings: Settings, source: str | None) -> list[dict[str, Any]]:
    """Return the secrets that stand in variables: they count for as long as they stand there."""
    return [
        {
            "id": None,
            "source": name,
            "last4": secret.strip()[-4:],
            "state": "counts",
            "valid_from": None,
            "valid_until": None,
            "place": f"{name.upper()}_WEBHOOK_SECRET",
        }
        for name, provider in settings.providers.items()
        for secret in provider.webhook_secrets
        if source in (None, name) and secret.strip()
    ]


def _row(secret: Secret, now: float) -> dict[str, Any]:
    over = secret.valid_until is not None and secret.valid_until <= now
    return {
        "id": secret.id,
        "source": secret.source,
        "last4": secret.last4,
        "state": "over" if over else "later" if secret.valid_from > now else "counts",
        "valid_from": secret.valid_from,
        "valid_until": secret.valid_until,
        "place": f"endpoint {secret.endpoint_id}" if secret.endpoint_id else "stored",
    }


def _say(text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
