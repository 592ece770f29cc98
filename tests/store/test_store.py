"""The schema, the clock and what happens when the database is not there."""

import contextlib

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError

from receiver.errors import ConfigError, Unavailable
from receiver.store import Store, migrations
from receiver.store.tables import metadata


async def test_the_migrations_make_exactly_the_tables_of_the_code(store):
    def differences(connection):
        return compare_metadata(MigrationContext.configure(connection), metadata)

    async with store.database.read() as connection:
        assert await connection.run_sync(differences) == []


async def test_the_versions_known_by_their_files_are_those_that_alembic_applies(store):
    def applied(connection):
        scripts = ScriptDirectory.from_config(migrations.settings_of(connection))
        return [script.revision for script in scripts.walk_revisions()][::-1]

    async with store.database.read() as connection:
        assert await connection.run_sync(applied) == migrations.VERSIONS


async def test_the_schema_can_be_taken_back_and_made_again(store):
    def back(connection):
        command.downgrade(migrations.settings_of(connection), "base")

    async with store.database.write() as connection:
        await connection.run_sync(back)
    with pytest.raises(ConfigError, match="schema none"):
        await store.check()
    await store.migrate()
    await store.check()


async def test_migrating_twice_changes_nothing(store):
    await store.migrate()
    await store.check()


async def test_an_empty_database_is_refused_with_the_command_to_run(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'empty.db'}")
    (tmp_path / "empty.db").touch()
    with pytest.raises(ConfigError, match="receiver migrate"):
        await store.check()
    await store.close()


async def test_a_database_that_is_not_there_is_told_and_not_made(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'no.db'}")
    with pytest.raises(ConfigError, match="receiver migrate"):
        await store.check()
    assert not (tmp_path / "no.db").exists()
    await store.close()


async def test_a_file_that_is_no_database_is_unavailable(tmp_path):
    (tmp_path / "no.db").write_bytes(b"something else entirely" * 100)
    store = Store(f"sqlite:///{tmp_path / 'no.db'}")
    with pytest.raises(Unavailable, match="not a database"):
        await store.check()
    await store.close()


async def test_a_server_that_is_not_there_is_unavailable_and_its_password_is_not_told():
    store = Store("postgresql://user:hunter2@127.0.0.1:1/none")
    with pytest.raises(Unavailable) as caught:
        await store.check()
    assert "hunter2" not in str(caught.value)
    await store.close()


async def test_migrating_makes_the_folder_of_the_database(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'a' / 'b' / 'receiver.db'}")
    await store.migrate()
    await store.check()
    await store.close()


async def test_sqlite_is_set_to_survive_a_power_failure(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'receiver.db'}")
    await store.migrate()
    async with store.database.write() as connection:
        settings = {
            name: (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    await store.close()


async def test_postgresql_tells_the_time_itself(postgres):
    store = Store(postgres)
    async with store.database.read() as connection:
        first = await store.database.now(connection)
        assert await store.database.now(connection) > first > 1.7e9
    await store.close()


@pytest.mark.parametrize(("deadlocks", "left"), [(4, False), (5, True)])
async def test_a_change_of_the_schema_that_met_a_worker_in_a_deadlock_is_begun_again(
    store, monkeypatch, deadlocks, left
):
    class Deadlock(Exception):
        sqlstate = "40P01"

    tried = []

    def migrate(_connection):
        tried.append(1)
        if len(tried) <= deadlocks:
            raise DBAPIError("ALTER TABLE", {}, Deadlock("deadlock detected"))

    monkeypatch.setattr(migrations, "migrate", migrate)
    with pytest.raises(Unavailable, match="deadlock") if left else contextlib.nullcontext():
        await store.migrate()
    assert len(tried) == 5
