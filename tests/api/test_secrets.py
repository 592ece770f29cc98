"""Signing secrets over the API: they go in, are known by their last four characters, and never come out."""

import time

import httpx
import pytest

from receiver.api import Api
from receiver.registry import find_sources
from receiver.settings import Provider, Settings
from receiver.vault import Vault, new_key

from .conftest import TOKEN

SECRET = "kR7mW2pX9qL4vN8tB3zY"
KEY = new_key()


@pytest.fixture
async def client(database_url, ledger):
    providers = {"mux": Provider(webhook_secret="aB7cD2eF9gH4iJ8kL3mN")}
    settings = Settings(database_url=database_url, admin_token=TOKEN, secret_key=KEY, providers=providers)
    api = Api(store=ledger, sources=find_sources(providers), settings=settings)
    transport = httpx.ASGITransport(api)
    headers = {"authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://receiver", headers=headers) as made:
        yield made


async def test_a_secret_is_stored_sealed_once_listed_and_retired_and_never_told(client, ledger):
    stored = await client.post("/secrets", json={"source": "mux", "secret": f" {SECRET}\n"})
    again = await client.post("/secrets", json={"source": "mux", "secret": SECRET})
    assert (stored.json()["did"], again.json()["did"]) == ("stored", "nothing")
    assert stored.json()["id"] == again.json()["id"]
    listed = await client.get("/secrets", params={"source": "mux"})
    assert [(row["place"], row["last4"], row["state"]) for row in listed.json()["secrets"]] == [
        ("MUX_WEBHOOK_SECRET", "L3mN", "counts"),
        ("stored", "B3zY", "counts"),
    ]
    retired = await client.post(f"/secrets/{stored.json()['id']}/retire", json={})
    assert (retired.json()["did"], retired.json()["state"], retired.json()["others"]) == ("retired", "over", 1)
    [kept] = await ledger.endpoints.secrets()
    assert Vault([KEY]).open(kept.sealed) == SECRET
    answers = (stored, again, listed, retired)
    assert not any(word in answer.text for answer in answers for word in (SECRET, kept.sealed, "aB7cD2eF9gH4"))


async def test_one_that_no_key_opens_any_more_is_in_nobodys_way(client, ledger):
    sealed = Vault([new_key()]).seal(SECRET)
    await ledger.endpoints.add_secret("mux", sealed=sealed, last4="B3zY", valid_from=1.0)
    assert (await client.post("/secrets", json={"source": "mux", "secret": SECRET})).json()["did"] == "stored"


async def test_times_are_kept_and_one_that_ends_before_it_begins_is_refused(client):
    now = time.time()
    later = {"source": "mux", "secret": SECRET, "valid_from": now + 60, "valid_until": now + 90}
    assert (await client.post("/secrets", json=later | {"valid_until": now + 60})).status_code == 422
    assert (await client.post("/secrets", json=later | {"valid_from": 1, "valid_until": 2})).status_code == 422
    stored = (await client.post("/secrets", json=later)).json()
    assert (stored["state"], stored["valid_until"]) == ("later", now + 90)
    retired = await client.post(f"/secrets/{stored['id']}/retire", json={"at": now + 70})
    assert retired.json()["valid_until"] == now + 70
    assert (await client.post("/secrets/sec_none/retire", json={})).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"source": "mux", "secret": "changeme-changeme-changeme"},
        {"source": "mux", "secret": ""},
        {"source": "mux", "secret": SECRET * 200},
        {"source": "mux", "secret": [SECRET]},
        {"source": "mux", "secret": SECRET, "colour": SECRET},
        {"source": "finevoice", "secret": SECRET},
        {"source": "nobody", "secret": SECRET},
    ],
)
async def test_what_is_refused_is_neither_stored_nor_told_back(client, ledger, body):
    answer = await client.post("/secrets", json=body)
    assert answer.status_code == 422
    assert SECRET not in answer.text
    assert await ledger.endpoints.secrets() == []


async def test_no_path_tells_a_secret(client):
    stored = (await client.post("/secrets", json={"source": "mux", "secret": SECRET})).json()
    for path in (f"/secrets/{stored['id']}", "/secrets/key", "/secrets/signing", f"/secrets/{stored['id']}/content"):
        assert (await client.get(path)).status_code == 404
