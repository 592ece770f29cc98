"""Bring a database to the schema of this version."""

import functools

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from ...errors import ConfigError


def migrate(connection: Connection) -> None:
    """Apply what is missing. Raises ConfigError if a newer version was here: it stays as it is."""
    _current(connection)
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def check(connection: Connection) -> None:
    """Raise ConfigError if the database has not the schema that this code needs."""
    current, needed = _current(connection), _scripts().get_current_head()
    if current != needed:
        raise ConfigError(
            f"the database has schema {current or 'none'}, this version needs {needed}: run `receiver migrate`"
        )


def _current(connection: Connection) -> str | None:
    """Return the database's schema version; None for an empty database."""
    current = MigrationContext.configure(connection).get_current_revision()
    if current not in (None, *(script.revision for script in _scripts().walk_revisions())):
        raise ConfigError(
            f"the database has schema {current}, which is newer than this version: install the version that made it"
        )
    return current


@functools.cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "receiver.store:migrations")
    return config
