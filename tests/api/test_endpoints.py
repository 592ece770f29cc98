"""Webhooks registered over the API; the provider is asked, and may fail."""

import asyncio
import contextlib

import httpx
import pytest

from receiver.api import Api, endpoints
from receiver.registry import find_sources
from receiver.settings import Provider, Settings
from receiver.store import Store
from receiver.vault import new_key

from ..test_endpoints import Account
from .conftest import TOKEN

URL = "https://hooks.example.com/webhooks/videogen"
KEY = "sk_videogen_live_hunter2"


class Provided(Account):
    """An account that may also fail in other ways."""

    failure = None

    def __call__(self, request):
        if isinstance(self.failure, Exception):
            raise self.failure
        return self.failure or super().__call__(request)


@pytest.fixture
def account(monkeypatch):
    made = Provided()

    @contextlib.asynccontextmanager
    async def client(**_settings):
        async with httpx.AsyncClient(transport=httpx.MockTransport(made)) as http:
            yield http

    monkeypatch.setattr(endpoints, "create_client", client)
    return made


@pytest.fixture
def settings(schema, tmp_path):
    database = tmp_path / "receiver.db"
    database.write_bytes(schema.read_bytes())
    providers = {"videogen": Provider(api_key=KEY)}
    return Settings(database_url=f"sqlite:///{database}", admin_token=TOKEN, secret_key=new_key(), providers=providers)


@contextlib.asynccontextmanager
async def asked(settings):
    store = Store(settings.database_url)
    api = Api(store=store, sources=find_sources(settings.providers), settings=settings)
    headers = {"authorization": f"Bearer {TOKEN}"}
    transport = httpx.ASGITransport(api)
    async with httpx.AsyncClient(transport=transport, base_url="http://receiver", headers=headers) as client:
        yield client
    await store.close()


async def test_an_endpoint_is_registered_checked_rotated_and_deleted_and_no_secret_is_told(settings, account):
    source = {"source": "videogen"}
    told = []
    async with asked(settings) as client:

        async def post(path, **body):
            answer = await client.post(path, json=source | body)
            told.append(answer.text)
            assert answer.status_code == 200, answer.text
            return answer.json()

        created = await post("/endpoints", url=URL)
        assert (created["did"], created["id"], created["remarks"]) == ("created", "ep_1", [])
        assert (await post("/endpoints", url=URL))["did"] == "nothing"
        account.add("https://hooks.example.com/webhooks/other", ["a"])
        assert (await post("/endpoints", url=URL, events=["tool_execution.failed"]))["did"] == "replaced"
        [finding] = (await post("/endpoints/check"))["findings"]
        assert (finding["source"], finding["id"], finding["drift"]) == ("videogen", "ep_3", None)
        account.endpoints["ep_3"]["events"] = ["another"]
        assert (await post("/endpoints/check"))["findings"][0]["drift"] == "events"
        [row] = (await client.get("/endpoints")).json()["endpoints"]
        assert (row["drift"], row["drifted_at"], row["compared_at"] >= row["created_at"]) == (
            "events",
            row["compared_at"],
            True,
        )
        assert "ep_3" in row["drift_text"]
        assert (await post("/endpoints/ep_3/rotate"))["id"] == "ep_4"
        refused = await client.post("/endpoints/ep_2/delete", json=source)
        assert (refused.status_code, "not registered by this receiver" in refused.text) == (409, True)
        assert (await post("/endpoints/ep_4/delete"))["did"] == "deleted"
        assert (await post("/endpoints/ep_2/delete", force=True))["id"] == "ep_2"
        assert (await client.post("/endpoints/ep_9/rotate", json=source)).status_code == 404
        told.append((await client.get("/endpoints")).text)
    shown = "".join(told)
    assert not any(secret in shown or secret.removeprefix("whsec_") in shown for secret in account.secrets)


@pytest.mark.parametrize(
    ("failure", "status", "text"),
    [
        (httpx.ConnectError(f"no route to https://x.example/?key={KEY}"), 502, "no answer from"),
        (httpx.Response(500, text="<html>oops"), 502, "VideoGen answered 500"),
        (httpx.Response(401, json={"message": f"the key {KEY} is wrong"}), 502, "[redacted] is wrong"),
        (httpx.Response(429, json={"message": "slow down"}, headers={"retry-after": "77"}), 502, "slow down"),
        (httpx.Response(200, text="[]"), 502, "VideoGen"),
    ],
)
async def test_a_provider_that_fails_is_told_as_that_and_not_as_trouble_of_ours(
    settings, account, failure, status, text
):
    account.failure = failure
    async with asked(settings) as client:
        for path, body in (("/endpoints", {"url": URL}), ("/endpoints/check", {}), ("/endpoints/ep_1/rotate", {})):
            answer = await client.post(path, json={"source": "videogen", **body})
            assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
            assert text in answer.json()["detail"]
            assert KEY not in answer.text
            if isinstance(failure, httpx.Response) and failure.status_code == 429:
                assert answer.headers["retry-after"] == "77"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"source": "nobody", "url": URL}, "no source is called nobody"),
        ({"source": "finevoice", "url": URL}, "finevoice sends no webhooks"),
        ({"source": "mux", "url": URL}, "MUX_WEBHOOK_SECRET"),
        ({"source": "videogen", "url": "http://hooks.example.com/x"}, "https only"),
        ({"source": "videogen", "url": "file:///etc/passwd"}, "not a URL to deliver to"),
        ({"source": "videogen", "url": URL, "events": []}, "events"),
    ],
)
async def test_what_cannot_be_registered_is_told_before_a_provider_is_asked(settings, account, body, text):
    async with asked(settings) as client:
        answer = await client.post("/endpoints", json=body)
    assert (answer.status_code, text in answer.json()["detail"]) == (422, True)
    assert account.asked == []


async def test_without_a_key_to_seal_with_or_one_for_the_provider_nothing_is_made(settings, account):
    for changes, text in (
        ({"secret_key": None}, "RECEIVER_SECRET_KEY"),
        ({"providers": {}}, "VIDEOGEN_API_KEY is not set"),
    ):
        async with asked(settings.model_copy(update=changes)) as client:
            answer = await client.post("/endpoints", json={"source": "videogen", "url": URL})
        assert (answer.status_code, text in answer.json()["detail"]) == (409, True)
    assert account.changed == []


async def test_two_who_register_at_once_make_one_endpoint(settings, account):
    async with asked(settings) as client:
        body = {"source": "videogen", "url": URL}
        answers = await asyncio.gather(*(client.post("/endpoints", json=body) for _ in range(3)))
    assert sorted(answer.json()["did"] for answer in answers) == ["created", "nothing", "nothing"]
    assert len(account.endpoints) == 1


async def test_what_is_registered_at_a_provider_stands_in_the_store_sealed(settings, account):
    async with asked(settings) as client:
        await client.post("/endpoints", json={"source": "videogen", "url": URL})
    store = Store(settings.database_url)
    [secret] = await store.endpoints.secrets()
    await store.close()
    assert secret.last4 == account.secrets[0][-4:]
    assert account.secrets[0] not in secret.sealed
