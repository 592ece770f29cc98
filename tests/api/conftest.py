"""The API over the door's own app, without sockets."""

import contextlib

import httpx
import pytest

from receiver.app import Door
from receiver.settings import Settings
from receiver.store import Store

TOKEN = "a-token-that-is-long-enough"


@contextlib.asynccontextmanager
async def opened(database_url, token=TOKEN):
    settings = Settings(database_url=database_url, admin_token=token)
    door = Door(settings, dispatch=False)
    async with door.open():
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(door.app),
            base_url="http://receiver/api/v1",
            headers={"authorization": f"Bearer {token}"},
        )
        async with client:
            yield client


@pytest.fixture
async def client(database_url):
    async with opened(database_url) as made:
        yield made


@pytest.fixture
async def ledger(database_url):
    store = Store(database_url)
    yield store
    await store.close()
