"""How fast the pages answer over a long history, and what those who watch them cost an acknowledgement."""

import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psutil

from . import checks
from .acks import told
from .bench import Bench
from .deliveries import job_id
from .full import ENGINES, events, full
from .load import Order
from .processes import load, serve
from .report import Result

TOKEN = "a-token-for-the-bench-only"

#: Viewers of live pages, and how often acks are measured with them, and without.
VIEWERS, TURNS = 100, 4

#: Deliveries a second meanwhile.
RATE = 1_000

#: Requests for each page.
ASKED = 60

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
    """Measure every page, and one event's, with a long history on each engine."""
    for engine in ENGINES:
        with _history(bench, engine) as client:
            event = client.get("/events").text.partition('href="/events/evt_')[2].partition('"')[0]
            _measure(bench, result, client, [*PAGES, f"/events/evt_{event}"], engine)


def search(bench: Bench, result: Result) -> None:
    """Measure searches for events, the ones that find nothing too."""
    count = events(bench)
    ids = {"new": job_id(count - 3 - 10**9), "old": job_id(count // 2 - 10**9)}
    for engine in ENGINES:
        with _history(bench, engine) as client:
            _measure(bench, result, client, [f"/events?{one.format(**ids)}" for one in SEARCHES], engine)


def viewers(bench: Bench, result: Result) -> None:
    """Measure what viewers take of the core that acknowledges, at a steady rate: with them and without, in turn."""
    for _ in range(bench.rounds):
        used: dict[int, list[float]] = {0: [], VIEWERS: []}
        with bench.place("sqlite") as (folder, url):
            process, port = serve(folder, url, "--no-dispatch", RECEIVER_ADMIN_TOKEN=TOKEN)
            with process:
                for number in range(2 * TURNS):
                    many = VIEWERS if number % 4 in (1, 2) else 0  # what grows meanwhile is the same for both
                    with _watching(port, many):
                        used[many].append(_used(bench, result, process.pid, port, url, number, many))
        without, with_them = (statistics.median(used[many]) for many in (0, VIEWERS))
        result.add(100 * (with_them - without))
        result.note("CPU ms/s without", without * 1e3)
        result.note(f"CPU ms/s with {VIEWERS}", with_them * 1e3)


def _used(bench: Bench, result: Result, pid: int, port: int, url: str, number: int, many: int) -> float:
    """Return how many seconds of CPU the server uses in a second."""
    count = int(RATE * 3 * bench.seconds)
    times, began = psutil.Process(pid).cpu_times(), time.perf_counter()
    answer = load(Order(ports=[port], count=count, first=count * number, rate=RATE, seconds=3 * bench.seconds))
    after, seconds = psutil.Process(pid).cpu_times(), time.perf_counter() - began
    checks.stored(url, answer.acked)
    bench.say(told(f"{many} watch", answer))
    result.note(f"p99 ms with {many}", answer.p99 * 1e3)
    return (after.user + after.system - times.user - times.system) / seconds


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


def _measure(bench: Bench, result: Result, client: httpx.Client, wanted: list[str], engine: str) -> None:
    """Add the 95th percentile of the slowest of what is wanted."""
    taken = {path: _p95([_timed(client, path) for _ in range(ASKED)]) for path in wanted}
    for path, milliseconds in taken.items():
        bench.say(f"{result.row.name:<8}{ENGINES[engine]:<12}{path[:60]:<62}p95 {milliseconds:.0f} ms")
    result.add(max(taken.values()), ENGINES[engine])


def _timed(client: httpx.Client, path: str) -> float:
    began = time.perf_counter()
    answer = client.get(path)
    if answer.status_code != 200:
        raise RuntimeError(f"{path} answered {answer.status_code}")
    return (time.perf_counter() - began) * 1e3


def _p95(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.95)]


@contextmanager
def _history(bench: Bench, engine: str) -> Iterator[httpx.Client]:
    url, folder = full(bench, engine), bench.folder / f"pages-{engine}"
    folder.mkdir(exist_ok=True)
    process, port = serve(folder, url, "--no-dispatch", RECEIVER_ADMIN_TOKEN=TOKEN)
    with process, _signed_in(port) as client:
        yield client


@contextmanager
def _signed_in(port: int) -> Iterator[httpx.Client]:
    home = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=home, trust_env=False, timeout=60) as client:
        client.post("/sign-in", data={"token": TOKEN}, headers={"origin": home})
        yield client
