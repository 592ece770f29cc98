"""How late 5,000 open jobs are asked about by one worker, as a share of the wait that was planned.

The provider is a client in the same process that takes 50 ms for each answer and never ends a job: what is measured
is the tracker, its ledger and its schedule. The jobs are up to ten minutes old, as if they had come in all the while.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import psutil
from pydantic import BaseModel
from sqlalchemy import update

from receiver.settings import Settings
from receiver.sources import Answer, Tool
from receiver.store import NewJob, Store
from receiver.store.tables import jobs
from receiver.tracker import Tracker

from .bench import Bench
from .report import Result

JOBS, AGE, ANSWER = 5000, 600.0, 0.05


class Anything(BaseModel):
    """Parameters that nobody looks at."""


class Slow:
    """A source and its client: every job runs for ever. Remembers how late each question was."""

    name = "slow"
    tools = (Tool(name="render", type="RENDER", parameters=Anything, usual=AGE, docs=""),)
    at_once = None

    def __init__(self) -> None:
        self.asked: dict[str, float] = {}
        self.late: list[float] = []
        self.due: dict[str, float] = {}

    def client(self, http: Any, provider: Any) -> "Slow":
        return self

    async def ask(self, job_id: str, tool: Tool | None, parameters: Mapping[str, Any]) -> Answer:
        now = time.time()
        if job_id in self.asked:
            self.late.append((now - self.due[job_id]) / (self.due[job_id] - self.asked[job_id]))
        self.asked[job_id] = now
        await asyncio.sleep(ANSWER)
        return Answer(standing="running", status="running")


class Watched(Tracker):
    """A tracker that tells the source when each job was due."""

    async def _ask(self, job: Any) -> Any:
        self._sources["slow"].due[job.job_id] = job.due_at  # type: ignore[attr-defined]
        return await super()._ask(job)


def measure(bench: Bench, result: Result) -> None:
    """Let a worker of its own look after the jobs for a while."""
    seconds = 30 if bench.quick else 90
    for engine in ("sqlite", "postgresql"):
        with bench.place(engine) as (_folder, url):
            command = [sys.executable, "-m", "benchmarks.tracking", url, str(seconds)]
            told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        bench.say(f"tracking  {engine}: {told}")
        result.add(told["p99"] * 100, {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[engine])
        result.note(f"{engine}, questions/s", told["per_second"])
        result.note(f"{engine}, MB", told["memory"])


async def _look_after(url: str, seconds: float) -> dict[str, float]:
    store, source = Store(url), Slow()
    await store.jobs.add(*(NewJob(source="slow", tool="RENDER", job_id=f"j{number}") for number in range(JOBS)))
    began = time.time()
    async with store.database.write() as connection:
        for number in range(JOBS):
            age = AGE * number / JOBS
            moved = {"created_at": began - age, "submitted_at": began - age, "due_at": began + age % 60}
            await connection.execute(update(jobs).where(jobs.c.job_id == f"j{number}").values(moved))
    settings = Settings(database_url=url, providers={"slow": {"api_key": "x"}})
    sources: Any = {"slow": source}
    http: Any = None
    tracker = Watched(store=store, sources=sources, settings=settings, http=http, worker="w")
    task = asyncio.create_task(tracker.run())
    await asyncio.sleep(65)  # each was asked about once, at the moment that was given above
    source.late.clear()
    await asyncio.sleep(seconds)
    tracker.stop()
    await task
    await store.close()
    late = sorted(source.late)
    memory = psutil.Process().memory_info().rss / 2**20
    return {
        "p50": late[len(late) // 2],
        "p99": late[len(late) * 99 // 100],
        "worst": late[-1],
        "per_second": len(late) / seconds,
        "memory": memory,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_look_after(sys.argv[1], float(sys.argv[2])))))
