"""FineVoice, offline: tasks that make real sound files, and that only answer when they are asked.

What it says about a task that failed, about wrong parameters and about too many requests is not documented: here
it is an error object under the HTTP statuses that its reference lists, and a plain 429.

Source: https://api.finevoice.ai (read 2026-11).
"""

import asyncio
import functools
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from . import media
from .api import ApiError, read_json
from .background import Background
from .faults import Faults
from .knobs import Knobs
from .media import Media

#: Which of its two documents the account answers by: numbers and `taskId`, or words and `task_id`.
Vocabulary = Literal["numbers", "words"]

_NUMBERS = {"pending": 202, "processing": 202, "completed": 200, "failed": 500}

_PATHS = (
    *(f"/v1/audio/{name}" for name in ("sfx-generation", "speech-synthesis", "voice-conversion", "stt", "podcastgen")),
    "/v1/audio/separation",
    *(f"/v1/voice/{name}" for name in ("train", "design")),
    *(f"/v1/music/{name}" for name in ("musicgenbyprompt", "musicgen", "cover")),
)


@dataclass(slots=True, kw_only=True)
class Task:
    """One task."""

    id: str
    origin: str  #: scheme and host of the URLs of its files
    status: Literal["pending", "processing", "completed", "failed"] = "pending"
    files: list[Media] = field(default_factory=list)

    @property
    def urls(self) -> list[str]:
        """Where its files are."""
        return [f"{self.origin}/output/{self.id}_{place}.wav" for place in range(len(self.files))]


class FineVoice:
    """One emulated account. `app.state.finevoice`, while the app runs."""

    def __init__(self, *, knobs: Knobs, background: Background) -> None:
        self.faults = Faults(knobs)
        self.vocabulary: Vocabulary = "numbers"
        self.tasks: dict[str, Task] = {}
        self.asked: list[str] = []  #: the ids that were asked about, in order
        self._knobs = knobs
        self._background = background

    async def submit(self, path: str, parameters: Mapping[str, Any], *, origin: str) -> dict[str, Any]:
        """Start a task, or do it at once. Raises ApiError for what the reference rules out."""
        _check(path, parameters)
        task = Task(id=str(uuid.uuid4()), origin=origin)
        number = len(self.tasks)
        self.tasks[task.id] = task
        if parameters.get("useAsync") is False:
            await self._live(task, path, parameters, number)
            return {key: value for key, value in self.describe(task).items() if key not in ("taskId", "task_id")}
        self._background.start(self._live(task, path, parameters, number))
        return self.describe(task)

    def describe(self, task: Task) -> dict[str, Any]:
        """Return the task as the chosen document tells it."""
        url = task.urls[0] if task.urls else None
        failed = task.status == "failed"
        if self.vocabulary == "words":
            error = "The emulator let this task fail." if failed else None
            return {"task_id": task.id, "status": task.status, "url": url, "error": error}
        told: dict[str, Any] = {"status": _NUMBERS[task.status], "taskId": task.id, "service": "emulator", "port": "0"}
        if url:
            told |= {"url": url, "urls": task.urls}
        if failed:
            told["error"] = {"code": "emulated", "message": "The emulator let this task fail."}
        return told

    async def _live(self, task: Task, path: str, parameters: Mapping[str, Any], number: int) -> None:
        await asyncio.sleep(self._knobs.seconds / 4)
        task.status = "processing"
        await asyncio.sleep(self._knobs.seconds * 3 / 4)
        if self._knobs.dice("task", number).random() < self._knobs.fail:
            task.status = "failed"
            return
        seconds = parameters.get("duration") or 3
        count = 2 if path.endswith("separation") else 1  # a voice and the rest
        make = functools.partial(media.sound, seconds=seconds)
        task.files = [await asyncio.to_thread(make, variant=(number + at) % 12) for at in range(count)]
        task.status = "completed"


def _check(path: str, parameters: Mapping[str, Any]) -> None:
    duration = parameters.get("duration")
    if path.endswith("sfx-generation"):
        if parameters.get("sourceUrl") and parameters.get("sourceType") not in ("image", "video"):
            raise ApiError(422, "sourceType must be image or video")
        if duration is not None and not (isinstance(duration, int | float) and 0 < duration <= 30):
            raise ApiError(422, "duration must be at most 30")
    if not isinstance(parameters.get("useAsync", True), bool):
        raise ApiError(422, "useAsync must be a boolean")


def _account(request: Request) -> FineVoice:
    account: FineVoice = request.app.state.finevoice
    return account


def _error(status: int, code: str, message: str) -> Response:
    return JSONResponse({"error": {"code": code, "message": message}}, status)


def _limited() -> Response:
    return _error(429, "rate_limited", "Too many requests.")


async def _start(path: str, request: Request) -> Response:
    return JSONResponse(
        await _account(request).submit(path, await read_json(request), origin=str(request.base_url).rstrip("/"))
    )


async def _task(request: Request) -> Response:
    account = _account(request)
    account.asked.append(request.path_params["id"])
    task = account.tasks.get(request.path_params["id"])
    if task is None:
        return _error(404, "not_found", "Task not found.")
    return JSONResponse(account.describe(task))


async def _file(request: Request) -> Response:
    task_id, _, place = request.path_params["name"].removesuffix(".wav").rpartition("_")
    task = _account(request).tasks.get(task_id)
    if task is None or not place.isdecimal() or int(place) >= len(task.files):
        return Response("not found", 404, media_type="text/plain")
    return Response(task.files[int(place)].content, media_type="audio/wav")


def _route(method: str, path: str, operation: Callable[[Request], Any]) -> Route:
    async def endpoint(request: Request) -> Response:
        if (fault := _account(request).faults.answer(_limited)) is not None:
            return fault
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            return _error(401, "unauthorized", "The API key is missing or wrong.")
        try:
            answer: Response = await operation(request)
        except ApiError as error:
            return _error(422 if error.status == 400 else error.status, "invalid", str(error))
        return answer

    return Route(path, endpoint, methods=[method])


def routes() -> Sequence[Route]:
    """Return everything that FineVoice answers to."""
    return [
        *(_route("POST", path, functools.partial(_start, path)) for path in _PATHS),
        _route("GET", "/v1/task/{id}", _task),
        Route("/output/{name}", _file, methods=["GET"]),
    ]
