"""Each of these holds on both engines."""

import asyncio
import itertools

import pytest
from sqlalchemy import Engine, delete, event, insert

import receiver.store.turn
from receiver.store import Finished, RunFilter, Store
from receiver.store.tables import news, runs

FREE = {"log": 10, "mail": 10}


async def turn(store, *, worker="w1", finished=(), wanted=("log",), free=FREE, lease=30.0, ordered=False):
    def keyed(event):
        return dict.fromkeys(wanted, event["job_id"] if ordered else None)

    return await store.runs.turn(worker=worker, lease=lease, finished=list(finished), wanted=keyed, free=free)


def done(run, clock, **changes):
    return Finished(**({"run": run, "outcome": "done", "finished_at": clock()} | changes))


async def test_a_new_event_becomes_a_run_for_every_handler_that_wants_it(store, arrival):
    [added] = await store.events.add([arrival()])
    claimed = (await turn(store, wanted=("log", "mail"))).claimed
    assert {(run.handler, run.attempt, run.event["id"]) for run in claimed} == {
        ("log", 1, added.event_id),
        ("mail", 1, added.event_id),
    }
    assert (await store.events.get(added.event_id))["state"] == "dispatched"


async def test_an_event_that_nobody_wants_is_kept_without_a_run(store, arrival):
    [added] = await store.events.add([arrival()])
    result = await turn(store, wanted=())
    assert (result.claimed, result.more, result.next_due) == ([], False, None)
    assert (await store.events.get(added.event_id))["state"] == "dispatched"


async def test_a_quarantined_event_is_never_handled(store, arrival):
    await store.events.add([arrival(reason="not JSON")])
    assert (await turn(store)).claimed == []


async def test_more_events_than_a_batch_are_fanned_out_turn_by_turn(store, arrival):
    await store.events.add([arrival(number) for number in range(250)])
    first, second = await turn(store, free={"log": 0}), await turn(store, free={"log": 0})
    assert (first.more, second.more) == (True, False)
    assert await store.runs.counts() == {"waiting": 250}


async def test_a_turn_takes_as_many_statements_for_ninety_events_as_for_ten(store, arrival, clock):
    asked = []

    def note(*about):
        asked.append(about[2])

    async def statements(numbers):
        await store.events.add([arrival(number) for number in numbers])
        event.listen(Engine, "before_cursor_execute", note)
        try:
            claimed = (await turn(store, free={"log": 100})).claimed
            ways = itertools.cycle([{}, {"outcome": "retry", "wait": 3600.0}, {"outcome": "failed"}])
            await turn(store, finished=[done(run, clock, **next(ways)) for run in claimed])
        finally:
            event.remove(Engine, "before_cursor_execute", note)
        assert len(claimed) == len(numbers)
        taken, asked[:] = len(asked), []
        return taken

    assert await statements(range(10)) == await statements(range(100, 190))


async def test_no_more_runs_are_claimed_than_there_is_room_for(store, arrival):
    await store.events.add([arrival(number) for number in range(5)])
    assert len((await turn(store, free={"log": 2})).claimed) == 2
    assert len((await turn(store, free={"log": 2})).claimed) == 2
    assert len((await turn(store, free={"log": 2})).claimed) == 1


async def test_a_finished_run_is_done_with_its_attempt_on_record(store, arrival, clock):
    [added] = await store.events.add([arrival()])
    [run] = (await turn(store)).claimed
    clock.turn(2)
    await turn(store, finished=[done(run, clock)])
    [row] = await store.events.history(added.event_id)
    assert (row["state"], row["outcome"], row["number"]) == ("done", "done", 1)
    assert row["attempt_finished_at"] - row["attempt_started_at"] == 2


async def test_a_retry_waits_until_it_is_due_and_counts_on(store, arrival, clock):
    await store.events.add([arrival()])
    [run] = (await turn(store)).claimed
    result = await turn(store, finished=[done(run, clock, outcome="retry", error="later", wait=10)])
    assert (result.claimed, result.next_due) == ([], clock() + 10)
    clock.turn(10)
    [again] = (await turn(store)).claimed
    assert (again.id, again.attempt) == (run.id, 2)
    assert again.token > run.token


async def test_a_failed_run_stays_with_its_error(store, arrival, clock):
    [added] = await store.events.add([arrival()])
    [run] = (await turn(store)).claimed
    await turn(store, finished=[done(run, clock, outcome="failed", error="no such user")])
    [row] = await store.runs.recent(state="failed")
    assert (row["error"], row["event_id"], row["job_id"]) == ("no such user", added.event_id, "job_1")
    clock.turn(10**6)
    assert (await turn(store)).claimed == []


async def test_two_workers_never_claim_the_same_run(database_url, clock, arrival):
    one, two = Store(database_url, clock=clock), Store(database_url, clock=clock)
    await one.events.add([arrival(number) for number in range(60)])
    await turn(one, free={})
    ids = []
    for _ in range(20):
        turns = await asyncio.gather(*(turn(store, worker=name) for store, name in [(one, "a"), (two, "b")]))
        ids += [run.id for result in turns for run in result.claimed]
        assert all(result.more or result.claimed or len(ids) == 60 for result in turns)
    assert len(ids) == len(set(ids)) == 60
    await one.close()
    await two.close()


async def test_a_worker_that_was_frozen_past_its_lease_cannot_finish(store, arrival, clock):
    await store.events.add([arrival()])
    [frozen] = (await turn(store, worker="frozen", lease=30)).claimed
    clock.turn(31)
    assert await store.runs.reap(limits={"log": 9}) == 1
    [taken] = (await turn(store, worker="other")).claimed
    late = await turn(store, worker="frozen", finished=[done(frozen, clock)])
    assert [item.run.id for item in late.lost] == [frozen.id]
    assert [item.run.id for item in await store.runs.settle([done(frozen, clock)], [])] == [frozen.id]
    assert await store.runs.counts() == {"running": 1}
    await turn(store, worker="other", finished=[done(taken, clock)])
    assert await store.runs.counts() == {"done": 1}


async def test_a_worker_that_lives_keeps_its_runs(store, arrival, clock):
    await store.events.add([arrival()])
    held = (await turn(store, worker="w1", lease=30)).claimed
    clock.turn(25)
    await store.runs.extend(held, worker="w1", lease=30)
    clock.turn(25)
    assert await store.runs.reap(limits={"log": 9}) == 0
    clock.turn(6)
    assert await store.runs.reap(limits={"log": 9}) == 1


async def test_the_runs_of_a_worker_known_to_be_dead_are_taken_at_once(store, arrival):
    [added] = await store.events.add([arrival()])
    await turn(store, worker="dead")
    assert await store.runs.reap(limits={"log": 9}, worker="dead") == 1
    [again] = (await turn(store, worker="new")).claimed
    assert again.attempt == 2
    [row] = await store.events.history(added.event_id)
    assert (row["outcome"], row["number"]) == ("lost", 1)


async def test_a_run_that_kills_its_worker_each_time_fails_in_the_end(store, arrival):
    await store.events.add([arrival()])
    for number in range(3):
        [run] = (await turn(store, worker="w")).claimed
        assert run.attempt == number + 1
        await store.runs.reap(limits={"log": 3}, worker="w")
    assert await store.runs.counts() == {"failed": 1}


async def test_runs_given_back_are_due_at_once_and_the_attempt_does_not_count(store, arrival, clock):
    await store.events.add([arrival(1), arrival(2)])
    first, second = (await turn(store)).claimed
    await store.runs.settle([done(first, clock)], [second])
    assert await store.runs.counts() == {"done": 1, "waiting": 1}
    [again] = (await turn(store)).claimed
    assert (again.id, again.attempt) == (second.id, 1)


async def test_once_is_true_once(store, arrival):
    await store.events.add([arrival()])
    [run] = (await turn(store)).claimed
    seen = []
    for _ in range(3):
        async with store.runs.once(run, "mail") as first:
            seen.append(first)
    async with store.runs.once(run, "other") as first:
        seen.append(first)
    assert seen == [True, False, False, True]


async def test_a_step_that_raised_may_be_tried_again(store, arrival):
    await store.events.add([arrival()])
    [run] = (await turn(store)).claimed
    with pytest.raises(ValueError, match="no"):
        async with store.runs.once(run, "mail"):
            raise ValueError("no")
    async with store.runs.once(run, "mail") as first:
        assert first
    with pytest.raises(ValueError, match="later"):
        async with store.runs.once(run, "mail"):
            raise ValueError("later")
    async with store.runs.once(run, "mail") as first:
        assert not first


async def test_runs_of_one_job_go_one_after_the_other_if_asked_for(store, arrival, clock):
    for number in (1, 2):
        await store.events.add([arrival(number, job_id="job")])
    await store.events.add([arrival(3, job_id="other")])
    assert (await turn(store, ordered=True)).more
    [first, other] = (await turn(store)).claimed
    assert {first.event["message_id"], other.event["message_id"]} == {"msg_1", "msg_3"}
    again = await turn(store, finished=[done(first, clock, outcome="retry", wait=5)])
    assert again.claimed == []
    clock.turn(5)
    [first] = (await turn(store)).claimed
    assert (await turn(store, finished=[done(first, clock, outcome="failed", error="x")])).more
    [second] = (await turn(store)).claimed
    assert second.event["message_id"] == "msg_2"


async def test_a_run_that_waits_for_another_of_its_job_says_for_which(store, arrival, clock):
    first, second, third = await store.events.add([arrival(number, job_id="job") for number in (1, 2, 3)])
    await turn(store, ordered=True)
    [claimed] = (await turn(store)).claimed

    async def behind():
        listed = {row["event_id"]: row["behind"] for row in (await store.runs.page(RunFilter())).rows}
        told = {id: [row["behind"] for row in await store.events.history(id)] for id in listed}
        assert told == {id: [before] for id, before in listed.items()}
        return [listed[one.event_id] for one in (first, second, third)]

    assert await behind() == [None, first.event_id, first.event_id]
    await turn(store, finished=[done(claimed, clock)], free={"log": 0})
    assert await behind() == [None, None, second.event_id]


async def test_runs_of_one_job_go_in_the_order_of_its_events_also_if_workers_clocks_differ(store, arrival, monkeypatch):
    await store.events.add([arrival(1, job_id="job")])
    monkeypatch.setattr(receiver.store.turn, "new_id", lambda prefix: f"{prefix}_2")
    await turn(store, worker="five minutes ahead", ordered=True, free={"log": 0})
    await store.events.add([arrival(2, job_id="job")])
    monkeypatch.setattr(receiver.store.turn, "new_id", lambda prefix: f"{prefix}_1")
    await turn(store, worker="on time", ordered=True, free={"log": 0})
    [first] = (await turn(store)).claimed
    assert first.event["message_id"] == "msg_1"


async def test_a_run_waits_while_an_earlier_event_of_its_job_has_no_runs_yet(store, arrival):
    [first] = await store.events.add([arrival(1, job_id="job")])
    await store.events.add([arrival(2, job_id="job")])
    await turn(store, ordered=True, free={"log": 0})
    async with store.database.write() as connection:
        # As another worker sees it that was quicker with the second event.
        await connection.execute(delete(runs).where(runs.c.event_id == first.event_id))
        await connection.execute(insert(news).values(event_id=first.event_id))
    assert (await turn(store, ordered=True)).claimed == []
    [claimed] = (await turn(store, ordered=True)).claimed
    assert claimed.event["message_id"] == "msg_1"


async def test_a_paused_handler_gathers_runs_until_it_is_resumed(store, arrival):
    await store.runs.pause("log")
    await store.runs.pause("log")
    await store.events.add([arrival()])
    result = await turn(store, wanted=("log", "mail"))
    assert [run.handler for run in result.claimed] == ["mail"]
    assert result.next_due is None
    assert {one["name"] for one in await store.handlers.list() if one["paused_at"]} == {"log"}
    assert await store.runs.resume("log")
    assert not await store.runs.resume("log")
    assert [run.handler for run in (await turn(store)).claimed] == ["log"]


async def test_the_backlog_is_the_age_of_the_oldest_work_not_begun(store, arrival, clock):
    assert await store.runs.backlog() == 0
    await store.events.add([arrival()])
    clock.turn(7)
    assert await store.runs.backlog() == 7
    await turn(store, free={"log": 0})
    clock.turn(5)
    assert await store.runs.backlog() == 5
    await turn(store)
    assert await store.runs.backlog() == 0
