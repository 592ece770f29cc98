"""The history checker finds what is wrong. Each case is a history that holds, with one thing changed."""

import asyncio

import pytest
from sqlalchemy import update

from receiver.store.tables import jobs

from ..store.conftest import arrival, handle  # noqa: F401 - fixtures
from .deliveries import body
from .history import Stored, Watch, judge

SENT = {"message": "msg_1", "number": 1, "at": 1.0, "status": 200, "told": {"event": "evt_1", "status": "stored"}}
EVENT = {
    "id": "evt_1",
    "source": "videogen",
    "state": None,
    "kind": "job.succeeded",
    "job_id": "vg_tool_1",
    "message_id": "msg_1",
    "received_at": 1.0,
    "body": body(1),
}
RUN = {"id": "run_1", "event_id": "evt_1", "handler": "effect", "state": "done", "due_at": 1.0}
STEP = {"run_id": "run_1", "key": "effect", "done_at": 3.0}
START = {"what": "start", "event": "evt_1", "at": 2.0, "stored": True}
EFFECT = {"what": "effect", "event": "evt_1", "at": 2.0}
JOB = {"job_id": "vg_tool_1", "state": "succeeded", "event_id": "evt_1"}
NOW = 10.0

#: What tells another end of the same job, and is set aside.
OTHER = EVENT | {"id": "evt_2", "state": "conflicting", "kind": "job.failed", "message_id": "msg_-1", "body": body(-1)}
SENT_OTHER = SENT | {"message": "msg_-1", "number": -1, "told": {"event": "evt_2", "status": "stored"}}


def history(
    *,
    event=None,
    other=None,
    run=None,
    attempts=("done",),
    steps=(STEP,),
    job=None,
    sent=(SENT,),
    effects=(START, EFFECT),
    damage=(),
):
    there = Stored(
        events=({} if event == "gone" else {"evt_1": EVENT | (event or {})}) | ({"evt_2": other} if other else {}),
        runs={} if run == "gone" else {"run_1": RUN | (run or {})},
        attempts={"run_1": [{"outcome": outcome} for outcome in attempts]},
        steps={step["run_id"]: step for step in steps},
        jobs={} if job == "gone" else {"vg_tool_1": JOB | (job or {})},
        damage=damage,
    )
    return judge(there, sent, effects, now=NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"sent": [SENT | {"status": None}]},
        {"sent": [], "event": {"source": "receiver", "message_id": None, "body": b"an alarm of ours"}},
        {"sent": [SENT | {"status": 503, "retry_after": "2"}, SENT | {"told": {"event": "evt_1"}}]},
        {"attempts": ["lost", "retry", "done"]},
        {"run": {"state": "waiting", "due_at": NOW + 1}, "attempts": ["retry"]},
        {"run": {"state": "failed"}, "attempts": ["lost"]},
        {"run": {"state": "done"}, "effects": [START], "steps": [STEP | {"done_at": None}]},
        {"other": OTHER, "sent": [SENT, SENT_OTHER]},
        {"effects": [START | {"stored": None}, START, EFFECT]},
    ],
    ids=str,
)
def test_a_history_that_holds_is_found_to_hold(changes):
    assert history(**changes).violations == ()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"event": "gone"}, "msg_1 was answered 200 and is not stored"),
        ({"effects": [START, EFFECT, EFFECT]}, "evt_1 had its effect 2 times"),
        ({"damage": ["row 3 missing from index"]}, "the database is damaged: row 3 missing from index"),
        ({"sent": [SENT | {"told": {"event": "evt_2"}}]}, "msg_1 is evt_1, and the sender was told evt_2"),
        ({"sent": [SENT, SENT | {"status": 500}]}, "msg_1 was answered 500"),
        ({"sent": [SENT, SENT | {"status": 401}]}, "msg_1 was answered 401"),
        ({"sent": [SENT, SENT | {"status": 503, "retry_after": None}]}, "msg_1 was answered 503 without Retry-After"),
        ({"sent": []}, "evt_1 was never sent"),
        ({"event": {"body": body(2)}}, "evt_1 is not what was sent"),
        ({"event": {"state": "waiting"}}, "evt_1 was never fanned out"),
        ({"run": "gone"}, "evt_1 is dispatched and has no run"),
        ({"run": {"handler": "another"}}, "evt_1 is dispatched and has no run"),
        ({"event": {"state": "conflicting"}}, "evt_1 contradicts what was told before, and has a run"),
        ({"job": "gone"}, "evt_1 tells the end of vg_tool_1, which has none on record"),
        ({"job": {"event_id": "evt_9"}}, "evt_1 tells the end of vg_tool_1, which has none on record"),
        (
            {"other": OTHER, "job": {"state": "failed", "event_id": "evt_2"}},
            "evt_1 was taken for the end of vg_tool_1, which is failed by evt_2",
        ),
        (
            {"other": OTHER | {"state": None}},
            "evt_2 was taken for the end of vg_tool_1, which is succeeded by evt_1",
        ),
        ({"other": OTHER | {"kind": "job.succeeded"}}, "evt_2 was set aside, and vg_tool_1 is succeeded"),
        ({"effects": [START | {"event": "evt_2"}]}, "evt_2 was handled and is not stored"),
        ({"effects": [START | {"at": 0.5}, EFFECT]}, "evt_1 was handled before it was received"),
        ({"effects": [START | {"stored": False}, EFFECT]}, "evt_1 was handled before it was stored"),
        ({"effects": [START | {"stored": None}, EFFECT]}, "no handler could look up what it handled"),
        ({"run": {"state": "running"}, "attempts": []}, "run run_1 is stuck running"),
        ({"run": {"state": "waiting"}, "attempts": []}, "run run_1 is due and nobody runs it"),
        ({"attempts": ["done", "done"]}, "run run_1 went on after its end: done, done"),
        ({"attempts": ["failed", "lost"], "run": {"state": "failed"}}, "run run_1 went on after its end: failed, lost"),
        ({"attempts": []}, "run run_1 is done without an attempt that was"),
        ({"steps": []}, "run run_1 is done with 1 effects and no step on record"),
        ({"effects": [START]}, "run run_1 has its step done on record, and there was no effect"),
    ],
    ids=str,
)
def test_a_history_that_does_not_hold_is_told(changes, told):
    assert told in history(**changes).violations


def test_what_was_lost_and_what_was_doubled_is_counted():
    verdict = history(event="gone", effects=[START, EFFECT, EFFECT])
    assert (verdict.acked, verdict.stored, verdict.lost, verdict.doubled) == (1, 0, 1, 1)


ENDED = {"run run_1": ("done", 5.0), "job job_1": ("succeeded", 5.0, "evt_1")}


@pytest.mark.parametrize(
    ("events", "ended", "told"),
    [
        (set(), {}, "event evt_1 was stored and is gone"),
        ({"evt_1"}, {"run run_1": None}, "run run_1 had ended ('done', 5.0) and is now None"),
        (
            {"evt_1"},
            {"run run_1": ("failed", 6.0)},
            "run run_1 had ended ('done', 5.0) and is now ('failed', 6.0)",
        ),
        (
            {"evt_1"},
            {"job job_1": ("failed", 6.0, "evt_2")},
            "job job_1 had ended ('succeeded', 5.0, 'evt_1') and is now ('failed', 6.0, 'evt_2')",
        ),
    ],
)
def test_what_goes_away_or_moves_after_its_end_is_seen(events, ended, told):
    watch, more = Watch(), {"run run_2": ("done", 6.0)}
    watch.compare({"evt_1"}, ENDED)
    watch.compare({"evt_1", "evt_2"}, ENDED | more)
    assert watch.violations == []
    watch.compare(events | {"evt_2"}, ENDED | more | ended)
    assert watch.violations == [told]


async def test_the_ends_of_jobs_are_looked_at_in_the_store(store, arrival, handle):  # noqa: F811
    await store.events.add([arrival(1)])
    await handle(effect="done")
    watch = Watch()
    await asyncio.to_thread(watch.look, store.url)
    assert {what.split(" ")[0] for what in watch.ended} == {"run", "job"}
    async with store.database.write() as connection:
        await connection.execute(update(jobs).values(state="failed"))
    await asyncio.to_thread(watch.look, store.url)
    [told] = watch.violations
    assert told.startswith("job job_1 had ended ('succeeded', ")
