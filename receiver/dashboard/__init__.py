"""The dashboard: pages that show what the store holds, for those who know the admin token.

Every page is whole without JavaScript. Nobody without a session is shown anything but where to sign in.
"""

import functools
from collections.abc import Callable, Mapping
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from ..access import Tries
from ..errors import NoAccess, Unavailable
from ..files import Gallery
from ..settings import Settings
from ..sources import Source
from ..store import Store
from .endpoints import Endpoints
from .events import Events
from .forms import form
from .gate import Gate
from .handlers import Handlers
from .jobs import Jobs
from .live import VIEWERS, Live
from .media import Media
from .overview import Overview
from .pages import ASSETS, HEADERS, STATIC, Missing, Pages, View
from .refused import Refused
from .runs import Runs

#: Whatever a request may ask for, so that no path answers those outside in another way than the others.
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class Dashboard:
    """The ASGI app of the pages."""

    def __init__(
        self,
        *,
        store: Store,
        sources: Mapping[str, Source],
        settings: Settings,
        gallery: Gallery,
        tries: Tries,
        clock: Callable[[], float],
    ) -> None:
        self._gate = Gate(
            sessions=store.sessions,
            token=settings.admin_token,
            tries=tries,
            public_url=settings.public_url,
            clock=clock,
        )
        self._public_url = settings.public_url
        self._pages = Pages(clock)
        self._files = {
            path.relative_to(STATIC).as_posix(): (path.read_bytes(), ASSETS[path.suffix])
            for path in STATIC.rglob("*")
            if path.suffix in ASSETS
        }
        pages, media = self._pages, Media(store=store, gallery=gallery)
        overview = Overview(store=store, pages=pages, clock=clock)
        events = Events(store=store, pages=pages, media=media, sources=sources, public_url=settings.public_url)
        jobs = Jobs(store=store, pages=pages, media=media, sources=sources, clock=clock)
        topics = {"overview": overview.look, "events": events.look, "event": events.look_at, "jobs": jobs.look}
        self._live = Live(topics, hold=self._gate.hold)
        views = (
            *overview.views(),
            *events.views(),
            *jobs.views(),
            *Runs(store=store, pages=pages, sources=sources).views(),
            *Refused(store=store, pages=pages).views(),
            *Endpoints(store=store, pages=pages, sources=sources, settings=settings).views(),
            *Handlers(store=store, pages=pages, clock=clock).views(),
            *media.views(),
            ("GET", "/live/{topic}", self._watch),
        )
        self._router = Router(
            [
                Route("/sign-in", self._open(self._show_sign_in)),
                Route("/sign-in", self._open(self._sign_in), methods=["POST"]),
                Route("/static/{version}/{name:path}", self._static),
                Route("/sign-out", self._guarded(self._sign_out), methods=["POST"]),
                *(Route(path, self._guarded(view), methods=[method]) for method, path, view in views),
                Route("/{path:path}", self._guarded(self._missing), methods=METHODS),
            ],
            redirect_slashes=False,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._router(scope, receive, send)

    def leave(self) -> None:
        """End what is watched, so that nobody has to wait for it."""
        self._live.end()

    def _guarded(self, view: View) -> View:
        """Return the view for those who have a session; the others are shown where to sign in."""

        async def guarded(request: Request) -> Response:
            if not await self._gate.holds(self._gate.digest(request)):
                return self._turned_away(request)
            if request.method not in ("GET", "HEAD"):
                self._gate.check_origin(request)
            return await view(request)

        return self._open(guarded)

    def _open(self, view: View) -> View:
        """Return the view with pages for what may go wrong."""

        @functools.wraps(view)
        async def answer(request: Request) -> Response:
            try:
                return await view(request)
            except NoAccess as error:
                return self._problem(request, error.status, "Not done", f"Refused: {error}.")
            except Missing as error:
                return self._problem(request, 404, "Not here", str(error))
            except Unavailable:
                text = "The store does not answer. Deliveries get 503 meanwhile, and providers send them again."
                return self._problem(request, 503, "The store does not answer", text)

        return answer

    def _problem(self, request: Request, status: int, heading: str, text: str) -> Response:
        return self._pages.answer(request, "problem.html", status=status, heading=heading, text=text)

    async def _missing(self, request: Request) -> Response:
        raise Missing("There is no such page.")

    def _turned_away(self, request: Request) -> Response:
        path = request.url.path
        if path.startswith("/live/"):
            return Response(status_code=401, headers=HEADERS)
        wanted = f"{quote(path)}?{request.url.query}" if request.url.query else quote(path)
        back = f"?next={quote(wanted)}" if request.method in ("GET", "HEAD") and path != "/" else ""
        if "hx-request" in request.headers:  # it would put the form into the middle of a page
            return Response(status_code=401, headers={**HEADERS, "hx-redirect": f"/sign-in{back}"})
        return RedirectResponse(f"/sign-in{back}", 303, HEADERS)

    async def _show_sign_in(self, request: Request, status: int = 200, problem: str = "") -> Response:
        return self._pages.answer(
            request,
            "sign_in.html",
            status=status,
            closed=self._gate.closed,
            problem=problem,
            next=request.query_params.get("next", "/"),
            elsewhere=None if self._gate.keeps(request) else self._public_url,
        )

    async def _sign_in(self, request: Request) -> Response:
        said = await form(request)
        answer = RedirectResponse(_here(said.get("next", "/")), 303, HEADERS)
        try:
            await self._gate.sign_in(request, said.get("token", ""), answer)
        except NoAccess as error:
            shown = await self._show_sign_in(request, error.status, f"{str(error)[0].upper()}{str(error)[1:]}.")
            shown.headers.update(error.headers)
            return shown
        return answer

    async def _sign_out(self, request: Request) -> Response:
        answer = RedirectResponse("/sign-in", 303, HEADERS)
        if session := self._gate.digest(request):
            self._live.end(session)
        await self._gate.sign_out(request, answer)
        return answer

    async def _watch(self, request: Request) -> Response:
        topic, session = request.path_params["topic"], self._gate.digest(request)
        if not self._live.has(topic) or session is None:
            raise Missing("There is nothing to watch here.")
        if self._live.viewers >= VIEWERS:
            return Response(status_code=503, headers={**HEADERS, "retry-after": "60"})
        told = self._live.watch(topic, dict(request.query_params), session=session)
        return StreamingResponse(told, media_type="text/event-stream", headers={**HEADERS, "x-accel-buffering": "no"})

    async def _static(self, request: Request) -> Response:
        found = self._files.get(request.path_params["name"])
        if found is None:
            return self._turned_away(request)
        body, media_type = found
        cached = {"cache-control": "public, max-age=31536000, immutable", "x-content-type-options": "nosniff"}
        return Response(body, headers=cached, media_type=media_type)


def _here(path: str) -> str:
    """Return a path of ours: `path` unless it could lead elsewhere."""
    inside = path.startswith("/") and not path.startswith("//") and path.isprintable() and "\\" not in path
    return path if inside else "/"
