"""Calls about handlers, endpoints, and how it all goes."""

import time
from typing import Any

from ..recall import endpoints_told, handlers_told, stats_told
from ..store import Store
from .call import Call, Said
from .events import There
from .models.endpoints import EndpointsAnswer
from .models.handlers import HandlerRow, HandlersAnswer
from .models.stats import StatsAnswer, StatsQuery
from .problem import Problem

#: Seconds of a minute and an hour.
SPANS = {"minute": 60.0, "hour": 3600.0}


class HandlerCalls:
    """Handlers, endpoints and statistics."""

    def __init__(self, store: Store, there: There) -> None:
        self._store = store
        self._there = there

    def calls(self) -> list[Call]:
        """Return what is answered."""
        return [
            Call(
                method="GET",
                path="/handlers",
                does=self._handlers,
                summary="List handlers as workers found them, with how their runs stand",
                answer=HandlersAnswer,
            ),
            Call(
                method="POST",
                path="/handlers/{id}/pause",
                does=self._pause,
                summary="Let a handler's runs wait; new ones gather",
                answer=HandlerRow,
                refuses=(404,),
            ),
            Call(
                method="POST",
                path="/handlers/{id}/resume",
                does=self._resume,
                summary="Let a paused handler go on",
                answer=HandlerRow,
                refuses=(404,),
            ),
            Call(
                method="GET",
                path="/endpoints",
                does=self._endpoints,
                summary="List webhooks registered at providers, with when each was last heard",
                answer=EndpointsAnswer,
            ),
            Call(
                method="GET",
                path="/stats",
                does=self._stats,
                summary="Tell what is left to do, and how much happened in each of the last minutes or hours",
                query=StatsQuery,
                answer=StatsAnswer,
            ),
        ]

    async def _handlers(self, _said: Said) -> Any:
        return {"handlers": await handlers_told(self._store, await self._there()), "next": None}

    async def _pause(self, said: Said) -> Any:
        await self._handler(said.id)
        await self._store.runs.pause(said.id)
        return await self._handler(said.id)

    async def _resume(self, said: Said) -> Any:
        await self._handler(said.id)
        await self._store.runs.resume(said.id)
        return await self._handler(said.id)

    async def _handler(self, name: str) -> dict[str, Any]:
        for row in await handlers_told(self._store, await self._there()):
            if row["name"] == name:
                return row
        raise Problem(404, "no worker has told of a handler of this name, and no run has it")

    async def _endpoints(self, _said: Said) -> Any:
        return {"endpoints": await endpoints_told(self._store), "next": None}

    async def _stats(self, said: Said) -> Any:
        step = SPANS[said.query.span]
        since = time.time() - (said.query.spans - 1) * step
        return await stats_told(self._store, since=since, step=step)
