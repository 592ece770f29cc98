"""Which of the endpoints in an account are ours, and which of those we can verify."""

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

import httpx

from ..errors import ConfigError
from ..sources import Registered
from ..store import Endpoint

#: How the description of an endpoint of ours begins. The account may have others.
TAG = "media-receiver:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """What the store has of a source: its live endpoints by id, its secrets, and our URLs."""

    endpoints: dict[str, Endpoint]
    secrets: frozenset[tuple[str | None, str]]  #: endpoint id and last four characters, of those that count now
    urls: tuple[str, ...]

    def has(self, found: Registered) -> bool:
        """Whether we may change this endpoint: we stored it, or it carries our tag at a URL of ours."""
        return found.id in self.endpoints or (tagged(found) and self.at_our_url(found))

    def at_our_url(self, found: Registered) -> bool:
        """Whether it delivers to us."""
        return any(same_url(found.url, url) for url in self.urls)

    def knows(self, found: Registered) -> bool:
        """Whether we have its signing secret, as far as the provider tells its last four characters."""
        return found.id in self.endpoints and any(
            owner == found.id and found.last4 in (None, last4) for owner, last4 in self.secrets
        )


def tag(url: str) -> str:
    """Return the description for an endpoint of ours."""
    return f"{TAG}{urlsplit(url).hostname}"


def tagged(found: Registered) -> bool:
    """Whether a receiver like this one registered it."""
    return (found.description or "").startswith(TAG)


def same_url(one: str, other: str) -> bool:
    """Whether two URLs are one, however their host is written."""
    try:
        return httpx.URL(one) == httpx.URL(other)
    except httpx.InvalidURL:
        return False


def check_url(url: str) -> None:
    """Raise ConfigError unless a provider can deliver to `url`: https, or this machine itself."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        strange = bool(parts.username or parts.password or parts.fragment) or not url.isprintable() or " " in url
    except ValueError:
        host, strange = "", True
    if strange or not host:
        raise ConfigError("this is not a URL to deliver to: write it like https://hooks.example.com/webhooks/videogen")
    if parts.scheme != "https" and not (parts.scheme == "http" and _loopback(host)):
        raise ConfigError("providers deliver to https only; plain http is for this machine itself")


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
