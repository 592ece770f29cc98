"""The part of a worker that compares what is registered with what the providers have, hour by hour."""

import asyncio
from collections.abc import Mapping

import httpx
import structlog

from ..errors import ReceiverError, Unavailable
from ..logs import scrub
from ..settings import Settings
from ..sources import Source, WebhookSource
from ..store import Store
from .registrar import Registrar

log = structlog.get_logger(__name__)

#: Seconds between two comparisons, by whichever worker, and between two looks whether it is time.
EVERY, LOOK = 3600.0, 60.0


class Inspector:
    """Compares the endpoints of every source whose API key is here. What it finds is kept with them."""

    def __init__(
        self, *, store: Store, sources: Mapping[str, Source], settings: Settings, http: httpx.AsyncClient
    ) -> None:
        self._store = store
        self._sources = sources
        self._settings = settings
        self._http = http

    async def run(self) -> None:
        """Look again and again whether it is time, and ours to do it."""
        while True:
            try:
                if await self._store.endpoints.mine(EVERY):
                    await self.look()
            except Unavailable as error:
                log.error("store_unavailable", error=str(error))
            await asyncio.sleep(LOOK)

    async def look(self) -> None:
        """Compare once. A provider that does not answer changes nothing of what is known. Raises Unavailable."""
        for name in sorted({one.source for one in await self._store.endpoints.live()}):
            source = self._sources.get(name)
            if not isinstance(source, WebhookSource) or self._settings.provider(name).api_key is None:
                continue
            registrar = Registrar(source=source, settings=self._settings, store=self._store, http=self._http)
            try:
                await registrar.check()
            except Unavailable:
                raise
            except ReceiverError as error:
                log.warning("endpoints_not_compared", source=name, error=scrub(str(error)))
