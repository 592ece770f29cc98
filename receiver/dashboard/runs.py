"""The pages of runs: what failed first, and running it again, one or many."""

from collections.abc import Mapping
from math import isfinite

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ..sources import Source
from ..store import LOOKED, Changed, Filter, RunFilter, Store
from .filters import Filters
from .forms import form
from .pages import HEADERS, Missing, Pages, Views, query

#: Runs on a page.
LISTED = 50

#: What can be done to many runs, and in which state these are.
MANY: dict[str, Changed] = {"retry": "failed", "give-up": "waiting"}

#: Seconds that one request changes runs; the page goes on with the next.
PATIENCE = 0.5


class Runs:
    """The pages at `/runs`."""

    def __init__(self, *, store: Store, pages: Pages, sources: Mapping[str, Source]) -> None:
        self._store = store
        self._pages = pages
        self._sources = sources

    def views(self) -> Views:
        """Return everything that is answered."""
        yield "GET", "/runs", self._list
        for many in MANY:
            yield "GET", f"/runs/{many}", self._count
            yield "POST", f"/runs/{many}", self._change
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
            states={run["state"] for run in page.rows},
            handlers=await self._handlers(wanted.handler, *(run["handler"] for run in page.rows)),
            note=filters.note,
        )

    async def _count(self, request: Request) -> Response:
        filters = Filters(request.query_params, "handler", "source", "since")
        counted = None
        if not filters.problem:
            state = MANY[_many(request)]
            counted = await self._store.replays.count(state, _meant(filters), handler=filters.values["handler"])
        return self._pages.answer(
            request,
            "many.html",
            many=_many(request),
            counted=counted,
            looked=LOOKED,
            problem=filters.problem,
            handlers=await self._handlers(filters.values["handler"]),
            sources=sorted(self._sources),
            filters=filters.values,
        )

    async def _change(self, request: Request) -> Response:
        """Change some of the runs that were counted, and say how to go on."""
        many, said = _many(request), await form(request)
        filters = Filters(said, "handler", "source", "since", "count", "more", "at", "so_far")
        if filters.problem:
            raise Missing(filters.problem)
        until, count = _number(filters.values["at"]), int(_number(filters.values["count"]))
        done = int(_number(filters.values["so_far"] or "0"))
        replays = self._store.replays
        some = replays.retry_some if many == "retry" else replays.give_up_some
        piece = await some(
            _meant(filters),
            handler=filters.values["handler"],
            after=filters.cursor or "",
            until=until,
            patience=PATIENCE,
        )
        done += piece.runs
        if piece.last is None:
            return RedirectResponse(f"/runs{query({'done': f'all-{many}', 'n': done})}", 303, HEADERS)
        fields = {**filters.values, "count": count, "so_far": done, "cursor": piece.last}
        return self._pages.answer(request, "many_going_on.html", many=many, fields=fields)

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


def _many(request: Request) -> str:
    return request.url.path.rsplit("/", 1)[-1]


def _meant(filters: Filters) -> Filter:
    return Filter(source=filters.values["source"], since=filters.since)


def _number(said: str | None) -> float:
    """Return a number that a form of ours gave back."""
    try:
        number = float(said or "")
    except ValueError:
        number = float("nan")
    if not isfinite(number):
        raise Missing("Count the runs first: only what was counted is changed.")
    return number
