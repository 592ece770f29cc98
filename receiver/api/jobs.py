"""Calls about jobs: submit them, look at them, wait for them, watch them."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from starlette.responses import Response, StreamingResponse

from ..callback import Callbacks
from ..errors import ConfigError
from ..recall import all_described, described
from ..sources import Source
from ..store import Job, Store
from ..tracker import expected_job, new_job, tracked_job
from ..usual import Usual
from .call import Call, Said
from .models.jobs import (
    CallbackAnswer,
    CallbackBody,
    JobAnswer,
    JobsAnswer,
    JobsQuery,
    NewJobBody,
    TrackBody,
    WaitQuery,
)
from .problem import Answer, Problem

#: Seconds between two looks at a job that somebody waits for.
LOOK = 0.25

#: Seconds of silence after which a watcher is told that we are still there.
ALIVE = 15.0

#: Requests that may wait or watch at once: each looks at the store again and again.
WATCHERS = 200


class JobCalls:
    """Jobs: submit, find, show, wait, watch, cancel."""

    def __init__(self, store: Store, sources: Mapping[str, Source], callbacks: Callbacks) -> None:
        self._store = store
        self._sources = sources
        self._callbacks = callbacks
        self._usual = Usual(store, sources)
        self._watchers = 0

    def calls(self) -> list[Call]:
        """Return what is answered."""
        return [
            Call(
                method="GET",
                path="/jobs",
                does=self._list,
                summary="List jobs, newest first",
                query=JobsQuery,
                answer=JobsAnswer,
            ),
            Call(
                method="POST",
                path="/jobs",
                does=self._submit,
                summary="Submit a job; a worker sends it off",
                body=NewJobBody,
                answer=JobAnswer,
                status=202,
                refuses=(413,),
            ),
            Call(
                method="POST",
                path="/jobs/track",
                does=self._track,
                summary="Look after a job that was started elsewhere; once, however often this is said",
                body=TrackBody,
                answer=JobAnswer,
                refuses=(413,),
            ),
            Call(
                method="GET",
                path="/jobs/{id}",
                does=self._show,
                summary="Show a job by our id or its provider's, at once or when it has ended",
                query=WaitQuery,
                answer=JobAnswer,
                refuses=(404,),
            ),
            Call(
                method="GET",
                path="/jobs/{id}/events",
                does=self._watch,
                summary="Tell each change of a job until its end, as server-sent events named `job`",
                answer="text/event-stream",
                refuses=(404,),
            ),
            Call(
                method="POST",
                path="/callbacks",
                does=self._expect,
                summary="Make a URL at which a provider that signs nothing may call back about one job",
                body=CallbackBody,
                answer=CallbackAnswer,
                status=201,
                refuses=(409, 413),
            ),
            Call(
                method="POST",
                path="/jobs/{id}/cancel",
                does=self._cancel,
                summary="Ask for the end of a job",
                answer=JobAnswer,
                status=202,
                refuses=(404, 409),
            ),
        ]

    async def _submit(self, said: Said) -> Response:
        body = said.body
        job = new_job(
            self._sources, body.source, body.tool, body.parameters, metadata=body.metadata, deadline=body.deadline
        )
        await self._store.jobs.add(job)
        headers = {"location": f"/api/v1/jobs/{job.id}"}
        return Answer(await self._told(await self._job(job.id)), 202, headers)

    async def _track(self, said: Said) -> Any:
        body = said.body
        job = tracked_job(
            self._sources, body.source, body.job_id, body.tool, metadata=body.metadata, deadline=body.deadline
        )
        return await self._told(await self._store.jobs.track(job))

    async def _expect(self, said: Said) -> Response:
        body = said.body
        job = expected_job(self._sources, body.source, metadata=body.metadata, deadline=body.deadline)
        try:
            self._callbacks.url(job.source, job.id, expires=0)  # before anything is kept
        except ConfigError as error:
            raise Problem(409, str(error)) from None
        expires = await self._store.hints.expect(job)
        told = {"job": job.id, "url": self._callbacks.url(job.source, job.id, expires=expires), "expires_at": expires}
        return Answer(told, 201, {"location": f"/api/v1/jobs/{job.id}"})

    async def _list(self, said: Said) -> Any:
        page = await self._store.jobs.page(**said.query.model_dump())
        return {"jobs": await all_described(self._store, page.rows, self._sources, self._usual), "next": page.next}

    async def _show(self, said: Said) -> Any:
        seconds = said.query.wait
        job = await self._job(said.id)
        if seconds and job.ended_at is None:
            self._check_room()
            with self._watching():
                deadline = time.monotonic() + seconds
                while job.ended_at is None and time.monotonic() < deadline:
                    await asyncio.sleep(LOOK)
                    job = await self._job(job.id)
        return await self._told(job)

    async def _watch(self, said: Said) -> Response:
        job = await self._job(said.id)
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

    async def _cancel(self, said: Said) -> Any:
        job = await self._job(said.id)
        if not await self._store.jobs.cancel(job.id):
            raise Problem(409, f"the job has {job.state} already")
        return await self._told(await self._job(job.id))

    async def _job(self, id: str) -> Job:
        job = await self._store.jobs.get(id)
        if job is None:
            raise Problem(404, "no job has this id")
        return job

    async def _told(self, job: Job) -> dict[str, Any]:
        return await described(self._store, job, self._sources, self._usual)

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
