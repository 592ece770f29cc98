"""Each of these holds on both engines."""

import time

import pytest

from receiver import handler
from receiver.ids import first_id, new_id
from receiver.registry import _MARK
from receiver.replay import Replayed, replay
from receiver.store import Filter, Finished, RunFilter, retention
from receiver.store import replay as steps


def named(name, *patterns, **options):
    async def function(event, context):
        pass

    return getattr(handler(*patterns, name=name, **options)(function), _MARK)


LOG, MAIL = named("log", "*"), named("mail", "job.failed")


async def handled(store, clock, outcome="done", names=("log",), error=None):
    """Fan out and finish everything that is waiting."""
    finished = []
    while True:
        turn = await store.runs.turn(
            worker="w",
            lease=30,
            finished=finished,
            wanted=lambda _event: dict.fromkeys(names),
            free=dict.fromkeys(names, 50),
        )
        finished = [Finished(run=run, outcome=outcome, finished_at=clock(), error=error) for run in turn.claimed]
        if not finished and not turn.more:
            return


@pytest.fixture
def small_steps(monkeypatch):
    monkeypatch.setattr(steps, "STEP", 3)
    monkeypatch.setattr(steps, "SLICE", 2)
    monkeypatch.setattr(retention, "STEP", 3)
    monkeypatch.setattr(retention, "REST", 0)


async def test_all_that_match_are_replayed_not_just_the_first_page(store, arrival, clock, small_steps):
    await store.events.add([arrival(number, kind="job.failed" if number < 7 else None) for number in range(10)])
    await handled(store, clock)
    meant = Filter(kind="job.failed")
    assert await replay(store, meant, [LOG], dry_run=True) == Replayed(events=7, runs=7)
    assert await store.runs.counts() == {"done": 10}
    assert await replay(store, meant, [LOG]) == Replayed(events=7, runs=7)
    assert await store.runs.counts() == {"done": 3, "waiting": 7}


async def test_a_handler_added_later_runs_on_old_events_that_it_wants(store, arrival, clock):
    await store.events.add([arrival(1, kind="job.failed"), arrival(2)])
    await handled(store, clock)
    assert await replay(store, Filter(), [MAIL]) == Replayed(events=2, runs=1)
    assert await store.runs.counts() == {"done": 2, "waiting": 1}


async def test_a_replayed_run_has_all_its_attempts_again(store, arrival, clock):
    [added] = await store.events.add([arrival()])
    await handled(store, clock, outcome="failed")
    await replay(store, Filter(id=added.event_id), [LOG])
    [run] = await store.runs.recent()
    assert (run["state"], run["attempt"], run["error"]) == ("waiting", 0, None)
    history = await store.events.history(added.event_id)
    assert [row["outcome"] for row in history] == ["failed"]


async def test_runs_on_their_way_are_left_alone(store, arrival, clock):
    await store.events.add([arrival()])
    await store.runs.turn(worker="w", lease=30, finished=[], wanted=lambda _event: {"log": None}, free={"log": 1})
    assert await replay(store, Filter(), [LOG]) == Replayed(events=1, runs=0)
    assert await store.runs.counts() == {"running": 1}


async def test_what_is_in_quarantine_is_not_replayed(store, arrival):
    await store.events.add([arrival(reason="not JSON")])
    assert await replay(store, Filter(), [LOG]) == Replayed(events=0, runs=0)


async def test_a_filter_means_what_it_says(store, arrival, small_steps):
    now = time.time()  # ids are made by it
    early = [arrival(0, tool="X"), arrival(1, type="file.download_ready")]
    for one, at in ((early[0], now - 20), (early[1], now - 20), (arrival(2, source="other"), now - 10)):
        one.received_at = at
        await store.events.add([one])
    for meant, numbers in [
        (Filter(source="videogen"), [0, 1]),
        (Filter(type="file.download_ready"), [1]),
        (Filter(tool="X"), [0]),
        (Filter(job_id="job_1"), [1]),
        (Filter(since=now - 15), [2]),
        (Filter(until=now - 15), [0, 1]),
        (Filter(text="nothing"), []),
    ]:
        found = [row["job_id"] async for step in store.replays.matching(meant) for row in step.rows]
        assert found == [f"job_{number}" for number in numbers], meant


async def test_a_replay_without_patience_says_after_which_event_to_go_on(store, arrival, clock, small_steps):
    await store.events.add([arrival(number) for number in range(7)])
    await handled(store, clock)
    begun = await replay(store, Filter(), [LOG], patience=-1)
    assert (begun.events, begun.runs) == (2, 2)
    rest = await replay(store, Filter(), [LOG], after=begun.last)
    assert (rest.events, rest.runs, rest.last) == (5, 5, None)


async def test_a_run_that_fails_again_at_once_is_not_met_twice(store, arrival, clock, small_steps):
    await store.events.add([arrival(number) for number in range(5)])
    await handled(store, clock, outcome="failed")
    first = await store.replays.retry_some(Filter(), patience=-1)
    assert await store.runs.counts() == {"failed": 2, "waiting": 3}
    await handled(store, clock, outcome="failed")
    second = await store.replays.retry_some(Filter(), after=first.last)
    assert (first.runs, second.runs, second.last) == (3, 2, None)


async def test_failed_runs_are_counted_and_start_again_all_of_them(store, arrival, clock, small_steps):
    await store.events.add([arrival(number) for number in range(8)])
    await handled(store, clock, outcome="failed", names=("log", "mail"))
    assert (await store.replays.count("failed", Filter())).runs == 16
    assert (await store.replays.count("failed", Filter(job_id="job_7"), handler="log")).runs == 1
    assert (await store.replays.retry_some(Filter(job_id="job_7"), handler="log")).runs == 1
    assert (await store.replays.retry_some(Filter(), handler="log")).runs == 7
    assert await store.runs.counts() == {"failed": 8, "waiting": 8}


@pytest.mark.parametrize("state", ["failed", "waiting"])
async def test_of_many_runs_a_count_says_at_least_and_looks_at_the_newest_that_failed(
    store, arrival, clock, monkeypatch, state
):
    monkeypatch.setattr(steps, "LOOKED", 3)
    for number in range(5):
        await store.events.add([arrival(number, source="a" if number < 4 else "b")])
        clock.turn(10)
    if state == "failed":
        await handled(store, clock, outcome="failed")
    else:
        await store.runs.turn(worker="w", lease=30, finished=[], wanted=lambda _event: {"log": None}, free={})

    async def count(handler=None, **meant):
        counted = await store.replays.count(state, Filter(**meant), handler=handler)
        return counted.runs, counted.more

    assert await count() == (5, False), "an index tells"
    assert await count(job_id="job_0") == (1, False), "an index tells"
    assert await count(source="nobody") == (0, True)
    assert await count(source="a") in ((3, True), (4, True))
    if state == "failed":
        assert await count(since=clock() - 10) == (1, True)
    monkeypatch.setattr(steps, "LOOKED", 5)
    assert await count(source="a", handler="log") == (4, False)
    assert await count(source="a", handler="mail") == (0, False)


async def test_what_failed_after_it_was_counted_is_not_retried(store, arrival, clock):
    await store.events.add([arrival(1)])
    await handled(store, clock, outcome="failed")
    clock.turn(10)
    counted = await store.replays.count("failed", Filter())
    clock.turn(10)
    await store.events.add([arrival(2)])
    await handled(store, clock, outcome="failed")
    assert (counted.runs, (await store.replays.count("failed", Filter())).runs) == (1, 2)
    assert (await store.replays.retry_some(Filter(), until=counted.at)).runs == 1
    assert await store.runs.counts() == {"failed": 1, "waiting": 1}


async def test_waiting_runs_are_counted_and_given_up_those_alone_that_were_counted(store, arrival, clock, small_steps):
    await store.events.add([arrival(number) for number in range(8)])
    wanted = {"log": None, "mail": None}
    await store.runs.turn(worker="w", lease=30, finished=[], wanted=lambda _event: wanted, free={"mail": 1})
    assert await store.runs.counts() == {"running": 1, "waiting": 15}
    clock.turn(10)
    counted = await store.replays.count("waiting", Filter(), handler="log")
    clock.turn(10)
    await store.events.add([arrival(9)])
    await store.runs.turn(worker="w", lease=30, finished=[], wanted=lambda _event: wanted, free={})
    assert (await store.replays.count("waiting", Filter(job_id="job_5"))).runs == 2
    assert (await store.replays.give_up_some(Filter(job_id="job_5"), handler="mail")).runs == 1
    first = await store.replays.give_up_some(Filter(), handler="log", until=counted.at, patience=-1)
    rest = await store.replays.give_up_some(Filter(), handler="log", until=counted.at, after=first.last)
    assert (counted.runs, first.runs, rest.runs, rest.last) == (8, 3, 5, None)
    assert await store.runs.counts() == {"failed": 9, "running": 1, "waiting": 8}
    [run] = (await store.runs.page(RunFilter(state="failed", handler="mail"))).rows
    assert run["error"] == "given up by hand"


@pytest.mark.parametrize("way", ["one", "failed", "replayed"])
async def test_a_run_that_starts_again_is_as_new_whichever_way(store, arrival, clock, way):
    [added] = await store.events.add([arrival()])
    await handled(store, clock, outcome="failed", error="out of tune")
    [run] = await store.runs.recent()
    assert run["error"] == "out of tune"
    clock.turn(60)
    match way:
        case "one":
            assert await store.runs.retry(run["id"])
        case "failed":
            assert (await store.replays.retry_some(Filter())).runs == 1
        case "replayed":
            assert await store.replays.again([(added.event_id, "log", None)]) == 1
    [again] = await store.runs.recent()
    new = {"state": "waiting", "due_at": clock(), "attempt": 0, "finished_at": None, "error": None}
    assert again == run | new


async def test_nothing_to_replay_is_nothing_done(store):
    assert await store.replays.again([]) == 0


def test_ids_sort_by_time_and_the_first_of_a_moment_is_the_smallest():
    ids = [new_id("evt") for _ in range(1000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 1000
    assert first_id("evt", 1.0) < ids[0] < first_id("evt", 1e11)


def test_failed_runs_are_counted_without_a_look_at_events_unless_some_are_meant():
    def asked(filter):
        return " ".join(map(str, (*steps._standing("failed", "log"), *steps._on(filter))))

    assert "events" not in asked(Filter())  # there may be very many, and the index has them all
    assert "events" in asked(Filter(source="videogen"))
