"""Keys that a provider publishes: fetched when they are needed, seldom, and kept while its server is down."""

import asyncio
import base64
import hashlib
import json

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from structlog.testing import capture_logs

from receiver import app, jwks
from receiver.errors import ConfigError
from receiver.jwks import FRESH, SPACING, KeyServer
from receiver.settings import Settings

T0 = 1_700_000_000
BODY = b'{"request_id":"job_1","status":"OK","payload":{"video":{"url":"https://f/v"}}}'
PUBLISHED = "https://rest.fal.ai/.well-known/jwks.json"


def text(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def published(*privates):
    keys = [private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw) for private in privates]
    return {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": text(key), "kid": str(at)} for at, key in enumerate(keys)]}


def rsa_jwk(size=2048, **changes):
    numbers = rsa.generate_private_key(public_exponent=65537, key_size=size).public_key().public_numbers()
    pair = {"n": numbers.n, "e": numbers.e}
    return {
        "kty": "RSA",
        **{name: text(number.to_bytes(512).lstrip(b"\0")) for name, number in pair.items()},
        **changes,
    }


OLD, NEW = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()


# A set of keys


def test_keys_of_the_kind_are_read_and_others_passed_over():
    good = published(OLD, NEW)["keys"]
    others = [
        7,
        {},
        {"kty": "OKP", "crv": "X25519", "x": good[0]["x"]},
        {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"},
        {"kty": "OKP", "crv": "Ed25519", "x": "é"},
        {"kty": "OKP", "crv": "Ed25519"},
        rsa_jwk(),
    ]
    found = jwks.read(json.dumps({"keys": [*others, *good]}).encode(), "ed25519")
    assert found == tuple(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw) for key in (OLD, NEW))
    weak = [rsa_jwk(1024), rsa_jwk(use="enc"), rsa_jwk() | {"e": "AA"}, rsa_jwk() | {"n": "AA"}, rsa_jwk() | {"n": 7}]
    (key,) = jwks.read(json.dumps({"keys": [*weak, rsa_jwk(use="sig")]}).encode(), "jwt")
    assert key.startswith(b"0\x82")


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff", b"[]", b"{}", b'{"keys": {}}', b'{"keys": []}', b"[" * 100_000, None],
    ids=lambda body: str(body)[:9],
)
def test_a_set_without_keys_or_with_a_crowd_is_none(body):
    crowd = json.dumps({"keys": published(OLD)["keys"] * 17}).encode()
    with pytest.raises(ConfigError, match="keys of the kind"):
        jwks.read(crowd if body is None else body, "ed25519")


# The server


class Server:
    """A key server that counts, and that may be down."""

    def __init__(self, *privates):
        self.privates, self.asked, self.status, self.content = privates, 0, 200, None
        self.gate = asyncio.Event()
        self.gate.set()
        self.http = httpx.AsyncClient(transport=httpx.MockTransport(self.answer))

    async def answer(self, request):
        assert str(request.url) == PUBLISHED
        self.asked += 1
        await self.gate.wait()
        if self.status == 0:
            raise httpx.ConnectError("gone")
        return httpx.Response(self.status, content=self.content or json.dumps(published(*self.privates)))


@pytest.fixture
def server():
    return Server(OLD)


@pytest.fixture
def keys(server, clock):
    return KeyServer(PUBLISHED, "ed25519", server.http, clock=clock)


async def test_keys_are_fetched_hourly_and_for_an_unknown_one_at_most_once_a_minute(server, keys, clock):
    for seconds, unknown, asked in (
        (0, False, 1),
        (FRESH - 1, False, 1),
        (1, False, 2),
        (SPACING - 1, True, 2),
        (1, True, 3),
        (0, True, 3),
    ):
        clock.turn(seconds)
        await keys.refresh(unknown=unknown)
        assert server.asked == asked
    assert len(keys.keys) == 1


@pytest.mark.parametrize(("status", "content"), [(0, None), (500, None), (404, None), (200, "{}"), (200, "x" * 2**17)])
async def test_keys_stay_while_their_server_is_down_or_talks_nonsense(server, keys, clock, status, content):
    await keys.refresh()
    known = keys.keys
    server.status, server.content = status, content
    clock.turn(FRESH)
    with capture_logs() as logs:
        await keys.refresh()
    assert (keys.keys, server.asked) == (known, 2)
    assert (logs[0]["event"], logs[0]["kept"]) == ("keys_not_fetched", 1)


async def test_without_any_key_the_server_is_tried_each_minute(server, keys, clock):
    server.status = 503
    for asked in (1, 2):
        await keys.refresh()
        await keys.refresh()
        assert server.asked == asked
        clock.turn(SPACING)


async def test_a_server_that_hangs_is_waited_for_briefly_and_by_all_together(server, keys, monkeypatch):
    monkeypatch.setattr(jwks, "PATIENCE", 0.01)
    server.gate.clear()
    await asyncio.gather(*(keys.refresh(unknown=True) for _ in range(20)))
    assert (server.asked, keys.keys) == (1, ())


# The journey


def signed(private):
    headers = {"x-fal-webhook-request-id": "r1", "x-fal-webhook-user-id": "me", "x-fal-webhook-timestamp": str(T0)}
    content = f"r1\nme\n{T0}\n{hashlib.sha256(BODY).hexdigest()}".encode()
    return headers | {"x-fal-webhook-signature": private.sign(content).hex()}


@pytest.fixture
async def sender(server, sqlite_url, monkeypatch):
    monkeypatch.setattr(app, "create_client", lambda **_: server.http)
    settings = Settings(database_url=sqlite_url, providers={"fal": {"webhook_account": "me"}})
    door = app.Door(settings, dispatch=False, clock=lambda: T0)
    transport = httpx.ASGITransport(door.app)
    async with door.open(), httpx.AsyncClient(transport=transport, base_url="http://receiver") as made:
        made.door = door
        yield made


async def send(sender, private):
    return await sender.post("/webhooks/fal", content=BODY, headers=signed(private))


async def test_a_delivery_by_a_key_that_was_just_published_is_taken_and_strangers_do_not_make_us_ask(
    server, sender, clock
):
    (keys,) = sender.door._keyring._servers.values()
    keys._clock = clock
    keys._tried_at = float("-inf")
    assert (await send(sender, OLD)).status_code == 200
    asked = server.asked
    server.privates = (OLD, NEW)
    clock.turn(SPACING)
    assert (await send(sender, NEW)).status_code == 200
    assert server.asked == asked + 1
    for _ in range(5):
        assert (await send(sender, Ed25519PrivateKey.generate())).status_code == 401
    assert server.asked == asked + 1


async def test_a_key_server_that_never_answered_is_our_trouble_and_not_the_sender_s(server, sender):
    (keys,) = sender.door._keyring._servers.values()
    await keys.refresh()
    keys.keys = ()
    server.status = 0
    answer = await send(sender, OLD)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
