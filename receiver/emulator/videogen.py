"""VideoGen, offline: its account in memory and its routes.

Source: the public API documentation, the types of VideoGen's TypeScript SDK and the Python SDK 2.5.3.
"""

import copy
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from . import catalog, entities, storage, studio
from .api import ApiError, page, read_json, route
from .background import Background
from .deliveries import Delivery, Webhooks
from .endpoints import Endpoint, new_endpoint
from .faults import Faults
from .files import File, Library
from .jobs import Execution, Jobs
from .knobs import Knobs
from .tools import TOOLS, Tool
from .uploads import Uploads
from .works import Works

#: With less than this many seconds left, asking for an execution signs its URLs anew.
_SIGN_AGAIN = 3600


class VideoGen:
    """One emulated account. `app.state.videogen`, while the app runs."""

    def __init__(
        self, *, knobs: Knobs, clock: Callable[[], float], client: httpx.AsyncClient, background: Background
    ) -> None:
        self.clock = clock
        self.faults = Faults(knobs)
        self.library = Library(url_seconds=knobs.url_seconds, clock=clock)
        self.webhooks = Webhooks(knobs=knobs, clock=clock, client=client, background=background)
        parts: Mapping[str, Any] = {
            "knobs": knobs,
            "library": self.library,
            "webhooks": self.webhooks,
            "background": background,
            "clock": clock,
        }
        self.jobs = Jobs(**parts)
        self.uploads = Uploads(**parts)
        self.works = Works(**parts)
        self.projects: dict[str, dict[str, Any]] = {}
        self.entities = copy.deepcopy(catalog.ENTITIES)
        self._background = background

    @property
    def deliveries(self) -> list[Delivery]:
        """Every request made to a webhook so far, oldest first."""
        return self.webhooks.deliveries

    def announce(self, event: str, body: dict[str, Any]) -> None:
        """Send `{"event": event, **body}` to the endpoints that want it, whatever it says."""
        self.webhooks.announce(event, body)

    async def settled(self) -> None:
        """Wait until all jobs have ended and nothing is left to deliver."""
        await self._background.settled()

    def execution(self, id: str) -> Execution:
        """Return an execution. Raises ApiError 404."""
        try:
            return self.jobs.executions[id]
        except KeyError:
            raise ApiError(404, "Tool execution not found.", code="not_found") from None

    def file(self, id: str) -> File:
        """Return a file. Raises ApiError 404."""
        try:
            return self.library.files[id]
        except KeyError:
            raise ApiError(404, "File not found.", code="not_found") from None


def _account(request: Request) -> VideoGen:
    account: VideoGen = request.app.state.videogen
    return account


def _origin(request: Request) -> str:
    return str(request.base_url).rstrip("/")


async def _create_endpoint(request: Request) -> Response:
    account = _account(request)
    endpoint = new_endpoint(await read_json(request), now=account.clock())
    account.webhooks.endpoints[endpoint.id] = endpoint
    return JSONResponse({**endpoint.as_json(), "signingSecret": endpoint.secret}, 201)


async def _list_endpoints(request: Request) -> Response:
    endpoints = _account(request).webhooks.endpoints
    return page(request, "endpoints", endpoints, Endpoint.as_json)


async def _delete_endpoint(request: Request) -> Response:
    if _account(request).webhooks.endpoints.pop(request.path_params["id"], None) is None:
        raise ApiError(404, "Webhook endpoint not found.", code="not_found")
    return Response(status_code=204)


async def _start(tool: Tool, request: Request) -> Response:
    execution = _account(request).jobs.submit(tool, await read_json(request), origin=_origin(request))
    return JSONResponse({"toolExecutionId": execution.id}, 202)


async def _list_executions(request: Request) -> Response:
    jobs = _account(request).jobs
    return page(request, "toolExecutions", jobs.executions, jobs.describe)


async def _get_execution(request: Request) -> Response:
    account = _account(request)
    execution = account.execution(request.path_params["id"])
    for file in execution.files:
        account.library.renew(file, unless_left=_SIGN_AGAIN)
    return JSONResponse(account.jobs.describe(execution))


async def _cancel_execution(request: Request) -> Response:
    account = _account(request)
    execution = account.execution(request.path_params["id"])
    account.jobs.cancel(execution)
    return JSONResponse({"toolExecutionId": execution.id}, 202)


async def _list_files(request: Request) -> Response:
    library = _account(request).library
    shown = {key: file for key, file in library.files.items() if not file.archived}
    return page(request, "files", shown, functools.partial(library.describe, hydrated=False))


async def _get_file(request: Request) -> Response:
    account = _account(request)
    file = account.file(request.path_params["id"])
    analysis = {
        "analysisLoadingState": file.analysis,
        "analysisProgressPercentage": 100 if file.analysis == "FULFILLED" else 0,
        "analysisAttemptIndex": 0,
    }
    return JSONResponse({**account.library.describe(file, hydrated=False), "fileAnalysisMetadata": analysis})


async def _hydrate_file(request: Request) -> Response:
    account = _account(request)
    file = account.file(request.path_params["id"])
    account.library.renew(file)
    return JSONResponse(account.library.describe(file))


async def _archive_file(request: Request) -> Response:
    account = _account(request)
    file = account.file(request.path_params["id"])
    file.archived = True
    return JSONResponse(account.library.describe(file, hydrated=False))


async def _create_upload(request: Request) -> Response:
    file, url = _account(request).uploads.create(await read_json(request), origin=_origin(request))
    return JSONResponse({"fileId": file.id, "uploadUrl": url})


async def _me(_request: Request) -> Response:
    return JSONResponse(catalog.ME)


async def _languages(request: Request) -> Response:
    return JSONResponse({"languages": catalog.LANGUAGES})


async def _list(key: str, items: Mapping[str, dict[str, Any]], request: Request) -> Response:
    return page(request, key, items, dict)


async def _search_files(request: Request) -> Response:
    wanted = (await read_json(request)).get("query")
    library = _account(request).library
    found = [file for file in library.files.values() if file.analysis == "FULFILLED" and not file.archived]
    named = [file for file in found if isinstance(wanted, str) and wanted.lower() in (file.name or "").lower()]
    described = [library.describe(file, hydrated=False) for file in named]
    return JSONResponse({"files": described, "hasMore": False, "nextCursor": None})


async def _publish(public: bool, request: Request) -> Response:
    account = _account(request)
    file = account.file(request.path_params["id"])
    file.public = public
    return JSONResponse(account.library.describe(file, hydrated=False))


async def _download(request: Request) -> Response:
    return storage.download(request, _account(request).library)


async def _upload(request: Request) -> Response:
    account = _account(request)
    return await storage.upload(request, account.library, account.uploads)


def routes() -> Sequence[Route]:
    """Return everything that VideoGen answers to."""
    tools = [route("POST", f"/v1/tools/{tool.path}", functools.partial(_start, tool)) for tool in TOOLS]
    listings = [
        route("GET", f"/v1/resources/{path}", functools.partial(_list, key, items))
        for path, key, items in (
            ("tts-voices", "ttsVoices", catalog.VOICES),
            ("avatar-presenters", "avatarPresenters", catalog.PRESENTERS),
        )
    ]
    return [
        route("GET", "/v1/me", _me),
        *tools,
        *studio.routes(),
        route("GET", "/v1/tools/executions", _list_executions),
        route("GET", "/v1/tools/executions/{id}", _get_execution),
        route("POST", "/v1/tools/executions/{id}/cancel", _cancel_execution),
        route("GET", "/v1/files", _list_files),
        route("POST", "/v1/files/upload", _create_upload),
        route("POST", "/v1/files/search", _search_files),
        route("POST", "/v1/files/{id}/enable-public-preview", functools.partial(_publish, True)),
        route("POST", "/v1/files/{id}/disable-public-preview", functools.partial(_publish, False)),
        route("GET", "/v1/files/{id}", _get_file),
        route("POST", "/v1/files/{id}/hydrate", _hydrate_file),
        route("POST", "/v1/files/{id}/archive", _archive_file),
        route("POST", "/v1/webhooks/endpoints", _create_endpoint),
        route("GET", "/v1/webhooks/endpoints", _list_endpoints),
        route("DELETE", "/v1/webhooks/endpoints/{id}", _delete_endpoint),
        *listings,
        route("GET", "/v1/resources/languages", _languages),
        *entities.routes(),
        Route("/storage/uploads/{file_id}", _upload, methods=["PUT"]),
        Route("/storage/{file_id}/{name}", _download, methods=["GET"]),
    ]
