"""A real Chromium, and pages that must stay silent and at home."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from receiver.app import Door
from receiver.server import config
from receiver.settings import Settings
from receiver.store import Store

from .chromium import FLAGS, MISSING, find

T = TypeVar("T")

TOKEN = "a-token-that-is-long-enough"

SCREENSHOTS = Path(__file__).parent.parent.parent / "docs" / "screenshots"

#: Milliseconds that anything may take to appear.
PATIENCE = 20_000


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", action="store_true", help="Write docs/screenshots anew.")


# Not for the whole session: as long as it is open, an event loop runs in this thread, and no other may.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    place = find()
    if place is None:
        pytest.fail(MISSING, pytrace=False)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=place, args=list(FLAGS))
        yield browser
        browser.close()


@dataclass
class Watch:
    """What a page must not do: complain on the console, fail, or ask anybody but us."""

    home: str
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def over(self, context: BrowserContext) -> None:
        context.on("console", lambda message: self._hear(message.type, message.text))
        context.on("weberror", lambda error: self._hear("error", str(error.error)))
        context.on("request", lambda request: self.asked.append(request.url))

    def _hear(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.said.append(f"{kind}: {text}")

    def check(self) -> None:
        away = [url for url in self.asked if urlsplit(url).scheme != "data" and not url.startswith(self.home + "/")]
        assert (self.said, away) == ([], [])


@pytest.fixture
def visit(browser: Browser) -> Callable[..., object]:
    """Open a window at a receiver: `with visit(url, color_scheme="dark") as page: …`; in the end all was well."""

    @contextmanager
    def opened(home: str, **options: object) -> Iterator[Page]:
        watch = Watch(home)
        values = {"viewport": {"width": 1240, "height": 800}, "reduced_motion": "reduce", **options}
        context = browser.new_context(base_url=home, **values)
        context.set_default_timeout(PATIENCE)
        watch.over(context)
        yield context.new_page()
        context.close()
        watch.check()

    return opened


@pytest.fixture
def here(tmp_path: Path) -> Callable[..., object]:
    """A receiver in this process, where a test can patch it: `with here(fill) as (url, filled): …`.

    `fill` is given its store before it listens. No worker runs.
    """

    @contextmanager
    def opened(fill: Callable[[Store], Awaitable[T]]) -> Iterator[tuple[str, T]]:
        url = f"sqlite:///{tmp_path / 'receiver.db'}"
        settings = Settings(database_url=url, admin_token=TOKEN, files=str(tmp_path / "files"))
        ready: Future[T] = Future()
        left: Future[Callable[[], object]] = Future()

        async def serve() -> None:
            store, door = Store(url), Door(settings, dispatch=False)
            async with door.open():
                filled = await fill(store)
                await store.close()
                server = uvicorn.Server(config(door, settings))
                loop = asyncio.get_running_loop()
                left.set_result(lambda: loop.call_soon_threadsafe(setattr, server, "should_exit", True))
                ready.set_result(filled)
                await server.serve(sockets=[listener])

        def run() -> None:
            try:
                asyncio.run(serve())
            except BaseException as error:
                for one in (left, ready):
                    if not one.done():
                        one.set_exception(error)
                raise

        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=run)  # in this one the browser's event loop runs
            thread.start()
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}", ready.result(20)
            finally:
                left.result(20)()
                thread.join()

    return opened


def sign_in(page: Page, token: str = TOKEN) -> None:
    page.goto("/sign-in")
    page.get_by_label("Admin token").fill(token)
    page.get_by_role("button", name="Sign in").click()


@pytest.fixture
def screenshot(request: pytest.FixtureRequest) -> Callable[[Page, str], None]:
    """Put what a page looks like into the docs, if that was asked for."""
    asked = request.config.getoption("--screenshots", default=False)

    def take(page: Page, name: str) -> None:
        if asked:
            page.screenshot(path=SCREENSHOTS / f"{name}.png")

    return take
