"""Public keys that a provider publishes (JWKS): fetched beside the deliveries, kept while its server is down."""

import asyncio
import base64
import binascii
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from .errors import AddressRefused, ConfigError
from .schemes import Kind
from .sources import Source
from .sources.profile import Profile

log = structlog.get_logger(__name__)

#: Seconds for which fetched keys are not looked at again; a delivery that none fits looks sooner.
FRESH = 3600.0

#: Seconds between two tries, whoever asks: anybody can send what no key fits.
SPACING = 60.0

#: Seconds that a delivery waits for a key server.
PATIENCE = 5.0

#: Bytes of an answer, and keys in it.
LARGEST, MOST = 64 * 2**10, 16


class KeyServer:
    """The keys of one provider. They are empty until they were fetched, and stay if they cannot be fetched again."""

    def __init__(
        self,
        url: str,
        kind: Kind,
        http: httpx.AsyncClient,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.keys: tuple[bytes, ...] = ()
        self._url = url
        self._kind = kind
        self._http = http
        self._clock = clock
        self._tried_at = float("-inf")
        self._fetching = asyncio.Lock()

    async def refresh(self, *, unknown: bool = False) -> None:
        """Fetch the keys if that is due, together for all who ask: hourly, soon if a delivery has an `unknown` key."""
        async with self._fetching:
            age = self._clock() - self._tried_at
            if age < (SPACING if unknown or not self.keys else FRESH):
                return
            self._tried_at = self._clock()
            try:
                async with asyncio.timeout(PATIENCE):
                    self.keys = read(await self._fetch(), self._kind)
            except (httpx.HTTPError, AddressRefused, ConfigError, TimeoutError) as error:
                why = str(error) or type(error).__name__
                log.error("keys_not_fetched", host=httpx.URL(self._url).host, error=why, kept=len(self.keys))

    async def _fetch(self) -> bytes:
        content = bytearray()
        async with self._http.stream("GET", self._url) as answer:
            answer.raise_for_status()
            async for chunk in answer.aiter_bytes():
                content += chunk
                if len(content) > LARGEST:
                    raise ConfigError("its answer is too large for a set of keys")
        return bytes(content)


def publishes(source: Source) -> bool:
    """Whether a source has a key server."""
    return isinstance(source, Profile) and source.scheme.jwks is not None


def key_servers(sources: Mapping[str, Source], http: httpx.AsyncClient) -> dict[str, KeyServer]:
    """Return the key servers of those sources that have one."""
    schemes = {name: source.scheme for name, source in sources.items() if isinstance(source, Profile)}
    return {name: KeyServer(one.jwks, one.kind, http) for name, one in schemes.items() if one.jwks}


def read(body: bytes, kind: Kind) -> tuple[bytes, ...]:
    """Return the keys of a kind in a set, as schemes take them; others are passed over.

    Raises ConfigError if there is none: keys that were there before are better than that.
    """
    try:
        found = tuple(_keys(json.loads(body), _READERS[kind]))
    except (ValueError, RecursionError):
        found = ()
    if not 0 < len(found) <= MOST:
        raise ConfigError(f"it has {len(found)} keys of the kind that the provider signs with, 1 to {MOST} are usable")
    return found


def _keys(data: Any, reader: Callable[[Mapping[str, Any]], bytes | None]) -> Iterator[bytes]:
    listed = data.get("keys") if isinstance(data, dict) else None
    for item in listed if isinstance(listed, list) else ():
        try:
            key = reader(item) if isinstance(item, dict) else None
        except (ValueError, TypeError):  # what the key is made of makes none
            key = None
        if key is not None:
            yield key


def _ed25519(item: Mapping[str, Any]) -> bytes | None:
    if (item.get("kty"), item.get("crv")) != ("OKP", "Ed25519"):
        return None
    key = _bytes(item.get("x"))
    Ed25519PublicKey.from_public_bytes(key)
    return key


def _rsa(item: Mapping[str, Any]) -> bytes | None:
    if item.get("kty") != "RSA" or item.get("use", "sig") != "sig":
        return None
    numbers = RSAPublicNumbers(*(int.from_bytes(_bytes(item.get(name))) for name in ("e", "n")))
    public = numbers.public_key()
    if public.key_size < 2048:
        return None
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _bytes(text: object) -> bytes:
    if not isinstance(text, str):
        raise ValueError("not text")
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise ValueError("not base64url") from None


_READERS: dict[str, Callable[[Mapping[str, Any]], bytes | None]] = {"ed25519": _ed25519, "jwt": _rsa}
