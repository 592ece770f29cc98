"""The signing keys that count right now, per source: from the environment, from the store, from key servers."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

import structlog

from .errors import ConfigError, ReceiverError, Unavailable
from .jwks import KeyServer
from .settings import Settings
from .sources import WebhookSource
from .store import Secret, Store
from .vault import Vault

log = structlog.get_logger(__name__)

#: Seconds between two looks at the store. A delivery that no key fits looks sooner.
REFRESH = 5.0

#: Seconds between two looks because of such deliveries: anybody can send them.
SPACING = 0.1


class Keyring:
    """Keys by source. Another process may add some to the store at any time; they are found when needed."""

    def __init__(
        self,
        *,
        store: Store,
        sources: Mapping[str, WebhookSource],
        settings: Settings,
        clock: Callable[[], float],
        servers: Mapping[str, KeyServer] | None = None,
    ) -> None:
        self._store = store
        self._sources = sources
        self._vault = Vault(settings.secret_keys)
        self._clock = clock
        self._servers = servers or {}
        self._fixed = {name: _configured(source, settings) for name, source in sources.items()}
        self._keys: dict[str, tuple[bytes, ...]] = dict(self._fixed)
        self._reading = asyncio.Lock()
        self._read_at = float("-inf")

    def keys(self, source: str) -> Sequence[bytes]:
        """Return the keys of a source, newest first; empty if there are none."""
        keys = self._keys.get(source, ())
        return (*keys, *self._servers[source].keys) if source in self._servers else keys

    async def load(self) -> None:
        """Read the store's secrets.

        Raises ConfigError if one cannot be opened or used, Unavailable if the store does not answer.
        """
        self._read_at = time.monotonic()
        now = self._clock()
        found: dict[str, list[bytes]] = {name: [] for name in self._sources}
        for secret in await self._store.endpoints.secrets(now=now):
            if secret.source in found:
                found[secret.source].append(self._sources[secret.source].decode_secret(self._opened(secret)))
        self._keys = {name: (*found[name], *self._fixed[name]) for name in self._sources}

    def _opened(self, secret: Secret) -> str:
        try:
            return self._vault.open(secret.sealed)
        except ConfigError as error:
            raise ConfigError(
                f"{error}. It is {secret.id} of {secret.source}, …{secret.last4}; if its key is lost, run "
                f"`register-webhook` again, or `receiver secrets retire {secret.id}` and store another one"
            ) from None

    async def look_again(self, source: str) -> None:
        """Look once more for keys of a source because none fitted; together for all who ask, and not without pause.

        Raises Unavailable if they are with a key server that has not answered yet.
        """
        if source in self._servers:
            await self._servers[source].refresh(unknown=True)
            if not self.keys(source):
                raise Unavailable(f"the key server of {source} has not answered yet", retry_after=60)
            return
        asked_at = time.monotonic()
        async with self._reading:
            if self._read_at > asked_at:
                return
            await asyncio.sleep(max(0.0, self._read_at + SPACING - asked_at))
            await self._reload()

    async def follow(self) -> None:
        """Keep up with the store and the key servers, for good."""
        while True:
            await self.fetch()
            await asyncio.sleep(REFRESH)
            await self._reload()

    async def fetch(self) -> None:
        """Ask the key servers, where that is due."""
        await asyncio.gather(*(server.refresh() for server in self._servers.values()))

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
