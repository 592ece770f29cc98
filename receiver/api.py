"""The API for applications, `/api/v1`: submit jobs, look at them, wait for them, watch them.

Every request needs `Authorization: Bearer $RECEIVER_ADMIN_TOKEN`. Errors are `application/problem+json`.
"""

import asyncio
import functools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from . import access
from .callback import Callbacks
from .errors import BadParameters, ConfigError, NoAccess, Unavailable
from .recall import all_described, described
from .sources import Source
from .store import Job, Store
from .store.ledger import DEADLINE
from .tracker import expected_job, new_job

#: Seconds between two looks at a job that somebody waits for, and the longest wait.
LOOK, LONGEST_WAIT = 0.25, 60.0

#: Seconds of silence after which a watcher is told that we are still there.
ALIVE = 15.0

#: Requests that may wait or watch at once: each looks at the store again and again.
WATCHERS = 200

#: Bytes of a submission.
LARGEST = 2**20


class Wish(BaseModel):
    """The body of a submission."""

    model_config = ConfigDict(extra="forbid", strict=True)

    source: str
    tool: str
    parameters: dict[str, Any] = {}
    metadata: dict[str, Any] = {}
    deadline: Annotated[float, Field(gt=0, le=30 * 86_400)] = DEADLINE


class Expected(BaseModel):
    """The body of a request for a URL at which a provider may call back."""

    model_config = ConfigDict(extra="forbid", strict=True)

    source: str
    metadata: dict[str, Any] = {}
    deadline: Annotated[float, Field(gt=0, le=30 * 86_400)] = DEADLINE


class Page(BaseModel):
    """The query of a listing."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=1000)] = 50
    before: str | None = None
    source: str | None = None
    tool: str | None = None
    state: str | None = None


class Problem(Exception):
    """An answer that says no: HTTP status and why."""

    def __init__(self, status: int, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers


class Api:
    """The routes of the API."""

    def __init__(
        self, *, store: Store, sources: Mapping[str, Source], token: SecretStr | None, callbacks: Callbacks
    ) -> None:
        self._store = store
        self._sources = sources
        self._token = token
        self._callbacks = callbacks
        self._watchers = 0

    def routes(self) -> list[Route]:
        """Return everything that is answered."""
        calls: tuple[tuple[str, str, Callable[[Request], Awaitable[Response]]], ...] = (
            ("POST", "/jobs", self._submit),
            ("POST", "/callbacks", self._expect),
            ("GET", "/jobs", self._list),
            ("GET", "/jobs/{id}", self._show),
            ("GET", "/jobs/{id}/events", self._watch),
            ("POST", "/jobs/{id}/cancel", self._cancel),
        )
        return [
            Route(f"/api/v1{path}", functools.partial(self._answer, call), methods=[method])
            for method, path, call in calls
        ]

    async def _answer(self, call: Callable[[Request], Awaitable[Response]], request: Request) -> Response:
        try:
            access.check(request, self._token)
            return await call(request)
        except (NoAccess, Problem) as problem:
            return _problem(problem.status, str(problem), headers=problem.headers)
        except ValidationError as error:
            told = "; ".join(
                ": ".join(filter(None, (".".join(map(str, one["loc"])), one["msg"]))) for one in error.errors()
            )
            return _problem(422, told)
        except BadParameters as error:
            return _problem(422, str(error))
        except Unavailable as error:
            return _problem(503, "the store does not answer", headers={"retry-after": str(error.retry_after)})

    async def _submit(self, request: Request) -> Response:
        wish = Wish.model_validate_json(await _body(request))
        job = new_job(
            self._sources, wish.source, wish.tool, wish.parameters, metadata=wish.metadata, deadline=wish.deadline
        )
        await self._store.jobs.add(job)
        headers = {"location": f"/api/v1/jobs/{job.id}"}
        return JSONResponse(await self._told(await self._job(job.id)), 202, headers)

    async def _expect(self, request: Request) -> Response:
        wish = Expected.model_validate_json(await _body(request))
        job = expected_job(self._sources, wish.source, metadata=wish.metadata, deadline=wish.deadline)
        try:
            self._callbacks.url(job.source, job.id, expires=0)  # before anything is kept
        except ConfigError as error:
            raise Problem(409, str(error)) from None
        expires = await self._store.hints.expect(job)
        told = {"job": job.id, "url": self._callbacks.url(job.source, job.id, expires=expires), "expires_at": expires}
        return JSONResponse(told, 201, {"location": f"/api/v1/jobs/{job.id}"})

    async def _list(self, request: Request) -> Response:
        page = Page.model_validate(dict(request.query_params))
        found = await self._store.jobs.recent(**page.model_dump())
        more = found[-1].id if len(found) == page.limit else None
        return JSONResponse({"jobs": await all_described(self._store, found, self._sources), "next": more})

    async def _show(self, request: Request) -> Response:
        seconds = _seconds(request.query_params.get("wait", "0"))
        job = await self._job(request.path_params["id"])
        if seconds and job.ended_at is None:
            self._check_room()
            with self._watching():
                deadline = time.monotonic() + seconds
                while job.ended_at is None and time.monotonic() < deadline:
                    await asyncio.sleep(LOOK)
                    job = await self._job(job.id)
        return JSONResponse(await self._told(job))

    async def _watch(self, request: Request) -> Response:
        job = await self._job(request.path_params["id"])
        self._check_room()
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(self._changes(job), media_type="text/event-stream", headers=headers)

    async def _changes(self, job: Job) -> AsyncIterator[str]:
        """Tell how a job stands whenever that changes, as server-sent events, until it has ended."""
        with self._watching():
            told, silent_since = None, time.monotonic()
            while True:
                state = (job.state, job.status, job.progress, job.error)
                if state != told:
                    told, silent_since = state, time.monotonic()
                    yield f"event: job\ndata: {json.dumps(await self._told(job))}\n\n"
                elif time.monotonic() - silent_since > ALIVE:
                    silent_since = time.monotonic()
                    yield ": still there\n\n"
                if job.ended_at is not None:
                    return
                await asyncio.sleep(LOOK)
                job = await self._job(job.id)

    async def _cancel(self, request: Request) -> Response:
        job = await self._job(request.path_params["id"])
        if not await self._store.jobs.cancel(job.id):
            raise Problem(409, f"the job has {job.state} already")
        return JSONResponse(await self._told(await self._job(job.id)), 202)

    async def _job(self, id: str) -> Job:
        job = await self._store.jobs.get(id)
        if job is None:
            raise Problem(404, "no job has this id")
        return job

    async def _told(self, job: Job) -> dict[str, Any]:
        return await described(self._store, job, self._sources)

    def _check_room(self) -> None:
        if self._watchers >= WATCHERS:
            raise Problem(503, f"{WATCHERS} requests wait for jobs already", headers={"retry-after": "5"})

    @contextmanager
    def _watching(self) -> Iterator[None]:
        self._watchers += 1
        try:
            yield
        finally:
            self._watchers -= 1


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > LARGEST:
            raise Problem(413, f"a submission has at most {LARGEST} bytes")
    return bytes(body)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= LONGEST_WAIT:
        raise Problem(422, f"wait is a number of seconds from 0 to {LONGEST_WAIT:g}")
    return seconds


def _problem(status: int, detail: str, *, headers: Mapping[str, str] | None = None) -> Response:
    content = {"type": "about:blank", "status": status, "detail": detail}
    return JSONResponse(content, status, dict(headers or {}), media_type="application/problem+json")
