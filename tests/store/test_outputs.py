"""Outputs: the most urgent first, each known with its place, and those that are late told."""

import pytest

from receiver.store import Filter, Finished

PLACE = {"place": "files/a.mp4", "size": 3, "sha256": "ab", "media_type": "video/mp4"}
OF = {"source": "videogen", "job_id": "job_1", "type": "VIDEO", "expires_at": 2e9}


def wanted(_event):
    return {"download": None, "log": None}


async def claim(store, free, finished=(), captures=("download",)):
    turn = await store.runs.turn(worker="w", lease=30, finished=finished, wanted=wanted, free=free, captures=captures)
    return [run.event["job_id"] for run in turn.claimed if run.handler in free]


async def test_what_expires_first_is_claimed_first_and_what_never_does_last(store, arrival, clock):
    expiries = {1: clock() + 3000, 2: None, 3: clock() + 600, 4: clock() + 60}
    await store.events.add([arrival(number, expires_at=moment) for number, moment in expiries.items()])
    await claim(store, {})
    order = [job for _ in range(4) for job in await claim(store, {"download": 1})]
    assert order == ["job_4", "job_3", "job_1", "job_2"]


async def test_the_claims_of_one_turn_come_with_the_most_urgent_at_the_front(store, arrival, clock):
    await store.events.add([arrival(number, expires_at=clock() + 100 - number) for number in (1, 2, 3)])
    await claim(store, {})
    assert await claim(store, {"download": 2}) == ["job_3", "job_2"]


async def test_handlers_that_capture_nothing_get_their_runs_in_the_order_they_came(store, arrival, clock):
    await store.events.add([arrival(number, expires_at=clock() + 100 - number) for number in (1, 2, 3)])
    await claim(store, {})
    assert await claim(store, {"log": 3}) == ["job_1", "job_2", "job_3"]


async def test_a_replay_is_as_urgent_as_its_event(store, arrival, clock):
    await store.events.add([arrival(1, expires_at=clock() + 900), arrival(2, expires_at=clock() + 60)])
    await store.runs.turn(worker="w", lease=30, finished=[], wanted=lambda _event: {}, free={})
    rows = [row async for step in store.replays.matching(Filter()) for row in step.rows]
    await store.replays.again([(row["id"], "download", None) for row in rows], captures=("download",))
    assert await claim(store, {"download": 1}) == ["job_2"]


async def test_runs_that_are_late_are_told_the_most_urgent_first(store, arrival, clock):
    await store.events.add(
        [arrival(number, expires_at=clock() + moment) for number, moment in ((1, 500), (2, 60), (3, 9000))]
    )
    await claim(store, {})
    late = await store.outputs.expiring(within=900)
    assert [(run["handler"], run["job_id"], run["state"]) for run in late] == [
        ("download", "job_2", "waiting"),
        ("download", "job_1", "waiting"),
    ]
    assert (await store.backlog.left()).expiring == {"download": 2}
    clock.turn(2000)
    assert await store.outputs.expiring(within=900) == []  # too late for anybody


async def test_a_captured_output_is_not_late(store, arrival, clock):
    await store.events.add([arrival(1, expires_at=clock() + 60)])
    turn = await store.runs.turn(
        worker="w", lease=30, finished=[], wanted=wanted, free={"download": 1}, captures=("download",)
    )
    [run] = [run for run in turn.claimed if run.handler == "download"]
    assert [row["state"] for row in await store.outputs.expiring(within=900)] == ["running"]
    await store.runs.settle([Finished(run=run, outcome="done", finished_at=clock())], [])
    assert await store.outputs.expiring(within=900) == []


async def test_an_output_is_one_row_from_its_first_miss_to_its_capture(store):
    key = {"event_id": "evt_1", "handler": "download", "output_id": "file_1"}
    await store.outputs.record(**key, **OF, state="missed", error="broken off")
    [missed] = await store.outputs.recent(state="missed")
    await store.outputs.record(**key, **OF, state="captured", **PLACE)
    [captured] = await store.outputs.recent(job_id="job_1")
    assert (missed["id"], missed["error"], missed["place"]) == (captured["id"], "broken off", None)
    assert {name: captured[name] for name in PLACE} == PLACE
    assert captured["error"] is None
    assert await store.outputs.get(captured["id"]) == captured
    await store.outputs.forget(captured["id"])
    assert await store.outputs.get(captured["id"]) is None


@pytest.mark.parametrize(
    ("narrowed", "found"),
    [
        ({}, ["2", "1"]),
        ({"source": "other"}, ["2"]),
        ({"event_id": "evt_1"}, ["1"]),
        ({"state": "captured"}, []),
        ({"limit": 1}, ["2"]),
    ],
)
async def test_outputs_are_listed_newest_first_and_narrowed(store, narrowed, found):
    for number, source in (("1", "videogen"), ("2", "other")):
        of = OF | {"source": source, "job_id": f"job_{number}"}
        key = {"event_id": f"evt_{number}", "handler": "download", "output_id": number}
        await store.outputs.record(**key, **of, state="missed", error="no")
    assert [row["output_id"] for row in await store.outputs.recent(**narrowed)] == found


async def test_the_next_page_begins_where_the_last_one_ended(store):
    for number in range(3):
        key = {"event_id": f"evt_{number}", "handler": "download", "output_id": "1"}
        await store.outputs.record(**key, **OF, state="missed", error="no")
    first = await store.outputs.recent(limit=2)
    second = await store.outputs.recent(limit=2, before=first[-1]["id"])
    assert [row["event_id"] for row in first + second] == ["evt_2", "evt_1", "evt_0"]


async def test_what_an_engine_cannot_hold_is_no_reason_to_lose_an_output(store):
    about = {"event_id": "evt_1", "handler": "download", "output_id": "a\0", **OF}
    await store.outputs.record(**about, state="missed", error="half \ud800 and \0")
    await store.outputs.record(**about, state="captured", **PLACE | {"place": "files/\0"})
    [output] = await store.outputs.recent()
    assert (output["output_id"], output["place"], output["error"]) == ("a\ufffd", "files/\ufffd", None)
