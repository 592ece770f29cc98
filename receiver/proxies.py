"""Who really sent a request, where a proxy of ours passes it on."""

import functools
from collections.abc import Iterable
from ipaddress import ip_address, ip_network

from starlette.types import Scope

from .errors import ConfigError


class Proxies:
    """The proxies that are believed when they say in `X-Forwarded-For` whom they heard it from; nobody else is.

    Raises ConfigError if one is neither an address nor a network.
    """

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        try:
            self._networks = [ip_network(entry) for entry in trusted]
        except ValueError as error:
            raise ConfigError(f"RECEIVER_TRUSTED_PROXIES: {error}: name addresses or networks") from None
        self._trusts = functools.lru_cache(1000)(self._is_ours)

    def sender(self, scope: Scope) -> str | None:
        """Return the address of the nearest one that is no proxy of ours; None if there is no address."""
        client = scope.get("client")
        if not self._networks or client is None:
            return client[0] if client else None
        sender: str = client[0]
        said = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for").decode("latin-1")
        for earlier in reversed(said.split(",")):
            # What stands further left was written by the one that is not ours, who may write anything.
            if not self._trusts(sender) or (address := _address(earlier)) is None:
                break
            sender = address
        return sender

    def _is_ours(self, address: str) -> bool:
        known = _address(address)
        return known is not None and any(ip_address(known) in network for network in self._networks)


def _address(text: str) -> str | None:
    """Return an address as it is usually written, without the port that some proxies add."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return str(getattr(found, "ipv4_mapped", None) or found)
