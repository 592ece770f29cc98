"""Alarms, pruning, erasing, tracking and sources over the API."""

import json
import time

from receiver.store import Alarm, NewJob

from .test_events import arrival, handle


async def test_alarms_that_are_on_are_listed_and_so_are_those_that_are_over(client, ledger):
    alarms = [
        Alarm(watch="failing", about=name, raised_at=at, calm_since=None, value=7, text=f"{name} failed")
        for name, at in (("mail", 1.0), ("log", 2.0), ("sms", 3.0))
    ]
    body = {"watch": "failing", "value": 7, "raised_at": 1.0, "about": "mail", "text": "over after 2 min: mail failed"}
    told = json.dumps({"event": "alarm.resolved", **body}).encode()
    await ledger.alarms.keep(raised=[(one, b"{}") for one in alarms], resolved=[], standing=[])
    await ledger.alarms.keep(raised=[], resolved=[(alarms[0], told)], standing=[])
    on = (await client.get("/alarms")).json()
    assert [(row["about"], row["state"], row["resolved_at"]) for row in on["alarms"]] == [
        ("log", "on", None),
        ("sms", "on", None),
    ]
    assert len((await client.get("/alarms?limit=1")).json()["alarms"]) == 1
    assert [row["about"] for row in (await client.get("/alarms?since=2.5")).json()["alarms"]] == ["sms"]
    assert (await client.get("/alarms", params={"state": "over", "since": time.time() + 60})).json()["alarms"] == []
    [over] = (await client.get("/alarms?state=over")).json()["alarms"]
    assert {name: over[name] for name in body} == body
    assert abs(over["resolved_at"] - time.time()) < 60
    assert (await client.get(f"/events/{over['event_id']}")).json()["type"] == "alarm.resolved"


async def test_what_is_old_is_counted_and_deleted_piece_by_piece(client, ledger, monkeypatch):
    monkeypatch.setattr("receiver.store.retention.STEP", 2)
    monkeypatch.setattr("receiver.api.retention.AT_LENGTH", 0)
    await ledger.events.add([arrival(number) for number in range(3)])
    await handle(ledger, "done")
    dry = await client.post("/prune", json={"older_than": 0, "dry_run": True})
    assert dry.json()["deleted"]["events"] == 3
    assert (await client.post("/prune", json={"older_than": 3600})).json()["deleted"]["events"] == 0
    cursor, deleted = None, []
    while not deleted or cursor:
        answer = (await client.post("/prune", json={"older_than": 0, "cursor": cursor})).json()
        cursor = answer["next"]
        deleted.append(answer["deleted"].get("events"))
    assert deleted[:2] == [2, 1]
    assert await ledger.events.recent() == []
    assert (await client.post("/prune", json={"cursor": "runs:run_1"})).status_code == 422


async def test_without_an_age_the_configured_ones_count_as_they_stand_in_the_file_now(
    client, ledger, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert set((await client.post("/prune", json={})).json()["deleted"]) == {"refused", "copies", "secrets"}
    (tmp_path / "receiver.toml").write_text('[retention]\nrefused = "never"\nevents = "90d"\n')
    assert set((await client.post("/prune", json={})).json()["deleted"]) == {"events", "copies", "secrets"}
    assert "files" not in (await client.post("/prune", json={"older_than": 0, "dry_run": True})).json()["deleted"]
    (tmp_path / "receiver.toml").write_text('[retention]\nfiles = "90d"\n')
    assert (await client.post("/prune", json={"dry_run": True})).json()["deleted"]["files"] == 0
    (tmp_path / "receiver.toml").write_text("[retention]\nevents = 90\n")
    answer = await client.post("/prune", json={})
    assert (answer.status_code, "receiver.toml:2" in answer.json()["detail"]) == (409, True)


async def test_a_job_is_erased_by_its_id_or_by_what_it_carries(client, ledger):
    for number in range(3):
        metadata = {"customer": number // 2}
        await ledger.jobs.track(
            NewJob(source="videogen", tool="GENERATE_MUSIC", job_id=f"job_{number}", metadata=metadata)
        )
    open_one = await client.post("/jobs/job_0/erase", json={})
    assert (open_one.status_code, "it has not ended" in open_one.json()["detail"]) == (409, True)
    await ledger.events.add([arrival(number, fact=f"job_{number}:succeeded") for number in range(3)])
    await handle(ledger, "done")
    assert (await client.post("/jobs/job_9/erase", json={})).status_code == 404
    dry = await client.post("/jobs/job_2/erase", json={"dry_run": True})
    assert dry.json() == (await client.post("/jobs/job_2/erase", json={})).json()
    assert (dry.json()["jobs"], dry.json()["events"], dry.json()["runs"]) == (1, 1, 1)
    nobody = {"metadata": {"name": "customer", "value": "7"}}
    assert (await client.post("/jobs/erase", json=nobody)).json()["jobs"] == 0
    many = await client.post("/jobs/erase", json={"metadata": {"name": "customer", "value": "0"}})
    assert (many.json()["jobs"], many.json()["next"], many.json()["busy"]) == (2, None, [])
    assert (await client.get("/jobs")).json()["jobs"] == []


async def test_a_job_from_elsewhere_is_tracked_once(client):
    body = {"source": "videogen", "job_id": "vg_tool_1", "tool": "generate-music", "metadata": {"order": 7}}
    first, again = [(await client.post("/jobs/track", json=body)).json() for _ in range(2)]
    assert (first["state"], first["tool"], first["metadata"]) == ("submitted", "GENERATE_MUSIC", {"order": 7})
    assert first == again
    for wrong in ({"source": "nobody"}, {"tool": "dance"}, {"job_id": "a\u0000b"}, {"job_id": ""}, {"deadline": 0}):
        assert (await client.post("/jobs/track", json=body | wrong)).status_code == 422


async def test_sources_say_who_calls(client):
    rows = {row["name"]: row for row in (await client.get("/sources")).json()["sources"]}
    assert (rows["videogen"]["path"], rows["videogen"]["api_key"]) == ("/webhooks/videogen", "not set")
    assert rows["finevoice"]["path"] is None
    assert rows["mux"]["certainty"]
