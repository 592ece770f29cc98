"""The first page: do events flow, and if not, where to look."""

from starlette.requests import Request
from starlette.responses import Response

from ..store import Left, Store
from .pages import Pages, Views

#: Seconds after which work that is due and not begun is worth a look.
LATE = 60.0


class Overview:
    """The page at `/`."""

    def __init__(self, *, store: Store, pages: Pages) -> None:
        self._store = store
        self._pages = pages

    def views(self) -> Views:
        """Return everything that is answered: method, path and how."""
        yield "GET", "/", self._show

    async def _show(self, request: Request) -> Response:
        left = await self._store.backlog.left()
        return self._pages.answer(request, "overview.html", left=left, age=_age(left), late=LATE)


def _age(left: Left) -> float:
    return max([left.event_age, *(since for _, since in left.waiting.values())])
