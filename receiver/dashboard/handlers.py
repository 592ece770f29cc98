"""The page of handlers: how each goes, and letting it wait."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ..store import Store
from .filters import Filters
from .forms import form
from .pages import HEADERS, Missing, Pages, Views

#: Seconds over which attempts are counted, and in which steps.
COUNTED, STEP = 3600.0, 60.0


class Handlers:
    """The page at `/handlers`."""

    def __init__(self, *, store: Store, pages: Pages, clock: Callable[[], float]) -> None:
        self._store = store
        self._pages = pages
        self._clock = clock

    def views(self) -> Views:
        """Return everything that is answered."""
        yield "GET", "/handlers", self._list
        yield "POST", "/handlers/pause", self._pause
        yield "POST", "/handlers/resume", self._resume

    async def _list(self, request: Request) -> Response:
        found = await self._store.handlers.list()
        counts = await self._store.tally.over(since=self._clock() - COUNTED, step=STEP)
        for one in found:
            outcomes = [count.attempts.get(one["name"], {}) for count in counts]
            one["attempts"] = sum(sum(outcome.values()) for outcome in outcomes)
            one["bad"] = one["attempts"] - sum(outcome.get("done", 0) for outcome in outcomes)
        note = Filters(request.query_params).note
        return self._pages.answer(request, "handlers.html", handlers=found, note=note)

    async def _pause(self, request: Request) -> Response:
        await self._store.runs.pause(await self._name(request))
        return RedirectResponse("/handlers?done=paused", 303, HEADERS)

    async def _resume(self, request: Request) -> Response:
        await self._store.runs.resume(await self._name(request))
        return RedirectResponse("/handlers?done=resumed", 303, HEADERS)

    async def _name(self, request: Request) -> str:
        name = (await form(request)).get("name", "")
        if name not in {one["name"] for one in await self._store.handlers.list()}:
            raise Missing("No handler has this name.")
        return name
