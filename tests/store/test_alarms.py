"""The signs that alarms are judged by, on each engine."""

from sqlalchemy import update

from receiver.store import Endpoint, Finished, NewJob, Refusal
from receiver.store.tables import jobs

LOOKBACK = 900


async def signs(store, sources=("videogen",)):
    return await store.alarms.signs(sources, lookback=LOOKBACK)


def refusal(clock, reason, source="videogen", **changes):
    given = {
        "source": source,
        "reason": reason,
        "status": 401,
        "received_at": clock(),
        "headers": "",
        "body": b"",
        "size": 0,
    }
    return Refusal(**given | changes)


async def test_a_handler_fails_if_its_runs_are_out_of_attempts_or_have_had_three(store, clock, arrival):
    async def turn(*finished, free):
        wanted = {"a": None, "b": None}
        return await store.runs.turn(worker="w", lease=900, finished=finished, wanted=lambda _: wanted, free=free)

    async def claim():
        claimed = []
        while len(claimed) < 2:
            claimed += (await turn(free={"a": 1, "b": 1})).claimed
        return claimed

    def ended(run, outcome):
        wait = 0.0 if outcome == "retry" else None
        return Finished(run=run, outcome=outcome, finished_at=clock(), error="x", wait=wait)

    await store.events.add([arrival(1)])
    for _ in range(2):
        await turn(*(ended(run, "retry") for run in await claim()), free={})
    assert (await signs(store)).failing == {}
    await turn(*(ended(run, "retry" if run.handler == "a" else "failed") for run in await claim()), free={})
    assert (await signs(store)).failing == {"a": 1, "b": 1}
    clock.turn(LOOKBACK + 1)
    assert (await signs(store)).failing == {"a": 1}
    await store.runs.pause("a")
    assert (await signs(store)).failing == {}


async def test_refusals_of_our_sources_count_and_those_for_their_time_are_apart(store, clock):
    await store.events.add(
        [],
        [
            refusal(clock, "wrong-signature"),
            refusal(clock, "wrong-signature", unlisted=7),
            refusal(clock, "unknown-source", source="wp-login"),
            refusal(clock, "stale-timestamp", skew=-400.0),
            refusal(clock, "future-timestamp", skew=500.0),
        ],
    )
    found = await signs(store)
    assert found.refused == {"videogen": 9}
    assert sorted(found.skews["videogen"]) == [-400.0, 500.0]
    clock.turn(LOOKBACK + 1)
    assert ((await signs(store)).refused, (await signs(store)).skews) == ({}, {})


async def test_a_source_with_an_endpoint_was_heard_when_it_called_last_and_has_the_first_job_since(store, clock):
    assert (await signs(store)).heard == {}
    endpoint = Endpoint(
        source="videogen", id="ep_1", url="https://x", events=("*",), description=None, created_at=clock()
    )
    await store.endpoints.add(endpoint, sealed="s", last4="1234")
    assert (await signs(store)).heard == {"videogen": (clock(), None)}
    clock.turn(100)
    heard_at = clock()
    await store.endpoints.heard({"videogen": heard_at})
    clock.turn(100)
    job = NewJob(source="videogen", tool="GENERATE_MUSIC")
    await store.jobs.add(job)
    async with store.database.write() as connection:
        await connection.execute(update(jobs).values(state="submitted", submitted_at=clock(), job_id="1"))
    clock.turn(50)
    found = await signs(store)
    assert found.heard == {"videogen": (heard_at, clock() - 50)}
    assert found.ages == {("videogen", "GENERATE_MUSIC"): 50}
    await store.endpoints.retire("videogen", "ep_1", now=clock(), overlap=0)
    assert (await signs(store)).heard == {}


async def test_a_source_that_was_set_up_by_hand_is_to_call_once_it_has_called(store, clock):
    await store.endpoints.heard({"videogen": clock(), "gone": clock()})
    assert (await signs(store)).heard == {"videogen": (clock(), None)}
