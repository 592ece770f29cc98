"""The one HTTP client for addresses that others gave us: it reaches the public internet, and what is allowed by name.

A host is judged while it is connected to, not before: its name is resolved once, each of its addresses is
looked at, and one of these is connected to. A name that leads elsewhere a moment later gains nothing by
that, and every redirect is judged like the request it follows.
"""

import asyncio
import http.cookiejar
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from itertools import chain, zip_longest
from typing import Any

import httpcore
import httpx

from .errors import AddressRefused, ConfigError

Address = IPv4Address | IPv6Address
Resolve = Callable[[str], Awaitable[Sequence[str]]]

#: Redirects that are followed, one after another.
REDIRECTS = 3

#: Seconds for finding a host's addresses, and again for connecting to one of them.
CONNECT_TIMEOUT = 10.0

#: Bytes of an answer that is read at once, decoded, and seconds for all of such an exchange. What may be larger or
#: slower is streamed, by whom it is for.
LARGEST_ANSWER, LONGEST_EXCHANGE = 16 * 2**20, 300.0

#: Addresses of one host that are tried.
ADDRESSES = 4

#: Connections of one client at once.
CONNECTIONS = 100

#: Where no stranger may send us, written out because Python's `is_global` differs between patch releases.
#: Source: IANA's registries of special-purpose addresses, RFC 6890; the last one is Azure's metadata service.
_SPECIAL = tuple(
    ip_network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
        "168.63.129.16/32",
    )
)
#: The only IPv6 addresses that are given out to the public; loopback, local, mapped and multicast ones lie outside.
_UNICAST = IPv6Network("2000::/3")
#: IPv4 addresses as hosts without IPv4 see them, RFC 6052. They are what they embed.
_NAT64 = IPv6Network("64:ff9b::/96")

_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,252})")


def create_client(
    *,
    allow: Sequence[str] = (),
    timeout: float = 30,
    resolve: Resolve | None = None,
    tls: ssl.SSLContext | None = None,
    around: Callable[[httpx.AsyncBaseTransport], httpx.AsyncBaseTransport] = lambda transport: transport,
) -> httpx.AsyncClient:
    """Return a client that speaks https with public addresses, and anything HTTP with those in `allow`.

    `allow` has host names, addresses and networks, e.g. `10.1.0.0/16`. `timeout` is in seconds, for
    each read and write, not for a whole answer. An answer that is not streamed has 16 MiB at most, and is there
    within five minutes; else ReadError or ReadTimeout is raised. Up to three redirects are followed, cookies
    are not kept, the environment's proxies are not used. `resolve` finds a host's addresses and `tls` checks
    certificates; without them, the system and the usual authorities do. `around` is put around the transport.

    Requests raise AddressRefused beside httpx's own errors. Raises ConfigError if `allow` makes no sense.
    """
    inside = _Inside.parse(allow)
    return _Client(
        transport=around(_Guard(inside, resolve or _addresses_of, tls or httpx.create_ssl_context(trust_env=False))),
        timeout=httpx.Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT)),
        follow_redirects=True,
        max_redirects=REDIRECTS,
        headers={"user-agent": "media-receiver"},
        # All handlers share this client: what one host sets for one of them is not for the others.
        cookies=http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(allowed_domains=())),
        trust_env=False,
    )


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public internet, and not to this machine, its network or its cloud."""
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
        if address not in _UNICAST:
            return False
    return not any(address in network for network in _SPECIAL)


class _Client(httpx.AsyncClient):
    """Bounds every answer that is read at once: a stranger's may be endless, or come a byte at a time."""

    async def send(self, request: httpx.Request, *, stream: bool = False, **how: Any) -> httpx.Response:
        if stream:
            return await super().send(request, stream=True, **how)
        try:
            async with asyncio.timeout(LONGEST_EXCHANGE):
                answer = await super().send(request, stream=True, **how)
                try:
                    return await _read(answer)
                finally:
                    await answer.aclose()
        except TimeoutError:
            told = f"{request.url.host} took longer than {LONGEST_EXCHANGE:g} s"
            raise httpx.ReadTimeout(told, request=request) from None


async def _read(answer: httpx.Response) -> httpx.Response:
    """Return an answer with its body."""
    body = bytearray()
    async for chunk in answer.aiter_bytes():
        body += chunk
        if len(body) > LARGEST_ANSWER:
            told = f"the answer of {answer.url.host} is larger than {LARGEST_ANSWER} bytes"
            raise httpx.ReadError(told, request=answer.request)
    encoded = ("content-encoding", "content-length", "transfer-encoding")
    whole = httpx.Response(
        answer.status_code,
        headers=[(name, value) for name, value in answer.headers.multi_items() if name.lower() not in encoded],
        content=bytes(body),
        request=answer.request,
        extensions=answer.extensions,
        history=answer.history,
    )
    whole.default_encoding = answer.default_encoding
    return whole


@dataclass(frozen=True, slots=True)
class _Inside:
    """What the operator allowed inside the own network."""

    names: frozenset[str]
    networks: tuple[IPv4Network | IPv6Network, ...]

    @classmethod
    def parse(cls, allow: Sequence[str]) -> "_Inside":
        names, networks = set(), []
        for entry in filter(None, allow):
            try:
                networks.append(ip_network(entry.strip("[]")))
            except ValueError:
                if not _HOST_NAME.fullmatch(entry):
                    raise ConfigError(
                        f"RECEIVER_OUTBOUND_ALLOW: {entry} is not a host name, an address or a network; "
                        "leave out scheme and port, write networks like 10.1.0.0/16"
                    ) from None
                names.add(_bare(entry))
        return cls(frozenset(names), tuple(networks))

    def has_host(self, host: str) -> bool:
        return _bare(host) in self.names

    def has(self, address: Address) -> bool:
        return any(address in network for network in self.networks)


class _Guard(httpx.AsyncBaseTransport):
    """Lets only requests through that have nothing odd about their URL, each scheme to its own connections."""

    def __init__(self, inside: _Inside, resolve: Resolve, tls: ssl.SSLContext) -> None:
        self._pools = {
            scheme: _Pool(_Backend(inside, resolve, encrypted=scheme == "https"), tls) for scheme in ("https", "http")
        }

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        if url.scheme not in self._pools or not url.host:
            raise AddressRefused(f"{url.host or 'a URL without a host'}: only https is spoken")
        if url.userinfo:
            raise AddressRefused(f"{url.host}: a URL with a user name or password in it is not followed")
        answer = await self._pools[url.scheme].handle_async_request(request)
        if not answer.has_redirect_location:
            return answer
        # httpx would read the whole body before it follows, and a body may be endless.
        await answer.aclose()
        return httpx.Response(answer.status_code, headers=answer.headers)

    async def aclose(self) -> None:
        for pool in self._pools.values():
            await pool.aclose()


class _Pool(httpx.AsyncHTTPTransport):
    """Connections that only `backend` opens."""

    def __init__(self, backend: "_Backend", tls: ssl.SSLContext) -> None:
        # Without the inherited constructor: it would make a pool that connects anywhere. Should httpx look for
        # its pool under another name one day, nothing works, rather than everything.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls, max_connections=CONNECTIONS, keepalive_expiry=5, network_backend=backend
        )


class _Backend(httpcore.AsyncNetworkBackend):
    """Opens connections to judged addresses. TLS is checked against the host name all the same."""

    def __init__(self, inside: _Inside, resolve: Resolve, *, encrypted: bool) -> None:
        self._inside = inside
        self._resolve = resolve
        self._encrypted = encrypted
        self._tcp = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - this is httpcore's interface
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                addresses = _in_turn(await self._judged(host))
        except TimeoutError:
            raise httpcore.ConnectTimeout(f"the addresses of {host} were not found in time") from None
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses:
            share = timeout and timeout / len(addresses)
            try:
                return await self._tcp.connect_tcp(str(address), port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def _judged(self, host: str) -> list[Address]:
        """Return all addresses of a host if we may talk to every one of them; raise AddressRefused if not."""
        try:
            addresses = [ip_address(address) for address in await self._resolve(host)]
        except (OSError, UnicodeError):  # the latter for a label that no name can have
            raise httpcore.ConnectError(f"{host} is not known") from None
        if self._inside.has_host(host) or all(map(self._inside.has, addresses)):
            return addresses
        if not self._encrypted:
            raise AddressRefused(f"{host}: only https is spoken with it, see RECEIVER_OUTBOUND_ALLOW")
        if not all(is_public(address) or self._inside.has(address) for address in addresses):
            raise AddressRefused(f"{host} is not on the public internet, see RECEIVER_OUTBOUND_ALLOW")
        return addresses


def _in_turn(addresses: Sequence[Address]) -> list[Address]:
    """Return a few addresses, IPv4 and IPv6 in turn: a host must be reached where one of the two is broken."""
    preferred = [address for address in addresses if address.version == addresses[0].version]
    others = [address for address in addresses if address.version != addresses[0].version]
    return [address for address in chain(*zip_longest(preferred, others)) if address is not None][:ADDRESSES]


async def _addresses_of(host: str) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


def _bare(host: str) -> str:
    return host.lower().rstrip(".")
