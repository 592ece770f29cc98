"""Look at everything that must be right before a delivery can be taken and handled."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

import httpx

from .alarms import Rules, span
from .config import read
from .endpoints import Registrar
from .errors import ConfigError, ReceiverError, Unavailable
from .jwks import key_servers, publishes
from .keyring import Keyring
from .outbound import create_client
from .registry import find_handlers, find_sources, webhook_sources
from .retention import Ages
from .settings import Settings
from .sources import WebhookSource
from .sources.profile import Profile
from .store import Store

#: How far back refused deliveries are looked at, seconds.
_LOOKBACK = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line of the doctor's report. Only `"wrong"` needs you to act."""

    name: str
    state: Literal["fine", "note", "wrong"]
    text: str


async def examine(settings: Settings) -> list[Check]:
    """Return what is fine, what is worth a note and what is wrong, one line each."""
    store = Store(settings.database_url)
    try:
        async with create_client(allow=settings.outbound_allow) as http:
            return [check async for check in _checks(settings, store, http)]
    finally:
        await store.close()


async def _checks(settings: Settings, store: Store, http: httpx.AsyncClient) -> AsyncIterator[Check]:
    yield _settings(settings)
    stored = await _store(store)
    yield stored
    there = stored.state == "fine"
    secrets = {one.source for one in await store.endpoints.secrets(now=time.time())} if there else set()
    sources = {
        name: source
        for name, source in webhook_sources(find_sources(settings.providers)).items()
        if not isinstance(source, Profile)
        or name in secrets
        or publishes(source)
        or settings.provider(name).webhook_secrets
    }
    yield await _secrets(settings, store, sources, http) if there else _skipped("secrets")
    yield await _public_url(settings, http)
    yield await _endpoints(settings, store, sources, http) if there else _skipped("endpoints")
    yield await _clock(store) if there else _skipped("clock")
    yield await _jobs(settings, store) if there else _skipped("jobs")
    yield _handlers(settings)
    yield _alarms(settings)
    yield _retention(settings)


def _settings(settings: Settings) -> Check:
    if platform := settings.throwaway_disk():
        return Check(
            name="settings", state="wrong", text=f"SQLite on a disk that is lost at each deploy ({platform} is set)"
        )
    engine = "SQLite" if settings.sqlite_path else "PostgreSQL"
    return Check(name="settings", state="fine", text=f"readable; events live in {engine}")


async def _store(store: Store) -> Check:
    try:
        await store.check()
    except ConfigError as error:
        # `receiver serve` brings a SQLite file up to date by itself.
        return Check(name="store", state="note" if store.database.is_sqlite else "wrong", text=str(error))
    except Unavailable as error:
        return Check(name="store", state="wrong", text=str(error))
    counts = await store.runs.counts()
    told = ", ".join(f"{number} {state}" for state, number in sorted(counts.items())) or "none yet"
    return Check(name="store", state="fine", text=f"answers, schema is current; runs: {told}")


async def _secrets(
    settings: Settings, store: Store, sources: dict[str, WebhookSource], http: httpx.AsyncClient
) -> Check:
    servers = key_servers(sources, http)
    try:
        keyring = Keyring(store=store, sources=sources, settings=settings, clock=time.time, servers=servers)
        await keyring.load()
        await keyring.fetch()
    except ConfigError as error:
        return Check(name="secrets", state="wrong", text=str(error))
    if silent := [name for name, server in servers.items() if not server.keys]:
        text = f"no keys from the key server of {', '.join(silent)}: what it signs is answered 503"
        return Check(name="secrets", state="wrong", text=text)
    found = {name: len(keyring.keys(name)) for name in sources}
    told = ", ".join(f"{name} {number}" for name, number in found.items())
    if not any(found.values()):
        text = "no signing secret for any source: every delivery will be refused until `register-webhook` has run"
        return Check(name="secrets", state="wrong", text=text)
    if not settings.secret_keys:
        return Check(
            name="secrets", state="note", text=f"{told}; RECEIVER_SECRET_KEY is not set, so none can be stored"
        )
    return Check(name="secrets", state="fine", text=f"live keys: {told}")


async def _public_url(settings: Settings, http: httpx.AsyncClient) -> Check:
    url = settings.public_url
    if not url:
        return Check(name="public URL", state="note", text="RECEIVER_PUBLIC_URL is not set, so it cannot be tried")
    host = urlsplit(url).hostname or ""
    if not url.startswith("https://") and host not in settings.outbound_allow:
        return Check(name="public URL", state="wrong", text="providers deliver to https only")
    try:
        answer = await http.get(f"{url}/healthz")
    except (httpx.HTTPError, ReceiverError) as error:
        return Check(name="public URL", state="wrong", text=f"{host} does not answer from here: {type(error).__name__}")
    if answer.status_code != 200 or answer.json().get("status") != "ok":
        return Check(name="public URL", state="wrong", text=f"{host} answers, but it is not a receiver")
    return Check(name="public URL", state="fine", text=f"{host} reaches a receiver")


async def _endpoints(
    settings: Settings, store: Store, sources: dict[str, WebhookSource], http: httpx.AsyncClient
) -> Check:
    told, wrong = [], False
    for name, source in sources.items():
        if isinstance(source, Profile):
            told.append(f"{name}: registered there by hand, not looked at")
            continue
        if settings.provider(name).api_key is None:
            told.append(f"{name}: no {name.upper()}_API_KEY, not looked at")
            continue
        registrar = Registrar(source=source, settings=settings, store=store, http=http)
        try:
            findings = await registrar.check()
        except ReceiverError as error:
            told.append(f"{name}: {error}")
            wrong = True
            continue
        drifted = [finding for finding in findings if finding.drift]
        wrong = wrong or bool(drifted)
        told.append(
            f"{name}: " + ("; ".join(str(one) for one in drifted) or f"{len(findings)} registered, none drifted")
        )
    return Check(name="endpoints", state="wrong" if wrong else "fine", text="; ".join(told) or "no sources")


async def _clock(store: Store) -> Check:
    recent = await store.events.deliveries(since=time.time() - _LOOKBACK, limit=1000)
    off = sorted(row["skew"] for row in recent if row["reason"] in ("stale-timestamp", "future-timestamp"))
    good = [row for row in await store.events.recent(limit=1000) if row["received_at"] > time.time() - _LOOKBACK]
    if len(off) >= 3 and len(off) > len(good):
        skew = off[len(off) // 2]
        text = f"most genuine deliveries of the last day are off by about {skew:.0f} s: set this machine's clock"
        return Check(name="clock", state="wrong", text=text)
    return Check(name="clock", state="fine", text="no sign of a clock that is wrong")


async def _jobs(settings: Settings, store: Store) -> Check:
    counts = await store.jobs.counts()
    told = ", ".join(f"{number} {state}" for state, number in sorted(counts.items())) or "none open"
    waiting = {job.source for job in await store.jobs.recent(state="open", limit=1000)}
    if keyless := sorted(name for name in waiting if settings.provider(name).api_key is None):
        text = f"{told}; not looked after without {', '.join(f'{name.upper()}_API_KEY' for name in keyless)}"
        return Check(name="jobs", state="wrong", text=text)
    if counts.get("uncertain") or counts.get("awaiting_approval"):
        return Check(name="jobs", state="note", text=f"{told}: see `receiver jobs list --state open`")
    return Check(name="jobs", state="fine", text=told)


def _handlers(settings: Settings) -> Check:
    try:
        found = find_handlers(settings.handlers, read(settings.config))
    except ConfigError as error:
        return Check(name="handlers", state="wrong", text=str(error))
    if not found:
        return Check(name="handlers", state="note", text="none: events are stored, and nothing is done with them")
    return Check(name="handlers", state="fine", text=", ".join(handler.name for handler in found))


def _alarms(settings: Settings) -> Check:
    try:
        limits = Rules.of(read(settings.config)).limits
    except ConfigError as error:
        return Check(name="alarms", state="wrong", text=str(error))
    known = _subjects(settings)
    if unknown := sorted({about for _, about in limits if about and known and about not in known}):
        text = f"no handler, source or tool here is called {', '.join(unknown)}: a rule about that never applies"
        return Check(name="alarms", state="note", text=text)
    off = [" ".join(filter(None, rule)) for rule, limit in limits.items() if limit is None]
    told = f"off are {', '.join(off)}" if off else "all are on"
    return Check(name="alarms", state="fine", text=told)


def _subjects(settings: Settings) -> set[str]:
    """Return what an alarm may be about; nothing if that cannot be said."""
    try:
        handlers = find_handlers(settings.handlers, read(settings.config))
    except ConfigError:
        return set()
    sources = find_sources(settings.providers)
    tools = {f"{name} {tool.type}" for name, source in sources.items() for tool in source.tools}
    return {handler.name for handler in handlers} | set(sources) | tools


def _retention(settings: Settings) -> Check:
    try:
        ages = read(settings.config).table("retention", Ages)
    except ConfigError as error:
        return Check(name="retention", state="wrong", text=str(error))
    gone = [f"{kind} after {span(age)}" for kind, age in ages if age is not None]
    return Check(name="retention", state="fine", text=f"deleted are {', '.join(gone) or 'none'}; the rest stays")


def _skipped(name: str) -> Check:
    return Check(name=name, state="note", text="not looked at, as the store is not there")
