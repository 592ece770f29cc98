"""The pages of events: what providers told, and what became of it."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ..recall import event_of, headers_told
from ..replay import replay
from ..sources import Source, WebhookSource
from ..store import PATIENCE, SEARCH, Filter, Page, Store
from .filters import Filters
from .live import News, Watched
from .media import Media
from .pages import HEADERS, Missing, Pages, Views, pretty, shown

#: Events on a page.
LISTED = 50

#: What those who watch a list may have chosen, and events of it that are told about: so many rows grow there.
CHOSEN, WATCHED = ("source", "type", "state", "job_id", "road"), 100

#: Seconds after its receipt within which an event is stored, unless the store keeps its writers waiting.
LATE = 10.0

#: Further copies that a timeline has, and other events of a job.
COPIES, OTHERS = 20, 20


class Events:
    """The pages at `/events`."""

    def __init__(
        self, *, store: Store, pages: Pages, media: Media, sources: Mapping[str, Source], public_url: str | None
    ) -> None:
        self._store = store
        self._pages = pages
        self._media = media
        self._sources = sources
        self._public_url = public_url

    def views(self) -> Views:
        """Return everything that is answered."""
        yield "GET", "/events", self._list
        yield "GET", "/events/{id}", self._show
        yield "POST", "/events/{id}/replay", self._replay

    async def _list(self, request: Request) -> Response:
        filters = Filters(request.query_params, "text", "source", "type", "state", "since", "until", "job_id", "road")
        page: Page[dict[str, Any]] = Page(rows=[], next=None)
        found = None
        if not filters.problem:
            page, found = await self._found(filters)
        live = filters.cursor is None and not filters.problem and not {"text", "since", "until"} & set(filters.used)
        return self._pages.answer(
            request,
            "events.html",
            filters=filters.values,
            filters_used=filters.used,
            problem=filters.problem,
            found=found,
            page=page,
            standings=await self._store.runs.standings([row["id"] for row in page.rows]),
            live=f"/live/events{filters.query()}" if live else None,
            sources=sorted(self._sources),
            types=sorted(
                {name for one in self._sources.values() if isinstance(one, WebhookSource) for name in one.events}
            ),
            public_url=self._public_url,
            note=filters.note,
        )

    async def _found(self, filters: Filters) -> tuple[Page[dict[str, Any]], str | None]:
        """Return the events that are meant; what was typed may be an id, a job's, or a text in bodies."""
        wanted = Filter(
            **{name: filters.values[name] for name in ("source", "type", "state", "job_id", "road")},
            since=filters.since,
            until=filters.until,
        )
        said = filters.values["text"]
        if said and filters.cursor is None:
            job = await self._store.jobs.get(said, source=wanted.source)
            ids = (
                (replace(wanted, id=said), "It is the id of an event."),
                (replace(wanted, job_id=job.job_id if job and job.job_id else said), "It is the id of a job."),
            )
            for exactly, told in ids:
                page = await self._store.events.page(exactly, limit=LISTED)
                if page.rows:
                    return page, told
        patience = SEARCH if said else PATIENCE
        page = await self._store.events.page(
            replace(wanted, text=said), cursor=filters.cursor, limit=LISTED, patience=patience
        )
        return page, "It stands in the bodies of these." if said and page.rows else None

    async def _show(self, request: Request) -> Response:
        row = await self._row(request)
        event = event_of(row, self._sources)
        others = await self._others(row)
        job = await self._store.jobs.get(row["job_id"], source=row["source"]) if row["job_id"] else None
        body, remark = await asyncio.to_thread(pretty, bytes(row["body"]))
        return self._pages.answer(
            request,
            "event.html",
            **(await self._timelines([row]))[0],
            error=event.error,
            captured=await self._media.of(event_id=row["id"]),
            body=body,
            remark=remark,
            headers=headers_told(row["headers"]),
            metadata=shown(job.metadata) if job and job.metadata else None,
            others=others,
            standings=await self._store.runs.standings([other["id"] for other in others]),
            note=Filters(request.query_params).note,
        )

    async def _others(self, row: Mapping[str, Any]) -> list[dict[str, Any]]:
        if not row["job_id"]:
            return []
        page = await self._store.events.page(Filter(source=row["source"], job_id=row["job_id"]), limit=OTHERS)
        return [other for other in page.rows if other["id"] != row["id"]]

    async def _timelines(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return what the timeline of each event shows. However many are watched, it takes the same few queries."""
        if not rows:
            return []
        ids = [row["id"] for row in rows]
        copies = await self._store.events.copies_of(ids, limit=COPIES)
        histories = await self._store.events.histories(ids)
        return [
            {"event": row, "copies": copies[name], "runs": _with_attempts(histories[name])}
            for name, row in zip(ids, rows, strict=True)
        ]

    async def _replay(self, request: Request) -> Response:
        row = await self._row(request)
        handlers = await self._store.handlers.there()
        if not handlers:
            return RedirectResponse(f"/events/{row['id']}?done=no-worker", 303, HEADERS)
        started = (await replay(self._store, Filter(id=row["id"]), handlers)).runs
        return RedirectResponse(f"/events/{row['id']}?done=started&n={started}", 303, HEADERS)

    async def _row(self, request: Request) -> dict[str, Any]:
        row = await self._store.events.get(request.path_params["id"])
        if row is None:
            raise Missing("No event has this id. It may have been pruned.")
        return row

    async def look(self, watched: Sequence[Watched]) -> list[list[News]]:
        """Return the newest events of each list as its rows, with those that were on it a moment ago."""
        rows: dict[str, dict[str, Any]] = {}
        lists = [await self._newest(one, rows) for one in watched]
        rows |= await self._store.events.listed({key for keys in lists for key in keys} - rows.keys())
        standings = await self._store.runs.standings(list(rows))
        news = {key: self._news(row, standings.get(key, {})) for key, row in rows.items()}
        return [[news[key] for key in keys if key in news] for keys in lists]

    async def _newest(self, one: Watched, rows: dict[str, dict[str, Any]]) -> list[str]:
        """Return the ids that a list has; what was found of them goes into `rows`."""
        chosen: dict[str, Any] = {name: one.chosen.get(name) for name in CHOSEN}
        wanted = Filter(**chosen)
        if one.since is not None:  # what came before is told already, or was too old for the list
            wanted = replace(wanted, since=one.since - LATE)
        found = {row["id"]: row for row in (await self._store.events.page(wanted, limit=LISTED)).rows}
        rows |= found
        return sorted({*found, *one.told}, reverse=True)[:WATCHED]

    def _news(self, row: Mapping[str, Any], standing: Mapping[str, int]) -> News:
        return News(
            id=row["id"],
            mark=(row["state"], standing),
            render=lambda: self._pages.render("event_row.html", event=row, standing=standing),
        )

    async def look_at(self, watched: Sequence[Watched]) -> list[list[News]]:
        """Return the timelines of events."""
        found = {}
        rows = await self._store.events.listed({one.chosen.get("id", "") for one in watched})
        for timeline in await self._timelines(list(rows.values())):
            row = timeline["event"]
            mark = (
                row["state"],
                len(timeline["copies"]),
                [
                    (run["id"], run["state"], run["due_at"], run["paused"], run["behind"], len(run["attempts"]))
                    for run in timeline["runs"]
                ],
            )
            found[row["id"]] = News(id=row["id"], mark=mark, render=self._renders("timeline.html", timeline))
        return [[found[key]] if (key := one.chosen.get("id", "")) in found else [] for one in watched]

    def _renders(self, template: str, values: Mapping[str, Any]) -> Any:
        return lambda: self._pages.render(template, **values)


def _with_attempts(history: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the runs of an event, each with its attempts; those that need a look first."""
    found: dict[str, dict[str, Any]] = {}
    for row in history:
        run = found.setdefault(row["id"], {**row, "attempts": []})
        if row["number"] is not None:
            attempt = {
                "number": row["number"],
                "outcome": row["outcome"],
                "error": row["attempt_error"],
                "note": row["note"],
            }
            times = {"started_at": row["attempt_started_at"], "finished_at": row["attempt_finished_at"]}
            run["attempts"].append(attempt | times)
    return sorted(found.values(), key=lambda run: _ORDER.index(run["state"]))


_ORDER = ("failed", "running", "waiting", "done")
