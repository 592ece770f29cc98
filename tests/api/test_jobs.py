"""The API over the door's own app, without sockets; the tracker's part is played by the store."""

import asyncio
import json
import time

import pytest
from sqlalchemy import event, update

from receiver.api import call, jobs
from receiver.recall import all_described
from receiver.registry import find_sources
from receiver.settings import Settings
from receiver.sources import find_tool
from receiver.store import NewJob, tables
from receiver.usual import Usual

from .conftest import TOKEN, opened

SOUND = {"source": "videogen", "tool": "generate-sound-effect", "parameters": {"prompt": "rain"}}


async def end(store, id, standing="succeeded"):
    """End a job as its event would."""
    from receiver.store import Arrival

    job = await store.jobs.get(id)
    url = "https://x.example/f.wav?sig=1"
    file = {"fileId": "f1", "type": "AUDIO", "downloadUrl": url}
    body = {"event": f"tool_execution.{standing}", "toolExecutionId": job.job_id, "results": [file]}
    body["error"] = {"message": "no https://x.example/in.wav?sig=hunter2"} if standing == "failed" else None
    arrival = Arrival(
        source="videogen",
        type=f"tool_execution.{standing}",
        kind=f"job.{standing}",
        job_id=job.job_id,
        tool=job.tool,
        road="webhook",
        received_at=1.0,
        occurred_at=1.0,
        fact=f"{job.job_id}:{standing}",
        headers="",
        body=json.dumps(body).encode(),
    )
    await store.events.add([arrival])
    await store.runs.turn(worker="w", lease=9, finished=[], wanted=lambda row: {}, free={})


async def tracked(store, **more):
    new = NewJob(source="videogen", tool="GENERATE_SOUND_EFFECT", job_id="vg_tool_1", **more)
    return (await store.jobs.track(new)).id


async def test_a_job_is_submitted_and_shown_with_what_was_said_along(client):
    answer = await client.post("/jobs", json={**SOUND, "metadata": {"order": 42}})
    job = answer.json()
    assert answer.status_code == 202
    assert (job["state"], job["tool"], job["metadata"]) == ("waiting", "GENERATE_SOUND_EFFECT", {"order": 42})
    assert answer.headers["location"] == f"/api/v1/jobs/{job['id']}"
    assert (await client.get(f"/jobs/{job['id']}")).json() == job


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({**SOUND, "parameters": {}}, 422, "prompt: Field required"),
        ({**SOUND, "tool": "dance"}, 422, "videogen has no tool dance"),
        ({**SOUND, "source": "nobody"}, 422, "no source is called nobody"),
        ({**SOUND, "deadline": -1}, 422, "deadline"),
        ({**SOUND, "surprise": 1}, 422, "surprise"),
        ([], 422, "should be an object"),
    ],
)
async def test_what_cannot_be_meant_is_refused_with_the_reason_and_kept_nowhere(client, ledger, body, status, told):
    answer = await client.post("/jobs", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert told in answer.json()["detail"]
    assert await ledger.jobs.recent() == []


async def test_what_is_no_json_or_too_large_is_refused(client):
    assert (await client.post("/jobs", content=b"{")).status_code == 422
    assert (await client.post("/jobs", content=b"x" * (call.LARGEST + 1))).status_code == 413


@pytest.mark.parametrize("header", [None, "Bearer wrong", f"Basic {TOKEN}", "Bearer", "Bearer \N{SNOWMAN}"])
async def test_nothing_answers_without_the_token(client, header):
    del client.headers["authorization"]
    headers = {} if header is None else {"authorization": header.encode()}
    for method, path in (("GET", "/jobs"), ("POST", "/jobs"), ("GET", "/jobs/x"), ("GET", "/jobs/x/events")):
        assert (await client.request(method, path, headers=headers)).status_code == 401


async def test_without_a_token_set_the_api_is_closed(database_url):
    async with opened(database_url, token=None) as client:
        answer = await client.get("/jobs")
    assert answer.status_code == 403
    assert "RECEIVER_ADMIN_TOKEN" in answer.json()["detail"]


async def test_a_short_token_is_refused_at_the_start():
    with pytest.raises(ValueError, match="must have 20 characters or more"):
        Settings(admin_token="short")


async def test_waiting_ends_with_the_job_and_shows_its_outputs(client, ledger):
    id = await tracked(ledger)

    async def later():
        await asyncio.sleep(0)
        await end(ledger, id)

    answer, _ = await asyncio.gather(client.get(f"/jobs/{id}?wait=30"), later())
    job = answer.json()
    assert job["state"] == "succeeded"
    assert job["outputs"][0]["url"] == "https://x.example/f.wav?sig=1"


@pytest.mark.parametrize("wait", ["61", "-1", "soon", "nan"])
async def test_a_wait_that_makes_no_sense_is_refused(client, ledger, wait):
    assert (await client.get(f"/jobs/{await tracked(ledger)}?wait={wait}")).status_code == 422


async def test_a_wait_that_is_over_shows_the_job_as_it_stands(client, ledger):
    id = await tracked(ledger)
    assert (await client.get(f"/jobs/{id}?wait=0.01")).json()["state"] == "submitted"


async def test_changes_are_told_as_they_come_until_the_end(client, ledger):
    id = await tracked(ledger)
    await end(ledger, id, "failed")
    answer = await client.get(f"/jobs/{id}/events")
    kind, data = answer.text.strip().splitlines()
    assert kind == "event: job"
    told = json.loads(data.removeprefix("data: "))
    assert (told["state"], told["error"]["message"]) == ("failed", "no https://x.example/in.wav?[redacted]")
    assert answer.headers["content-type"].startswith("text/event-stream")


async def test_only_so_many_may_wait_at_once(client, ledger, monkeypatch):
    monkeypatch.setattr(jobs, "WATCHERS", 0)
    id = await tracked(ledger)
    for path in (f"/jobs/{id}?wait=5", f"/jobs/{id}/events"):
        assert (await client.get(path)).status_code == 503


async def test_listings_come_in_pages_newest_first(client):
    made = [(await client.post("/jobs", json=SOUND)).json()["id"] for _ in range(3)]
    first = (await client.get("/jobs?limit=2")).json()
    second = (await client.get(f"/jobs?limit=2&cursor={first['next']}")).json()
    assert [job["id"] for job in first["jobs"] + second["jobs"]] == made[::-1]
    assert second["next"] is None
    assert (await client.get("/jobs?state=open&source=videogen&tool=GENERATE_SOUND_EFFECT")).json()["jobs"]
    assert (await client.get("/jobs?limit=0")).status_code == 422
    assert (await client.get("/jobs?colour=red")).status_code == 422


async def test_a_job_is_told_with_what_is_usual_and_whether_it_is_overdue(client, ledger):
    id = await tracked(ledger)
    usual = find_tool(find_sources()["videogen"], "GENERATE_SOUND_EFFECT").usual
    for age, overdue in ((0, False), (3 * usual + 9, True)):
        async with ledger.database.write() as connection:
            await connection.execute(update(tables.jobs).values(created_at=time.time() - age, submitted_at=None))
        [listed] = (await client.get("/jobs")).json()["jobs"]
        shown = (await client.get(f"/jobs/{id}")).json()
        assert [(one["usual"], one["overdue"]) for one in (listed, shown)] == [(usual, overdue)] * 2
    await end(ledger, id)
    assert (await client.get(f"/jobs/{id}")).json()["overdue"] is False


async def test_a_job_is_cancelled_once_and_not_after_its_end(client, ledger):
    id = await tracked(ledger)
    assert (await client.post(f"/jobs/{id}/cancel")).status_code == 202
    await end(ledger, id)
    assert (await client.post(f"/jobs/{id}/cancel")).status_code == 409
    assert (await client.get("/jobs/none")).status_code == 404


async def test_a_listing_asks_for_the_ends_of_all_its_jobs_at_once(ledger):
    for number in range(3):
        new = NewJob(source="videogen", tool="GENERATE_SOUND_EFFECT", job_id=f"vg_tool_{number}")
        await end(ledger, (await ledger.jobs.track(new)).id)
    jobs, asked = await ledger.jobs.recent(), []
    event.listen(ledger.database.engine, "before_cursor_execute", lambda *about: asked.append(about[2]), named=False)
    told = await all_described(ledger, jobs, {}, Usual(ledger, {}))
    assert len([statement for statement in asked if "FROM events" in statement]) == 1
    assert [one["event_id"] for one in told] == [job.event_id for job in jobs]
    assert None not in [one["event_id"] for one in told]
