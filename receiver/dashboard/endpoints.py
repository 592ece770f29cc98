"""The page of endpoints: where providers deliver to, and whether they do."""

from collections.abc import Mapping, Sequence

from starlette.requests import Request
from starlette.responses import Response

from ..endpoints import Finding, Registrar
from ..errors import ReceiverError
from ..logs import scrub
from ..outbound import create_client
from ..settings import Settings
from ..sources import Source, WebhookSource
from ..store import Store
from .pages import Pages, Views


class Endpoints:
    """The page at `/endpoints`."""

    def __init__(
        self,
        *,
        store: Store,
        pages: Pages,
        sources: Mapping[str, Source],
        settings: Settings,
    ) -> None:
        self._store = store
        self._pages = pages
        self._sources = sources
        self._settings = settings

    def views(self) -> Views:
        """Return everything that is answered."""
        yield "GET", "/endpoints", self._show
        yield "POST", "/endpoints/check", self._check

    async def _show(self, request: Request) -> Response:
        return await self._page(request, {})

    async def _check(self, request: Request) -> Response:
        """Ask the providers what they have; nothing changes there."""
        compared: dict[str, Sequence[Finding]] = {}
        async with create_client(allow=self._settings.outbound_allow) as http:
            for name in sorted({one.source for one in await self._store.endpoints.live()}):
                source = self._sources.get(name)
                if isinstance(source, WebhookSource):
                    registrar = Registrar(source=source, settings=self._settings, store=self._store, http=http)
                    try:
                        compared[name] = await registrar.check()
                    except ReceiverError as error:
                        compared[name] = [
                            Finding(id=None, url="", text=f"it did not answer: {scrub(str(error))}", drift="missing")
                        ]
        return await self._page(request, compared)

    async def _page(self, request: Request, compared: Mapping[str, Sequence[Finding]]) -> Response:
        heard = await self._store.endpoints.last_heard()
        secrets = await self._store.endpoints.secrets()
        recovered = await self._store.jobs.recovered()
        last4 = {(one.source, one.endpoint_id): one.last4 for one in reversed(secrets)}
        known = {one.source for one in secrets} | {
            name for name in self._sources if self._settings.provider(name).webhook_secrets
        }
        silent = {one.about for one in await self._store.alarms.active() if one.watch == "silent"}
        endpoints = await self._store.endpoints.live()
        sources = [
            {
                "name": name,
                "calls": isinstance(source, WebhookSource),
                "heard_at": heard.get(name),
                "secrets": name in known,
                "recovered": recovered.get(name, 0),
                "silent": name in silent,
                "used": name in known or name in heard or self._settings.provider(name).api_key is not None,
            }
            for name, source in sorted(self._sources.items())
        ]
        return self._pages.answer(
            request,
            "endpoints.html",
            compared=compared,
            endpoints=[
                {
                    **{name: getattr(one, name) for name in ("id", "source", "url", "events", "created_at")},
                    **{name: getattr(one, name) for name in ("compared_at", "drift_text", "drifted_at")},
                    "last4": last4.get((one.source, one.id)),
                }
                for one in endpoints
            ],
            sources=[one for one in sources if one["used"]],
            others=[one["name"] for one in sources if not one["used"]],
            public_url=self._settings.public_url,
        )
