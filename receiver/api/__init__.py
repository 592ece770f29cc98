"""The API, `/api/v1`: everything that applications, the commands and the pages do.

Every request needs `Authorization: Bearer $RECEIVER_ADMIN_TOKEN`. Errors are `application/problem+json`.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from typing import Any

import structlog
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from .. import __version__, access
from ..callback import Callbacks
from ..errors import BadParameters, NoAccess, Unavailable
from ..files import Gallery, open_files
from ..settings import Settings
from ..sources import Source
from ..store import Store
from .alarms import AlarmCalls
from .call import Call
from .document import document
from .endpoints import EndpointCalls
from .erasure import ErasureCalls
from .events import EventCalls, There
from .handlers import HandlerCalls
from .jobs import JobCalls
from .outputs import OutputCalls
from .problem import Answer, Problem, problem, told
from .retention import RetentionCalls
from .runs import RunCalls
from .secrets import SecretCalls
from .sources import SourceCalls
from .stats import StatsCalls

log = structlog.get_logger(__name__)

#: Where it is mounted.
PREFIX = "/api/v1"


def gallery_of(settings: Settings) -> Gallery:
    """Return what opens captured outputs, as the settings say where they are."""
    api = f"{settings.public_url or ''}{PREFIX}"
    return Gallery(open_files(settings.files), shown_at=settings.files_url, api=api)


class Api:
    """The ASGI app of the API, for all paths under PREFIX.

    `tries` counts wrong tokens, together with whoever else has it. `there` tells which handlers there are, to list
    and to replay; those that workers run, if nobody says otherwise.
    """

    def __init__(
        self,
        *,
        store: Store,
        sources: Mapping[str, Source],
        settings: Settings,
        tries: access.Tries | None = None,
        there: There | None = None,
    ) -> None:
        self._token = settings.admin_token
        self._tries = tries or access.Tries()
        callbacks = Callbacks(settings.secret_keys, settings.public_url)
        there = there or store.handlers.there
        files = open_files(settings.files)
        self._calls = [
            *EventCalls(store, there).calls(),
            *RunCalls(store).calls(),
            *OutputCalls(store, gallery_of(settings)).calls(),
            *JobCalls(store, sources, callbacks).calls(),
            *ErasureCalls(store, files).calls(),
            *HandlerCalls(store, there).calls(),
            *EndpointCalls(store, sources, settings).calls(),
            *SecretCalls(store, sources, settings).calls(),
            *SourceCalls(sources, settings).calls(),
            *AlarmCalls(store).calls(),
            *StatsCalls(store).calls(),
            *RetentionCalls(store, files, settings.config).calls(),
        ]
        by_path: dict[str, dict[str, Call]] = {}
        for call in self._calls:
            by_path.setdefault(call.path, {})[call.method] = call
        fixed_first = sorted(by_path, key=lambda path: "{" in path)  # else `replay` would be taken for an id
        routes = [Route(path, _by_method(by_path[path]), methods=list(by_path[path])) for path in fixed_first]
        routes.append(Route("/openapi.json", self._show_document))
        self._router = Router(routes, redirect_slashes=False)

    @cached_property
    def document(self) -> dict[str, Any]:
        """The OpenAPI document."""
        # Made where somebody asks for it: it would take as long as all the rest of the start.
        return document(self._calls, prefix=PREFIX, version=__version__)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        # Not by a `Mount`: one overlooks paths with a line break in them.
        scope["root_path"] = scope.get("root_path", "") + PREFIX
        answer = self._answer(scope)
        await answer(scope, receive, send)

    def _answer(self, scope: Scope) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
        try:
            access.check(Request(scope), self._token, self._tries)
        except NoAccess as refused:
            return problem(refused.status, str(refused), headers=refused.headers)
        return self._routed

    async def _routed(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self  # so that the router raises what it does not know
        try:
            await self._router(scope, receive, send)
        except HTTPException as error:
            detail = _NO_PATH if error.status_code == 404 else f"this path answers to {_allowed(error)}"
            await problem(error.status_code, detail, headers=error.headers)(scope, receive, send)

    async def _show_document(self, _request: Request) -> Response:
        return Answer(self.document)


_NO_PATH = "there is nothing here: see /api/v1/openapi.json"


def _allowed(error: HTTPException) -> str:
    return (error.headers or {}).get("Allow", "other methods")


def _by_method(calls: Mapping[str, Call]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        call = calls["GET" if request.method == "HEAD" else request.method]
        try:
            return await call(request)
        except ValidationError as error:
            return problem(422, told(error))
        except BadParameters as error:
            return problem(422, str(error))
        except Problem as error:
            return problem(error.status, str(error), headers=error.headers)
        except Unavailable as error:
            return problem(503, "the store does not answer", headers={"retry-after": str(error.retry_after)})
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        except Exception:
            log.exception("api_failed", method=request.method, path=call.path)
            return problem(500, "something is wrong here; it is in the log")

    return answer
