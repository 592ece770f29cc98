"""How many runs of a handler that does nothing one worker gets through."""

import asyncio
import time

from receiver.store import Arrival, Store

from . import checks
from .bench import Bench
from .deliveries import HEADERS, body, job_id, message_id
from .processes import receiver
from .report import Result


def measure(bench: Bench, result: Result) -> None:
    """Let one worker work off a backlog, on each engine."""
    for _ in range(bench.rounds):
        for engine in ("sqlite", "postgresql"):
            with bench.place(engine) as (folder, url):
                count = bench.of(20_000)
                asyncio.run(fill(url, count))
                with receiver(folder, url, "worker"):
                    checks.handled(url)
                rate = count / _span(url)
            bench.say(f"runs      {engine:<11}{rate:>8,.0f} /s")
            result.add(rate, "SQLite" if engine == "sqlite" else "PostgreSQL")


async def fill(url: str, count: int) -> None:
    """Store `count` events as if they had been delivered."""
    store = Store(url)
    for first in range(0, count, 200):
        await store.events.add([_arrival(number) for number in range(first, first + 200)])
    await store.close()


def _arrival(number: int) -> Arrival:
    now = time.time()
    return Arrival(
        source="videogen",
        type="tool_execution.succeeded",
        kind="job.succeeded",
        job_id=job_id(number),
        tool="GENERATE_AVATAR",
        road="webhook",
        received_at=now,
        occurred_at=now,
        message_id=message_id(number),
        fact=f"{job_id(number)}:succeeded",
        headers=HEADERS,
        body=body(number),
    )


def _span(url: str) -> float:
    """Return the seconds from the first attempt's start to the last one's end."""
    began, ended = checks.ask(url, "SELECT min(started_at), max(finished_at) FROM attempts")[0]
    return float(ended - began)
