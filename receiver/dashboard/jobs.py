"""The pages of jobs: what providers work on, how it stands, and how that compares with what is usual."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ..recall import safe
from ..sources import Source
from ..store import Filter, Job, Store
from ..usual import Usual, is_overdue
from .filters import Filters
from .live import News, Watched
from .media import Media
from .pages import HEADERS, Missing, Pages, Views, shown

#: Jobs on a page, and events of one.
LISTED, EVENTS = 50, 50

#: Jobs of a list that are told about while somebody watches it: so many rows grow there.
WATCHED = 100


class Jobs:
    """The pages at `/jobs`."""

    def __init__(
        self,
        *,
        store: Store,
        pages: Pages,
        media: Media,
        sources: Mapping[str, Source],
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._pages = pages
        self._media = media
        self._sources = sources
        self._clock = clock
        self._usual = Usual(store, sources)

    def views(self) -> Views:
        """Return everything that is answered."""
        yield "GET", "/jobs", self._list
        yield "GET", "/jobs/{id:path}", self._show
        yield "POST", "/jobs/{id}/cancel", self._cancel

    async def _list(self, request: Request) -> Response:
        if wanted := request.query_params.get("id", "").strip():
            job = await self._store.jobs.get(wanted)
            if job is None:
                raise Missing("No job has this id, here or at its provider. It may have been pruned.")
            return RedirectResponse(f"/jobs/{job.id}", 303, HEADERS)
        filters = Filters(request.query_params, "source", "tool", "state")
        chosen = {name: filters.values[name] for name in ("source", "tool", "state")}
        page = await self._store.jobs.page(**chosen, cursor=filters.cursor, limit=LISTED)
        return self._pages.answer(
            request,
            "jobs.html",
            filters=filters.values,
            filters_used=filters.used,
            page=page,
            usual=await self._usual.of(page.rows),
            live=None if filters.cursor else f"/live/jobs{filters.query()}",
            sources=sorted(self._sources),
            note=filters.note,
        )

    async def _show(self, request: Request) -> Response:
        job = await self._job(request)
        events = []
        if job.job_id:
            events = (await self._store.events.page(Filter(source=job.source, job_id=job.job_id), limit=EVENTS)).rows
        usual = (await self._usual.of([job]))[job.source, job.tool]
        return self._pages.answer(
            request,
            "job.html",
            job=job,
            usual=usual,
            overdue=is_overdue(job, usual, self._clock()),
            ended=next((event for event in events if event["id"] == job.event_id), None),
            error=job.error,
            metadata=shown(job.metadata) if job.metadata else None,
            parameters=json.dumps(safe(job.parameters), indent=2, ensure_ascii=False),
            run=await self._store.runs.get(job.run_id) if job.run_id else None,
            captured=await self._media.of(source=job.source, job_id=job.job_id) if job.job_id else [],
            events=events,
            standings=await self._store.runs.standings([event["id"] for event in events]),
            note=Filters(request.query_params).note,
        )

    async def _cancel(self, request: Request) -> Response:
        job = await self._job(request)
        cancelled = await self._store.jobs.cancel(job.id)
        return RedirectResponse(f"/jobs/{job.id}?done=cancelled&n={cancelled:d}", 303, HEADERS)

    async def _job(self, request: Request) -> Job:
        said = request.query_params.get("source")
        job = await self._store.jobs.get(request.path_params["id"], source=said or None)
        if job is None:
            raise Missing("No job has this id, here or at its provider. It may have been pruned.")
        return job

    async def look(self, watched: Sequence[Watched]) -> list[list[News]]:
        """Return the newest jobs of each list as its rows, with those that were on it a moment ago."""
        lists = [await self._watched(one) for one in watched]
        usual = await self._usual.of({job.id: job for rows in lists for job in rows}.values())
        return [[self._news(job, usual[job.source, job.tool]) for job in rows] for rows in lists]

    async def _watched(self, one: Watched) -> list[Job]:
        chosen: dict[str, Any] = {name: one.chosen.get(name) for name in ("source", "tool", "state")}
        rows = {job.id: job for job in (await self._store.jobs.page(**chosen, limit=LISTED)).rows}
        rows |= await self._store.jobs.some([key for key in one.told if key not in rows])
        return [rows[key] for key in sorted(rows, reverse=True)[:WATCHED]]

    def _news(self, job: Job, usual: float | None) -> News:
        return News(
            id=job.id,
            mark=(job.state, job.progress, job.error, job.job_id, job.conflict, is_overdue(job, usual, self._clock())),
            render=lambda: self._pages.render("job_news.html", job=job, usual=usual),
        )
