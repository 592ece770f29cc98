"""The pages of runs: what failed first, and running it again, one or many."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ..sources import Source
from ..store import Filter, RunFilter, Store
from .filters import Filters
from .forms import form
from .pages import HEADERS, Missing, Pages, Views, query

#: Runs on a page.
LISTED = 50


class Runs:
    """The pages at `/runs`."""

    def __init__(self, *, store: Store, pages: Pages, sources: Mapping[str, Source]) -> None:
        self._store = store
        self._pages = pages
        self._sources = sources

    def views(self) -> Views:
        """Return everything that is answered."""
        yield "GET", "/runs", self._list
        yield "GET", "/runs/retry", self._count
        yield "POST", "/runs/retry", self._retry_all
        yield "POST", "/runs/{id}/retry", self._retry
        yield "POST", "/runs/{id}/give-up", self._give_up

    async def _list(self, request: Request) -> Response:
        filters = Filters(request.query_params, "state", "handler")
        wanted = RunFilter(state=filters.values["state"], handler=filters.values["handler"])
        page = await self._store.runs.page(wanted, cursor=filters.cursor, limit=LISTED)
        return self._pages.answer(
            request,
            "runs.html",
            filters=filters.values,
            page=page,
            any_failed=any(run["state"] == "failed" for run in page.rows),
            handlers=await self._handlers(wanted.handler, *(run["handler"] for run in page.rows)),
            paused=await self._store.runs.paused(),
            note=filters.note,
        )

    async def _count(self, request: Request) -> Response:
        filters = Filters(request.query_params, "handler", "source", "since")
        meant = Filter(source=filters.values["source"], since=filters.since)
        count = 0
        if not filters.problem:
            count = await self._store.replays.failed(meant, handler=filters.values["handler"])
        return self._pages.answer(
            request,
            "retry.html",
            count=count,
            problem=filters.problem,
            handlers=await self._handlers(filters.values["handler"]),
            sources=sorted(self._sources),
            handler=filters.values["handler"],
            source=filters.values["source"],
            since=filters.values["since"],
        )

    async def _retry_all(self, request: Request) -> Response:
        said = await form(request)
        filters = Filters(said, "handler", "source", "since")
        if filters.problem:
            raise Missing(filters.problem)
        meant = Filter(source=filters.values["source"], since=filters.since)
        count = await self._store.replays.retry_failed(meant, handler=filters.values["handler"])
        return RedirectResponse(f"/runs?done=retried&n={count}", 303, HEADERS)

    async def _retry(self, request: Request) -> Response:
        run = await self._run(request)
        done = "retried" if await self._store.runs.retry(run["id"]) else "busy"
        return self._back(run, done)

    async def _give_up(self, request: Request) -> Response:
        run = await self._run(request)
        given_up = await self._store.runs.give_up(run["id"])
        return self._back(run, "given-up", number=int(given_up))

    def _back(self, run: dict[str, str], done: str, *, number: int = 1) -> Response:
        return RedirectResponse(
            f"/events/{run['event_id']}{query({'done': done, 'n': number})}#{run['id']}", 303, HEADERS
        )

    async def _run(self, request: Request) -> dict[str, str]:
        run = await self._store.runs.get(request.path_params["id"])
        if run is None:
            raise Missing("No run has this id. Its event may have been pruned.")
        return run

    async def _handlers(self, *also: str | None) -> list[str]:
        return sorted({*await self._store.handlers.names(), *(name for name in also if name)})
