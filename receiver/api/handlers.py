"""Calls about handlers."""

from typing import Any

from ..recall import handlers_told
from ..store import Store
from .call import Call, Said
from .events import There
from .models.handlers import HandlerRow, HandlersAnswer
from .problem import Problem


class HandlerCalls:
    """Handlers: list, pause, resume."""

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
