"""What the profiles read, and which of them the settings call for."""

import base64
import hashlib
import hmac
import json

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.app import Door
from receiver.errors import ConfigError, Unreadable
from receiver.registry import find_sources
from receiver.settings import Provider, Settings
from receiver.sources import HintingSource, WebhookSource
from receiver.sources.profiles import PROFILES, believed, usable

SECRET = "kR7mW2pX9qL4vN8tB3zY"
KNOWN = {profile.name: profile for profile in PROFILES}

#: Source, body, kind, job, the URLs or the error that are read.
READ = [
    ("replicate", {"id": "j", "status": "succeeded", "output": "https://r/a"}, "succeeded", "j", ["https://r/a"]),
    ("replicate", {"id": "j", "status": "succeeded", "output": ["https://r/a", 1]}, "succeeded", "j", ["https://r/a"]),
    ("replicate", {"id": "j", "status": "failed", "error": "no"}, "failed", "j", "no"),
    ("replicate", {"id": "j", "status": "canceled"}, "cancelled", "j", []),
    ("replicate", {"id": "j", "status": "processing", "output": ["https://r/a"]}, None, "j", []),
    ("openai", {"type": "video.completed", "data": {"id": "j"}}, "succeeded", "j", []),
    ("gemini", {"type": "batch.failed", "data": {"id": "j", "error_message": "no"}}, "failed", "j", "no"),
    ("higgsfield", {"request_id": "j", "status": "nsfw"}, "failed", "j", "nsfw"),
    ("wavespeed", {"id": "j", "status": "completed", "outputs": ["https://w/a"]}, "succeeded", "j", ["https://w/a"]),
    ("pollo", {"taskId": "j", "status": "succeed"}, "succeeded", "j", []),
    ("fal", {"request_id": "j", "status": "OK", "payload": {"images": [{"url": "https://f/a"}, {"url": "https://f/b"}]}},
     "succeeded", "j", ["https://f/a", "https://f/b"]),
    ("fal", {"request_id": "j", "status": "OK", "payload": None, "payload_error": "x"}, "succeeded", "j", []),
    ("openrouter", {"type": "video.generation.expired", "data": {"id": "j", "status": "expired"}}, "failed", "j",
     "no reason given"),
    ("elevenlabs", {"type": "post_call_audio", "data": {"conversation_id": "j"}}, None, "j", []),
    ("mux", {"type": "video.asset.errored", "object": {"id": "j"}, "data": {"errors": {"messages": ["no"]}}}, "failed",
     "j", "no reason given"),
    ("sync", {"id": "j", "status": "COMPLETED", "outputUrl": "https://s/a"}, "succeeded", "j", ["https://s/a"]),
    ("heygen", {"event_type": "avatar_video.success", "event_data": {"video_id": "j", "url": "https://h/a"}},
     "succeeded", "j", ["https://h/a"]),
    ("bfl", {"id": "j", "status": "Ready", "result": {"sample": "https://b/a"}}, "succeeded", "j", ["https://b/a"]),
    ("assemblyai", {"transcript_id": "j", "status": "completed"}, "succeeded", "j", []),
    ("leonardo", {"type": "image_generation.complete", "data": {"object": {"id": "j", "status": "COMPLETE",
     "images": [{"url": "https://l/a"}]}}}, "succeeded", "j", ["https://l/a"]),
    ("kling", {"task_id": "j", "task_status": "succeed", "task_result": {"videos": [{"url": "https://k/a"}]}},
     "succeeded", "j", ["https://k/a"]),
    ("luma", {"id": "j", "state": "dreaming"}, None, "j", []),
    ("kie", {"data": {"taskId": "j", "state": "success", "resultJson": '{"resultUrls": ["https://k/a", "https://k/b"]}'}},
     "succeeded", "j", ["https://k/a", "https://k/b"]),
    ("kie", {"data": {"taskId": "j", "state": "success", "resultJson": "{no JSON"}}, "succeeded", "j", []),
    ("kie", {"data": {"taskId": "j", "state": "success", "video_url": "https://k/a"}}, "succeeded", "j",
     ["https://k/a"]),
    ("kie", {"data": {"taskId": "j", "state": "fail", "failMsg": "no"}}, "failed", "j", "no"),
    ("shotstack", {"id": "asset", "render": "j", "status": "done", "url": "https://s/a"}, "succeeded", "j",
     ["https://s/a"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "body", "kind", "job", "told"), READ)
def test_a_body_is_read_as_its_provider_means_it(name, body, kind, job, told):
    reading = KNOWN[name].read(json.dumps(body).encode())
    assert reading.kind == (kind and f"job.{kind}")
    assert reading.job_id == job
    assert reading.fact == (f"{job}:{kind}" if kind else None)
    assert (reading.error.message if reading.error else [output.url for output in reading.outputs]) == told
    assert reading.data == body


async def test_what_dies_soon_is_known_to_although_nothing_in_the_delivery_says_so(sqlite_url):
    """BFL's URLs work for ten minutes: their capture goes before what has longer."""
    door = Door(Settings(database_url=sqlite_url, providers={"bfl": provider()}), dispatch=False)
    body = b'{"id": "j", "status": "Ready", "result": {"sample": "https://b.example/a"}}'
    signature = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    transport = httpx.ASGITransport(door.app)
    async with door.open(), httpx.AsyncClient(transport=transport, base_url="http://receiver") as sender:
        answer = await sender.post("/webhooks/bfl", content=body, headers={"X-BFL-Signature": signature})
        row = await door._store.events.get(answer.json()["event"])
    assert row["expires_at"] == row["received_at"] + 600


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_every_profile_is_a_source_that_says_where_its_facts_come_from(profile):
    assert isinstance(profile, WebhookSource)
    assert profile.facts
    assert bool(profile.doubts) == (profile.certainty == "unknown")
    with pytest.raises(Unreadable):
        profile.read(b"{}")
    with pytest.raises(ConfigError, match="register the webhook there by hand"):
        profile.client(None, Provider())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "status", "type", "data", "object", "output", "error"]), inner)
    ),
    max_leaves=12,
)


@settings(deadline=None, derandomize=True, database=None, max_examples=200)
@given(st.sampled_from(PROFILES), JSON)
def test_whatever_is_sent_is_read_or_unreadable_and_brief_fails_alike(profile, data):
    body = json.dumps(data).encode()
    try:
        reading = profile.read(body)
    except Unreadable:
        with pytest.raises(Unreadable):
            profile.read(body, brief=True)
    else:
        assert profile.read(body, brief=True).fact == reading.fact


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_every_provider_is_answered_as_it_wants(profile):
    """200 with a small body, soon: that is within what each takes, and no handshake is left to a believed source."""
    assert 200 in {"2xx": range(200, 300), "200": (200,)}[profile.answer]
    assert profile.waits is None or profile.waits >= 3
    assert profile.handshake is None or not believed(profile)


async def test_a_provider_that_sends_more_than_json_is_not_told_415(sqlite_url):
    secrets = {name: provider(webhook_confirmed="1") for name in ("deepgram", "mux")}
    door = Door(Settings(database_url=sqlite_url, providers=secrets), dispatch=False)
    basic = "Basic " + base64.b64encode(SECRET.encode()).decode()
    transport = httpx.ASGITransport(door.app)
    async with door.open(), httpx.AsyncClient(transport=transport, base_url="http://receiver") as sender:
        for name, status in (("deepgram", 200), ("mux", 415)):
            headers = {"content-type": "audio/mpeg", "authorization": basic}
            answer = await sender.post(f"/webhooks/{name}", content=b"ID3\xff\xfb", headers=headers)
            assert answer.status_code == status


# What the settings call for


def provider(**values):
    return Provider.model_validate({"webhook_secret": SECRET, **values})


def test_what_is_sure_and_signed_may_deliver_once_a_secret_is_there_and_nothing_else():
    found = usable({"nobody": provider()})
    assert set(found) == {
        name
        for name, one in KNOWN.items()
        if one.certainty != "unknown" and one.scheme.trust in ("body", "sender") and not one.scheme.jwks
    }
    assert "mux" not in find_sources()
    assert "mux" in find_sources({})


@pytest.mark.parametrize("name", [profile.name for profile in PROFILES if profile.certainty == "unknown"])
def test_what_is_not_known_for_sure_is_off_until_somebody_confirms_it(name):
    if KNOWN[name].scheme.trust in ("nothing", "id"):
        return
    assert name not in usable({})
    with pytest.raises(ConfigError, match=f"{name.upper()}_WEBHOOK_CONFIRMED=1"):
        usable({name: provider()})
    assert name in usable({name: provider(webhook_confirmed="1")})


@pytest.mark.parametrize("name", ["minimax", "luma", "kling", "shotstack", "creatomate", "tavus", "kie", "gemini_jwt"])
def test_who_does_not_sign_the_body_stays_refused_until_it_can_be_asked(name):
    with pytest.raises(ConfigError, match="cannot be trusted"):
        usable({name: provider(webhook_confirmed="1")})
    asked = {"status_url": "https://x.example/{job}", "webhook_confirmed": "1", "webhook_account": "me"}
    with pytest.raises(ConfigError, match=f"{name.upper()}_API_KEY"):
        usable({name: provider(**asked)})
    assert isinstance(usable({name: provider(**asked, api_key="k")})[name], HintingSource)


@pytest.mark.parametrize("name", ["fal", "gemini_jwt"])
def test_who_signs_for_everybody_with_the_same_keys_needs_to_know_for_whom(name):
    known = {"status_url": "https://x.example/{job}", "api_key": "k", "webhook_confirmed": "1"}
    with pytest.raises(ConfigError, match=f"{name.upper()}_WEBHOOK_ACCOUNT"):
        usable({name: provider(**known)})
    mine = Provider.model_validate({**known, "webhook_account": "me"})
    assert usable({name: mine})[name].scheme.audience == "me"


@pytest.mark.parametrize("text", ["github", "github:", "stripe", "rsa:X", "standard:X"])
def test_a_scheme_that_means_nothing_is_named(text):
    with pytest.raises(ConfigError, match="ACME_WEBHOOK_SCHEME must be"):
        usable({"acme": provider(webhook_scheme=text)})


def test_a_known_provider_keeps_how_it_is_read_when_the_settings_say_how_it_signs():
    found = usable({"assemblyai": provider(webhook_scheme="token:X-Mine")})["assemblyai"]
    assert found.verify([(b"x-mine", SECRET.encode())], b"{}", keys=[SECRET.encode()], now=0)
    assert found.read(b'{"transcript_id": "j", "status": "completed"}').job_id == "j"
    with pytest.raises(ConfigError, match="ASSEMBLYAI_WEBHOOK_SCHEME=token:HEADER"):
        usable({"assemblyai": provider()})


async def test_a_new_provider_is_added_by_settings_alone(sqlite_url, monkeypatch):
    monkeypatch.setenv("ACME_WEBHOOK_SCHEME", "github:X-Acme-Signature")
    monkeypatch.setenv("ACME_WEBHOOK_SECRET", SECRET)
    door = Door(Settings(database_url=sqlite_url), dispatch=False)
    body = b'{"id": "job_1", "status": "completed"}'
    signature = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    transport = httpx.ASGITransport(door.app)
    async with door.open(), httpx.AsyncClient(transport=transport, base_url="http://receiver") as sender:
        for header, told in ((signature, (200, "stored")), (signature, (200, "duplicate")), ("sha256=00", (401, None))):
            answer = await sender.post("/webhooks/acme", content=body, headers={"X-Acme-Signature": header})
            assert (answer.status_code, answer.json().get("status")) == told
