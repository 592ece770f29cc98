"""Calls about webhooks registered at providers. The providers are asked, and their secrets are told to nobody."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

from ..endpoints import Registrar, check_url
from ..errors import (
    AddressRefused,
    BadParameters,
    ConfigError,
    ProviderError,
    ReceiverError,
    Unavailable,
    UnknownEndpoint,
)
from ..events import redact_url
from ..logs import scrub
from ..outbound import create_client
from ..recall import endpoints_told
from ..settings import Settings
from ..sources import Source, WebhookSource
from ..sources.profiles import PROFILES
from ..store import Store
from .call import Call, Said
from .models.endpoints import ChangeAnswer, DeleteBody, EndpointBody, EndpointsAnswer, FindingsAnswer, RegisterBody
from .problem import Problem

#: Whose API the receiver does not know.
BY_HAND = frozenset(profile.name for profile in PROFILES)

#: What a provider's part in a call may lead to.
_REFUSES = (409, 413, 502)


class EndpointCalls:
    """Endpoints: list, compare, register, rotate, delete."""

    def __init__(self, store: Store, sources: Mapping[str, Source], settings: Settings) -> None:
        self._store = store
        self._sources = sources
        self._settings = settings
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def calls(self) -> list[Call]:
        """Return what is answered."""
        return [
            Call(
                method="GET",
                path="/endpoints",
                does=self._list,
                summary="List webhooks registered at providers, with when each was last heard",
                answer=EndpointsAnswer,
            ),
            Call(
                method="POST",
                path="/endpoints",
                does=self._register,
                summary="Register a webhook at its provider, once however often this is said, and keep its secret",
                body=RegisterBody,
                answer=ChangeAnswer,
                refuses=_REFUSES,
            ),
            Call(
                method="POST",
                path="/endpoints/check",
                does=self._check,
                summary="Compare with what a provider has; nothing changes",
                body=EndpointBody,
                answer=FindingsAnswer,
                refuses=_REFUSES,
            ),
            Call(
                method="POST",
                path="/endpoints/{id}/rotate",
                does=self._rotate,
                summary="Replace an endpoint and so its secret; the old secret still counts for a day",
                body=EndpointBody,
                answer=ChangeAnswer,
                refuses=(404, *_REFUSES),
            ),
            Call(
                method="POST",
                path="/endpoints/{id}/delete",
                does=self._delete,
                summary="Remove an endpoint at its provider",
                body=DeleteBody,
                answer=ChangeAnswer,
                refuses=(404, *_REFUSES),
            ),
        ]

    async def _list(self, _said: Said) -> Any:
        return {"endpoints": await endpoints_told(self._store), "next": None}

    async def _register(self, said: Said) -> Any:
        body = said.body
        source = self._source(body.source)
        try:
            check_url(body.url)
        except ConfigError as error:
            raise BadParameters(str(error)) from None
        async with self._registrar(source) as registrar:
            return asdict(await registrar.register(body.url, body.events or source.events, force=body.force))

    async def _check(self, said: Said) -> Any:
        source = self._source(said.body.source)
        async with self._registrar(source) as registrar:
            found = await registrar.check()
        rows = [
            {"source": source.name, "id": one.id, "url": redact_url(one.url), "drift": one.drift, "text": one.text}
            for one in found
        ]
        return {"findings": rows, "next": None}

    async def _rotate(self, said: Said) -> Any:
        async with self._registrar(self._source(said.body.source)) as registrar:
            return asdict(await registrar.rotate(said.id))

    async def _delete(self, said: Said) -> Any:
        async with self._registrar(self._source(said.body.source)) as registrar:
            return asdict(await registrar.delete(said.id, force=said.body.force))

    def _source(self, name: str) -> WebhookSource:
        if name in BY_HAND:
            raise BadParameters(
                f"{name} is registered at the provider by hand: let it deliver to /webhooks/{name}, and put the secret "
                f"it gives you into {name.upper()}_WEBHOOK_SECRET, or store it with `receiver secrets add {name}`"
            )
        if name not in self._sources:
            raise BadParameters(f"no source is called {name}: there are {', '.join(self._sources)}")
        source = self._sources[name]
        if not isinstance(source, WebhookSource):
            raise BadParameters(
                f"{name} sends no webhooks: the receiver asks it for its jobs, nothing is to be registered"
            )
        return source

    @asynccontextmanager
    async def _registrar(self, source: WebhookSource) -> AsyncIterator[Registrar]:
        """Yield a registrar, one at a time for each source: two that register at once would both make an endpoint."""
        async with self._turns[source.name], create_client(allow=self._settings.outbound_allow) as http:
            try:
                yield Registrar(source=source, settings=self._settings, store=self._store, http=http)
            except ReceiverError as error:
                raise _problem(error) from None


def _problem(error: ReceiverError) -> Problem:
    """Return what to answer: a provider that fails is no trouble of ours, and neither is it the caller's mistake."""
    text = scrub(str(error))
    match error:
        case UnknownEndpoint():
            return Problem(404, text)
        case ConfigError() | AddressRefused():
            return Problem(409, text)
        case Unavailable():
            return Problem(503, text, headers={"retry-after": str(error.retry_after)})
        case ProviderError(retry_after=float() | int() as wait):
            return Problem(502, text, headers={"retry-after": f"{wait:.0f}"})
        case _:
            return Problem(502, text)
