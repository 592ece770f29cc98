import base64
import json
import traceback
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from receiver import vault
from receiver.endpoints import LAST_DELIVERIES, OVERLAP, Change, Inspector, Registrar
from receiver.endpoints.inspector import EVERY
from receiver.errors import ConfigError, ProviderError, ReceiverError, Unavailable
from receiver.settings import Provider, Settings
from receiver.sources.videogen import VideoGen
from receiver.store import Store

URL = "https://hooks.example.com/webhooks/videogen"
EVENTS = ["tool_execution.succeeded", "tool_execution.failed"]
KEY = vault.new_key()


class Account:
    """The endpoints of one VideoGen account, behind its API."""

    def __init__(self) -> None:
        self.endpoints: dict[str, dict[str, Any]] = {}
        self.secrets: list[str] = []
        self.asked: list[str] = []
        self.refuse: set[str] = set()
        self.answer: dict[str, Any] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.method)
        if request.method in self.refuse:
            return httpx.Response(429, json={"message": "Slow down.", "code": "rate_limited"})
        if request.method == "GET":
            return httpx.Response(200, json={"endpoints": list(self.endpoints.values()), "hasMore": False})
        if request.method == "DELETE":
            gone = self.endpoints.pop(request.url.path.rpartition("/")[2], None)
            return httpx.Response(204) if gone else httpx.Response(404, json={"message": "no such endpoint"})
        made = self.add(**json.loads(request.content))
        return httpx.Response(201, json=made | {"signingSecret": self.secrets[-1]} | self.answer)

    def add(self, url: str, events: list[str], description: str | None = None) -> dict[str, Any]:
        id = f"ep_{len(self.secrets) + 1}"
        self.secrets.append("whsec_" + base64.b64encode(f"{id} {'k' * 24}{id}".encode()).decode())
        last4 = self.secrets[-1][-4:]
        made = {"endpointId": id, "url": url, "events": events, "description": description, "createdAt": 1}
        self.endpoints[id] = made | {"signingSecretLast4": last4}
        return self.endpoints[id]

    @property
    def changed(self) -> list[str]:
        return [method for method in self.asked if method != "GET"]


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


@pytest.fixture
def account() -> Account:
    return Account()


@pytest.fixture
async def http(account: Account) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.MockTransport(account)) as client:
        yield client


@pytest.fixture
def registrar_with(store, http, clock):
    def make(**changes: Any) -> Registrar:
        provider = Provider(api_key=SecretStr("sk_videogen_live_1"), webhook_secret=changes.pop("configured", None))
        values = {"secret_key": SecretStr(KEY), "providers": {"videogen": provider}} | changes
        settings = Settings(**values)
        return Registrar(source=VideoGen(), settings=settings, store=store, http=http, clock=clock)

    return make


@pytest.fixture
def registrar(registrar_with) -> Registrar:
    return registrar_with()


async def live(store: Store) -> list[str]:
    return [row.id for row in await store.endpoints.live("videogen")]


async def valid(store: Store, clock: Any) -> list[str]:
    """The secrets that count now, opened, newest first."""
    box = vault.Vault([KEY])
    return [box.open(secret.sealed) for secret in await store.endpoints.secrets("videogen", now=clock())]


def told(error: BaseException, account: Account) -> str:
    """What an error shows to anybody, which is never a secret."""
    shown = "".join(traceback.format_exception(error))
    assert not any(secret in shown or secret.removeprefix("whsec_") in shown for secret in account.secrets)
    return str(error)


async def test_a_new_endpoint_is_registered_and_its_secret_sealed_and_stored(registrar, account, store, clock):
    change = await registrar.register(URL, EVENTS)
    assert (change.did, change.id, change.remarks) == ("created", "ep_1", ())
    assert str(change) == f"{URL} is registered as ep_1 for 2 events, and its secret is stored"
    assert account.endpoints["ep_1"]["description"] == "media-receiver:hooks.example.com"
    (row,) = await store.endpoints.live("videogen")
    assert (row.id, row.url, row.events, row.created_at) == ("ep_1", URL, tuple(EVENTS), clock())
    assert await valid(store, clock) == account.secrets
    (secret,) = await store.endpoints.secrets("videogen")
    assert account.secrets[0] not in secret.sealed


async def test_registering_again_changes_nothing_and_says_so(registrar, account):
    await registrar.register(URL, EVENTS)
    again = await registrar.register(URL, [*reversed(EVENTS), EVENTS[0]])
    assert (again.did, again.id) == ("nothing", "ep_1")
    assert "nothing to do" in str(again)
    assert account.changed == ["POST"]


async def test_a_host_in_other_letters_is_the_same_url(registrar, account):
    await registrar.register(URL, EVENTS)
    assert (await registrar.register("https://HOOKS.example.com:443/webhooks/videogen", EVENTS)).did == "nothing"


async def test_another_url_is_another_endpoint(registrar, account):
    await registrar.register(URL, EVENTS)
    other = await registrar.register("https://b.example.com/webhooks/videogen", EVENTS)
    assert (other.did, sorted(account.endpoints)) == ("created", ["ep_1", "ep_2"])


async def test_other_events_replace_the_endpoint_new_before_old(registrar, account, store, clock):
    await registrar.register(URL, EVENTS)
    clock.turn(1)
    change = await registrar.register(URL, EVENTS[:1])
    assert (change.did, change.id) == ("replaced", "ep_2")
    assert "takes the place of ep_1" in str(change)
    assert account.changed == ["POST", "POST", "DELETE"]
    assert (list(account.endpoints), await live(store)) == (["ep_2"], ["ep_2"])
    assert await valid(store, clock) == account.secrets[::-1]
    clock.turn(OVERLAP)
    assert await valid(store, clock) == account.secrets[1:]


async def test_an_endpoint_of_ours_whose_secret_was_lost_is_replaced(registrar, account, store):
    account.add(URL, EVENTS, "media-receiver:hooks.example.com")
    change = await registrar.register(URL, EVENTS)
    assert (change.did, change.id) == ("replaced", "ep_2")
    assert (list(account.endpoints), await live(store)) == (["ep_2"], ["ep_2"])


async def test_an_endpoint_whose_secret_is_another_one_than_ours_is_replaced(registrar, account):
    await registrar.register(URL, EVENTS)
    account.endpoints["ep_1"]["signingSecretLast4"] = "9fQ="
    assert (await registrar.register(URL, EVENTS)).did == "replaced"
    assert list(account.endpoints) == ["ep_2"]


async def test_a_provider_that_tells_nothing_of_the_secret_is_believed(registrar, account):
    await registrar.register(URL, EVENTS)
    del account.endpoints["ep_1"]["signingSecretLast4"]
    assert (await registrar.register(URL, EVENTS)).did == "nothing"


async def test_an_endpoint_that_is_gone_at_the_provider_is_registered_anew(registrar, account, store):
    await registrar.register(URL, EVENTS)
    account.endpoints.clear()
    change = await registrar.register(URL, EVENTS)
    assert (change.did, change.id) == ("replaced", "ep_2")
    assert await live(store) == ["ep_2"]
    assert "DELETE" not in account.asked


async def test_of_two_good_endpoints_the_newer_one_stays(registrar, account, store, clock):
    await registrar.register(URL, EVENTS)
    account.refuse = {"DELETE"}
    clock.turn(1)
    await registrar.rotate("ep_1")
    account.refuse = set()
    change = await registrar.register(URL, EVENTS)
    assert (change.did, change.id, await live(store)) == ("replaced", "ep_2", ["ep_2"])
    assert list(account.endpoints) == ["ep_2"]


async def test_an_endpoint_of_somebody_else_is_told_and_left_alone(registrar, account):
    account.add(URL, EVENTS, "made by hand")
    change = await registrar.register(URL, EVENTS)
    assert (change.did, change.id) == ("created", "ep_2")
    assert "ep_1" in change.remarks[0]
    assert "left alone" in str(change)
    assert sorted(account.endpoints) == ["ep_1", "ep_2"]


async def test_with_force_an_endpoint_of_somebody_else_is_replaced(registrar, account):
    account.add(URL, EVENTS)
    account.add("https://elsewhere.example.com/x", EVENTS)
    change = await registrar.register(URL, EVENTS, force=True)
    assert (change.did, change.id, change.remarks) == ("replaced", "ep_3", ())
    assert sorted(account.endpoints) == ["ep_2", "ep_3"]


async def test_an_old_endpoint_that_cannot_be_deleted_is_told_and_its_secret_stays(registrar, account, store, clock):
    await registrar.register(URL, EVENTS)
    account.refuse = {"DELETE"}
    change = await registrar.register(URL, EVENTS[:1])
    assert change.did == "replaced"
    assert "ep_1 could not be deleted (VideoGen answered 429: Slow down.)" in str(change)
    clock.turn(OVERLAP * 2)
    assert len(await valid(store, clock)) == 2
    account.refuse = set()
    await registrar.register(URL, EVENTS[:1])
    assert (list(account.endpoints), await live(store)) == (["ep_2"], ["ep_2"])


async def test_without_a_key_for_secrets_the_provider_is_not_even_asked(registrar_with, account):
    registrar = registrar_with(secret_key=None)
    for attempt in (registrar.register(URL, EVENTS), registrar.rotate("ep_1")):
        with pytest.raises(ConfigError, match="RECEIVER_SECRET_KEY"):
            await attempt
    assert account.asked == []


async def test_without_an_api_key_every_method_says_what_to_set(registrar_with):
    registrar = registrar_with(providers={})
    with pytest.raises(ConfigError, match="VIDEOGEN_API_KEY"):
        await registrar.check()


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/x",
        "http://10.0.0.1/x",
        "ftp://localhost/x",
        "hooks.example.com",
        "https://",
        "https://user:word@hooks.example.com/x",
        "https://hooks.example.com/x#y",
        "https://hooks.example.com/x y",
        "https://hooks.example.com/x\n",
        "https://[/x",
        "",
    ],
)
async def test_a_url_that_no_provider_can_deliver_to_is_refused_at_once(registrar, account, url):
    with pytest.raises(ConfigError):
        await registrar.register(url, EVENTS)
    assert account.asked == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/x", "http://[::1]/x", "http://localhost/x"])
async def test_plain_http_is_for_this_machine(registrar, url):
    assert (await registrar.register(url, EVENTS)).did == "created"


async def test_a_registration_without_events_is_refused(registrar, account):
    with pytest.raises(ConfigError, match="at least one event"):
        await registrar.register(URL, [])
    assert account.asked == []


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [
        (Unavailable("the store does not answer"), Unavailable),
        (ConfigError("no such key"), ConfigError),
        (RuntimeError("whsec_ and all the values of the statement"), ReceiverError),
    ],
)
async def test_an_endpoint_whose_secret_cannot_be_stored_is_deleted_again(
    registrar, account, store, monkeypatch, trouble, kind
):
    async def fail(*_: object, **__: object) -> None:
        raise trouble

    monkeypatch.setattr(store.endpoints, "add", fail)
    with pytest.raises(kind) as caught:
        await registrar.register(URL, EVENTS)
    assert type(caught.value) is kind
    assert "it was deleted again" in told(caught.value, account)
    assert "statement" not in str(caught.value)
    assert account.endpoints == {}
    assert account.changed == ["POST", "DELETE"]


async def test_if_even_that_fails_the_error_names_what_is_left(registrar, account, store, monkeypatch):
    async def fail(*_: object, **__: object) -> None:
        raise Unavailable("the store does not answer")

    monkeypatch.setattr(store.endpoints, "add", fail)
    monkeypatch.setattr(store.endpoints, "retire", fail)
    account.refuse = {"DELETE"}
    with pytest.raises(Unavailable) as caught:
        await registrar.register(URL, EVENTS)
    assert "ep_1 could not be stored (the store does not answer), so delete it at the provider" in told(
        caught.value, account
    )


async def test_an_interruption_before_the_secret_is_stored_deletes_the_endpoint_too(
    registrar, account, store, monkeypatch
):
    async def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(store.endpoints, "add", interrupted)
    with pytest.raises(KeyboardInterrupt):
        await registrar.register(URL, EVENTS)
    assert account.endpoints == {}


@pytest.mark.parametrize("secret", [None, "", "whsec_", "whsec_your_webhook_signing_secret_here"])
async def test_a_secret_that_must_not_be_used_is_not_stored(registrar, account, store, secret):
    account.answer = {"signingSecret": secret}
    with pytest.raises(ReceiverError, match="deleted again") as caught:
        await registrar.register(URL, EVENTS)
    told(caught.value, account)
    assert account.endpoints == {}
    assert await store.endpoints.secrets() == []


async def test_a_refusal_to_create_leaves_the_old_endpoint_in_place(registrar, account, store, clock):
    await registrar.register(URL, EVENTS)
    account.refuse = {"POST"}
    with pytest.raises(ProviderError):
        await registrar.register(URL, EVENTS[:1])
    with pytest.raises(ProviderError):
        await registrar.rotate("ep_1")
    assert (list(account.endpoints), await live(store)) == (["ep_1"], ["ep_1"])
    clock.turn(OVERLAP * 2)
    assert await valid(store, clock) == account.secrets


async def test_rotation_replaces_the_secret_with_an_overlap(registrar, account, store, clock):
    await registrar.register(URL, EVENTS)
    clock.turn(1)
    change = await registrar.rotate("ep_1")
    assert (change.did, change.id) == ("rotated", "ep_2")
    assert str(change) == "ep_2 takes the place of ep_1, whose secret counts for 24 more hours"
    assert account.changed == ["POST", "POST", "DELETE"]
    assert account.endpoints["ep_2"]["events"] == EVENTS
    assert await valid(store, clock) == account.secrets[::-1]
    clock.turn(OVERLAP)
    assert await valid(store, clock) == account.secrets[1:]


async def test_a_leaked_secret_can_be_rotated_out_at_once(registrar, account, store, clock):
    await registrar.register(URL, EVENTS)
    await registrar.rotate("ep_1", overlap=0)
    assert await valid(store, clock) == account.secrets[1:]


async def test_an_endpoint_that_is_gone_can_still_be_rotated(registrar, account, store):
    await registrar.register(URL, EVENTS)
    account.endpoints.clear()
    await registrar.rotate("ep_1")
    assert (account.endpoints["ep_2"]["url"], await live(store)) == (URL, ["ep_2"])


async def test_deleting_removes_the_endpoint_and_soon_its_secret(registrar, account, store, clock):
    await registrar.register(URL, EVENTS)
    change = await registrar.delete("ep_1")
    assert (change.did, change.id) == ("deleted", "ep_1")
    assert (account.endpoints, await live(store)) == ({}, [])
    assert await valid(store, clock) == account.secrets
    clock.turn(LAST_DELIVERIES)
    assert await valid(store, clock) == []


@pytest.mark.parametrize("description", [None, "prod", "media-receiver:staging.example.com"])
async def test_endpoints_of_others_are_neither_rotated_nor_deleted(registrar_with, account, description):
    registrar = registrar_with(public_url="https://hooks.example.com")
    account.add("https://staging.example.com/webhooks/videogen", EVENTS, description)
    for attempt in (registrar.rotate("ep_1"), registrar.delete("ep_1")):
        with pytest.raises(ConfigError, match="left alone"):
            await attempt
    assert account.changed == []
    assert (await registrar.delete("ep_1", force=True)).did == "deleted"


async def test_an_endpoint_at_our_url_with_our_tag_is_ours_even_if_the_store_forgot_it(registrar_with, account):
    registrar = registrar_with(public_url="https://hooks.example.com")
    account.add(URL, EVENTS, "media-receiver:hooks.example.com")
    assert (await registrar.delete("ep_1")).did == "deleted"


async def test_an_unknown_endpoint_is_told_as_such(registrar, account):
    for attempt in (registrar.rotate("ep_9"), registrar.delete("ep_9")):
        with pytest.raises(ConfigError, match="no endpoint ep_9"):
            await attempt


async def test_an_endpoint_that_is_as_it_should_be_has_no_drift(registrar_with, account):
    registrar = registrar_with(public_url="https://hooks.example.com")
    await registrar.register(URL, EVENTS)
    (finding,) = await registrar.check()
    assert (finding.id, finding.url, finding.drift) == ("ep_1", URL, None)
    assert str(finding) == f"ep_1 at {URL} is as it should be"


async def spoil(account: Account, how: str) -> None:
    endpoint = account.endpoints["ep_1"]
    if how == "missing":
        account.endpoints.clear()
    elif how == "events":
        endpoint["events"] = EVENTS[:1]
    elif how == "url":
        endpoint["url"] = "https://old.example.com/x"
    else:
        endpoint["signingSecretLast4"] = "9fQ="


@pytest.mark.parametrize(
    ("how", "drift"), [("missing", "missing"), ("events", "events"), ("url", "events"), ("secret", "secret")]
)
async def test_drift_is_found_and_registering_again_mends_it(registrar, account, how, drift):
    await registrar.register(URL, EVENTS)
    await spoil(account, how)
    (finding,) = await registrar.check()
    assert (finding.id, finding.drift) == ("ep_1", drift)
    assert account.changed == ["POST"]
    await registrar.register(URL, EVENTS)
    assert [finding.drift for finding in await registrar.check() if finding.url == URL] == [None]


async def test_a_worker_keeps_what_it_finds_with_its_age_until_it_is_mended(registrar, account, store, http, clock):
    settings = Settings(secret_key=SecretStr(KEY), providers={"videogen": Provider(api_key=SecretStr("sk_1"))})
    inspector = Inspector(store=store, sources={"videogen": VideoGen()}, settings=settings, http=http)

    async def kept():
        await inspector.look()
        (row,) = await store.endpoints.live("videogen")
        (alarm,) = (await store.alarms.signs(["videogen"], lookback=900)).drifted.values() or [None]
        return row.drift, row.drifted_at, row.compared_at, alarm

    await registrar.register(URL, EVENTS)
    assert await kept() == (None, None, clock(), None)
    wanted = account.endpoints["ep_1"]["events"]
    account.endpoints["ep_1"]["events"] = EVENTS[:1]
    began = clock()
    drift, since, compared_at, alarm = await kept()
    assert (drift, since, compared_at, alarm[0]) == ("events", began, began, 1)
    clock.turn(3600)
    assert (await kept())[:3] == ("events", began, began + 3600)
    account.endpoints["ep_1"]["events"] = wanted
    assert await kept() == (None, None, clock(), None)


async def test_one_worker_compares_once_an_hour(store, clock):
    assert await store.endpoints.mine(EVERY)
    assert not await store.endpoints.mine(EVERY)
    clock.turn(EVERY)
    assert await store.endpoints.mine(EVERY)


async def test_without_an_api_key_or_an_answer_what_is_known_stays(registrar, account, store, http):
    await registrar.register(URL, EVENTS)
    account.endpoints.clear()
    await registrar.check()

    def down(_request):
        raise httpx.ConnectError("no route")

    for key in (None, SecretStr("sk_1")):
        settings = Settings(secret_key=SecretStr(KEY), providers={"videogen": Provider(api_key=key)})
        async with httpx.AsyncClient(transport=httpx.MockTransport(down)) as nobody:
            sources = {"videogen": VideoGen()}
            await Inspector(store=store, sources=sources, settings=settings, http=nobody).look()
        (row,) = await store.endpoints.live("videogen")
        assert row.drift == "missing"


async def test_a_secret_that_the_store_forgot_is_drift(registrar_with, account):
    registrar = registrar_with(public_url="https://hooks.example.com")
    account.add(URL, EVENTS, "media-receiver:hooks.example.com")
    account.add("https://staging.example.com/webhooks/videogen", EVENTS, "media-receiver:staging.example.com")
    (finding,) = await registrar.check()
    assert (finding.id, finding.drift) == ("ep_1", "secret")


async def test_an_endpoint_of_somebody_else_at_our_url_is_drift_unless_its_secret_is_configured(
    registrar_with, account
):
    account.add(URL, EVENTS, "made by hand")
    url = "https://hooks.example.com"
    (finding,) = await registrar_with(public_url=url).check()
    assert (finding.id, finding.drift) == ("ep_1", "foreign")
    configured = SecretStr(f"whsec_other,{account.secrets[0]} ")
    (finding,) = await registrar_with(public_url=url, configured=configured).check()
    assert (finding.id, finding.drift) == ("ep_1", None)
    del account.endpoints["ep_1"]["signingSecretLast4"]
    (finding,) = await registrar_with(public_url=url, configured=configured).check()
    assert finding.drift == "foreign"


async def test_a_public_url_that_is_not_registered_is_drift(registrar_with, account):
    registrar = registrar_with(public_url="https://new.example.com")
    await registrar.register(URL, EVENTS)
    fine, finding = await registrar.check()
    assert (fine.drift, finding.id, finding.drift) == (None, None, "missing")
    assert finding.url == "https://new.example.com/webhooks/videogen"


async def test_without_any_endpoint_or_public_url_there_is_nothing_to_find(registrar, account):
    account.add("https://elsewhere.example.com/x", EVENTS)
    assert await registrar.check() == []


async def test_an_address_that_is_none_at_the_provider_disturbs_nothing(registrar_with, account):
    account.add("x:\0", EVENTS)
    (finding,) = await registrar_with(public_url="https://hooks.example.com").check()
    assert (finding.url, finding.drift) == (URL, "missing")


async def test_an_endpoint_whose_secret_no_key_opens_any_more_is_replaced_at_once(
    registrar_with, registrar, account, store, clock
):
    await registrar.register(URL, EVENTS)
    later = registrar_with(secret_key=SecretStr(vault.new_key()))
    (finding,) = await later.check()
    assert finding.drift == "secret"
    change = await later.register(URL, EVENTS)
    assert (change.did, change.id, list(account.endpoints)) == ("replaced", "ep_2", ["ep_2"])
    assert [secret.endpoint_id for secret in await store.endpoints.secrets(now=clock())] == ["ep_2"]


async def test_checking_needs_no_key_for_secrets(registrar_with, registrar):
    await registrar.register(URL, EVENTS)
    for secret_key in (None, SecretStr("malformed")):
        (finding,) = await registrar_with(secret_key=secret_key).check()
        assert finding.drift is None


async def test_no_change_and_no_finding_holds_a_secret_or_a_query(registrar, account):
    url = URL + "?token=abc"
    shown = [await registrar.register(url, EVENTS), await registrar.rotate("ep_1"), *(await registrar.check())]
    account.add(url, EVENTS)
    shown += [await registrar.register(url, EVENTS[:1]), await registrar.delete("ep_4")]
    for item in shown:
        assert "token" not in str(item)
        assert not any(secret in repr(item) for secret in account.secrets)
    assert all(isinstance(item, Change) for item in shown[-2:])
