"""Bring a database to the schema of this version."""

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection


def migrate(connection: Connection) -> None:
    """Apply what is missing."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def versions(connection: Connection) -> tuple[str | None, str | None]:
    """Return the database's schema version and the one this code needs; None for an empty database."""
    current = MigrationContext.configure(connection).get_current_revision()
    return current, ScriptDirectory.from_config(_config()).get_current_head()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "receiver.store:migrations")
    return config
