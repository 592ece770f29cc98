"""How commands reach the API: the one made here over the configured store, or that of a receiver elsewhere.

There is no other way to the data for them, so both tell the same.
"""

import asyncio
import functools
import inspect
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

import httpx
import typer
from pydantic import SecretStr

from .. import logs
from ..api import PREFIX, Api
from ..config import read
from ..errors import ConfigError, ReceiverError
from ..registry import find_handlers, find_sources
from ..settings import Settings, load
from ..store import Reported, Store
from ..worker import reported

T = TypeVar("T")

#: Seconds for an answer: a request for many works for a second, one that waits for a job for a minute.
TIMEOUT = 90.0

#: Rows asked for at once.
ROWS = 200

Url = Annotated[
    str | None,
    typer.Option("--url", envvar="RECEIVER_URL", help="A receiver elsewhere, e.g. https://hooks.example.com."),
]
Token = Annotated[
    str | None, typer.Option("--token", envvar="RECEIVER_ADMIN_TOKEN", help="Its admin token.", show_envvar=True)
]


_LOOPBACK = ("localhost", "127.0.0.1", "::1")


_OPTIONS = {"url": Url, "token": Token}

#: Those of a command whose `--url` says something else.
RECEIVER = {
    "url": Annotated[
        str | None,
        typer.Option("--receiver", envvar="RECEIVER_URL", help="A receiver elsewhere that is to do it: its URL."),
    ],
    "token": Token,
}


class Link:
    """The API of one receiver. Raises ReceiverError with what it says is wrong."""

    def __init__(self, client: httpx.AsyncClient, *, is_here: bool) -> None:
        self._client = client
        #: Whether it is the API of this process.
        self.is_here = is_here
        #: Whether nobody on the way can read along.
        self.is_private = is_here or client.base_url.scheme == "https" or client.base_url.host in _LOOPBACK

    async def get(self, path: str, **query: Any) -> Any:
        """Return what a GET is answered."""
        said = {name: value for name, value in query.items() if value is not None}
        return await self._ask("GET", path, params=said)

    async def post(self, path: str, body: Any = None) -> Any:
        """Return what a POST is answered."""
        return await self._ask("POST", path, json={} if body is None else body)

    async def rows(self, path: str, *, limit: int, **query: Any) -> list[dict[str, Any]]:
        """Return up to `limit` rows of a listing, from as many pages as that takes."""
        found: list[dict[str, Any]] = []
        async for page in self.pages(path, limit=min(limit, ROWS), **query):
            found += page
            if len(found) >= limit:
                break
        return found[:limit]

    async def pages(self, path: str, **query: Any) -> AsyncIterator[list[dict[str, Any]]]:
        """Yield the pages of a listing, some of which may be empty."""
        cursor = None
        while True:
            answer = await self.get(path, cursor=cursor, **query)
            yield answer[path.rpartition("/")[2]]
            cursor = answer["next"]
            if cursor is None:
                return

    async def _ask(self, method: str, path: str, **more: Any) -> Any:
        try:
            answer = await self._client.request(method, path, **more)
        except httpx.HTTPError as error:
            host = self._client.base_url.host
            raise ReceiverError(f"{host} does not answer: {type(error).__name__}") from None
        if answer.is_success:
            return answer.json()
        raise _wrong(answer, path)


def segment(id: str) -> str:
    """Return an id as it stands in a path."""
    return quote(id, safe="")


def _wrong(answer: httpx.Response, path: str) -> ReceiverError:
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return ReceiverError(f"{answer.url.host} answers {answer.status_code}: is a receiver there?")
    if answer.status_code == 404:
        return ReceiverError(f"{detail}: see `receiver {path.split('/')[1]} list`")
    return ConfigError(detail) if answer.status_code == 422 else ReceiverError(str(detail))


@asynccontextmanager
async def opened(url: str | None, token: str | None, *, make: bool = False) -> AsyncIterator[Link]:
    """Open a link: to `url`, or without one to the configured store, which is made first if that is a file to make."""
    if url:
        if not url.startswith(("https://", "http://")):
            raise ConfigError(f"--url must be a URL like https://hooks.example.com, not {url}")
        if not token:
            raise ConfigError("--url needs the admin token of that receiver: --token, or RECEIVER_ADMIN_TOKEN")
        headers = {"authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=url.rstrip("/") + PREFIX, headers=headers, timeout=TIMEOUT) as client:
            yield Link(client, is_here=False)
        return
    settings = load()
    logs.configure(format=settings.log_format, level="error", secrets=settings.secrets)
    store = Store(settings.database_url)
    try:
        if make and store.database.is_sqlite:
            await store.migrate()
        await store.check()
        token = secrets.token_urlsafe()
        api = _api(settings, store, SecretStr(token))
        headers = {"authorization": f"Bearer {token}"}
        transport = httpx.ASGITransport(app=api)
        async with httpx.AsyncClient(transport=transport, base_url="http://here", headers=headers) as client:
            yield Link(client, is_here=True)
    finally:
        await store.close()


def _api(settings: Settings, store: Store, token: SecretStr) -> Api:
    async def here() -> Sequence[Reported]:
        return [reported(handler) for handler in find_handlers(settings.handlers, read(settings.config))]

    settings = settings.model_copy(update={"admin_token": token})
    return Api(store=store, sources=find_sources(settings.providers), settings=settings, there=here)


def linked(
    make: bool = False, *, options: Mapping[str, Any] = _OPTIONS
) -> Callable[[Callable[..., Awaitable[None]]], Callable[..., None]]:
    """Make a command of an async function whose first argument is a link; the command has `--url` and `--token`."""

    def decorate(function: Callable[..., Awaitable[None]]) -> Callable[..., None]:
        @functools.wraps(function)
        def command(*, url: str | None, token: str | None, **said: Any) -> None:
            async def work() -> None:
                async with opened(url, token, make=make) as link:
                    await function(link, **said)

            asyncio.run(work())

        _, *own = inspect.signature(function).parameters.values()
        kind = inspect.Parameter.KEYWORD_ONLY
        added = [inspect.Parameter(name, kind, default=None, annotation=one) for name, one in options.items()]
        command.__signature__ = inspect.Signature([*own, *added])  # type: ignore[attr-defined]
        command.__annotations__ = {one.name: one.annotation for one in (*own, *added)}
        return command

    return decorate
