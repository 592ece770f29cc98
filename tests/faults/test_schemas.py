"""Two versions of the schema: the code's and the database's."""

import pytest
from alembic import command

from receiver.errors import ConfigError
from receiver.store import Store, migrations

from .rig import Rig

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
