"""The tracker against a provider that says what it is told to, on both engines, by a clock that tests turn."""

import asyncio
import json
import sqlite3
from contextlib import closing

import httpx
import pytest
from structlog.testing import capture_logs

from receiver.emulator import Knobs, create_emulator
from receiver.emulator.faults import Faults
from receiver.errors import BadParameters, ConfigError, ProviderError, Unavailable
from receiver.recall import event_of
from receiver.registry import find_sources
from receiver.settings import Settings
from receiver.sources import Answer, Submission
from receiver.store import Arrival, NewJob, Store
from receiver.tracker import UNKNOWN, Tracker, new_job

from .studio import ASKED, CALLED, Studio, answer, body


@pytest.fixture
def studio() -> Studio:
    return Studio()


@pytest.fixture
def track(store, studio):
    """Do one turn of a tracker: claim what is due, make its calls, record what became of it."""

    def made(**provider):
        settings = Settings(providers={"studio": {"api_key": "key", **provider}})
        return Tracker(
            store=store, sources={"studio": studio}, settings=settings, http=None, worker="w1", roll=lambda: 0.5
        )

    tracker = made()

    async def turn(tracker=tracker):
        await tracker._turn()
        while tasks := [task for tasks in tracker._busy.values() for task in tasks]:
            await asyncio.wait(tasks)
        await tracker._turn()

    turn.made = made
    turn.tracker = tracker
    return turn


@pytest.fixture
def submit(store):
    async def submitted(tool=CALLED, **values):
        job = NewJob(source="studio", tool=tool.type, parameters={"prompt": "la"}, metadata={"order": 42}, **values)
        await store.jobs.add(job)
        return job.id

    return submitted


async def heard(store):
    """Fan new events out, as a worker does; return the names of those that had a handler run."""
    turn = await store.runs.turn(worker="w9", lease=30, finished=[], wanted=lambda row: {"all": None}, free={"all": 99})
    return [claimed.event for claimed in turn.claimed]


def webhook(job_id, standing, clock, number=1):
    return Arrival(
        source="studio",
        type=f"song.{standing}",
        kind=f"job.{standing}",
        job_id=job_id,
        tool="SING",
        road="webhook",
        received_at=clock(),
        occurred_at=clock(),
        message_id=f"msg_{number}",
        fact=f"{job_id}:{standing}",
        headers="",
        body=body(job_id, standing),
    )


async def test_a_job_that_only_answers_ends_as_an_event_with_its_metadata(store, studio, track, submit, clock):
    job_id = await submit(ASKED)
    studio.replies = [
        Submission(job_id="s1"),
        answer("s1", "running", 40),
        answer("s1", "succeeded"),
    ]
    await track()
    assert (await store.jobs.get(job_id)).state == "submitted"
    clock.turn(10)
    await track()
    job = await store.jobs.get(job_id)
    assert (job.state, job.status, job.progress, job.asked) == ("running", "RUNNING", 40, 1)
    clock.turn(20)
    await track()
    job = await store.jobs.get("s1")
    assert (job.id, job.state, job.due_at) == (job_id, "succeeded", None)
    [row] = await heard(store)
    event = event_of(row, {"studio": studio})
    assert (event.id, event.kind, event.tool, event.road) == (job.event_id, "job.succeeded", "HUM", "poll")
    assert event.metadata == {"order": 42}
    assert event.outputs[0].url == "https://x.example/s1"
    clock.turn(10_000)
    await track()
    assert studio.calls == [("submit", "hum", "la"), ("ask", "s1"), ("ask", "s1")]


async def test_a_job_that_is_done_at_once_ends_at_once_even_without_an_id(store, studio, track, submit):
    job_id = await submit(ASKED)
    studio.replies = [Submission(job_id=None, answer=answer("", "succeeded"))]
    await track()
    job = await store.jobs.get(job_id)
    assert (job.state, job.job_id) == ("succeeded", job_id)
    [row] = await heard(store)
    assert (row["job_id"], json.loads(row["metadata"])) == (job_id, {"order": 42})
    assert len(await store.jobs.recent()) == 1


async def test_a_webhook_ends_a_job_and_nobody_asks(store, studio, track, submit, clock):
    job_id = await submit()
    studio.replies = [Submission(job_id="s1")]
    await track()
    await store.events.add([webhook("s1", "succeeded", clock)])
    [row] = await heard(store)
    assert json.loads(row["metadata"]) == {"order": 42}
    clock.turn(100_000)
    await track()
    job = await store.jobs.get(job_id)
    assert (job.state, job.event_id, job.asked) == ("succeeded", row["id"], 0)


async def test_a_lost_webhook_is_asked_for_once_it_is_overdue_and_counted(store, studio, track, submit, clock):
    await submit()
    studio.replies = [Submission(job_id="s1"), answer("s1", "succeeded")]
    await track()
    clock.turn(100)
    await track()
    assert len(studio.calls) == 1
    clock.turn(120)
    await track()
    [row] = await heard(store)
    assert (row["road"], row["type"], row["tool"]) == ("reconcile", "song.succeeded", "SING")
    assert await store.jobs.recovered() == {"studio": 1}
    # The webhook comes after all: the same fact, no second event.
    await store.events.add([webhook("s1", "succeeded", clock)])
    assert await heard(store) == []


async def test_an_event_before_the_answer_to_its_submission_waits_for_its_metadata(store, studio, track, submit, clock):
    job_id = await submit()
    release = asyncio.Event()

    async def slow(tool, parameters):
        await release.wait()
        return Submission(job_id="s1")

    studio.submit = slow
    await track.tracker._turn()
    await asyncio.sleep(0)
    await store.events.add([webhook("s1", "succeeded", clock)])
    assert await heard(store) == []
    release.set()
    await track()
    [row] = await heard(store)
    assert json.loads(row["metadata"]) == {"order": 42}
    assert (await store.jobs.get("s1")).id == job_id
    assert (await store.jobs.get(job_id)).state == "succeeded"


async def test_an_event_that_was_not_waited_for_is_joined_with_its_job_later(store, studio, track, submit, clock):
    await store.events.add([webhook("s1", "failed", clock)])
    await heard(store)
    job_id = await submit()
    studio.replies = [Submission(job_id="s1")]
    await track()
    job = await store.jobs.get("s1")
    assert (job.id, job.state, job.metadata, job.due_at) == (job_id, "failed", {"order": 42}, None)
    assert len(await store.jobs.recent()) == 1


async def test_a_job_that_others_started_appears_at_its_first_event(store, clock):
    await store.events.add([webhook("s9", "cancelled", clock)])
    [row] = await heard(store)
    job = await store.jobs.get("s9")
    assert (job.state, job.event_id, job.tool, job.metadata) == ("cancelled", row["id"], "SING", {})


async def test_of_two_ends_the_first_counts_the_second_runs_no_handler_and_the_provider_is_asked(
    store, studio, track, clock
):
    await store.events.add([webhook("s1", "succeeded", clock, 1)])
    assert len(await heard(store)) == 1
    await store.events.add([webhook("s1", "failed", clock, 2)])
    assert await heard(store) == []
    studio.replies = [answer("s1", "succeeded")]
    await track()
    job = await store.jobs.get("s1")
    [later] = [row for row in await store.events.recent() if row["state"] == "conflicting"]
    assert job.state == "succeeded"
    assert job.conflict == f"failed by {later['id']}; asked, its provider says succeeded"
    clock.turn(100_000)
    await track()
    assert len(studio.calls) == 1


async def test_two_ends_that_come_together_are_told_apart_too(store, clock):
    await store.events.add([webhook("s1", "succeeded", clock, 1), webhook("s1", "failed", clock, 2)])
    assert len(await heard(store)) == 1
    assert (await store.jobs.get("s1")).conflict is not None


@pytest.mark.parametrize("reached", [True, False])
async def test_a_job_that_was_certainly_not_taken_is_sent_again_later(store, studio, track, submit, clock, reached):
    job_id = await submit()
    trouble = ProviderError("too many", status=429, retry_after=50) if reached else ProviderError("down", reached=False)
    studio.replies = [trouble, Submission(job_id="s1")]
    await track()
    job = await store.jobs.get(job_id)
    assert (job.state, job.submitted_at, job.failures) == ("waiting", None, 1)
    clock.turn(60)
    await track()
    assert (await store.jobs.get(job_id)).state == "submitted"


async def test_a_job_that_its_provider_refuses_fails_as_an_event(store, studio, track, submit):
    job_id = await submit()
    studio.replies = [ProviderError("prompt is obscene", status=400, code="moderation", request_id="req_7")]
    await track()
    job = await store.jobs.get(job_id)
    assert (job.state, job.error, job.request_id) == ("failed", "prompt is obscene", "req_7")
    [row] = await heard(store)
    event = event_of(row, {"studio": studio})
    assert (event.type, event.kind, event.job_id, event.metadata) == (
        "job.refused",
        "job.failed",
        job_id,
        {"order": 42},
    )
    assert (event.error.message, event.error.code, event.error.reference) == (
        "prompt is obscene",
        "moderation",
        "req_7",
    )


async def test_out_of_credits_jobs_wait_until_there_are_some(store, studio, track, submit, clock):
    job_id = await submit()
    studio.replies = [ProviderError("no credits", status=429, exhausted=True), Submission(job_id="s1")]
    await track()
    assert (await store.jobs.get(job_id)).error == "no credits"
    clock.turn(60)
    await track()
    assert len(studio.calls) == 1
    clock.turn(300)
    await track()
    assert (await store.jobs.get(job_id)).state == "submitted"


async def test_after_an_unknown_outcome_the_job_is_looked_for_before_it_is_sent_again(
    store, studio, track, submit, clock
):
    await submit()
    studio.replies = [Submission(job_id="s1")]
    await track()
    clock.turn(1)
    job_id = await submit()
    studio.replies = [ProviderError("no answer"), ["s2", "s1", "s0"]]
    await track()
    assert (await store.jobs.get(job_id)).state == "uncertain"
    clock.turn(11)
    await track()
    job = await store.jobs.get(job_id)
    assert (job.state, job.job_id) == ("submitted", "s2")
    assert [call[0] for call in studio.calls] == ["submit", "submit", "recent"]


async def test_a_job_that_its_provider_has_not_got_is_sent_again(store, studio, track, submit, clock):
    job_id = await submit()
    studio.replies = [ProviderError("bad gateway", status=502), [], [], Submission(job_id="s1")]
    for seconds in (30, 80, 1, 0):
        await track()
        clock.turn(seconds)
    assert (await store.jobs.get(job_id)).job_id == "s1"
    assert [call[0] for call in studio.calls] == ["submit", "recent", "recent", "submit"]


@pytest.mark.parametrize("listed", [None, ["s3", "s2"]])
async def test_where_nobody_can_tell_a_job_is_not_sent_again_and_fails_in_the_end(
    store, studio, track, submit, clock, listed
):
    job_id = await submit(deadline=3600)
    studio.replies = [ProviderError("no answer")]
    studio.always["recent"] = listed
    for _ in range(5):
        await track()
        clock.turn(300)
    assert (await store.jobs.get(job_id)).state == "uncertain"
    clock.turn(3600)
    await track()
    assert (await store.jobs.get(job_id)).state == "failed"
    assert [call[0] for call in studio.calls].count("submit") == 1
    [row] = await heard(store)
    assert row["type"] == "job.overdue"


async def test_a_sending_that_was_never_recorded_is_looked_for(store, studio, track, submit, clock):
    job_id = await submit()
    await store.jobs.turn(worker="dead", lease=90, changes=[], room={"studio": 1}, at_once={})
    await track()
    assert studio.calls == []
    clock.turn(91)
    studio.replies = [["s1"]]
    await track()
    assert (await store.jobs.get(job_id)).job_id == "s1"


async def test_what_a_provider_says_that_an_engine_cannot_hold_stops_nobody(store, studio, track, submit, clock):
    job_id = await submit(ASKED)
    said = "half \ud800 and \0"
    running = Answer(standing="running", status=said, progress=None, body=None)
    studio.replies = [Submission(job_id="s1"), ProviderError(said, status=500), running]
    told = []
    for _ in range(3):
        await track()
        job = await store.jobs.get(job_id)
        told.append((job.error, job.status))
        clock.turn(3600)
    kept = "half ? and \ufffd"
    assert told == [(None, None), (kept, None), (None, kept)]


async def test_a_job_that_never_ends_has_failed_at_its_deadline(store, studio, track, submit, clock):
    job_id = await submit(ASKED, deadline=1000)
    studio.replies = [Submission(job_id="s1")]
    studio.always["ask"] = answer("s1", "running")
    await track()
    clock.turn(1001)
    await track()
    assert (await store.jobs.get(job_id)).state == "failed"
    [row] = await heard(store)
    assert (row["type"], row["kind"], row["job_id"]) == ("job.overdue", "job.failed", "s1")


async def test_a_job_that_its_provider_does_not_know_is_lost_but_not_at_the_first_word(
    store, studio, track, submit, clock
):
    job_id = await submit(ASKED)
    studio.replies = [Submission(job_id="s1")]
    await track()
    studio.always["ask"] = ProviderError("no such task", status=404)
    for _ in range(UNKNOWN):
        assert (await store.jobs.get(job_id)).state == "submitted"
        clock.turn(400)
        await track()
    [row] = await heard(store)
    assert (row["type"], (await store.jobs.get(job_id)).state) == ("job.lost", "failed")


async def test_garbage_and_outages_are_waited_out_with_ever_longer_waits(store, studio, track, submit, clock):
    job_id = await submit(ASKED)
    studio.replies = [Submission(job_id="s1")]
    await track()
    clock.turn(20)
    studio.replies = [
        ProviderError("garbage", status=200),
        ProviderError("down", status=503),
        answer("s1", "succeeded"),
    ]
    await track()
    first = await store.jobs.get(job_id)
    clock.turn(first.due_at - clock() + 0.1)
    await track()
    second = await store.jobs.get(job_id)
    assert (first.failures, second.failures, second.error) == (1, 2, "down")
    assert second.due_at - clock() > 3
    clock.turn(300)
    await track()
    assert (await store.jobs.get(job_id)).state == "succeeded"


async def test_a_provider_that_asks_to_wait_is_left_alone_for_all_its_jobs(store, studio, track, submit, clock):
    for number in range(3):
        await submit(ASKED)
        studio.replies.append(Submission(job_id=f"s{number}"))
    await track()
    clock.turn(30)
    studio.always["ask"] = ProviderError("slow down", status=429, retry_after=500)
    await track()
    asked = len(studio.calls)
    studio.always["ask"] = answer("s0", "running")
    clock.turn(400)
    await track()
    assert len(studio.calls) == asked
    clock.turn(200)
    await track()
    await track()
    assert len(studio.calls) > asked


async def test_no_more_jobs_are_sent_than_a_provider_works_on_at_once(store, studio, track, submit, clock):
    tracker = track.made(jobs_at_once=2)
    for _ in range(5):
        await submit(ASKED)
    studio.replies = [Submission(job_id="s1"), Submission(job_id="s2")]
    await track(tracker)
    states = [job.state for job in await store.jobs.recent()]
    assert sorted(states) == ["submitted", "submitted", "waiting", "waiting", "waiting"]
    studio.replies = [answer("s1", "succeeded"), answer("s2", "running"), Submission(job_id="s3")]
    clock.turn(16)
    await track(tracker)
    clock.turn(0.1)
    await track(tracker)
    assert [call[0] for call in studio.calls].count("submit") == 3


async def test_a_job_that_awaits_approval_is_no_success_and_has_no_deadline(store, studio, track, submit, clock):
    job_id = await submit(ASKED, deadline=100)
    studio.replies = [Submission(job_id="s1")]
    studio.always["ask"] = answer("s1", "awaiting_approval")
    await track()
    for _ in range(3):
        clock.turn(400)
        await track()
    assert (await store.jobs.get(job_id)).state == "awaiting_approval"
    assert await heard(store) == []


async def test_cancelling_before_and_after_it_was_sent(store, studio, track, submit, clock):
    early = await submit()
    assert await store.jobs.cancel(early)
    await track()
    assert ((await store.jobs.get(early)).state, studio.calls) == ("cancelled", [])
    [row] = await heard(store)
    assert (row["type"], row["kind"]) == ("job.withdrawn", "job.cancelled")
    job_id = await submit()
    studio.replies = [Submission(job_id="s1"), None, answer("s1", "running"), answer("s1", "cancelled")]
    await track()
    assert await store.jobs.cancel(job_id)
    await track()
    clock.turn(3)
    await track()
    assert (await store.jobs.get(job_id)).state == "cancelled"
    assert [call[0] for call in studio.calls] == ["submit", "cancel", "ask", "ask"]
    assert not await store.jobs.cancel(job_id)


async def test_two_workers_ask_about_a_job_once(store, studio, track, submit, clock):
    for number in range(20):
        await submit(ASKED)
        studio.replies.append(Submission(job_id=f"s{number}"))
    for _ in range(2):
        await track()
    studio.calls.clear()
    studio.always["ask"] = answer("s1", "running")
    clock.turn(16)
    first, second = track.made(), track.made()
    for _ in range(2):  # so many calls at once each, and once more
        await asyncio.gather(track(first), track(second))
    assert len(studio.calls) == len({call[1] for call in studio.calls}) == 20


async def test_after_a_downtime_what_is_open_is_asked_about_soon(store, studio, track, submit, clock):
    job_id = await submit()
    studio.replies = [Submission(job_id="s1")]
    await track()
    assert await store.jobs.beat("door") == 0
    clock.turn(90)
    assert await store.jobs.beat("door") == 90
    assert await store.jobs.ask_within(60) == 1
    assert clock() <= (await store.jobs.get(job_id)).due_at <= clock() + 60


async def test_a_tool_whose_jobs_take_longer_is_asked_about_later(store, studio, track, submit, clock):
    for number in range(4):
        job_id = await submit(ASKED)
        studio.replies = [Submission(job_id=f"s{number}"), answer(f"s{number}", "succeeded")]
        await track()
        clock.turn(400)
        await track()
    job_id = await submit(ASKED)
    studio.replies = [Submission(job_id="last")]
    clock.turn(61)
    await track()
    studio.replies = [answer("last", "running")]
    clock.turn(80)
    await track()
    # 400 s are usual now, no more the 20 s of before: after 80 s that would have been a question every 10 s.
    assert (await store.jobs.get(job_id)).due_at - clock() == pytest.approx(40, abs=4)


@pytest.fixture
async def providers(store):
    """All three providers, emulated in this process; a tracker for them, and a way to do one of its turns."""
    app = create_emulator(Knobs(seconds=0))
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=httpx.ASGITransport(app)) as http:
        paths = {"videogen": "", "finevoice": "", "videogenapi": "/api/v1"}
        values = {name: {"api_key": "k", "base_url": f"http://emulator{path}"} for name, path in paths.items()}
        settings = Settings(providers=values)
        yield app, Tracker(store=store, sources=find_sources(), settings=settings, http=http, worker="w1")


WISHES = (
    ("videogen", "generate-music", {"prompt": "la"}),
    ("finevoice", "sfx-generation", {"prompt": "la", "duration": 1}),
    ("videogenapi", "text-to-video", {"prompt": "la"}),
)


async def submitted(store, app, track, tracker):
    for source, tool, parameters in WISHES:
        await store.jobs.add(new_job(find_sources(), source, tool, parameters, metadata={}))
    await track(tracker)
    await app.state.videogen.settled()
    assert {job.state for job in await store.jobs.recent()} == {"submitted"}


async def test_jobs_that_fail_at_their_provider_are_failed_events_whoever_made_them(store, track, providers, clock):
    app, tracker = providers
    for source, _, _ in WISHES:
        getattr(app.state, source)._knobs = Knobs(seconds=0, fail=1)
    app.state.videogen.jobs._knobs = Knobs(seconds=0, fail=1)
    await submitted(store, app, track, tracker)
    clock.turn(1000)
    await track(tracker)
    assert {job.state for job in await store.jobs.recent()} == {"failed"}
    events = [event_of(row, find_sources()) for row in await heard(store)]
    assert {event.kind for event in events} == {"job.failed"}
    assert all("emulator" in event.error.message for event in events)


async def test_a_job_that_is_cancelled_at_its_provider_is_a_cancelled_event(store, track, providers, clock):
    app, tracker = providers
    app.state.videogen.jobs._knobs = Knobs(seconds=3600)
    job = new_job(find_sources(), "videogen", "generate-music", {"prompt": "la"}, metadata={})
    await store.jobs.add(job)
    await track(tracker)
    await store.jobs.cancel(job.id)
    await track(tracker)
    await app.state.videogen.settled()
    clock.turn(10)
    await track(tracker)
    [row] = await heard(store)
    assert (row["type"], (await store.jobs.get(job.id)).state) == ("tool_execution.cancelled", "cancelled")


async def test_a_storm_of_outages_limits_and_garbage_at_every_provider_is_survived(store, track, providers, clock):
    app, tracker = providers
    await submitted(store, app, track, tracker)
    storm = Knobs(outage=0.3, limit=0.3, garbage=0.3, seed=2)
    for source, _, _ in WISHES:
        getattr(app.state, source).faults = Faults(storm)
    turns = 0
    while await store.jobs.recent(state="open") and turns < 100:
        clock.turn(400)
        await track(tracker)
        turns += 1
    assert {job.state for job in await store.jobs.recent()} == {"succeeded"}
    assert turns > 5


async def test_a_status_api_that_is_down_for_half_a_day_costs_no_job(store, track, providers, clock):
    app, tracker = providers
    await submitted(store, app, track, tracker)
    for source, _, _ in WISHES:
        getattr(app.state, source).faults.down = True
    for _ in range(48):
        clock.turn(900)
        await track(tracker)
    asked = {job.source: job.failures for job in await store.jobs.recent()}
    assert all(10 < failures <= 48 for failures in asked.values())
    for source, _, _ in WISHES:
        getattr(app.state, source).faults.down = False
    clock.turn(400)
    await track(tracker)
    assert {job.state for job in await store.jobs.recent()} == {"succeeded"}


def test_a_job_that_is_certainly_wrong_is_refused_before_it_is_kept(studio):
    sources = {"studio": studio}
    with pytest.raises(BadParameters, match="no source is called nobody: there are studio"):
        new_job(sources, "nobody", "sing", {}, metadata={})
    with pytest.raises(BadParameters, match="no tool dance: there are sing, hum"):
        new_job(sources, "studio", "dance", {}, metadata={})
    with pytest.raises(BadParameters, match=r"sing: prompt: Field required \(see https://studio.example\)"):
        new_job(sources, "studio", "sing", {}, metadata={})
    with pytest.raises(BadParameters, match="must be JSON"):
        new_job(sources, "studio", "sing", {"prompt": "la"}, metadata={"when": object()})
    assert new_job(sources, "studio", "SING", {"prompt": "la", "new": 1}, metadata={}).tool == "SING"


async def test_a_key_that_cannot_work_leaves_its_jobs_waiting_and_the_others_alone(store, studio, track, submit):
    class Broken(Studio):
        name = "broken"

        def client(self, http, provider):
            raise ConfigError("BROKEN_API_KEY has characters that no key has: copy it again")

    tracker = track.made()
    tracker._sources["broken"], tracker._busy["broken"] = Broken(), set()
    tracker._settings = Settings(providers={"studio": {"api_key": "k"}, "broken": {"api_key": "k"}})
    waiting = NewJob(source="broken", tool="SING", parameters={"prompt": "la"})
    await store.jobs.add(waiting)
    job_id = await submit()
    studio.replies = [Submission(job_id="s1")]
    await track(tracker)
    assert (await store.jobs.get(job_id)).state == "submitted"
    assert (await store.jobs.get(waiting.id)).state == "waiting"


async def test_the_id_of_another_job_makes_a_job_uncertain_and_harms_nobody(store, studio, track, submit):
    first = await submit()
    studio.replies = [Submission(job_id="s1")]
    await track()
    second = await submit()
    studio.replies = [Submission(job_id="s1")]
    await track()
    states = [(await store.jobs.get(id)).state for id in (first, second)]
    assert states == ["submitted", "uncertain"]


async def test_a_bug_in_a_source_ends_neither_the_tracker_nor_the_job(store, studio, track, submit, clock):
    job_id = await submit(ASKED)
    studio.replies = [Submission(job_id="s1")]
    await track()
    studio.always["ask"] = ZeroDivisionError("a bug")
    clock.turn(10)
    await track()
    del studio.always["ask"]
    studio.replies = [answer("s1", "succeeded")]
    clock.turn(91)
    await track()
    assert (await store.jobs.get(job_id)).state == "succeeded"


async def test_a_job_that_was_taken_is_recorded_although_the_store_failed_in_between(
    store, studio, track, submit, monkeypatch
):
    job_id = await submit(ASKED)

    async def gone(*_):
        raise Unavailable("the store does not answer")

    async def taken(tool, parameters):
        monkeypatch.setattr(store.jobs, "took", gone)
        return Submission(job_id="s1")

    studio.submit = taken
    await track()
    assert (await store.jobs.get(job_id)).job_id == "s1"


async def test_what_a_provider_told_once_is_kept_until_the_store_takes_it(store, studio, track, submit, monkeypatch):
    job_id = await submit(ASKED)
    studio.replies = [Submission(job_id=None, answer=answer("", "succeeded"))]
    add, failures = store.events.add, [1, 1, 1]

    async def failing(arrivals):
        if failures:
            failures.pop()
            raise Unavailable("the store does not answer")
        return await add(arrivals)

    monkeypatch.setattr(store.events, "add", failing)
    monkeypatch.setattr("receiver.tracker.POLL", 0)
    await track()
    assert (await store.jobs.get(job_id)).state == "succeeded"


async def test_failures_before_a_sending_do_not_shorten_the_search_after_it(store, studio, track, submit, clock):
    job_id = await submit()
    studio.replies = [ProviderError("slow down", status=429)] * 8
    for _ in range(8):
        await track()
        clock.turn(400)
    studio.replies = [ProviderError("no answer"), [], ProviderError("list is down", status=503), []]
    for _ in range(4):
        await track()
        clock.turn(20)
    assert (await store.jobs.get(job_id)).state == "uncertain"
    assert [call[0] for call in studio.calls].count("submit") == 9


async def test_other_trouble_does_not_count_towards_a_job_being_unknown(store, studio, track, submit, clock):
    job_id = await submit(ASKED)
    studio.replies = [Submission(job_id="s1")]
    await track()
    trouble = [ProviderError("down", status=503)] * UNKNOWN + [ProviderError("no such task", status=404)]
    for failure in trouble:
        studio.replies = [failure]
        clock.turn(400)
        await track()
    assert (await store.jobs.get(job_id)).state == "submitted"


async def test_a_cancel_that_comes_while_a_job_ends_changes_nothing(store, studio, track, submit, clock):
    job_id = await submit(ASKED)
    studio.replies = [Submission(job_id="s1")]
    await track()

    async def ends(id, tool, parameters):
        await store.jobs.cancel(job_id)
        return answer("s1", "succeeded")

    studio.ask = ends
    clock.turn(20)
    await track()
    job = await store.jobs.get(job_id)
    assert (job.state, job.due_at, job.conflict) == ("succeeded", None, None)


async def test_a_result_in_the_answer_to_a_submission_waits_for_a_locked_database(
    sqlite_url, clock, studio, monkeypatch
):
    """It is paid for, and told once only."""
    store = Store(sqlite_url, clock=clock)
    job = NewJob(source="studio", tool=ASKED.type, parameters={"prompt": "la"})
    await store.jobs.add(job)
    await store.events.add([])
    await (await store.events._ingest._driver()).execute("PRAGMA busy_timeout=0")
    settings = Settings(providers={"studio": {"api_key": "key"}})
    tracker = Tracker(store=store, sources={"studio": studio}, settings=settings, http=None, worker="w1")
    studio.replies = [Submission(job_id="s1", answer=answer("s1", "succeeded"))]
    monkeypatch.setattr("receiver.tracker.POLL", 0.01)
    await tracker._turn()
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with capture_logs() as logs:
            async with asyncio.timeout(10):
                while not [entry for entry in logs if entry["event"] == "store_unavailable"]:
                    await asyncio.sleep(0.005)
        other.execute("ROLLBACK")
    [task] = tracker._busy["studio"]
    await asyncio.wait([task])
    await tracker._turn()
    assert [row["job_id"] for row in await store.events.recent()] == ["s1"]
    assert (await store.jobs.get("s1")).state == "succeeded"
    await store.close()
