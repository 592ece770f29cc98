"""What is deleted by age, and what never is; on both engines."""

import asyncio
import hashlib
import itertools
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from receiver.config import Config
from receiver.errors import ConfigError
from receiver.files import open_files
from receiver.retention import EVERY, Ages, Pruner, remover, seconds_of
from receiver.store import Finished, NewJob, Refusal, retention

from .test_replay import handled, small_steps  # noqa: F401 - a fixture

NEVER = 0.0
LATER = 10**9


def everything(moment):
    return {kind.name: moment for kind in retention.KINDS}


async def nothing(_place, _size, _sha256):
    raise AssertionError("there are no files")


async def filled(store, arrival, clock):
    """Seven done, one failed, one in quarantine, one that waits, a copy, a refusal, and a secret that ends."""
    await store.events.add([arrival(number) for number in range(7)])
    await store.events.add([arrival(3)])
    await handled(store, clock)
    await store.events.add([arrival(7)])
    await handled(store, clock, outcome="failed")
    refusal = Refusal(
        source="x", reason="wrong-signature", status=401, received_at=clock(), headers="", body=b"", size=0
    )
    await store.events.add([arrival(8, reason="no JSON")], [refusal])
    for end in (None, clock() + 1):
        await store.endpoints.add_secret("mux", sealed="x", last4="B3zY", valid_from=clock(), valid_until=end)
    await store.events.add([arrival(9)])
    await store.runs.turn(worker="w", lease=30, finished=[], wanted=lambda _event: {"log": None}, free={"log": 0})


async def test_each_kind_goes_by_its_own_age(store, arrival, clock, small_steps):  # noqa: F811
    await filled(store, arrival, clock)
    counts = {
        "events": 7,
        "failed": 1,
        "quarantined": 1,
        "refused": 1,
        "copies": 1,
        "attempts": 8,
        "jobs": 8,
        "secrets": 1,
        "files": 0,
    }
    for kind, count in counts.items():
        assert await store.retention.old({kind: clock() + LATER}) == {kind: count}
    assert (await store.retention.prune({"attempts": clock() + LATER}, remove=nothing)).deleted == {"attempts": 8}
    assert await store.runs.counts() == {"done": 7, "failed": 1, "waiting": 1}
    counts["attempts"] = 0
    assert (await store.retention.prune(everything(clock() + LATER), remove=nothing)).deleted == counts
    [waiting] = await store.events.recent()
    assert waiting["job_id"] == "job_9"
    assert await store.runs.counts() == {"waiting": 1}
    assert await store.events.deliveries() == []


async def test_what_was_not_deleted_in_time_is_deleted_from_there_on(store, arrival, clock, small_steps):  # noqa: F811
    await filled(store, arrival, clock)
    counts = await store.retention.old(everything(clock() + LATER))
    places, sums = [None], Counter()
    while len(places) == 1 or places[-1]:
        pruned = await store.retention.prune(everything(clock() + LATER), after=places[-1], patience=0, remove=nothing)
        places.append(pruned.last)
        sums.update(pruned.deleted)
    assert sums == counts | {"attempts": 0}  # they went with their runs
    assert len(places) == 13
    assert len(set(places[1:])) == 12
    assert [row["job_id"] for row in await store.events.recent()] == ["job_9"]
    assert len(await store.endpoints.secrets()) == 1


async def test_what_is_young_stays(store, arrival, clock):
    await filled(store, arrival, clock)
    assert set((await store.retention.prune(everything(NEVER), remove=nothing)).deleted.values()) == {0}
    assert len(await store.events.recent()) == 10


async def test_a_job_whose_handlers_are_at_work_stays_and_so_does_an_open_one(store, arrival, clock):
    await store.events.add([arrival(1)])
    await store.runs.turn(worker="w", lease=30, finished=[], wanted=lambda _event: {"log": None}, free={"log": 0})
    await store.jobs.add(NewJob(source="videogen", tool="GENERATE_MUSIC"))
    assert (await store.retention.prune({"jobs": clock() + LATER}, remove=nothing)).deleted["jobs"] == 0
    await handled(store, clock)
    assert (await store.retention.prune({"jobs": clock() + LATER}, remove=nothing)).deleted["jobs"] == 1
    [job] = await store.jobs.recent()
    assert job.state == "waiting"


async def test_a_run_that_goes_on_keeps_its_attempts(store, arrival, clock):
    await store.events.add([arrival(1)])
    turn = await store.runs.turn(worker="w", lease=30, finished=[], wanted=lambda _e: {"log": None}, free={"log": 1})
    again = Finished(run=turn.claimed[0], outcome="retry", finished_at=clock(), wait=60)
    await store.runs.turn(worker="w", lease=30, finished=[again], wanted=lambda _e: {}, free={})
    assert (await store.retention.prune({"attempts": clock() + LATER}, remove=nothing)).deleted == {"attempts": 0}


async def test_one_worker_at_a_time_prunes_and_the_next_one_if_it_dies(store, clock):
    assert await store.retention.turn(EVERY)
    assert not await store.retention.turn(EVERY)
    clock.turn(EVERY)
    assert await store.retention.turn(EVERY)


async def test_each_step_notes_that_the_turn_is_still_taken(store, arrival, clock, small_steps):  # noqa: F811
    await filled(store, arrival, clock)
    assert await store.retention.turn(EVERY)
    taken = []

    def told():
        clock.turn(EVERY / 2)
        taken.append(1)

    await store.retention.prune({"events": clock() + LATER}, told=told, remove=nothing)
    assert len(taken) == 3
    assert not await store.retention.turn(EVERY)


async def test_no_transaction_deletes_more_than_a_step_and_an_ack_waits_for_one_at_most(
    store,
    arrival,
    clock,
    monkeypatch,
):
    monkeypatch.setattr(retention, "STEP", 10)
    monkeypatch.setattr(retention, "YIELDS", 0)  # else it would rest for most of the time
    await store.events.add([arrival(number) for number in range(200)])
    await handled(store, clock)
    deleted, sizes, steps, waits = [], [], [], []

    def count(_connection, cursor, statement, *_):
        if statement.startswith("DELETE"):
            deleted.append(cursor.rowcount)

    def end(_connection):
        sizes.append(sum(deleted))
        deleted.clear()

    event.listen(Engine, "after_cursor_execute", count)  # on SQLite it is done in a thread with an engine of its own
    event.listen(Engine, "commit", end)

    async def deliver():
        for number in itertools.count(1000):
            before = len(steps)
            await store.events.add([arrival(number)])
            waits.append(len(steps) - before)

    delivering = asyncio.create_task(deliver())
    kinds = {kind: clock() + LATER for kind in ("events", "jobs")}
    pruned = await store.retention.prune(kinds, told=lambda: steps.append(1), remove=nothing)
    delivering.cancel()
    await asyncio.gather(delivering, return_exceptions=True)
    event.remove(Engine, "after_cursor_execute", count)
    event.remove(Engine, "commit", end)
    assert pruned.deleted == {"events": 200, "jobs": 200}
    assert len(steps) == 40
    assert max(sizes) == 10  # beside what hangs on these
    assert len(waits) > 40  # somebody was delivering all the while
    assert max(waits) <= 1


async def test_after_a_step_that_had_to_wait_for_others_it_rests_much_longer_but_never_more_than_a_second(
    store, arrival, clock, monkeypatch
):
    await store.events.add([arrival(number) for number in range(30)])
    await handled(store, clock)
    writing, sleep, rests, wait = store.database.writing, asyncio.sleep, [], 0.0

    async def taken(work):
        await sleep(wait)
        return await writing(work)

    async def rest(seconds):
        rests.append(seconds)

    monkeypatch.setattr(store.database, "writing", taken)
    monkeypatch.setattr(retention.asyncio, "sleep", rest)
    await store.retention.prune({"attempts": clock() + LATER}, remove=nothing)
    wait = 0.02
    await store.retention.prune({"events": clock() + LATER}, remove=nothing)
    wait = 0.1
    await store.retention.prune({"jobs": clock() + LATER}, remove=nothing)
    alone, beside, stuck = rests[:2], rests[2:4], rests[4:]
    assert min(alone) >= retention.REST
    assert 1.0 >= min(beside) >= 40 * 0.02
    assert stuck == [1.0, 1.0]


async def test_the_pruner_deletes_what_its_ages_say_once_in_a_while(store, arrival, clock, tmp_path):
    await filled(store, arrival, clock)
    ages, files = Ages(events="1h", failed="90d"), open_files(str(tmp_path))
    pruner = Pruner(store=store, files=files, ages=ages, clock=lambda: clock() + LATER)
    await pruner.once()
    assert sorted(row["job_id"] for row in await store.events.recent()) == ["job_8", "job_9"]
    await store.events.add([arrival(10)])
    await handled(store, clock)
    await pruner.once()
    assert len(await store.events.recent()) == 3  # not its turn


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("36h", 129600), ("7d", 604800)])
def test_ages_are_told_with_their_unit(text, seconds):
    assert seconds_of(text) == seconds
    assert Ages(events=text).before(1e9)["events"] == 1e9 - seconds


def test_only_what_was_refused_or_copied_and_secrets_that_are_over_go_without_being_told():
    assert set(Ages().before(0)) == {"refused", "copies", "secrets"}
    assert set(Ages(refused="never", copies="never", secrets="never").before(0)) == set()


@pytest.mark.parametrize("wrong", ["soon", "0d", "-1d", "30", 30, True])
def test_an_age_that_makes_no_sense_is_told_with_its_line(wrong):
    text = f"[retention]\nevents = {wrong!r}\n".replace("True", "true")
    with pytest.raises(ConfigError, match=r"receiver.toml:2: retention.events: "):
        Config(Path("receiver.toml"), text).table("retention", Ages)


SOUND = b"RIFF"


@pytest.fixture
def folder(tmp_path):
    """Where files are kept."""
    (tmp_path / "files").mkdir()
    return tmp_path / "files"


async def captured(store, arrival, clock, folder, number, **values):
    """An event that is done, and the file that its handler captured."""
    [added] = await store.events.add([arrival(number)])
    await handled(store, clock)
    (folder / f"{number}.wav").write_bytes(SOUND)
    (folder / f"{number}.json").write_text("{}")
    about = {"source": "videogen", "job_id": f"job_{number}", "type": "audio", "expires_at": None, "state": "captured"}
    kept = {"place": str(folder / f"{number}.wav"), "size": len(SOUND), "sha256": hashlib.sha256(SOUND).hexdigest()}
    await store.outputs.record(event_id=added.event_id, handler="d", output_id="o", **(about | kept | values))
    return added.event_id


def names(folder):
    return sorted(path.name for path in folder.iterdir())


async def test_a_captured_file_that_is_too_old_goes_with_its_description_and_its_row(store, arrival, clock, folder):
    for number in range(12):
        await captured(store, arrival, clock, folder, number)
    missed = {"state": "missed", "place": None, "size": None, "sha256": None, "error": "gone"}
    await captured(store, arrival, clock, folder, 12, **missed)
    remove = remover(open_files(str(folder)))
    assert (await store.retention.prune({"files": NEVER}, remove=remove)).deleted == {"files": 0}
    assert len(names(folder)) == 26
    assert await store.retention.old({"files": clock() + LATER}) == {"files": 13}
    assert (await store.retention.prune({"files": clock() + LATER}, remove=remove)).deleted == {"files": 13}
    assert names(folder) == ["12.json", "12.wav"]  # nobody captured these
    assert await store.outputs.recent() == []


async def test_the_row_of_a_file_that_could_not_be_deleted_stays(store, arrival, clock, folder):
    for number, place in enumerate(("s3://bucket/x.wav", str(folder / "gone.wav"), str(folder / "2.wav"))):
        await captured(store, arrival, clock, folder, number, place=place)
    (folder / "2.wav").write_text("somebody worked on it")
    remove = remover(open_files(str(folder)))
    assert (await store.retention.prune({"files": clock() + LATER}, remove=remove)).deleted == {"files": 0}
    assert len(await store.outputs.recent()) == 3
    assert "2.wav" in names(folder)


async def test_a_file_is_deleted_before_its_row_so_that_none_is_forgotten(store, arrival, clock, folder):
    await captured(store, arrival, clock, folder, 1)
    seen = []

    async def dies(place, _size, _sha256):
        seen.append((place, len(await store.outputs.recent())))
        raise OSError("the machine went away")

    with pytest.raises(OSError, match="went away"):
        await store.retention.prune({"files": clock() + LATER}, remove=dies)
    assert seen == [(str(folder / "1.wav"), 1)]
    assert len(await store.outputs.recent()) == 1


async def test_a_file_stays_while_a_younger_event_needs_it_and_goes_for_both(store, arrival, clock, folder):
    await captured(store, arrival, clock, folder, 1)
    [first] = await store.outputs.recent()
    clock.turn(100)
    await captured(store, arrival, clock, folder, 2, job_id="job_1", place=first["place"])
    between = {"files": first["changed_at"] + 50}
    remove = remover(open_files(str(folder)))
    assert (await store.retention.prune(between, remove=remove)).deleted == {"files": 0}
    assert "1.wav" in names(folder)
    assert (await store.retention.prune({"files": clock() + LATER}, remove=remove)).deleted == {"files": 2}
    assert "1.wav" not in names(folder)


async def test_a_file_of_an_event_whose_handlers_are_at_work_stays(store, arrival, clock, folder):
    [added] = await store.events.add([arrival(1)])
    await store.runs.turn(worker="w", lease=30, finished=[], wanted=lambda _event: {"log": None}, free={"log": 0})
    place = {"place": "files/1.wav", "size": 1, "sha256": "", "state": "captured", "source": "x"}
    await store.outputs.record(event_id=added.event_id, handler="d", output_id="o", job_id="job_1", **place)
    assert (await store.retention.prune({"files": clock() + LATER}, remove=nothing)).deleted == {"files": 0}
