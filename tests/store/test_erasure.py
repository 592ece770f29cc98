"""What an erasure takes, and what stays so that nothing comes back; on both engines."""

import hashlib
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import text

from receiver.erasure import erase, erase_carrying
from receiver.files import open_files
from receiver.replay import Replayed, replay
from receiver.store import Filter, NewJob, Refusal, Subject

from .test_replay import LOG, handled

SECRET_WORD = "the-prompt-of-customer-42"


@pytest.fixture
async def filled(store, arrival, clock, tmp_path):
    """Job 1, of which everything is known that can be, and job 2 beside it: each says the word in all its rows."""
    body = SECRET_WORD.encode()
    for number in (1, 2):
        told = arrival(number, body=body, headers=f"x: {SECRET_WORD}")
        metadata = {"customer": number, "of": SECRET_WORD}
        await store.jobs.add(NewJob(source="videogen", tool="T", job_id=f"job_{number}", metadata=metadata))
        [added] = await store.events.add([told])
        await store.events.add([arrival(number, body=body, message_id=f"other_{number}")])  # the same fact
        refused = Refusal(
            source="videogen",
            reason="stale-timestamp",
            status=401,
            received_at=clock(),
            headers="",
            body=f'{{"toolExecutionId": "job_{number}", "prompt": "{SECRET_WORD}"}}'.encode(),
            size=0,
        )
        await store.events.add([], [refused])
        file = tmp_path / f"videogen_job_{number}_x.wav"
        file.write_text(SECRET_WORD)
        file.with_suffix(".json").write_text(SECRET_WORD)
        await store.outputs.record(
            event_id=added.event_id,
            handler="download",
            output_id="x",
            source="videogen",
            job_id=f"job_{number}",
            type="audio",
            expires_at=None,
            state="captured",
            place=str(file),
            size=file.stat().st_size,
            sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
        )
    await handled(store, clock, outcome="failed")
    return store


async def everything(store):
    """All that is in the tables of jobs and their events, as text."""
    found = []
    async with store.database.read() as connection:
        for table in ("events", "deliveries", "runs", "attempts", "jobs", "outputs"):
            rows = await connection.execute(text(f"SELECT * FROM {table}"))
            found += [f"{table} {[bytes(v).decode() if isinstance(v, bytes) else v for v in row]}" for row in rows]
    return found


async def test_all_that_is_known_of_a_job_is_gone_and_of_no_other(filled, tmp_path):
    before = await everything(filled)
    subjects = await filled.erasures.called("job_1")
    counted = await erase(filled, subjects, files=open_files(str(tmp_path)), dry_run=True)
    assert await everything(filled) == before
    erased = await erase(filled, subjects, files=open_files(str(tmp_path)))
    assert erased == counted
    assert (erased.jobs, erased.files, erased.left, erased.busy) == (1, 1, [], [])
    assert erased.rows == {"events": 1, "runs": 1, "deliveries": 2, "outputs": 1, "jobs": 1}
    after = await everything(filled)
    assert [line for line in after if SECRET_WORD in line or "job_2" in line] == [
        line for line in before if "job_2" in line or "other_2" in line
    ]
    [stays] = [line for line in after if "job_1" in line]
    assert stays.startswith("events ")
    assert "erased" in stays
    assert sorted(file.name for file in tmp_path.glob("videogen*")) == ["videogen_job_2_x.json", "videogen_job_2_x.wav"]


async def test_what_was_erased_is_not_in_the_file_of_the_database_any_more(filled, arrival, clock, tmp_path):
    if not filled.database.is_sqlite:
        pytest.skip("PostgreSQL's vacuum does this")
    long = b"." * 20_000 + SECRET_WORD.encode()  # on pages of its own
    await filled.events.add([arrival(9, job_id="job_1", message_id="long", fact=None, body=long)])
    await handled(filled, clock)
    for job in ("job_1", "job_2"):
        await erase(filled, await filled.erasures.called(job), files=open_files(str(tmp_path)))
    async with filled.database.read() as connection:
        file = (await connection.execute(text("PRAGMA database_list"))).one().file
    with sqlite3.connect(file) as after:
        assert after.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)
    after.close()
    assert SECRET_WORD.encode() not in Path(file).read_bytes()  # noqa: ASYNC240


async def test_no_later_copy_brings_it_back(filled, arrival, clock, tmp_path):
    await erase(filled, await filled.erasures.called("job_1"), files=open_files(str(tmp_path)))
    body = SECRET_WORD.encode()
    again = await filled.events.add(
        [
            arrival(1, body=body, headers=SECRET_WORD),  # the same message
            arrival(1, body=body, headers=SECRET_WORD, message_id="new"),  # the same fact by another one
            arrival(1, body=body, headers=SECRET_WORD, message_id=None, road="reconcile"),
        ]
    )
    assert [added.status for added in again] == ["duplicate"] * 3
    await handled(filled, clock)
    assert [line for line in await everything(filled) if SECRET_WORD in line and "job_2" not in line] == [
        line for line in await everything(filled) if "other_2" in line
    ]
    assert await filled.jobs.get("job_1") is None
    assert await replay(filled, Filter(), [LOG]) == Replayed(events=1, runs=1)


async def test_an_erasure_done_twice_finds_nothing(filled, tmp_path):
    await erase(filled, await filled.erasures.called("job_1"), files=open_files(str(tmp_path)))
    assert await filled.erasures.called("job_1") == []


async def test_metadata_finds_its_jobs_whatever_type_the_value_has(filled, store):
    await store.jobs.add(NewJob(source="videogen", tool="T", metadata={"customer": "1", "paid": True, "ü": None}))
    wanted = {
        ("customer", "1"): ["job_1", None],
        ("of", SECRET_WORD): ["job_1", "job_2"],
        ("paid", "true"): [None],
        ("ü", "null"): [None],
        ("customer", "3"): [],
    }
    for (name, value), jobs in wanted.items():
        found = [subject async for step in store.erasures.carrying(name, value) for subject in step.subjects]
        assert [subject.job_id for subject in found] == jobs


async def test_what_was_not_erased_in_time_is_erased_from_there_on(filled, store, tmp_path, monkeypatch):
    monkeypatch.setattr("receiver.store.erasure.LOOK", 1)
    last, told = "", []
    while last is not None:
        files = open_files(str(tmp_path))
        told.append(await erase_carrying(store, "of", SECRET_WORD, files=files, after=last, patience=-1))
        last = told[-1].last
    assert [one.jobs for one in told] == [1, 1, 0]
    assert [one.files for one in told] == [1, 1, 0]


async def test_what_is_not_through_is_not_erased(store, arrival, clock, tmp_path):
    await store.jobs.add(NewJob(source="videogen", tool="T", job_id="job_open"))
    await store.events.add([arrival(1)])
    names = ["job_open", "job_1"]
    told = [await erase(store, await store.erasures.called(name), files=open_files(str(tmp_path))) for name in names]
    assert [one.busy[0].split(": ")[1] for one in told] == ["it has not ended", "its handlers are at work"]
    turn = await store.runs.turn(worker="w", lease=30, finished=[], wanted=lambda _e: {"log": None}, free={"log": 1})
    assert len(turn.claimed) == 1
    running = await erase(store, await store.erasures.called("job_1"), files=open_files(str(tmp_path)))
    assert (running.jobs, len(running.busy)) == (0, 1)
    [event] = await store.events.recent()
    assert event["state"] == "dispatched"


async def test_a_run_that_waits_for_a_retry_is_erased_with_its_job(store, arrival, clock, tmp_path):
    await store.events.add([arrival(1)])
    await store.runs.turn(worker="w", lease=30, finished=[], wanted=lambda _e: {"log": None}, free={"log": 0})
    assert (await erase(store, await store.erasures.called("job_1"), files=open_files(str(tmp_path)))).jobs == 1
    turn = await store.runs.turn(worker="w", lease=30, finished=[], wanted=lambda _e: {}, free={"log": 9})
    assert turn.claimed == []


async def test_files_elsewhere_are_named_and_left_alone(store, arrival, clock, tmp_path):
    outside = tmp_path / "outside.wav"
    outside.touch()
    [added] = await store.events.add([arrival(1)])
    await handled(store, clock)
    (tmp_path / "files").mkdir()
    changed = tmp_path / "files" / "changed.wav"
    changed.write_text("somebody worked on it")
    places = [str(outside), "s3://bucket/x.wav", str(tmp_path / "files" / "gone.wav"), str(changed)]
    for number, place in enumerate(places):
        await store.outputs.record(
            event_id=added.event_id,
            handler="download",
            output_id=str(number),
            source="videogen",
            job_id="job_1",
            type=None,
            expires_at=None,
            state="captured",
            place=place,
            size=0,
            sha256=hashlib.sha256(b"").hexdigest(),
        )
    erased = await erase(store, [Subject(source="videogen", job_id="job_1")], files=open_files(str(tmp_path / "files")))
    assert erased.left == places
    assert outside.exists()
    assert changed.exists()
