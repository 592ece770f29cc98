"""How long jobs like one take, and whether one takes too long; on both engines."""

import dataclasses

import pytest

from receiver import usual
from receiver.registry import find_sources
from receiver.sources import find_tool
from receiver.store import NewJob, Store
from receiver.store.tables import jobs
from receiver.usual import Usual, is_overdue

SOURCES = find_sources()

MUSIC = NewJob(source="videogen", tool="GENERATE_MUSIC", job_id="vg_tool_1")


@pytest.fixture
async def store(database_url, clock):
    opened = Store(database_url, clock=clock)
    yield opened
    await opened.close()


async def took(store, *seconds):
    """Let jobs that make music have taken so many seconds."""
    rows = [
        {"id": f"job_{one}", "source": "videogen", "tool": "GENERATE_MUSIC", "state": "succeeded"}
        | {"created_at": 0, "submitted_at": 100, "ended_at": 100 + one}
        for one in seconds
    ]
    async with store.database.write() as connection:
        await connection.execute(jobs.insert(), rows)


async def test_what_is_usual_is_told_by_the_tool_until_our_own_jobs_tell_better(store, monkeypatch):
    learnt = Usual(store, SOURCES)
    kinds = [await store.jobs.track(MUSIC)]
    kinds += [dataclasses.replace(kinds[0], tool="DANCE"), dataclasses.replace(kinds[0], source="nobody", tool=None)]
    guess = find_tool(SOURCES["videogen"], "GENERATE_MUSIC").usual
    nobody = {("videogen", "DANCE"): None, ("nobody", None): None}
    assert await learnt.of(kinds) == {("videogen", "GENERATE_MUSIC"): guess, **nobody}
    await took(store, 1000, 2000, 3000)
    assert (await learnt.of(kinds))["videogen", "GENERATE_MUSIC"] == guess  # as it was a moment ago
    monkeypatch.setattr(usual, "REMEMBERED", -1)
    assert await learnt.of(kinds) == {("videogen", "GENERATE_MUSIC"): 2000, **nobody}


async def test_a_job_is_overdue_after_three_times_what_is_usual_until_it_ends(store, clock):
    job = await store.jobs.track(MUSIC)
    began = job.submitted_at or job.created_at
    assert [is_overdue(job, 10, began + age) for age in (0, 30, 31)] == [False, False, True]
    assert not is_overdue(job, None, began + 10**6)
    assert not is_overdue(dataclasses.replace(job, ended_at=began + 31), 10, began + 31)
