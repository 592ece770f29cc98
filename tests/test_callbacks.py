"""Providers that sign nothing: a URL for each job, and only what the provider says when asked is believed."""

import asyncio
import hmac
import json
import time
from base64 import b64encode
from contextlib import asynccontextmanager

import httpx
import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from receiver.app import Door
from receiver.callback import Callbacks
from receiver.errors import BadSignature, ConfigError
from receiver.recall import event_of
from receiver.registry import find_sources
from receiver.settings import Provider, Settings
from receiver.store import Change, NewJob, Store
from receiver.tracker import Tracker
from receiver.vault import new_key

KEY, OLD = new_key(), new_key()
JOB, OTHER = "job_" + "0" * 32, "job_" + "1" * 32
TOKEN = "a-token-that-is-long-enough"
PROVIDERS = {
    "luma": {"api_key": "k", "status_url": "https://luma.example/v1/generations/{job}"},
    "minimax": {"api_key": "k", "status_url": "https://minimax.example/v1/query?task_id={job}"},
    "kie": {
        "api_key": "k",
        "status_url": "https://kie.example/jobs/{job}",
        "webhook_secret": "kR7mW2pX9qL4vN8tB3zY",
    },
    "acme": {"api_key": "k", "status_url": "https://acme.example/{job}", "webhook_scheme": "unsigned"},
}


# The token


def token_of(url):
    return url.rpartition("/")[2]


def test_a_token_is_good_for_one_job_of_one_source_until_it_ends():
    callbacks = Callbacks([KEY], "https://hooks.example.com")
    url = callbacks.url("luma", JOB, expires=1000)
    assert url.startswith("https://hooks.example.com/webhooks/luma/")
    token = token_of(url)
    assert callbacks.check("luma", token, now=999.9) == JOB
    for source, said, now, reason in (
        ("luma", token, 1000, "expired-token"),
        ("luma", token, float("nan"), "expired-token"),
        ("kling", token, 999, "wrong-token"),
        ("luma", token.replace(JOB, OTHER), 999, "wrong-token"),
        ("luma", token.replace(".1000.", ".9000."), 999, "wrong-token"),
        ("luma", token.replace(".1000.", ".01000."), 999, "wrong-token"),
        ("luma", token[:-1] + ("A" if token[-1] != "A" else "B"), 999, "wrong-token"),
        ("luma", token[:-1], 999, "malformed-token"),
        ("luma", token + "=", 999, "malformed-token"),
        ("luma", token + "\n", 999, "malformed-token"),
        ("luma", token.replace(".1000.", ".١٠٠٠."), 999, "malformed-token"),
        ("luma", token.replace(".1000.", "." + "9" * 400 + "."), 999, "malformed-token"),
        ("luma", "", 999, "malformed-token"),
    ):
        with pytest.raises(BadSignature, match=reason):
            callbacks.check(source, said, now=now)


def test_a_token_outlives_the_replacement_of_the_key_it_was_made_with():
    token = token_of(Callbacks([OLD], "https://h").url("luma", JOB, expires=1000))
    assert Callbacks([KEY, OLD], "https://h").check("luma", token, now=0) == JOB
    for keys in ([KEY], []):
        with pytest.raises(BadSignature, match="wrong-token"):
            Callbacks(keys, "https://h").check("luma", token, now=0)


@pytest.mark.parametrize(("keys", "url"), [([], "https://h"), ([KEY], None)])
def test_without_a_key_or_a_public_url_there_is_no_callback(keys, url):
    with pytest.raises(ConfigError, match=r"RECEIVER_SECRET_KEY|RECEIVER_PUBLIC_URL"):
        Callbacks(keys, url).url("luma", JOB, expires=1)


@pytest.mark.parametrize(
    "url", ["https://x.example/", "https://x.example/{job}/{job}", "https://{job}/", "https://u@x/{job}"]
)
def test_a_status_url_has_its_job_in_one_place(url):
    with pytest.raises(ValidationError, match=r"\{job\} in its path"):
        Provider(status_url=url)


# The journey


class World:
    """A door, a tracker, and the providers it asks."""

    def __init__(self, door, sender, store, settings):
        self.sender, self.store, self.settings = sender, store, settings
        self.answers, self.asked, self.inbox = {}, [], door._inbox
        transport = httpx.MockTransport(self._answer)
        self.sources = find_sources(settings.providers)
        self.tracker = Tracker(
            store=store,
            sources=self.sources,
            settings=settings,
            http=httpx.AsyncClient(transport=transport),
            worker="w1",
        )

    def _answer(self, request):
        self.asked.append((str(request.url), request.headers["authorization"]))
        found = self.answers.get(str(request.url))
        return httpx.Response(404, json={}) if found is None else httpx.Response(200, json=found)

    async def expect(self, source="luma"):
        answer = await self.sender.post("/api/v1/callbacks", json={"source": source, "metadata": {"order": 7}})
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def call(self, url, body, **headers):
        path = url.removeprefix("https://hooks.example.com")
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.sender.post(path, content=content, headers=headers)

    async def track(self):
        await self.tracker._turn()
        while tasks := [task for tasks in self.tracker._busy.values() for task in tasks]:
            await asyncio.wait(tasks)
        await self.tracker._turn()

    async def events(self):
        rows = [await self.store.events.get(row["id"]) for row in await self.store.events.recent(limit=50)]
        return [event_of(row, self.sources) for row in rows]

    async def refused(self):
        while not (rows := await self.store.events.deliveries(limit=50)):
            await asyncio.sleep(0)
        return rows


@asynccontextmanager
async def opened(database_url, **changes):
    values = {
        "database_url": database_url,
        "secret_key": KEY,
        "public_url": "https://hooks.example.com",
        "admin_token": TOKEN,
        "providers": PROVIDERS,
    }
    settings = Settings(**values | changes)
    door, store = Door(settings, dispatch=False), Store(database_url)
    async with (
        door.open(),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(door.app),
            base_url="http://receiver",
            headers={"authorization": f"Bearer {TOKEN}"},
        ) as sender,
    ):
        world = World(door, sender, store, settings)
        yield world
        await world.tracker._http.aclose()
    await store.close()


@pytest.fixture
async def world(database_url):
    async with opened(database_url) as made:
        yield made


STATUS = "https://luma.example/v1/generations/p1"


async def test_what_a_callback_says_is_asked_for_and_only_the_answer_is_believed(world):
    expected = await world.expect()
    answer = await world.call(expected["url"], {"id": "p1", "state": "dreaming"})
    assert (answer.status_code, answer.json()) == (200, {"status": "asked"})
    world.answers[STATUS] = {"id": "p1", "state": "dreaming"}
    await world.track()
    assert (await world.store.jobs.get(expected["job"])).state == "running"

    lie = {"id": "p1", "state": "completed", "assets": {"video": "https://evil.example/v"}}
    assert (await world.call(expected["url"], lie)).status_code == 200
    assert await world.events() == []
    world.answers[STATUS] = {"id": "p1", "state": "failed", "failure_reason": "too dark"}
    await world.track()
    (event,) = await world.events()
    assert (event.source, event.kind, event.job_id, event.error.message) == ("luma", "job.failed", "p1", "too dark")
    job = await world.store.jobs.get("p1")
    assert (job.id, job.state, job.metadata) == (expected["job"], "failed", {"order": 7})
    assert world.asked[-1] == (STATUS, "Bearer k")

    assert (await world.call(expected["url"], lie)).json() == {"status": "asked"}
    await world.track()
    assert len(await world.events()) == 1
    assert len(world.asked) == 2


async def test_a_token_of_another_job_or_source_or_none_is_refused_and_kept_nowhere(world):
    first, second = await world.expect(), await world.expect()
    body = {"id": "p1", "state": "completed"}
    assert (await world.call(first["url"], body)).status_code == 200
    with capture_logs() as logs:
        for url, reason in (
            (second["url"], "another-job"),
            (first["url"].replace("luma", "minimax"), "wrong-token"),
            (first["url"] + "x", "malformed-token"),
            ("/webhooks/luma/", "malformed-token"),
            ("/webhooks/luma", "unsigned"),
        ):
            answer = await world.call(url, body | {"task_id": "p1"})
            assert answer.status_code == 401, reason
            rows = await world.refused()
            while rows[0]["reason"] != reason:
                rows = await world.store.events.deliveries(limit=50)
        assert (await world.call(first["url"], {"id": "p2", "state": "completed"})).status_code == 401
        assert (await world.call(first["url"].replace("luma", "videogen"), body)).status_code == 404
    rows = await world.store.events.deliveries(limit=50)
    seen = repr(logs) + repr([dict(row) for row in rows])
    assert token_of(first["url"])[-43:] not in seen
    assert token_of(second["url"])[-43:] not in seen
    assert {row["source"] for row in rows} <= {"luma", "minimax", "videogen"}


async def test_an_expired_token_is_refused(database_url):
    async with opened(database_url) as world:
        expected = await world.expect()
        world.inbox._clock = lambda: expected["expires_at"] + 1
        assert (await world.call(expected["url"], {"id": "p1"})).status_code == 401


async def test_a_challenge_is_echoed_to_who_has_the_token_and_to_nobody_else(world):
    expected = await world.expect("minimax")
    answer = await world.call(expected["url"], {"challenge": "abc"})
    assert (answer.status_code, answer.json()) == (200, {"challenge": "abc"})
    assert (await world.call("/webhooks/minimax", {"challenge": "abc"})).status_code == 401
    assert (await world.store.jobs.get(expected["job"])).job_id is None


async def test_a_callback_that_names_no_job_is_kept_in_quarantine(world):
    expected = await world.expect()
    for body in (b"not json", b"{}", b'{"id": 7, "state": "x"}', b"\xff"):
        assert (await world.call(expected["url"], body)).json()["status"] == "stored"
    (first, *others) = await world.store.events.recent(limit=10)
    assert (first["state"], len(others)) == ("quarantined", 3)


async def test_a_signature_over_an_id_is_enough_to_ask_about_it_and_for_nothing_else(world):
    stamp = int(time.time())
    signature = b64encode(hmac.digest(b"kR7mW2pX9qL4vN8tB3zY", f"p1.{stamp}".encode(), "sha256")).decode()
    headers = {"x-webhook-timestamp": str(stamp), "x-webhook-signature": signature}
    body = {"data": {"task_id": "p1", "state": "success"}, "url": "https://evil.example"}
    assert (await world.call("/webhooks/kie", body, **headers)).json() == {"status": "asked"}
    assert (await world.call("/webhooks/kie", body, **headers)).json() == {"status": "asked"}
    other = {"data": {"task_id": "p2", "state": "success"}}
    assert (await world.call("/webhooks/kie", other, **headers)).status_code == 401
    world.answers["https://kie.example/jobs/p1"] = {"data": {"task_id": "p1", "state": "fail", "failMsg": "no"}}
    await world.track()
    assert [(event.kind, event.error.message) for event in await world.events()] == [("job.failed", "no")]


async def test_a_provider_that_signs_nothing_is_added_by_settings_alone(world):
    expected = await world.expect("acme")
    await world.call(expected["url"], {"id": "a b/c", "status": "completed"})
    world.answers["https://acme.example/a%20b%2Fc"] = {"id": "a b/c", "status": "completed"}
    await world.track()
    assert [event.kind for event in await world.events()] == ["job.succeeded"]


async def test_an_answer_about_another_job_is_trouble_and_no_event(world):
    expected = await world.expect()
    await world.call(expected["url"], {"id": "p1", "state": "completed"})
    world.answers[STATUS] = {"id": "p2", "state": "completed"}
    await world.track()
    assert await world.events() == []
    assert "another" in (await world.store.jobs.get(expected["job"])).error


async def test_what_cannot_be_expected_is_told(world, database_url):
    for body, status in (
        ({"source": "videogen"}, 422),
        ({"source": "nobody"}, 422),
        ({"source": "luma", "deadline": 0}, 422),
    ):
        assert (await world.sender.post("/api/v1/callbacks", json=body)).status_code == status
    async with opened(database_url, public_url=None) as other:
        answer = await other.sender.post("/api/v1/callbacks", json={"source": "luma"})
        assert (answer.status_code, "RECEIVER_PUBLIC_URL" in answer.text) == (409, True)
    assert await world.store.jobs.recent() == []


# The ledger


async def test_a_callback_that_comes_while_its_provider_is_asked_is_not_lost(store, clock):
    new = NewJob(source="luma", tool=None)
    await store.hints.expect(new)
    await store.hints.take("luma", "p1", expected=new.id)
    turn = await store.jobs.turn(worker="w1", lease=90, changes=[], room={"luma": 1}, at_once={})
    (asking,) = turn.to_ask
    await store.hints.take("luma", "p1", expected=new.id)
    late = Change(job=asking, values={"state": "running", "due_at": clock() + 300})
    turn = await store.jobs.turn(worker="w1", lease=90, changes=[late], room={"luma": 1}, at_once={})
    assert [job.id for job in turn.to_ask] == [new.id]


async def test_a_provider_that_never_calls_back_is_overdue_at_the_deadline(store, clock):
    providers = {"luma": PROVIDERS["luma"]}
    tracker = Tracker(
        store=store,
        sources=find_sources(Settings(providers=providers).providers),
        settings=Settings(providers=providers),
        http=None,
        worker="w1",
    )
    late, cancelled = NewJob(source="luma", tool=None, deadline=100), NewJob(source="luma", tool=None)
    for new in (late, cancelled):
        await store.hints.expect(new)
    await store.jobs.cancel(cancelled.id)
    clock.turn(101)
    for _ in range(2):
        await tracker._turn()
        while tasks := [task for tasks in tracker._busy.values() for task in tasks]:
            await asyncio.wait(tasks)
    assert {row["type"] for row in await store.events.recent(limit=5)} == {"job.overdue", "job.withdrawn"}
    assert (await store.jobs.get(late.id)).state == "failed"
    assert (await store.jobs.get(cancelled.id)).state == "cancelled"
