"""What Prometheus scrapes, over the door's own app, without sockets."""

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from receiver.app import Door
from receiver.errors import Unavailable
from receiver.settings import Settings
from receiver.store import Arrival, NewJob, Store

TOKEN = "a-token-that-is-long-enough"


async def scrape(door, token=TOKEN):
    transport = httpx.ASGITransport(door.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://receiver") as client:
        return await client.get("/metrics", headers={"authorization": f"Bearer {token}"})


def samples(text):
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(sample.name, *sample.labels.values()): sample.value for sample in found}


def arrival(number, clock, **changes):
    values = {
        "source": "videogen",
        "type": "tool_execution.running",
        "kind": None,
        "job_id": f"job_{number}",
        "tool": "GENERATE_SOUND_EFFECT",
        "road": "webhook",
        "received_at": clock(),
        "occurred_at": clock(),
        "headers": "",
        "body": b"{}",
        "message_id": f"msg_{number}",
        "fact": None,
    }
    return Arrival(**(values | changes))


async def test_what_is_left_is_told_by_handler_source_and_age(database_url, clock):
    store = Store(database_url, clock=clock)
    await store.migrate()
    await store.events.add([arrival(1, clock), arrival(2, clock, road="reconcile")])
    await store.jobs.add(NewJob(source="videogen", tool="GENERATE_MUSIC"))
    clock.turn(60)
    assert (await store.backlog.left()).event_age == pytest.approx(60)
    await store.runs.turn(worker="w", lease=30, finished=[], wanted=lambda _event: {"log": None}, free={"log": 0})
    clock.turn(30)
    await store.runs.turn(worker="w", lease=30, finished=[], wanted=lambda _event: {}, free={"log": 1})
    left = await store.backlog.left()
    await store.close()
    assert left.event_age == 0
    assert left.running == 1
    assert left.waiting["log"][0] == 1
    assert left.waiting["log"][1] >= 30
    assert left.recovered == {"videogen": 1}
    assert left.open_jobs == {("videogen", "waiting"): 1}


async def test_the_page_is_what_prometheus_reads(database_url, clock):
    door = Door(Settings(database_url=database_url, admin_token=TOKEN), dispatch=False)
    async with door.open():
        store = Store(database_url)
        await store.events.add([arrival(1, clock, road="reconcile")])
        await store.jobs.add(NewJob(source="videogen", tool="GENERATE_MUSIC"))
        await store.runs.turn(worker="w", lease=30, finished=[], wanted=lambda _event: {"log": None}, free={"log": 0})
        await store.close()
        answer = await scrape(door)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    told = samples(answer.text)
    assert told["receiver_waiting_runs", "log"] == 1
    assert told["receiver_recovered_events", "videogen"] == 1
    assert told["receiver_running_runs",] == 0
    assert told["receiver_backlog_age_seconds",] >= told["receiver_oldest_waiting_run_seconds", "log"] >= 0
    assert told["receiver_open_jobs", "videogen", "waiting"] == 1


async def test_nobody_reads_without_the_token(tmp_path):
    url = f"sqlite:///{tmp_path}/r.db"
    assert (await scrape(Door(Settings(database_url=url, admin_token=TOKEN)), token="another")).status_code == 401
    assert (await scrape(Door(Settings(database_url=url, admin_token=None)))).status_code == 403


async def test_a_store_that_does_not_answer_is_our_trouble(tmp_path, monkeypatch):
    async def gone(_self):
        raise Unavailable("gone", retry_after=7)

    monkeypatch.setattr("receiver.store.backlog.Backlog.left", gone)
    answer = await scrape(Door(Settings(database_url=f"sqlite:///{tmp_path}/r.db", admin_token=TOKEN)))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
