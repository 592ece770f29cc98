"""What Prometheus scrapes, over the door's own app, without sockets."""

import asyncio
import math
import socket
import time

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from receiver import meters
from receiver.app import Door
from receiver.errors import ConfigError, Unavailable
from receiver.settings import Settings
from receiver.store import Arrival, NewJob, Store

from .conftest import SECRET
from .journeys.conftest import free_port
from .test_inbox import signed

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


async def test_runs_of_a_paused_handler_are_counted_and_are_not_late(database_url, clock):
    store = Store(database_url, clock=clock)
    await store.events.add([arrival(1, clock)])
    wanted = {"paused": None, "other": None}
    await store.runs.turn(worker="w", lease=30, finished=[], wanted=lambda _event: wanted, free={"log": 0})
    await store.runs.pause("paused")
    clock.turn(60)
    left = await store.backlog.left()
    await store.close()
    assert left.waiting["paused"] == (1, 0.0)
    assert left.waiting["other"] == (1, 60.0)


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


async def test_nobody_reads_without_the_token(sqlite_url):
    url = sqlite_url
    assert (await scrape(Door(Settings(database_url=url, admin_token=TOKEN)), token="another")).status_code == 401
    assert (await scrape(Door(Settings(database_url=url, admin_token=None)))).status_code == 403


async def test_a_store_that_does_not_answer_is_told_beside_what_was_counted(sqlite_url, monkeypatch):
    async def gone(_self):
        raise Unavailable("gone", retry_after=7)

    monkeypatch.setattr("receiver.store.backlog.Backlog.left", gone)
    meters.DELIVERIES.add("videogen", "unavailable")
    told = samples((await scrape(Door(Settings(database_url=sqlite_url, admin_token=TOKEN)))).text)
    assert told["receiver_store_up",] == 0
    assert told["receiver_deliveries_total", "videogen", "unavailable"] >= 1
    assert ("receiver_backlog_age_seconds",) not in told


def own(name):
    """What this process has counted under a name; other tests have counted too."""
    return {labels: list(row) for labels, row in meters.counted()[name].items()}


async def test_every_answer_to_a_delivery_is_counted_and_only_our_own_names_are_labels(
    sqlite_url, monkeypatch, clock, sample
):
    monkeypatch.setenv("VIDEOGEN_WEBHOOK_SECRET", SECRET)
    before, refused = own("receiver_deliveries"), own("receiver_refused_deliveries")
    acks = own("receiver_ack_seconds").get(("videogen",), [0.0])
    body = sample("tool_execution.succeeded")
    settings = Settings(database_url=sqlite_url, admin_token=TOKEN)
    door = Door(settings, dispatch=False, clock=clock)
    async with door.open():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(door.app), base_url="http://receiver") as client:

            async def send(source="videogen", body=body, **changes):
                headers = signed(body, clock) | changes
                return (await client.post(f"/webhooks/{source}", content=body, headers=headers)).status_code

            answers = [
                await send(),
                await send(),
                await send(body=b"no json", **signed(b"no json", clock, id="msg_2")),
                await send(**{"webhook-signature": "v1,AAAA"}),
                await send("stranger-1"),
                await send("stranger-2"),
            ]
        answer = await scrape(door)
    assert answers == [200, 200, 200, 401, 404, 404]
    grown = {
        labels: row[0] - before.get(labels, [0])[0]
        for labels, row in own("receiver_deliveries").items()
        if row != before.get(labels)
    }
    assert grown == {
        ("videogen", "stored"): 1,
        ("videogen", "duplicate"): 1,
        ("videogen", "quarantined"): 1,
        ("videogen", "refused"): 1,
        ("unknown", "refused"): 2,
    }
    reasons = own("receiver_refused_deliveries")
    assert reasons["unknown", "unknown-source"][0] - refused.get(("unknown", "unknown-source"), [0])[0] == 2
    assert sum(own("receiver_ack_seconds")["videogen",][:-1]) - sum(acks[:-1]) == 3
    told = samples(answer.text)
    assert told["receiver_ack_seconds_count", "videogen"] >= 3
    assert told["receiver_commit_deliveries_bucket", "1.0"] >= 1
    assert told["receiver_store_up",] == 1


async def test_the_own_port_tells_the_same_without_a_token(sqlite_url):
    port = free_port()
    door = Door(Settings(database_url=sqlite_url, metrics_port=port, admin_token=TOKEN), dispatch=False)
    async with door.open(), httpx.AsyncClient() as client:
        told = samples((await client.get(f"http://127.0.0.1:{port}/metrics")).text)
        assert {name for name, *_ in told} == {name for name, *_ in samples((await scrape(door)).text)}
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"http://127.0.0.1:{port}/metrics")


async def test_a_port_that_is_taken_is_told_at_the_start(sqlite_url):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        door = Door(Settings(database_url=sqlite_url, metrics_port=port), dispatch=False)
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port}.*RECEIVER_METRICS_PORT"):
            async with door.open():
                pass


ROWS = st.dictionaries(
    st.tuples(st.text(max_size=3)), st.lists(st.integers(0, 10**6).map(float), min_size=3, max_size=3)
)
COUNTED = st.dictionaries(st.sampled_from(["one", "two"]), ROWS)


@given(COUNTED, COUNTED)
def test_what_processes_counted_adds_up_however_it_is_told(one, two):
    whole = {name: rows for name, rows in one.items() if rows}
    assert meters.loaded(meters.dumped(one)) == whole
    both = meters.together(one, two)
    assert both == meters.together(two, one)
    for name, rows in both.items():
        for labels, row in rows.items():
            parts = [part[name][labels] for part in (one, two) if labels in part.get(name, {})]
            assert row == [sum(values) for values in zip(*parts, strict=True)]


def test_a_value_lies_in_the_bucket_up_to_its_bound():
    spread = meters.Spread("a_test", "", bounds=(1, 2))
    meters.ALL.remove(spread)
    for value in (0.5, 1, 1.5, 7):
        spread.add(value)
    assert spread.rows == {(): [2, 1, 1, 10]}


async def test_what_a_spread_was_is_handed_on_once_and_again_if_it_could_not_be_kept():
    spread = meters.Spread("a_test", "", "source", bounds=(1, 2))
    meters.ALL.remove(spread)
    spread.add(0.5, "before anybody kept it")
    kept, told = meters.Kept(spread), []

    async def keep(new):
        if len(told) == 1:
            told.append("gone")
            raise Unavailable("gone")
        told.append(new)

    await kept.keep(keep)
    for source, value in (("a", 1.5), ("b", 2), ("b", 7)):
        spread.add(value, source)
    await kept.keep(keep)
    spread.add(0.5, "a")
    with pytest.raises(Unavailable):
        await kept.keep(keep)
    spread.add(0.5, "a")
    await kept.keep(keep)
    await kept.keep(keep)
    assert told == [{2: 2, math.inf: 1}, "gone", {1: 2}]


async def test_how_late_the_loop_is_is_noted():
    before = own("receiver_loop_lag_seconds").get(("test",), [0.0] * 15)
    noted = asyncio.Event()
    watching = asyncio.create_task(meters.watch("test", tell=noted.set))
    await asyncio.sleep(0)
    time.sleep(meters.LOOK + 0.3)  # noqa: ASYNC251 - the loop stands still
    await noted.wait()
    watching.cancel()
    assert own("receiver_loop_lag_seconds")["test",][-1] - before[-1] >= 0.25
