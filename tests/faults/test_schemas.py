"""Two versions of the schema: the code's and the database's."""

import pytest
from alembic import command
from sqlalchemy import select

from receiver.errors import ConfigError
from receiver.store import Finished, Store, migrations
from receiver.store.tables import attempts, events, jobs, runs

from ..store.conftest import arrival  # noqa: F401 - a fixture
from . import schemas
from .rig import Rig

#: Those before the present one: none yet. The next one is made up, in `newer`.
OLDER = migrations.VERSIONS[:-1]


def upgrade(connection, revision):
    command.upgrade(migrations.settings_of(connection), revision)


async def bring(url, revision):
    """Bring a database to an older version's schema; none for one that is empty."""
    store = Store(url)
    async with store.database.write() as connection:
        if revision is not None:
            await connection.run_sync(upgrade, revision)
    await store.close()


@pytest.mark.parametrize("revision", [None, *OLDER])
async def test_postgresql_that_is_behind_is_refused_with_the_command_to_run(postgres_url, revision):
    await bring(postgres_url, revision)
    store = Store(postgres_url)
    with pytest.raises(ConfigError, match="run `receiver migrate`"):
        await store.check()
    await store.migrate()
    await store.check()
    await store.close()


@pytest.mark.parametrize("revision", [None, *OLDER])
async def test_sqlite_that_is_behind_is_brought_up_to_date(tmp_path, revision):
    url = f"sqlite:///{tmp_path / 'receiver.db'}"
    await bring(url, revision)
    store = Store(url)
    await store.migrate()
    await store.check()
    await store.close()


async def test_a_database_of_a_newer_version_is_left_alone(store):
    """After a step back to an older version: what it does not know it must not touch."""
    async with store.database.write() as connection:
        await connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    for attempt in (store.check, store.migrate):
        with pytest.raises(ConfigError, match="schema 9999, which is newer than this version"):
            await attempt()


def test_serve_refuses_postgresql_that_is_behind_and_a_worker_does_too(tmp_path, postgres_url):
    with Rig(tmp_path, postgres_url) as rig:
        for process in (rig.web().start(), rig.worker().start()):
            assert process.wait() == 2
            assert "receiver migrate" in process.log.read_text()
            assert "Traceback" not in process.log.read_text()


async def test_a_database_one_version_behind_is_brought_ahead_and_what_is_on_its_way_stays(
    store,
    arrival,  # noqa: F811
    clock,
    monkeypatch,
):
    common = {"worker": "w", "lease": 30, "wanted": lambda _event: dict.fromkeys(("log", "film"))}
    await store.events.add([arrival(number) for number in range(3)])
    claimed = (await store.runs.turn(**common, finished=[], free={"log": 3, "film": 1})).claimed
    again, done, failed = (
        Finished(run=run, outcome=outcome, finished_at=clock(), wait=60 if outcome == "retry" else None)
        for run, outcome in zip(claimed, ("retry", "done", "failed"), strict=False)
    )
    await store.runs.turn(**common, finished=[again, done, failed], free={})
    await store.events.add([arrival(9)])
    before = await everything(store)
    assert {row["state"] for row in before["runs"]} == {"waiting", "running", "done", "failed"}

    monkeypatch.setattr(migrations, "VERSIONS", [*migrations.VERSIONS, schemas.NEXT])
    monkeypatch.setattr(migrations, "settings_of", schemas.settings_of)
    with pytest.raises(ConfigError, match="run `receiver migrate`"):
        await store.check()
    await store.migrate()
    await store.check()
    assert await everything(store) == before
    ended = Finished(run=claimed[3], outcome="done", finished_at=clock())
    turn = await store.runs.turn(**common, finished=[ended], free={"log": 9, "film": 9})
    assert turn.lost == []
    assert len(turn.claimed) == 4  # two of them are of the event that was new

    monkeypatch.undo()
    with pytest.raises(ConfigError, match="newer than this version"):
        await store.check()


async def everything(store):
    async with store.database.read() as connection:
        return {
            table.name: [dict(row) for row in (await connection.execute(select(table).order_by(table.c.id))).mappings()]
            for table in (events, runs, attempts, jobs)
        }


def test_the_schema_changes_under_load_and_the_version_before_works_on_until_it_is_restarted(tmp_path, postgres_url):
    with Rig(tmp_path / "rig", postgres_url) as rig:
        assert schemas.change(rig, times=0).verdict.violations == ()
