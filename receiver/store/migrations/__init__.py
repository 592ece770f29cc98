"""Bring a database to the schema of this version.

Alembic is imported where there is something to apply: every process looks at the version, hardly one changes it.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from ...errors import ConfigError, NewerSchema

if TYPE_CHECKING:
    from alembic.config import Config

#: The versions that this code knows, oldest first: their files begin with them.
VERSIONS = sorted(file.name.partition("_")[0] for file in (Path(__file__).parent / "versions").glob("[0-9]*.py"))


def migrate(connection: Connection) -> None:
    """Apply what is missing. Raises ConfigError if a newer version was here: it stays as it is."""
    if _current(connection) == VERSIONS[-1]:
        return
    from alembic import command

    config = settings_of(connection)
    command.upgrade(config, "head")


def settings_of(connection: Connection) -> "Config":
    """Return Alembic's configuration for a connection."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "receiver.store:migrations")
    config.attributes["connection"] = connection
    return config


def check(connection: Connection) -> None:
    """Raise ConfigError if the database has not the schema that this code needs."""
    current = _current(connection)
    if current != VERSIONS[-1]:
        raise ConfigError(
            f"the database has schema {current or 'none'}, this version needs {VERSIONS[-1]}: run `receiver migrate`"
        )


def _current(connection: Connection) -> str | None:
    """Return the database's schema version; None for an empty database. Raises NewerSchema for one that is not ours."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    current: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if current not in (None, *VERSIONS):
        raise NewerSchema(
            f"the database has schema {current}, which is newer than this version: install the version that made it"
        )
    return current
