import asyncio
import time

import pytest
from pydantic import SecretStr

from receiver import keyring as module
from receiver.errors import ConfigError, Unavailable
from receiver.keyring import Keyring
from receiver.settings import Provider, Settings
from receiver.sources.videogen import VideoGen
from receiver.store import Secret
from receiver.vault import Vault, new_key

from .conftest import SECRET

KEY = new_key()


class Endpoints:
    """A store's endpoints that count how often they are asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.found: list[Secret] = []
        self.trouble: Exception | None = None

    async def secrets(self, now):
        self.asked += 1
        await asyncio.sleep(0)
        if self.trouble:
            raise self.trouble
        return self.found


class Store:
    def __init__(self) -> None:
        self.endpoints = Endpoints()


def secret(text: str = SECRET, source: str = "videogen") -> Secret:
    return Secret(
        id="sec_1",
        source=source,
        endpoint_id=None,
        sealed=Vault([KEY]).seal(text),
        last4="MQ==",
        valid_from=0,
        valid_until=None,
    )


@pytest.fixture
def store():
    return Store()


def keyring(store, **changes):
    values = {"secret_key": SecretStr(KEY), "providers": {}} | changes
    return Keyring(store=store, sources={"videogen": VideoGen()}, settings=Settings(**values), clock=lambda: 0.0)


async def test_keys_come_from_the_store_and_from_the_environment(store):
    provider = Provider(webhook_secret=SecretStr("raw:another-long-enough-text"))
    ring = keyring(store, providers={"videogen": provider})
    assert ring.keys("videogen") == (b"another-long-enough-text",)
    store.endpoints.found = [secret(), secret(source="of another version")]
    await ring.load()
    assert ring.keys("videogen") == (b"videogen-sample-secret-01", b"another-long-enough-text")
    assert ring.keys("nobody") == ()


async def test_a_secret_that_cannot_be_opened_is_told_at_the_start(store):
    store.endpoints.found = [secret()]
    with pytest.raises(ConfigError, match=r"RECEIVER_SECRET_KEY .* `receiver secrets retire sec_"):
        await keyring(store, secret_key=SecretStr(new_key())).load()


async def test_trouble_while_running_keeps_the_keys_there_are(store):
    ring = keyring(store)
    store.endpoints.found = [secret()]
    await ring.load()
    store.endpoints.trouble = Unavailable("gone")
    await ring.look_again("videogen")
    assert len(ring.keys("videogen")) == 1


async def test_all_who_ask_at_once_ask_together(store):
    ring = keyring(store)
    await ring.load()
    await asyncio.gather(*(ring.look_again("videogen") for _ in range(50)))
    assert store.endpoints.asked == 2


async def test_a_secret_stored_right_after_the_last_look_is_found(store):
    ring = keyring(store)
    await ring.load()
    store.endpoints.found = [secret()]
    await ring.look_again("videogen")
    assert len(ring.keys("videogen")) == 1


async def test_asking_without_end_does_not_read_without_end(store, monkeypatch):
    monkeypatch.setattr(module, "SPACING", 0.02)
    ring = keyring(store)
    began = time.monotonic()
    for _ in range(5):
        await ring.look_again("videogen")
    assert time.monotonic() - began >= 4 * 0.02


async def test_it_follows_the_store_for_good(store, monkeypatch):
    monkeypatch.setattr(module, "REFRESH", 0)
    ring = keyring(store)
    task = asyncio.create_task(ring.follow())
    store.endpoints.found = [secret()]
    while not ring.keys("videogen"):
        await asyncio.sleep(0)
    task.cancel()
