"""What was found or done about endpoints, in words for people. No word of a secret."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..events import redact_url
from ..sources import Registered
from ..store import Endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What was done. `str()` of it is for people."""

    did: Literal["nothing", "created", "replaced", "rotated", "deleted"]
    id: str  #: of the endpoint that is registered now, or of the one that was deleted
    text: str
    remarks: tuple[str, ...] = ()  #: what was found or could not be done besides

    def __str__(self) -> str:
        return "; ".join((self.text, *self.remarks))


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One endpoint, and in what it is not as it should be. `str()` of it is for people."""

    id: str | None  #: None for a URL that has no endpoint
    url: str
    text: str
    drift: Literal["missing", "events", "secret", "foreign"] | None = None

    def __str__(self) -> str:
        return self.text


def registered(new: Registered, *, created: bool, old: Sequence[str], remarks: Sequence[str]) -> Change:
    """Return what a registration came to: `new` is there now, `old` had to go."""
    where = f"{redact_url(new.url)} is registered as {new.id}"
    if created:
        where += f" for {len(new.events)} events, and its secret is stored"
    elif not old:
        where += " with these events already, and its secret is known here: nothing to do"
    if old:
        where += f"; it takes the place of {', '.join(old)}"
    did: Literal["nothing", "created", "replaced"] = "replaced" if old else "created" if created else "nothing"
    return Change(did=did, id=new.id, text=where, remarks=tuple(remarks))


def fine(row: Endpoint) -> Finding:
    """Return that an endpoint is at the provider as it is in the store."""
    return Finding(id=row.id, url=row.url, text=f"{_name(row)} is as it should be")


def missing(row: Endpoint) -> Finding:
    """Return that an endpoint is in the store only."""
    text = f"{_name(row)} is gone at the provider: register it again"
    return Finding(id=row.id, url=row.url, drift="missing", text=text)


def nothing_for(url: str) -> Finding:
    """Return that this receiver is not registered at all."""
    text = f"nothing is registered for {redact_url(url)}: run `register-webhook`"
    return Finding(id=None, url=url, drift="missing", text=text)


def changed(row: Endpoint) -> Finding:
    """Return that an endpoint has another URL or other events at the provider."""
    text = f"{_name(row)} has another URL or other events at the provider: register it again"
    return Finding(id=row.id, url=row.url, drift="events", text=text)


def unknown_secret(found: Registered | Endpoint) -> Finding:
    """Return that deliveries of an endpoint of ours cannot be verified."""
    text = f"the secret of {_name(found)} is not known here: register it again"
    return Finding(id=found.id, url=found.url, drift="secret", text=text)


def foreign(found: Registered, *, configured: bool = False) -> Finding:
    """Return that somebody else's endpoint delivers to our URL; fine if its secret is in the settings."""
    name = _name(found)
    if configured:
        return Finding(id=found.id, url=found.url, text=f"{name} was not registered by us, but its secret is set")
    text = f"{name} was not registered by this receiver, so it is left alone; with force it is deleted"
    return Finding(id=found.id, url=found.url, drift="foreign", text=text)


def _name(found: Registered | Endpoint) -> str:
    return f"{found.id} at {redact_url(found.url)}"
