"""`receiver verify`: why a delivery is taken or refused, without a secret in the answer."""

import asyncio
import json
import time
from pathlib import Path
from typing import Annotated

import typer

from ..errors import BadSignature, ConfigError
from ..jwks import key_servers, publishes
from ..outbound import create_client
from ..registry import find_sources, webhook_sources
from ..schemes import Scheme
from ..settings import Settings, load
from ..sources import Told, WebhookSource
from ..store import Secret, Store
from ..vault import Vault
from .output import tell


def verify(
    source: Annotated[str, typer.Option("--source", help="The provider, as in `receiver sources`.")],
    headers: Annotated[Path, typer.Option("--headers", exists=True, help="A JSON object of the delivery's headers.")],
    body: Annotated[Path, typer.Option("--body", exists=True, help="The delivery's exact bytes.")],
    at: Annotated[float | None, typer.Option("--at", help="When it came, Unix seconds; without it, now.")] = None,
) -> None:
    """Say whether a delivery that was kept in files would be taken, and why."""
    settings = load()
    sources = webhook_sources(find_sources(settings.providers))
    if source not in sources:
        raise ConfigError(f"no source called {source} is in use: see `receiver sources`")
    pairs, content, now = _pairs(headers), body.read_bytes(), time.time() if at is None else at
    tell(f"headers: {', '.join(name.decode() for name, _ in pairs)}")
    tell(f"body: {len(content):,} bytes, taken as they are")
    if isinstance(found := sources[source], Told):
        _explain(found.scheme, [name for name, _ in pairs])
        _spell(found.scheme, pairs, content)
    keys = _keys(settings, source, sources[source])
    if not keys:
        tell("keys: none, so every delivery is refused")
    taken = [_tried(sources[source], pairs, content, name, key, now) for name, key in keys]
    tell("verdict: taken" if any(taken) else "verdict: refused")
    if not any(taken):
        raise typer.Exit(1)


def _explain(scheme: Scheme, names: list[bytes]) -> None:
    tell(f"signed: {scheme.template!r} by {scheme.kind}, in the header {scheme.header}")
    for name in sorted(scheme.names):
        there = {0: "missing", 1: "there"}.get(names.count(name), "there more than once, which is refused")
        tell(f"header {name.decode()}: {there}")
    if scheme.stamp or scheme.container == "fields":
        tell(f"timestamp: up to {scheme.past:g} s old, {scheme.future:g} s ahead")


def _spell(scheme: Scheme, pairs: list[tuple[bytes, bytes]], content: bytes) -> None:
    if scheme.kind not in ("hmac", "hash", "ed25519"):
        return
    try:
        tell(f"signed string: {scheme.signed(pairs, content)!r}")
    except BadSignature as error:
        tell(f"signed string: cannot be put together, {error.reason}")


def _tried(
    source: WebhookSource, headers: list[tuple[bytes, bytes]], body: bytes, name: str, key: bytes, now: float
) -> bool:
    told = f"key {name}: "
    try:
        message = source.verify(headers, body, keys=[key], now=now)
    except BadSignature as error:
        clock = "" if error.skew is None else f", its clock is {error.skew:+.0f} s off ours"
        tell(f"{told}{error.reason}{clock}")
        return False
    tell(f"{told}fits, the message is {message}")
    return True


def _keys(settings: Settings, name: str, source: WebhookSource) -> list[tuple[str, bytes]]:
    """Return the keys that count now, each with what it may be called."""
    vault = Vault(settings.secret_keys)
    stored = asyncio.run(_stored(settings, name))
    secrets = [*(vault.open(secret.sealed) for secret in stored), *settings.provider(name).webhook_secrets]
    keys = [(f"…{secret.strip()[-4:]}", source.decode_secret(secret)) for secret in secrets]
    served = asyncio.run(_served(settings, name, source))
    return keys + [(f"{number} of its key server", key) for number, key in enumerate(served, 1)]


async def _stored(settings: Settings, name: str) -> list[Secret]:
    store = Store(settings.database_url)
    try:
        await store.check()
        return await store.endpoints.secrets(name, now=time.time())
    finally:
        await store.close()


async def _served(settings: Settings, name: str, source: WebhookSource) -> tuple[bytes, ...]:
    if not publishes(source):
        return ()
    async with create_client(allow=settings.outbound_allow) as http:
        server = key_servers({name: source}, http)[name]
        await server.refresh()
        return server.keys


def _pairs(file: Path) -> list[tuple[bytes, bytes]]:
    try:
        data = json.loads(file.read_bytes())
        return [(name.lower().encode(), value.encode()) for name, value in data.items()]
    except (ValueError, AttributeError):
        raise ConfigError(f"{file.name} must be a JSON object of header names and texts") from None
