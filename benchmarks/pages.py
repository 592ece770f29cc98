"""How fast the pages answer over a long history, and what those who watch them cost an acknowledgement."""

import os
import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from . import checks
from .acks import told
from .bench import Bench
from .deliveries import job_id
from .history import build
from .load import Order
from .processes import load, serve
from .report import Result

TOKEN = "a-token-for-the-bench-only"

#: Viewers of live pages.
VIEWERS = 100

PAGES = ("/", "/events", "/jobs", "/runs", "/refused", "/endpoints", "/handlers")

#: What somebody looks for: the newest, something rare far back, an exact id, and what is not there at all.
SEARCHES = (
    "text={new}",
    "text={old}",
    "job_id={old}",
    "source=nobody",
    "type=file.analysis_failed",
    "text=nowhere-at-all",
)


def pages(bench: Bench, result: Result) -> None:
    """Measure every page, and one event's, with a long history on SQLite."""
    with _history(bench) as (client, _):
        event = client.get("/events").text.partition('href="/events/evt_')[2].partition('"')[0]
        wanted = [*PAGES, f"/events/evt_{event}"]
        _measure(bench, result, client, wanted)


def search(bench: Bench, result: Result) -> None:
    """Measure searches for events, the ones that find nothing too."""
    with _history(bench) as (client, count):
        ids = {"new": job_id(count - 3 - 10**9), "old": job_id(count // 2 - 10**9)}
        _measure(bench, result, client, [f"/events?{one.format(**ids)}" for one in SEARCHES])


def viewers(bench: Bench, result: Result) -> None:
    """Measure acks with and without viewers, in turn."""
    for number in range(bench.rounds):
        order = (0, VIEWERS) if number % 2 else (VIEWERS, 0)
        rates = {many: _rate(bench, many) for many in order}
        result.add(rates[VIEWERS] / rates[0])
        result.note("acks/s without", rates[0])
        result.note(f"acks/s with {VIEWERS}", rates[VIEWERS])


def _rate(bench: Bench, many: int) -> float:
    with bench.place("sqlite") as (folder, url):
        os.sync()
        process, port = serve(folder, url, "--no-dispatch", RECEIVER_ADMIN_TOKEN=TOKEN)
        with process, _watching(port, many):
            order = Order(ports=[port], count=int(24_000 * bench.seconds), warm=1.0, seconds=bench.seconds)
            answer = load(order)
            checks.stored(url, answer.acked)
    bench.say(told(f"{many} watch", answer))
    return answer.rate


@contextmanager
def _watching(port: int, many: int) -> Iterator[None]:
    """So many live viewers, half of the overview and half of the events. What they are told waits in their sockets."""
    with _signed_in(port) as client:
        cookie = f"receiver={client.cookies['receiver']}"
    sockets = []
    for number in range(many):
        topic = "overview" if number % 2 else "events"
        one = socket.create_connection(("127.0.0.1", port))
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**22)
        one.sendall(f"GET /live/{topic} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nCookie: {cookie}\r\n\r\n".encode())
        sockets.append(one)
    for one in sockets:
        if not one.recv(64).startswith(b"HTTP/1.1 200"):
            raise RuntimeError("a viewer was turned away")
    yield
    for one in sockets:
        one.close()


def _measure(bench: Bench, result: Result, client: httpx.Client, wanted: list[str]) -> None:
    taken: list[float] = []
    for path in wanted:
        own = [_timed(client, path) for _ in range(bench.of(30))]
        bench.say(f"{result.row.name:<10}{path[:60]:<62}p95 {_p95(own):.0f} ms")
        taken += own
    result.add(_p95(taken))


def _timed(client: httpx.Client, path: str) -> float:
    began = time.perf_counter()
    answer = client.get(path)
    if answer.status_code != 200:
        raise RuntimeError(f"{path} answered {answer.status_code}")
    return (time.perf_counter() - began) * 1e3


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


@contextmanager
def _history(bench: Bench) -> Iterator[tuple[httpx.Client, int]]:
    count = bench.of(1_000_000)
    path: Path = bench.folder / "pages.db"
    if not path.exists():
        build(path, events=count, waiting=bench.of(100_000))
    with bench.place("sqlite") as (folder, _):
        process, port = serve(folder, f"sqlite:///{path}", "--no-dispatch", RECEIVER_ADMIN_TOKEN=TOKEN)
        with process, _signed_in(port) as client:
            yield client, count


@contextmanager
def _signed_in(port: int) -> Iterator[httpx.Client]:
    home = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=home, trust_env=False, timeout=60) as client:
        client.post("/sign-in", data={"token": TOKEN}, headers={"origin": home})
        yield client
