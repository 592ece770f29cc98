"""Events, runs, handlers and refusals over the API."""

import json
import math
import time

import pytest
from sqlalchemy import insert

from receiver.api import call
from receiver.ids import first_id
from receiver.store import Arrival, Endpoint, Finished, NewJob, Refusal, Reported, replay, tables

from .conftest import TOKEN, opened

BODY = {
    "event": "tool_execution.succeeded",
    "results": [{"downloadUrl": "https://s.example/f.mp4?X-Signature=hunter2"}],
    "odd": ["=HYPERLINK(1)", "a\r\nb", "\ud800", "<script>"],
}


def arrival(number=1, **changes):
    values = {
        "source": "videogen",
        "type": "tool_execution.succeeded",
        "kind": "job.succeeded",
        "job_id": f"job_{number}",
        "road": "webhook",
        "received_at": time.time(),
        "occurred_at": 1.0,
        "headers": "webhook-id: m1\nx-url: https://s.example/?sig=hunter2",
        "body": json.dumps(BODY).encode(),
        "message_id": f"msg_{number}",
    }
    return Arrival(**values | changes)


def reported(name, **changes):
    limits = {"retries": 8, "timeout": 60.0, "concurrency": 8, "ordered": False, "captures": False}
    return Reported(**{"name": name, "events": ("*",), "source": None, "tool": None, "place": "x", **limits, **changes})


async def handle(store, outcome="failed", count=50, names=("log",)):
    """End the runs of all waiting events."""
    common = {"worker": "w", "lease": 30, "wanted": lambda _event: dict.fromkeys(names)}
    free = dict.fromkeys(names, count)
    claimed = (await store.runs.turn(**common, free=free, finished=[])).claimed
    finished = [
        Finished(run=one, outcome=outcome, finished_at=time.time(), error="at https://x.example/?sig=hunter2")
        for one in claimed
    ]
    await store.runs.turn(**common, free={}, finished=finished)


async def test_events_are_found_and_shown_without_a_signature(client, ledger):
    added = [one.event_id for one in await ledger.events.add([arrival(number) for number in range(3)])]
    await handle(ledger)
    first = (await client.get("/events", params={"limit": 2, "text": "HYPERLINK", "since": time.time() - 60})).json()
    rest = (await client.get("/events", params={"limit": 2, "cursor": first["next"]})).json()
    assert [row["id"] for row in first["events"] + rest["events"]] == added[::-1]
    assert rest["next"] is None
    assert (await client.get("/events", params={"job_id": "job_1"})).json()["events"][0]["id"] == added[1]
    answer = await client.get(f"/events/{added[0]}")
    event = answer.json()
    assert "hunter2" not in answer.text
    assert answer.text.isascii()
    assert event["data"]["odd"] == BODY["odd"]
    assert event["headers"]["webhook-id"] == "m1"
    assert (answer.headers["cache-control"], answer.headers["x-content-type-options"]) == ("no-store", "nosniff")
    assert [(one["outcome"], one["number"]) for one in event["runs"][0]["attempts"]] == [("failed", 1)]


async def test_whatever_a_body_holds_its_event_can_be_shown(client, ledger):
    bodies = [b"\xff", b'{"n": NaN, "m": 1e999}', b"[" * 10_000, b"9" * 5000, b"", b'"\\ud800"']
    for added in await ledger.events.add([arrival(number, body=body) for number, body in enumerate(bodies)]):
        answer = await client.get(f"/events/{added.event_id}")
        assert answer.status_code == 200
        json.loads(answer.text, parse_constant=pytest.fail)


ODD = [
    ("/events?limit=0", 422),
    ("/events?limit=1001", 422),
    ("/events?cursor=evt_1", 422),
    (f"/events?cursor={'9' * 5000}", 422),
    ("/events?since=nan", 422),
    ("/events?since=1e300", 422),
    ("/events?colour=red", 422),
    ("/events?state=gone", 422),
    ("/runs?cursor=evt_" + "0" * 32, 422),
    ("/events?type=a%00b", 200),
    ("/events?text=%00", 200),
    ("/events?job_id=%ff%fe", 200),
    ("/events?source=%E2%98%83", 200),
    ("/runs?handler=%00", 200),
    ("/refused?reason=%00", 200),
    ("/jobs?tool=%00", 200),
    ("/events/evt_%00", 404),
    ("/events/%2e%2e%2f%2e%2e", 404),
    ("/runs/%00", 404),
    ("/refused/%00", 404),
    ("/jobs/%00", 404),
    ("/nothing", 404),
    ("/events/", 404),
    ("/../../healthz", 200),
]


async def test_odd_requests_are_answered_not_obeyed(client):
    for path, status in ODD:
        answer = await client.get(path)
        assert answer.status_code == status, path
        if status >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["status"] == status
            assert answer.json()["detail"]


async def test_a_wrong_method_is_told_which_are_right(client):
    answer = await client.delete("/jobs")
    assert (answer.status_code, answer.headers["content-type"]) == (405, "application/problem+json")
    assert set(answer.headers["allow"].split(", ")) >= {"GET", "POST"}


async def test_nothing_of_the_api_answers_without_the_token(database_url):
    async with opened(database_url) as client:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"cookie": f"session={TOKEN}"}):
            client.headers.pop("authorization", None)
            for path in ("/events", "/openapi.json", "/nothing", "/stats"):
                answer = await client.get(path, headers=headers)
                assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")


async def test_an_event_is_replayed_by_the_handlers_that_workers_told_of(client, ledger):
    [added] = await ledger.events.add([arrival()])
    await handle(ledger)
    path = f"/events/{added.event_id}/replay"
    assert (await client.post(path, json={})).status_code == 409
    await ledger.handlers.report([reported("log"), reported("mail", events=("job.failed",))], worker="w")
    assert (await client.post(path, json={"dry_run": True})).json() == {"events": 1, "runs": 1, "next": None}
    assert (await client.post(path, json={"handlers": ["nobody"]})).status_code == 409
    assert (await client.post(path, json={"handlers": ["mail"]})).json()["runs"] == 0
    assert (await client.post("/events/evt_none/replay", json={})).status_code == 404
    assert await ledger.runs.counts() == {"failed": 1}
    assert (await client.post(path, json={})).json()["runs"] == 1
    assert await ledger.runs.counts() == {"waiting": 1}


async def test_all_events_that_match_are_replayed_after_a_dry_run(client, ledger, monkeypatch):
    await ledger.events.add([arrival(number, kind="job.failed" if number else None) for number in range(4)])
    [bad] = await ledger.events.add([arrival(9, reason="not JSON")])
    await handle(ledger, "done")
    await ledger.handlers.report([reported("log")], worker="w")
    wish = {"events": {"kind": "job.failed"}, "dry_run": True}
    assert (await client.post("/events/replay", json=wish)).json() == {"events": 3, "runs": 3, "next": None}
    assert await ledger.runs.counts() == {"done": 4}
    assert (await client.post("/events/replay", json=wish | {"dry_run": False})).json()["runs"] == 3
    assert await ledger.runs.counts() == {"done": 1, "waiting": 3}
    assert (await client.post("/events/replay", json={})).status_code == 422
    assert (await client.post(f"/events/{bad.event_id}/replay", json={})).status_code == 409


async def test_runs_are_listed_failed_first_retried_and_given_up(client, ledger, monkeypatch):
    await ledger.events.add([arrival(1), arrival(2)])
    await handle(ledger)
    [one, two] = (await client.get("/runs?state=failed&handler=log")).json()["runs"]
    assert (one["job_id"], one["state"]) == ("job_2", "failed")
    assert "hunter2" not in json.dumps(one)
    assert (await client.post(f"/runs/{two['id']}/give-up")).status_code == 409
    retried = await client.post(f"/runs/{two['id']}/retry")
    assert (retried.json()["state"], len(retried.json()["attempts"])) == ("waiting", 1)
    assert (await client.post(f"/runs/{two['id']}/retry")).status_code == 409
    assert [run["id"] for run in (await client.get("/runs")).json()["runs"]] == [one["id"], two["id"]]
    assert (await client.post(f"/runs/{two['id']}/give-up")).json()["error"] == "given up by hand"
    assert (await client.post("/runs/none/retry")).status_code == 404
    counted = (await client.post("/runs/retry", json={"dry_run": True})).json()
    assert (counted["runs"], counted["next"]) == (2, None)
    assert (await client.post("/runs/retry", json={"until": counted["at"] - 3600})).json()["runs"] == 0
    wish = {"events": {"job_id": "job_2"}, "handler": "log"}
    assert (await client.post("/runs/retry", json=wish)).json() == {"runs": 1, "more": False, "at": None, "next": None}
    assert await ledger.runs.counts() == {"failed": 1, "waiting": 1}
    with monkeypatch.context() as patched:
        patched.setattr(replay, "LOOKED", 0)
        counted = (await client.post("/runs/retry", json={"events": {"source": "nobody"}, "dry_run": True})).json()
        assert (counted["runs"], counted["more"]) == (0, True)
    counted = (await client.post("/runs/give-up", json={**wish, "dry_run": True})).json()
    assert await ledger.runs.counts() == {"failed": 1, "waiting": 1}
    given_up = await client.post("/runs/give-up", json={**wish, "until": counted["at"]})
    assert (counted["runs"], given_up.json()["runs"]) == (1, 1)
    assert await ledger.runs.counts() == {"failed": 2}


async def test_a_handler_is_paused_and_resumed(client, ledger):
    assert (await client.post("/handlers/log/pause")).status_code == 404
    await ledger.handlers.report([reported("log")], worker="w")
    assert (await client.post("/handlers/log/pause")).json()["paused_at"] > 0
    assert {one["name"] for one in await ledger.handlers.list() if one["paused_at"]} == {"log"}
    assert (await client.post("/handlers/log/resume")).json()["paused_at"] is None
    [id] = [one.event_id for one in await ledger.events.add([arrival()])]
    await handle(ledger)
    for pause, paused in (("pause", True), ("resume", False)):
        await client.post(f"/handlers/log/{pause}")
        [listed] = (await client.get("/runs")).json()["runs"]
        [of_event] = (await client.get(f"/events/{id}")).json()["runs"]
        shown = (await client.get(f"/runs/{listed['id']}")).json()
        assert [one["paused"] for one in (listed, shown, of_event)] == [paused] * 3
    [row] = (await client.get("/handlers")).json()["handlers"]
    assert (row["name"], row["there"], row["failed"], row["last_hour"]) == ("log", True, 1, {"failed": 1})


async def test_a_run_says_which_event_of_its_job_goes_first(client, ledger):
    added = await ledger.events.add([arrival(1, job_id="job"), arrival(2, job_id="job")])
    first, second = (one.event_id for one in added)
    await ledger.runs.turn(
        worker="w", lease=30, finished=[], wanted=lambda event: {"log": event["job_id"]}, free={"log": 0}
    )
    rows = {row["event_id"]: row for row in (await client.get("/runs")).json()["runs"]}
    assert {id: row["behind"] for id, row in rows.items()} == {first: None, second: first}
    assert (await client.get(f"/runs/{rows[second]['id']}")).json()["behind"] == first
    assert [run["behind"] for run in (await client.get(f"/events/{second}")).json()["runs"]] == [first]


async def test_refused_deliveries_say_why_and_duplicates_are_apart(client, ledger):
    refusal = Refusal(
        source="videogen",
        reason="wrong-signature",
        status=401,
        received_at=time.time(),
        headers="a: b\nwebhook-signature: v1,hunter2",
        body=b'{"u": "https://x.example/?t=hunter2", "token": {"value": "hunter2"}}',
        size=1,
    )
    await ledger.events.add([arrival()], [refusal])
    await ledger.events.add([arrival()])
    [refused] = (await client.get("/refused")).json()["refused"]
    assert refused["reason"] == "wrong-signature"
    counts = (await client.get("/stats?spans=2")).json()["counts"]
    assert [count["refusals"] for count in counts if count["refused"]] == [{"wrong-signature": 1}]
    [copy] = (await client.get("/refused?verdict=duplicate")).json()["refused"]
    assert (await client.get(f"/refused?event_id={copy['event_id']}")).json() == {"refused": [copy], "next": None}
    assert (await client.get("/refused?event_id=evt_0")).json()["refused"] == []
    answer = await client.get(f"/refused/{refused['id']}")
    assert answer.json()["headers"] == {"a": "b", "webhook-signature": "[hidden]"}
    assert "hunter2" not in answer.text


async def test_endpoints_and_counts_tell_how_it_goes(client, ledger):
    endpoint = Endpoint(
        source="videogen", id="ep_1", url="https://h.example/webhooks/videogen", events=("*",), description=None,
        created_at=1.0,
    )  # fmt: skip
    await ledger.endpoints.add(endpoint, sealed="x", last4="abcd")
    await ledger.endpoints.heard({"videogen": 7.0})
    [row] = (await client.get("/endpoints")).json()["endpoints"]
    assert (row["id"], row["secret_last4"], row["heard_at"]) == ("ep_1", "abcd", 7.0)
    await ledger.events.add([arrival()])
    await handle(ledger)
    await ledger.jobs.add(NewJob(source="videogen", tool="X"))
    await ledger.tally.keep_acks({0.005: 90, 0.1: 8, math.inf: 2})
    took = {"step": 1800, "at": (time.time() - 3600) // 1800 * 1800, "about": "log"}
    took |= {"what": "done", "upto": 0.2, "number": 3}
    async with ledger.database.write() as connection:
        await connection.execute(insert(tables.counts), [took])
        await connection.execute(insert(tables.beats), [{"part": "tally", "seen_at": time.time() // 3600 * 3600}])
    stats = (await client.get("/stats?span=hour&spans=2")).json()
    assert [sum(count[name] for count in stats["counts"]) for name in ("events", "failed", "refused")] == [1, 1, 0]
    assert len(stats["counts"]) == 2
    acks, attempts = {"p50": 0.005, "p95": 0.1, "p99": None}, dict.fromkeys(("p50", "p95", "p99"), 0.2)
    assert (stats["ack_seconds"], stats["attempt_seconds"]) == (acks, attempts)
    assert [count["ack_seconds"] for count in stats["counts"]] == [None, acks]
    assert [count["attempt_seconds"] for count in stats["counts"]] == [attempts, None]
    assert (stats["open_jobs"], stats["heard"]) == ({"videogen": {"waiting": 1}}, {"videogen": 7.0})


async def test_an_error_of_ours_is_told_without_its_words(client, ledger, monkeypatch):
    def fail(*_args, **_more):
        raise RuntimeError("hunter2")

    monkeypatch.setattr("receiver.api.events.redact", fail)
    answer = await client.get("/events")
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "hunter2" not in answer.text


async def test_a_body_has_a_largest_size(client):
    assert (await client.post("/runs/retry", content=b"x" * (call.LARGEST + 1))).status_code == 413


async def test_cursors_that_lie_behind_everything_end_the_listing(client, ledger):
    await ledger.events.add([arrival()])
    answer = (await client.get("/events", params={"cursor": first_id("evt", 0)})).json()
    assert answer == {"events": [], "next": None}
