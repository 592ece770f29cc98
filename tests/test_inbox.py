"""Every row of "what a receiver must answer", through the real app, store and source."""

import asyncio
import shutil
import time
from contextlib import asynccontextmanager

import httpx
import pytest
from sqlalchemy import update

import receiver.app
from receiver import signatures
from receiver.app import Door
from receiver.errors import Unavailable
from receiver.settings import Settings
from receiver.store import THERE, Arrival, Endpoint, Store, headers_of
from receiver.store.tables import beats
from receiver.vault import Vault, new_key

from .conftest import SAMPLES, SECRET

KEY = signatures.decode_secret(SECRET)


@asynccontextmanager
async def opened(settings, clock):
    door = Door(settings, dispatch=False, clock=clock)
    async with door.open():
        transport = httpx.ASGITransport(door.app, raise_app_exceptions=True, client=("192.0.2.7", 1234))
        async with httpx.AsyncClient(transport=transport, base_url="http://receiver") as client:
            client.door = door
            yield client


@pytest.fixture
def settings(sqlite_url, monkeypatch):
    monkeypatch.setenv("VIDEOGEN_WEBHOOK_SECRET", SECRET)
    return Settings(database_url=sqlite_url, max_body=8192)


@pytest.fixture
async def client(settings, clock):
    async with opened(settings, clock) as client:
        yield client


def signed(body: bytes, clock, *, id="msg_1", key=KEY, at=None):
    timestamp = int(clock() if at is None else at)
    return {
        "content-type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signatures.sign(key, id=id, timestamp=timestamp, body=body),
    }


async def send(client, body, headers, source="videogen"):
    return await client.post(f"/webhooks/{source}", content=body, headers=headers)


async def refusals(client, *, number=1):
    """Wait until so many refusals are stored; nobody who is refused waits for that."""
    store = client.door._store
    while len(rows := await store.events.deliveries(limit=1000)) < number:
        await asyncio.sleep(0)
    return rows


async def test_a_good_delivery_is_stored_and_answered_200_with_its_event(client, sample, clock):
    body = sample("tool_execution.succeeded")
    answer = await send(client, body, signed(body, clock))
    assert (answer.status_code, answer.json()["status"]) == (200, "stored")
    row = await client.door._store.events.get(answer.json()["event"])
    assert (row["type"], row["kind"], row["job_id"]) == (
        "tool_execution.succeeded",
        "job.succeeded",
        "vg_tool_cmh3k9q2x0001l508ab12cd34",
    )
    assert bytes(row["body"]) == body


async def test_what_acknowledgements_took_outlives_the_process_that_gave_them(settings, clock, sample, monkeypatch):
    store, body = Store(settings.database_url), sample("tool_execution.succeeded")
    for number, beat in ((1, 0), (2, 600)):  # the second has no beat until it stops
        monkeypatch.setattr(receiver.app, "BEAT", beat)
        async with opened(settings, clock) as client:
            kept = asyncio.Event()
            keep = client.door._store.tally.keep_acks

            async def keep_acks(took, kept=kept, keep=keep):
                await keep(took)
                kept.set()

            client.door._store.tally.keep_acks = keep_acks
            assert (await send(client, body, signed(body, clock))).status_code == 200
            if not beat:
                await kept.wait()
        found = await store.tally.over(since=time.time() - 60, step=60)
        assert sum(sum(one.acks.values()) for one in found) == number
    await store.close()


async def test_all_vectors_get_their_verdict_with_the_clock_of_the_vector(settings, clock, vectors, schema, tmp_path):
    for number, vector in enumerate(vector for vector in vectors if vector["secret"]):
        clock.now = vector["now"]
        one = settings.model_copy(
            update={"database_url": f"sqlite:///{shutil.copy(schema, tmp_path / f'{number}.db')}"}
        )
        async with opened(one, clock) as client:
            body = (SAMPLES / vector["bodyFile"]).read_bytes()
            headers = {name: value.encode() for name, value in vector["headers"].items()}
            answer = await send(client, body, headers)
        assert answer.status_code == (200 if vector["expect"] == "accept" else 401), vector["name"]


async def test_a_duplicate_is_answered_like_the_first(client, sample, clock):
    body = sample("tool_execution.succeeded")
    first = await send(client, body, signed(body, clock))
    clock.turn(305)
    second = await send(client, body, signed(body, clock))
    assert second.status_code == 200
    assert second.json() == {"event": first.json()["event"], "status": "duplicate"}


async def test_the_same_fact_through_a_second_endpoint_is_one_event(client, sample, clock):
    body = sample("tool_execution.succeeded")
    first = await send(client, body, signed(body, clock, id="msg_1"))
    second = await send(client, body, signed(body, clock, id="msg_2"))
    assert second.json() == {"event": first.json()["event"], "status": "duplicate"}


async def test_an_unknown_event_is_stored(client, sample, clock):
    body = sample("unknown-event--forward-compat")
    answer = await send(client, body, signed(body, clock))
    assert (answer.status_code, answer.json()["status"]) == (200, "stored")


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff\xfe", b"not json", b"[1]", b"null", b"{}", b'{"event": 7}', b"[" * 5000, b"\x1f\x8b\x08\0gzip"],
)
async def test_an_unusable_but_signed_body_is_kept_in_quarantine_with_200(client, clock, body):
    answer = await send(client, body, signed(body, clock))
    assert (answer.status_code, answer.json()["status"]) == (200, "stored")
    row = await client.door._store.events.get(answer.json()["event"])
    assert (row["state"], bytes(row["body"])) == ("quarantined", body)
    assert row["reason"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"webhook-signature": "v1,AAAA"}, "wrong-signature"),
        ({"webhook-signature": "v1,éé".encode()}, "wrong-signature"),
        ({"webhook-signature": b"\xff\xfe\xfd"}, "no-signature"),
        ({"webhook-signature": "v1a,AAAA"}, "no-signature"),
        ({"webhook-timestamp": "1793232000.5"}, "malformed-timestamp"),
        ({"webhook-timestamp": "9" * 400}, "malformed-timestamp"),
        ({"webhook-timestamp": " 1793232000 "}, "malformed-timestamp"),
        ({"webhook-id": ""}, "malformed-id"),
    ],
)
async def test_a_bad_signature_is_401_and_kept_with_its_reason(client, sample, clock, change, reason):
    body = sample("tool_execution.failed")
    if reason == "malformed-timestamp" and change["webhook-timestamp"].startswith(" "):
        change = {"webhook-timestamp": "+1793232000"}  # the client library strips spaces
    answer = await send(client, body, signed(body, clock) | change)
    assert answer.status_code == 401
    assert reason not in answer.text
    [row] = await refusals(client)
    assert (row["verdict"], row["reason"], row["status"], row["sender"]) == ("refused", reason, 401, "192.0.2.7")


async def test_a_delivery_without_signature_headers_is_401(client, sample):
    answer = await send(client, sample("tool_execution.failed"), {"content-type": "application/json"})
    assert answer.status_code == 401
    assert (await refusals(client))[0]["reason"] == "missing-header"


async def test_a_repeated_signature_header_is_401(client, sample, clock):
    body = sample("tool_execution.failed")
    headers = [*signed(body, clock).items(), ("webhook-id", "msg_other")]
    assert (await send(client, body, headers)).status_code == 401


async def test_old_deliveries_are_401_and_three_of_them_name_the_clock(client, sample, clock):
    body = sample("tool_execution.failed")
    for number in range(3):
        answer = await send(client, body, signed(body, clock, id=f"msg_{number}", at=clock() - 301))
        assert answer.status_code == 401
    rows = await refusals(client, number=3)
    assert {(row["reason"], row["skew"]) for row in rows} == {("stale-timestamp", -301.0)}
    ready = (await client.get("/readyz")).json()
    assert ready == {"status": "degraded", "problems": ["clock"]}


async def test_a_delivery_exactly_at_the_tolerance_is_taken(client, sample, clock):
    body = sample("tool_execution.failed")
    assert (await send(client, body, signed(body, clock, at=clock() - 300))).status_code == 200


async def test_an_unknown_source_is_404(client):
    assert (await send(client, b"{}", {}, source="nobody")).status_code == 404
    assert (await refusals(client))[0]["reason"] == "unknown-source"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_only_post_is_taken(client, method):
    answer = await client.request(method, "/webhooks/videogen")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("type", ["text/html", "multipart/form-data", "application/x-www-form-urlencoded"])
async def test_what_is_not_json_is_415(client, sample, clock, type):
    body = sample("tool_execution.failed")
    assert (await send(client, body, signed(body, clock) | {"content-type": type})).status_code == 415


@pytest.mark.parametrize("type", ["application/json", "application/json; charset=utf-8", "application/x+JSON"])
async def test_json_by_any_name_is_taken(client, sample, clock, type):
    body = sample("tool_execution.failed")
    assert (await send(client, body, signed(body, clock) | {"content-type": type})).status_code == 200


async def test_a_body_at_the_limit_is_taken_and_one_byte_more_is_413(client, clock):
    fits = b'{"event": "x.y", "filler": "' + b"a" * (8192 - 30) + b'"}'
    assert len(fits) == 8192
    assert (await send(client, fits, signed(fits, clock))).status_code == 200
    over = fits + b" "
    assert (await send(client, over, signed(over, clock, id="msg_2"))).status_code == 413


async def test_a_body_of_unknown_length_is_cut_off_at_the_limit(client, clock):
    sent = []

    async def endless():
        for _ in range(1000):
            sent.append(1)
            yield b"a" * 1024

    answer = await client.post("/webhooks/videogen", content=endless(), headers=signed(b"", clock))
    assert answer.status_code == 413
    assert len(sent) <= 10


async def test_a_lying_content_length_is_413_before_anything_is_read(client, clock):
    headers = signed(b"{}", clock) | {"content-length": "9" * 30}
    assert (await send(client, b"{}", headers)).status_code == 413


async def test_a_sender_too_slow_is_408(settings, clock):
    async with opened(settings.model_copy(update={"body_timeout": 0.01}), clock) as client:

        async def slow():
            yield b"{"
            await asyncio.Event().wait()

        answer = await client.post("/webhooks/videogen", content=slow(), headers=signed(b"{", clock))
        assert answer.status_code == 408


async def test_a_store_that_does_not_answer_is_503_with_retry_after(client, sample, clock, monkeypatch):
    async def down(*_arguments):
        raise Unavailable("the store does not answer: disk full")

    monkeypatch.setattr(client.door._store.events, "add", down)
    body = sample("tool_execution.failed")
    answer = await send(client, body, signed(body, clock))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "disk" not in answer.text


async def test_a_bug_of_ours_is_503_never_500(client, sample, clock, monkeypatch):
    def broken(_body):
        raise ZeroDivisionError

    monkeypatch.setattr(client.door._inbox._sources["videogen"], "read", broken)
    body = sample("tool_execution.failed")
    answer = await send(client, body, signed(body, clock))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


async def test_a_secret_registered_a_moment_ago_by_another_process_is_found(
    tmp_path, monkeypatch, sample, clock, settings
):
    monkeypatch.delenv("VIDEOGEN_WEBHOOK_SECRET")
    key = new_key()
    settings = Settings(database_url=settings.database_url, secret_key=key)
    async with opened(settings, clock) as client:
        body = sample("tool_execution.failed")
        assert (await send(client, body, signed(body, clock))).status_code == 401
        other = Store(settings.database_url)
        endpoint = Endpoint(
            source="videogen", id="ep_1", url="https://x", events=("a",), description=None, created_at=clock()
        )
        await other.endpoints.add(endpoint, sealed=Vault([key]).seal(SECRET), last4="MQ==")
        await other.close()
        clock.turn(1)
        assert (await send(client, body, signed(body, clock))).status_code == 200


async def test_a_retired_secret_counts_until_its_overlap_ends(sample, clock, settings, monkeypatch):
    monkeypatch.delenv("VIDEOGEN_WEBHOOK_SECRET")
    key = new_key()
    settings = Settings(database_url=settings.database_url, secret_key=key)
    store = Store(settings.database_url)
    endpoint = Endpoint(
        source="videogen", id="ep_1", url="https://x", events=("a",), description=None, created_at=clock()
    )
    await store.endpoints.add(endpoint, sealed=Vault([key]).seal(SECRET), last4="MQ==")
    await store.endpoints.retire("videogen", "ep_1", now=clock(), overlap=100)
    await store.close()
    body = sample("tool_execution.failed")
    async with opened(settings, clock) as client:
        clock.turn(99)
        assert (await send(client, body, signed(body, clock))).status_code == 200
        clock.turn(2)
        await client.door._keyring.load()
        assert (await send(client, body, signed(body, clock, id="msg_2"))).status_code == 401


async def test_a_flood_of_refusals_leaves_a_sample_and_a_count(client, clock):
    for _ in range(150):
        assert (await send(client, b"{}", {})).status_code == 401
    clock.turn(1)
    await send(client, b"{}", {})
    rows = await refusals(client, number=101)
    assert len(rows) == 101
    assert rows[0]["unlisted"] == 50


async def test_a_flood_to_one_name_takes_no_rows_and_no_count_from_another(client):
    for _ in range(150):
        assert (await send(client, b"{}", {}, source="nobody")).status_code == 404
    assert (await send(client, b"{}", {})).status_code == 401
    [ours] = [row for row in await refusals(client, number=101) if row["source"] == "videogen"]
    assert ours["unlisted"] == 0


async def test_health_is_ok_and_readiness_names_what_is_missing(client, settings):
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    assert (await client.get("/readyz")).json() == {"status": "ok", "problems": []}


async def test_a_door_alone_names_that_no_worker_has_reported_for_a_while_and_goes_on(client, clock):
    clock.turn(THERE + 1)
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "degraded", "problems": ["worker"]})
    handlers = client.door._store.handlers
    await handlers.report([], worker="w")  # one without handlers is a worker too
    assert (await client.get("/readyz")).json()["problems"] == []
    async with client.door._store.database.write() as connection:
        await connection.execute(update(beats).where(beats.c.part == "worker").values(seen_at=time.time() - THERE - 1))
    assert (await client.get("/readyz")).json()["problems"] == ["worker"]


async def test_readiness_fails_without_the_store(client, monkeypatch):
    async def down():
        raise Unavailable("gone")

    monkeypatch.setattr(client.door._store, "check", down)
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()["problems"]) == (503, ["store"])


async def test_what_is_kept_of_a_delivery_has_no_credentials(client, sample, clock):
    body = sample("tool_execution.failed")
    answer = await send(client, body, signed(body, clock) | {"authorization": "Bearer hunter2", "cookie": "a=b"})
    row = await client.door._store.events.get(answer.json()["event"])
    kept = headers_of(row["headers"])
    assert kept["authorization"] == kept["cookie"] == "[redacted]"
    assert kept["webhook-id"] == "msg_1"


async def test_a_secret_that_is_sent_as_it_is_is_kept_nowhere(sqlite_url, clock, monkeypatch):
    monkeypatch.setenv("STUDIO_WEBHOOK_SECRET", "f6Zq0vYw3Kp8sT1mLr5x")
    monkeypatch.setenv("STUDIO_WEBHOOK_SCHEME", "token:X-Studio-Key")
    async with opened(Settings(database_url=sqlite_url), clock) as client:
        body = b'{"id": "t1", "status": "completed"}'
        headers = {"x-studio-key": "f6Zq0vYw3Kp8sT1mLr5x", "content-type": "application/json"}
        answer = await send(client, body, headers, source="studio")
        assert answer.status_code == 200
        row = await client.door._store.events.get(answer.json()["event"])
        assert headers_of(row["headers"])["x-studio-key"] == "[redacted]"
        assert (await send(client, body, headers, source="elsewhere")).status_code == 404
        [refused] = await refusals(client)
        assert "f6Zq0vYw3Kp8sT1mLr5x" not in repr(await client.door._store.events.other(refused["id"]))


async def test_behind_a_proxy_a_refusal_tells_who_sent_it(sqlite_url, clock):
    async with opened(Settings(database_url=sqlite_url, trusted_proxies=("192.0.2.0/24",)), clock) as client:
        await send(client, b"{}", {"x-forwarded-for": "6.6.6.6, 198.51.100.7"})
        [refused] = await refusals(client)
        assert refused["sender"] == "198.51.100.7"


async def test_without_any_worker_the_door_raises_the_alarm(settings, clock, monkeypatch):
    monkeypatch.setattr(receiver.app, "EVERY", 0)
    store = Store(settings.database_url)
    await store.migrate()
    values = {"source": "videogen", "type": "odd", "road": "webhook", "message_id": "m", "headers": "", "body": b"{}"}
    long_ago = time.time() - 1000
    await store.events.add([Arrival(**values, received_at=long_ago, occurred_at=long_ago)])
    async with opened(settings, clock):
        while not (on := await store.alarms.active()):
            await asyncio.sleep(0)
    assert [alarm.watch for alarm in on] == ["backlog"]
    await store.close()


async def test_rules_that_cannot_be_read_keep_no_delivery_out(sqlite_url, sample, clock, monkeypatch, tmp_path):
    monkeypatch.setenv("VIDEOGEN_WEBHOOK_SECRET", SECRET)
    broken = tmp_path / "receiver.toml"
    broken.write_text("[[alarms]]\nwatch = 'nothing'\n")
    async with opened(Settings(database_url=sqlite_url, config=broken), clock) as client:
        body = sample("tool_execution.failed")
        assert (await send(client, body, signed(body, clock))).status_code == 200
