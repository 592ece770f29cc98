"""Webhook endpoints of the emulated account: what may be registered, and how it is told."""

import base64
import ipaddress
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from .api import invalid

EVENTS = frozenset(
    f"{thing}.{state}"
    for thing, states in {
        "tool_execution": ("succeeded", "failed", "cancelled"),
        "workflow_run": ("succeeded", "failed", "cancelled"),
        "project_export": ("succeeded", "failed", "cancelled"),
        "assistant_message": ("succeeded", "failed", "cancelled"),
        "file": (
            "upload.completed", "upload.failed", "playback_ready", "download_ready", "analysis_completed",
            "analysis_failed",
        ),
    }.items()
    for state in states
)  # fmt: skip

_ALPHABET = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A registered webhook."""

    id: str
    url: str
    events: tuple[str, ...]
    description: str | None
    created_at: int  #: Unix seconds
    secret: str = field(repr=False)

    def as_json(self) -> dict[str, Any]:
        """Return it as a listing tells it: of the secret, the last four characters."""
        return {
            "endpointId": self.id,
            "url": self.url,
            "events": list(self.events),
            "description": self.description,
            "createdAt": self.created_at,
            "signingSecretLast4": self.secret[-4:],
        }


def new_endpoint(request: Mapping[str, Any], *, now: float) -> Endpoint:
    """Return the endpoint that `request` asks for, with a new secret. Raises ApiError."""
    url, events, description = request.get("url"), request.get("events"), request.get("description")
    if not isinstance(url, str) or not _acceptable(url):
        raise invalid("url must be an https URL")
    if not isinstance(events, list) or not events:
        raise invalid("events must be a list of at least one event name")
    if unknown := [event for event in events if not isinstance(event, str) or event not in EVENTS]:
        raise invalid(f"events: {unknown[0]} is not an event name")
    if not isinstance(description, str | None):
        raise invalid("description must be a text")
    return Endpoint(
        id="ep_" + "".join(secrets.choice(_ALPHABET) for _ in range(27)),
        url=url,
        events=tuple(events),
        description=description,
        created_at=int(now),
        secret="whsec_" + base64.b64encode(secrets.token_bytes(24)).decode(),
    )


def _acceptable(url: str) -> bool:
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    return bool(parts.host) and (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.host)))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
