"""Databases to put under fault."""

import asyncio
import itertools
from collections.abc import Iterator

import pytest

from ..conftest import _database, _statement

_names = itertools.count()


@pytest.fixture
def postgres_url(postgres: str) -> Iterator[str]:
    """An empty PostgreSQL database without the schema."""
    name = f"faults_{next(_names)}"
    asyncio.run(_statement(postgres, f"CREATE DATABASE {name}"))
    yield _database(postgres, name)
    asyncio.run(_statement(postgres, f"DROP DATABASE {name} WITH (FORCE)"))
