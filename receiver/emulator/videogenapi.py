"""VideoGenAPI, offline: generations that make real videos, and that only answer when they are asked.

What a failed generation says, the list of generations and the account's usage are not documented: here they are
plain objects.

Source: https://videogenapi.com/docs (read 2026-11).
"""

import asyncio
import secrets
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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

_LIFE: tuple[Literal["pending", "in_queue", "in_progress"], ...] = ("pending", "in_queue", "in_progress")


@dataclass(slots=True, kw_only=True)
class Generation:
    """One generation."""

    id: str
    type: str
    parameters: Mapping[str, Any]
    origin: str
    status: Literal["pending", "in_queue", "in_progress", "completed", "failed"] = "pending"
    video: Media | None = None
    completed_at: str | None = None  #: without a zone, as in the documents


class VideoGenApi:
    """One emulated account. `app.state.videogenapi`, while the app runs."""

    def __init__(self, *, knobs: Knobs, clock: Callable[[], float], background: Background) -> None:
        self.faults = Faults(knobs)
        self.generations: dict[str, Generation] = {}
        self.asked: list[str] = []  #: the ids that were asked about, in order
        self._knobs = knobs
        self._clock = clock
        self._background = background

    def submit(self, parameters: Mapping[str, Any], *, origin: str) -> Generation:
        """Start a generation. Raises ApiError for what the documents rule out."""
        prompt, references = parameters.get("prompt"), parameters.get("reference_image_urls")
        if not isinstance(prompt, str) or not 0 < len(prompt) <= 1000:
            raise ApiError(400, "prompt is required, of 1000 characters at most")
        if references is not None and not (isinstance(references, list) and 1 <= len(references) <= 5):
            raise ApiError(400, "reference_image_urls takes 1 to 5 images")
        mode = (
            "multi-image-to-video" if references else "image-to-video" if "image_url" in parameters else "text-to-video"
        )
        generation = Generation(
            id=f"gen_{secrets.token_hex(7)}_{len(self.generations):06}", type=mode, parameters=parameters, origin=origin
        )
        number = len(self.generations)
        self.generations[generation.id] = generation
        self._background.start(self._live(generation, number))
        return generation

    async def _live(self, generation: Generation, number: int) -> None:
        for status in _LIFE:
            generation.status = status
            await asyncio.sleep(self._knobs.seconds / len(_LIFE))
        if self._knobs.dice("generation", number).random() < self._knobs.fail:
            generation.status = "failed"
            return
        seconds = generation.parameters.get("duration") or 2
        generation.video = await asyncio.to_thread(
            media.video, width=256, height=144, seconds=seconds, variant=number % 12
        )
        generation.completed_at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(self._clock()))
        generation.status = "completed"


def _accepted(generation: Generation) -> dict[str, Any]:
    given = generation.parameters
    return {
        "success": True,
        "generation_id": generation.id,
        "request_id": str(uuid.uuid4()),
        "status": "pending",
        "type": generation.type,
        "model": {"key": given.get("model", "sora-2"), "name": "Emulated", "provider": "emulator"},
        "prompt": given["prompt"],
        "duration": given.get("duration", 5),
        "resolution": given.get("resolution", "720p"),
        "seed": given.get("seed", -1),
        # As documented: joined to the base URL, which ends in /v1 too, it leads nowhere.
        "status_url": f"/v1/status/{generation.id}",
        "message": "Video generation started",
        "usage": {"current_month_usage": 1, "monthly_limit": 1000},
    }


def _status(generation: Generation) -> dict[str, Any]:
    told: dict[str, Any] = {"success": True, "generation_id": generation.id, "status": generation.status}
    if generation.status == "completed":
        told |= {
            "video_url": f"{generation.origin}/api/v1/video/{generation.id}",
            "processing_time": 1,
            "completed_at": generation.completed_at,
            "seed": 7,
        }
    if generation.status == "failed":
        told["error"] = "The emulator let this generation fail."
    return told


def _account(request: Request) -> VideoGenApi:
    account: VideoGenApi = request.app.state.videogenapi
    return account


def _error(status: int, message: str) -> Response:
    return JSONResponse({"error": message}, status)


def _limited() -> Response:
    details = {"current_usage": 10, "limit": 10, "window": "1 hour", "seconds_until_reset": 1, "upgrade_required": True}
    return JSONResponse({"error": "Sora-2 rate limit exceeded", "message": "Come back later", "details": details}, 429)


async def _generate(request: Request) -> Response:
    origin = str(request.base_url).rstrip("/")
    return JSONResponse(_accepted(_account(request).submit(await read_json(request), origin=origin)))


async def _ask(request: Request) -> Response:
    account = _account(request)
    account.asked.append(request.path_params["id"])
    generation = account.generations.get(request.path_params["id"])
    return JSONResponse(_status(generation)) if generation else _error(404, "Generation not found")


async def _list(request: Request) -> Response:
    newest = list(_account(request).generations.values())[::-1]
    return JSONResponse({"generations": [{**_status(one), "type": one.type} for one in newest[:20]]})


async def _user(request: Request) -> Response:
    return JSONResponse({"usage": {"current_month_usage": len(_account(request).generations), "monthly_limit": 1000}})


async def _video(request: Request) -> Response:
    generation = _account(request).generations.get(request.path_params["id"])
    if generation is None or generation.video is None:
        return _error(404, "Video not found")
    return Response(generation.video.content, media_type="video/mp4")


def _route(method: str, path: str, operation: Callable[[Request], Any]) -> Route:
    async def endpoint(request: Request) -> Response:
        if (fault := _account(request).faults.answer(_limited)) is not None:
            return fault
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            return _error(401, "Invalid API key")
        try:
            answer: Response = await operation(request)
        except ApiError as error:
            return _error(error.status, str(error))
        return answer

    return Route(f"/api/v1{path}", endpoint, methods=[method])


def routes() -> Sequence[Route]:
    """Return everything that VideoGenAPI answers to."""
    return [
        _route("POST", "/generate", _generate),
        _route("GET", "/status/{id}", _ask),
        _route("GET", "/generations", _list),
        _route("GET", "/user", _user),
        Route("/api/v1/video/{id}", _video, methods=["GET"]),
    ]
