"""A door whose pages are open, and somebody who is signed in."""

import functools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import jinja2
import pytest
from jinja2.bccache import Bucket

from receiver.app import Door
from receiver.dashboard import pages
from receiver.settings import Settings
from receiver.store import Store

from ..conftest import Clock

TOKEN = "a-token-that-is-long-enough"
ORIGIN = {"origin": "http://receiver"}


class Compiled(jinja2.BytecodeCache):
    """Templates as the first door compiled them: a process has one door, and here each test has its own."""

    def __init__(self) -> None:
        self._code: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._code:
            bucket.bytecode_from_string(self._code[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._code[bucket.key] = bucket.bytecode_to_string()


_COMPILED = Compiled()


@pytest.fixture(autouse=True)
def _templates_are_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "Environment", functools.partial(jinja2.Environment, bytecode_cache=_COMPILED))


@asynccontextmanager
async def opened(database_url: str, clock: Callable[[], float], **settings: object) -> AsyncIterator[httpx.AsyncClient]:
    """A browser, as far as cookies go, before the door's app."""
    values = {"database_url": database_url, "admin_token": TOKEN, **settings}
    door = Door(Settings(**values), dispatch=False, clock=clock)
    async with door.open():
        transport = httpx.ASGITransport(door.app, client=("192.0.2.7", 1234))
        async with httpx.AsyncClient(transport=transport, base_url="http://receiver") as client:
            yield client


async def sign_in(client: httpx.AsyncClient, token: str = TOKEN, **headers: str) -> httpx.Response:
    return await client.post("/sign-in", data={"token": token}, headers=ORIGIN | headers)


@pytest.fixture
def url(sqlite_url: str) -> str:
    return sqlite_url


@pytest.fixture
async def stranger(url: str, clock: Clock) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody who is not signed in."""
    async with opened(url, clock) as client:
        yield client


@pytest.fixture
async def client(stranger: httpx.AsyncClient) -> httpx.AsyncClient:
    """Somebody who is."""
    assert (await sign_in(stranger)).status_code == 303
    return stranger


@pytest.fixture
def act(shown: httpx.AsyncClient) -> Callable[..., object]:
    """Press a button: `await act("/runs/1/retry")`."""

    async def press(path: str, **fields: str) -> httpx.Response:
        return await shown.post(path, data=fields, headers=ORIGIN, follow_redirects=True)

    return press


@pytest.fixture
async def ledger(url: str) -> AsyncIterator[Store]:
    """The store beside the pages."""
    store = Store(url)
    yield store
    await store.close()


@pytest.fixture
async def shown(url: str, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody who is signed in, by the real clock, which also makes ids."""
    async with opened(url, time.time, files=str(tmp_path / "files")) as client:
        await sign_in(client)
        yield client
