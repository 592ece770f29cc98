"""How much is left to do, over all processes. Partial indexes answer it: only what is counted costs."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from .database import Database
from .tables import alarms, events, jobs, oldest_news, pauses, runs

#: Seconds before their URLs expire in which outputs should have been captured.
URGENT = 900


#: A queue of so many runs is long: to count it takes time.
LONG = 10_000

#: Seconds for which the length of such a queue is remembered, and how many times longer at least than it took to count.
FRESH, TIMES = 3.0, 20.0


@dataclass(frozen=True, slots=True)
class Left:
    """What is left to do at one instant. Ages are seconds."""

    event_age: float  # of the oldest event that has no runs yet; 0 without one
    #: by handler: runs, and for how long the first has been due; 0 if none is, or if the handler is paused
    waiting: dict[str, tuple[int, float]]
    running: int
    open_jobs: dict[tuple[str, str], int]  # by source and state
    expiring: dict[str, int]  # by handler: runs whose outputs expire within URGENT, or did, and are not captured
    recovered: dict[str, int]  # by source: stored events whose webhook did not come
    alarms: list[tuple[str, str]]  # that are on: what is watched, and which handler or source it is about


class Queue:
    """The runs that wait. A long queue is counted once for all who ask at about the same time."""

    def __init__(self) -> None:
        self._waiting: Mapping[str, tuple[int, float]] = {}
        self._stale_at = -math.inf

    def waiting(self, connection: Connection) -> Mapping[str, tuple[int, float]]:
        """Return by handler how many runs wait, and when the first is due."""
        began = time.monotonic()
        if began >= self._stale_at:
            query = select(runs.c.handler, func.count(), func.min(runs.c.due_at)).where(runs.c.state == "waiting")
            found = connection.execute(query.group_by(runs.c.handler))
            self._waiting = {handler: (count, first) for handler, count, first in found}
            ended = time.monotonic()
            if sum(count for count, _ in self._waiting.values()) >= LONG:
                self._stale_at = ended + max(FRESH, TIMES * (ended - began))
        return self._waiting


class Backlog:
    """Reads what is left to do."""

    def __init__(self, database: Database, queue: Queue) -> None:
        self._database = database
        self._queue = queue

    async def left(self) -> Left:
        """Return what is left to do now. Raises Unavailable."""
        return await self._database.looking(self._look)

    def _look(self, connection: Connection) -> Left:
        running = select(func.count()).select_from(runs).where(runs.c.state == "running")
        open_jobs = select(jobs.c.source, jobs.c.state, func.count()).where(jobs.c.ended_at.is_(None))
        late = select(runs.c.handler, func.count()).where(runs.c.state != "done", runs.c.expires_at.is_not(None))
        recovered = select(events.c.source, func.count()).where(events.c.road == "reconcile")
        now = self._database.time(connection)
        received_at = connection.execute(oldest_news).scalar()
        due = self._queue.waiting(connection)
        paused = set(connection.execute(select(pauses.c.handler)).scalars())
        urgent = late.where(runs.c.expires_at.between(now - URGENT, now + URGENT)).group_by(runs.c.handler)
        unended = connection.execute(open_jobs.group_by(jobs.c.source, jobs.c.state))
        return Left(
            event_age=0.0 if received_at is None else max(0.0, now - received_at),
            waiting={
                handler: (count, 0.0 if handler in paused else max(0.0, now - first))
                for handler, (count, first) in due.items()
            },
            running=connection.execute(running).scalar_one(),
            open_jobs={(source, state): count for source, state, count in unended},
            expiring=dict(tuple(row) for row in connection.execute(urgent)),
            recovered={row.source: row[1] for row in connection.execute(recovered.group_by(events.c.source))},
            alarms=[(watch, about) for watch, about in connection.execute(select(alarms.c.watch, alarms.c.about))],
        )
