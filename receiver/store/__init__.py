"""Everything that must not be lost: events, runs, jobs, endpoints and secrets, in SQLite or PostgreSQL."""

from collections.abc import Callable
from pathlib import Path

from ..errors import ConfigError, Unavailable
from . import migrations
from .alarms import OURSELVES, Alarm, Alarms, Signs
from .backlog import Backlog, Left, Queue
from .database import Database, is_deadlock
from .endpoints import Endpoint, Endpoints, Secret
from .erasure import Erasures, Subject
from .events import SECRET_HEADERS, Added, Arrival, Events, Refusal, headers_of, headers_text
from .filter import Filter
from .handlers import REPORT, THERE, Handlers, Reported
from .hints import Hints
from .jobs import Change, Job, Jobs, JobTurn
from .ledger import NewJob
from .outputs import Outputs
from .page import PATIENCE, SEARCH, Page
from .replay import LOOKED, Changed, Counted, Piece, Replays
from .retention import Pruned, Retention
from .runs import RunFilter, Runs
from .sessions import Sessions
from .tally import Count, Tally, reached, total
from .turn import MATCHED, Claimed, Finished
from .wakeups import Wakeups

__all__ = [
    "LOOKED",
    "MATCHED",
    "OURSELVES",
    "PATIENCE",
    "REPORT",
    "SEARCH",
    "SECRET_HEADERS",
    "THERE",
    "Added",
    "Alarm",
    "Alarms",
    "Arrival",
    "Backlog",
    "Change",
    "Changed",
    "Claimed",
    "Count",
    "Counted",
    "Endpoint",
    "Endpoints",
    "Erasures",
    "Events",
    "Filter",
    "Finished",
    "Handlers",
    "Hints",
    "Job",
    "JobTurn",
    "Jobs",
    "Left",
    "NewJob",
    "Outputs",
    "Page",
    "Piece",
    "Pruned",
    "Refusal",
    "Replays",
    "Reported",
    "Retention",
    "RunFilter",
    "Runs",
    "Secret",
    "Sessions",
    "Signs",
    "Store",
    "Subject",
    "Tally",
    "Wakeups",
    "headers_of",
    "headers_text",
    "reached",
    "total",
]

#: Times that a change of the schema is begun while workers go on: each of its tables is locked when its turn comes, and
#: PostgreSQL ends one of two that wait for each other.
DEADLOCKS = 5


class Store:
    """The store behind a URL: `sqlite:///path` or `postgresql://…`. Close it when done.

    `clock` replaces the clock by which leases and due times are judged, for tests.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] | None = None) -> None:
        self.url = url
        self.database = Database(url, clock=clock)
        self.events = Events(self.database)
        self.runs = Runs(self.database)
        self.jobs = Jobs(self.database)
        self.hints = Hints(self.database)
        self.replays = Replays(self.database)
        queue = Queue()
        self.handlers = Handlers(self.database, queue)
        self.tally = Tally(self.database)
        self.outputs = Outputs(self.database)
        self.backlog = Backlog(self.database, queue)
        self.alarms = Alarms(self.database, self.backlog)
        self.retention = Retention(self.database)
        self.erasures = Erasures(self.database)
        self.endpoints = Endpoints(self.database)
        self.sessions = Sessions(self.database)
        self.wakeups = Wakeups(self.database, url)

    async def migrate(self) -> None:
        """Bring the database to this version's schema."""
        if self.database.is_sqlite:
            _file(self.url).parent.mkdir(parents=True, exist_ok=True)
        for tries_left in reversed(range(DEADLOCKS)):
            try:
                async with self.database.write() as connection:
                    await connection.run_sync(migrations.migrate)
            except Unavailable as error:
                if not tries_left or not is_deadlock(error):
                    raise
            else:
                return

    async def check(self) -> None:
        """Raise ConfigError if the database has not this version's schema, Unavailable if it does not answer."""
        if self.database.is_sqlite and not _file(self.url).exists():
            raise ConfigError(f"there is no database at {_file(self.url)}: `receiver migrate` makes one")
        async with self.database.read() as connection:
            await connection.run_sync(migrations.check)

    async def close(self) -> None:
        """Close all connections."""
        await self.events.close()
        await self.database.close()


def _file(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///")).absolute()
