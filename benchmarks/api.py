"""How long the API takes to find events and to list, with a long history, over HTTP as far as there is no socket."""

import asyncio
import random
import time
from collections.abc import Sequence

import httpx

from receiver.api import Api
from receiver.settings import Settings
from receiver.store import Store

from .bench import Bench
from .deliveries import job_id
from .full import ENGINES, events, full
from .report import Result

TOKEN = "a-token-that-is-long-enough"

#: The rows that are measured.
ROWS = ("api-search", "api-lists")

#: Requests of each kind.
ASKED = 60

#: What is listed: what opens a page, and what people narrow by.
LISTED = (
    "/events",
    "/events?source=videogen",
    "/events?state=quarantined",
    "/events?type=file.download_ready&limit=100",
    "/runs",
    "/runs?state=waiting",
    "/runs?handler=nobody",
    "/refused",
    "/jobs",
    "/handlers",
    "/stats?span=minute&spans=60",
)


def measure(bench: Bench, results: dict[str, Result]) -> None:
    """Ask both engines, each full: for text in bodies, and for the listings."""
    for engine, name in ENGINES.items():
        url = full(bench, engine)
        for number in range(bench.rounds):
            for row, milliseconds in asyncio.run(ask(bench, url, seed=number)).items():
                bench.say(f"{row:<12}{name} p95 {milliseconds:.1f} ms")
                if row in results:
                    results[row].add(milliseconds, name)


async def ask(bench: Bench, url: str, *, seed: int) -> dict[str, float]:
    """Return the 95th percentile of both kinds of requests, milliseconds."""
    store = Store(url)
    api = Api(store=store, sources={}, settings=Settings(admin_token=TOKEN))
    transport = httpx.ASGITransport(app=api)
    headers = {"authorization": f"Bearer {TOKEN}"}
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://here", headers=headers) as client:
            chosen = random.Random(seed)
            searches = [_search(chosen, events(bench)) for _ in range(ASKED)]
            listings = [LISTED[number % len(LISTED)] for number in range(ASKED)]
            return dict(zip(ROWS, [await _p95(client, paths) for paths in (searches, listings)], strict=True))
    finally:
        await store.close()


def _search(chosen: random.Random, count: int) -> str:
    """Ask for text that is not there, that is in one of the newest, or anywhere; or for a job."""
    kind = chosen.randrange(4)
    if kind == 0:
        return "/events?text=nobody+ever+said+this"
    key = chosen.randrange(count - 20_000 if kind == 1 and count > 20_000 else 0, count) - 10**9
    return f"/events?{'job_id' if kind == 3 else 'text'}={job_id(key)}"


async def _p95(client: httpx.AsyncClient, paths: Sequence[str]) -> float:
    taken = []
    for path in paths:
        began = time.perf_counter()
        answer = await client.get(path)
        taken.append((time.perf_counter() - began) * 1e3)
        if answer.status_code != 200:
            raise RuntimeError(f"{path} was answered {answer.status_code}")
    return sorted(taken)[int(len(taken) * 0.95)]
