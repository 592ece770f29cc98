"""The signing keys that count right now, per source: from the environment and from the store."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

import structlog

from .errors import ConfigError, ReceiverError
from .settings import Settings
from .sources import WebhookSource
from .store import Store
from .vault import Vault

log = structlog.get_logger(__name__)

#: Seconds between two looks at the store. A delivery that no key fits looks sooner.
REFRESH = 5.0

#: Seconds between two looks because of such deliveries: anybody can send them.
SPACING = 0.1


class Keyring:
    """Keys by source. Another process may add some to the store at any time; they are found when needed."""

    def __init__(
        self, *, store: Store, sources: Mapping[str, WebhookSource], settings: Settings, clock: Callable[[], float]
    ) -> None:
        self._store = store
        self._sources = sources
        self._vault = Vault(settings.secret_keys)
        self._clock = clock
        self._fixed = {name: _configured(source, settings) for name, source in sources.items()}
        self._keys: dict[str, tuple[bytes, ...]] = dict(self._fixed)
        self._reading = asyncio.Lock()
        self._read_at = float("-inf")

    def keys(self, source: str) -> Sequence[bytes]:
        """Return the keys of a source, newest first; empty if there are none."""
        return self._keys.get(source, ())

    async def load(self) -> None:
        """Read the store's secrets.

        Raises ConfigError if one cannot be opened or used, Unavailable if the store does not answer.
        """
        self._read_at = time.monotonic()
        now = self._clock()
        found: dict[str, list[bytes]] = {name: [] for name in self._sources}
        for secret in await self._store.endpoints.secrets(now=now):
            if secret.source in found:
                key = self._sources[secret.source].decode_secret(self._vault.open(secret.sealed))
                found[secret.source].append(key)
        self._keys = {name: (*found[name], *self._fixed[name]) for name in self._sources}

    async def look_again(self) -> None:
        """Read the store once more because no key fitted; together for all who ask, and not without pause."""
        asked_at = time.monotonic()
        async with self._reading:
            if self._read_at > asked_at:
                return
            await asyncio.sleep(max(0.0, self._read_at + SPACING - asked_at))
            await self._reload()

    async def follow(self) -> None:
        """Keep up with the store, for good."""
        while True:
            await asyncio.sleep(REFRESH)
            await self._reload()

    async def _reload(self) -> None:
        try:
            await self.load()
        except ReceiverError as error:
            # The keys we have stay good; deliveries they do not fit are refused and may come again.
            log.error("secrets_not_read", error=str(error))


def _configured(source: WebhookSource, settings: Settings) -> tuple[bytes, ...]:
    variable = f"{source.name.upper()}_WEBHOOK_SECRET"
    keys = []
    for secret in settings.provider(source.name).webhook_secrets:
        try:
            keys.append(source.decode_secret(secret))
        except ConfigError as error:
            raise ConfigError(f"{variable}: {error}") from None
    return tuple(keys)
