"""How much happened in each span of time, added up or not; each of these holds on both engines."""

import asyncio
import math

import pytest
from sqlalchemy import delete, insert, select

from receiver import worker
from receiver.errors import Unavailable
from receiver.ids import first_id
from receiver.store import Count, Refusal, Store, reached, tally
from receiver.store.tables import attempts, beats, counts, deliveries, events
from receiver.store.tally import KEPT, LONG, MINUTE, SETTLED


@pytest.fixture
def refuse(store, clock):
    """Keep a refusal of now, or of some seconds ago."""

    async def keep(ago=0, unlisted=0, reason="y"):
        values = {"status": 401, "headers": "", "body": b"", "size": 0, "unlisted": unlisted}
        await store.events.add([], [Refusal(source="x", reason=reason, received_at=clock() - ago, **values)])

    return keep


@pytest.fixture
def happen(store, arrival, clock, refuse, handle):
    """Let an event of now come twice, be handled, and five deliveries be refused."""

    async def happen():
        async with store.database.write() as connection:
            values = {"id": first_id("evt", clock()), "message_id": "msg_1", "received_at": clock()}
            names = ("source", "type", "road", "occurred_at", "headers", "body")
            await connection.execute(insert(events), [{name: getattr(arrival(1), name) for name in names} | values])
        await refuse(unlisted=4)
        await store.events.add([arrival(1)])
        await handle(log="done", mail="failed")

    return happen


def happened(at, **changes):
    outcomes = {"log": {"done": 1}, "mail": {"failed": 1}}
    return Count(**{"at": at, "events": 1, "duplicates": 1, "refusals": {"y": 5}, "attempts": outcomes} | changes)


async def add_up(store):
    while await store.tally.add_up():
        pass


async def test_counts_tell_of_each_minute_what_happened_in_it(store, clock, happen):
    await happen()
    clock.turn(60)
    minute = clock() // 60 * 60
    assert await store.tally.over(since=clock() - 60, step=60) == [happened(minute - 60), Count(at=minute)]
    count = happened(minute)
    assert (count.ended("done"), count.ended("failed"), count.ended("lost")) == (1, 1, 0)


async def test_what_is_added_up_is_told_as_before_and_stays_when_it_is_deleted(store, clock, happen):
    await happen()
    then = clock() // 60 * 60
    clock.turn(60 + SETTLED)
    await add_up(store)
    async with store.database.write() as connection:
        for table in (attempts, events, deliveries):
            await connection.execute(delete(table))
    found = await store.tally.over(since=then, step=60)
    assert found == [happened(then, times={2.0: 1}), Count(at=then + 60), Count(at=then + 120)]


async def test_refusals_are_told_by_reason_added_up_or_not(store, clock, refuse, arrival):
    then = clock() // 60 * 60
    for reason, unlisted in (("stale", 0), ("stale", 3), ("unsigned", 0)):
        await refuse(reason=reason, unlisted=unlisted)
    await store.events.add([arrival(1)])
    await store.events.add([arrival(1)])
    expected = ({"stale": 5, "unsigned": 1}, 6, 1)
    clock.turn(60)
    [one, _] = await store.tally.over(since=then, step=60)
    assert (one.refusals, one.refused, one.duplicates) == expected
    clock.turn(LONG + SETTLED)
    await add_up(store)
    for step in (MINUTE, LONG):
        one = (await store.tally.over(since=then, step=step))[0]
        assert (one.refusals, one.refused, one.duplicates) == expected


async def test_nothing_is_added_up_twice_nor_before_it_is_over(store, clock, refuse, monkeypatch):
    await refuse()
    then = clock() // 60 * 60
    clock.turn(SETTLED)
    await add_up(store)
    async with store.database.read() as connection:
        assert (await connection.execute(select(counts))).all() == []
    clock.turn(60)
    writing = store.database.writing

    async def late(work):
        monkeypatch.undo()
        await store.tally.add_up()  # another worker is quicker
        return await writing(work)

    monkeypatch.setattr(store.database, "writing", late)
    await store.tally.add_up()
    await add_up(store)
    assert [one.refused for one in await store.tally.over(since=then, step=60)] == [1, 0, 0]


async def test_long_spans_are_the_sums_of_their_minutes(store, clock, refuse):
    hour = clock() // 3600 * 3600
    for ago in (0, 60, 1799, 1800, 3600, 5400):
        await refuse(ago=ago)
    clock.turn(LONG + SETTLED)
    await add_up(store)
    async with store.database.write() as connection:  # what is added up to a long span is read there
        await connection.execute(delete(counts).where(counts.c.step == MINUTE, counts.c.at < hour + LONG))
    await refuse()
    found = await store.tally.over(since=hour - 7200, step=3600)
    assert [(one.at, one.refused) for one in found] == [(hour - 7200, 1), (hour - 3600, 4), (hour, 2)]


async def test_minutes_are_kept_for_days_and_long_spans_for_weeks(store, clock, refuse):
    await refuse()
    begin = int(clock())
    clock.turn(LONG + SETTLED)
    end = begin + LONG
    rows = [
        {"step": step, "at": at, "what": "refused", "about": "why", "upto": 0.0, "number": 1}
        for step, age in ((LONG, KEPT[LONG]), (MINUTE, KEPT[MINUTE]))
        for at in (end - age - LONG, end - age)
    ]
    async with store.database.write() as connection:
        await connection.execute(insert(counts), rows)
        await connection.execute(insert(beats).values(part="tally", seen_at=begin))
    await add_up(store)
    async with store.database.read() as connection:
        kept = set((await connection.execute(select(counts.c.step, counts.c.at))).all())
    assert kept == {(LONG, end - KEPT[LONG]), (MINUTE, end - KEPT[MINUTE]), (LONG, begin), (MINUTE, begin)}


async def test_what_acknowledgements_took_adds_up_over_processes_in_minutes_and_long_spans(store, clock):
    hour = clock() // 3600 * 3600
    other = Store(store.url, clock=clock)
    for keeper, took in ((store, {0.005: 90, math.inf: 1}), (other, {0.005: 9, 10.0: 1})):
        await keeper.tally.keep_acks(took)
    await other.close()
    clock.turn(60)
    await store.tally.keep_acks({0.005: 1})
    minutes = [one.acks for one in await store.tally.over(since=hour, step=MINUTE)]
    assert minutes == [{0.005: 99, 10.0: 1, math.inf: 1}, {0.005: 1}]
    for step in (LONG, 2 * LONG):
        [one] = await store.tally.over(since=hour, step=step)
        assert one.acks == {0.005: 100, 10.0: 1, math.inf: 1}


async def test_who_adds_up_leaves_what_acknowledgements_took_alone_until_it_is_too_old(
    store, clock, refuse, monkeypatch
):
    monkeypatch.setitem(KEPT, MINUTE, 7200)  # to add up two days takes long
    hour = clock() // 3600 * 3600
    await refuse()
    await store.tally.keep_acks({0.005: 3})
    clock.turn(LONG + SETTLED)
    await add_up(store)
    for step in (MINUTE, LONG):
        [first, *_] = await store.tally.over(since=hour, step=step)
        assert (first.refused, first.acks) == (1, {0.005: 3})
    clock.turn(KEPT[MINUTE])
    await add_up(store)
    assert (await store.tally.over(since=hour, step=MINUTE))[0].acks == {}
    assert (await store.tally.over(since=hour, step=LONG))[0].acks == {0.005: 3}


def test_up_to_how_many_seconds_so_many_percent_took():
    took = {0.005: 60, 0.05: 38, math.inf: 2}
    assert [reached(took, share) for share in (50, 95, 99)] == [0.005, 0.05, math.inf]
    assert reached({}, 50) is None


async def test_what_nobody_has_added_up_is_counted_for_a_while_the_newest_first(store, clock, refuse):
    await refuse(ago=1700)
    await refuse()
    hasty = await store.tally.over(since=clock() - 1800, step=60, patience=-1)
    assert [one.at for one in hasty] == [clock() - number * 60 for number in reversed(range(tally.AT_ONCE))]
    assert sum(one.refused for one in hasty) == 1
    whole = await store.tally.over(since=clock() - 1800, step=60, patience=60)
    assert (len(whole), sum(one.refused for one in whole)) == (31, 2)


async def test_a_worker_adds_up_for_good_and_goes_on_when_it_cannot(store, monkeypatch):
    answers, asked = [Unavailable("gone"), True, False], asyncio.Event()

    async def add_up():
        answer = answers.pop(0)
        if not answers:
            asked.set()
        if isinstance(answer, Unavailable):
            raise answer
        return answer

    monkeypatch.setattr(worker, "ADD_UP", 0)
    monkeypatch.setattr(worker, "AFTER", 0)
    monkeypatch.setattr(store.tally, "add_up", add_up)
    adding = asyncio.create_task(worker._add_up(store))
    await asked.wait()
    adding.cancel()
