"""How fast the pages answer over a long history, and what those who watch them cost an acknowledgement."""

import html
import re
import selectors
import socket
import statistics
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import httpx
import psutil

from . import beside, checks
from .acks import told
from .bench import Bench
from .deliveries import job_id
from .full import ENGINES, events, full
from .load import Order
from .processes import load, serve, until
from .report import Result

TOKEN = "a-token-for-the-bench-only"

#: One who has every live page open, and a crowd.
OPEN, CROWD = 3, 100

#: How often that is measured, for how long each time, and how long viewers are there before, seconds.
TURNS, WATCHED, SETTLE = 4, 10, 2

#: Deliveries a second meanwhile, to each server.
RATE = 500

#: Requests for each page.
ASKED = 60

#: Every page there is, and what its links narrow it to.
PAGES = (
    "/",
    "/events",
    "/events?road=reconcile",
    "/jobs",
    "/jobs?state=open",
    "/jobs?state=failed",
    "/runs",
    "/runs?state=waiting",
    "/runs?state=running",
    "/runs?state=failed",
    "/runs?handler=nothing&state=failed",
    "/runs/retry",
    "/runs/retry?handler=nothing&source=videogen",
    "/refused",
    f"/refused?reason={beside.RARE}",
    "/refused?verdict=duplicate",
    "/endpoints",
    "/handlers",
)

#: The pages of one each: the newest and the oldest in a list.
ONE = ("events", "jobs", "refused")

#: What somebody looks for, and what tells that it was found: the newest, an exact id far back, and what is nowhere.
SEARCHES = {
    "text={new}": "{new}",
    "text={old}": "{old}",
    "job_id={old}": "{old}",
    "source=nobody": None,
    "type=file.analysis_failed": None,
    "text=nowhere-at-all": None,
}


def pages(bench: Bench, result: Result) -> None:
    """Measure every page, with a long history on each engine."""
    for engine in ENGINES:
        url = full(bench, engine)
        single = [f"/{path}/{name}" for path in ONE for name in checks.ask(url, _ENDS.format(_TABLES[path]))[0]]
        with _history(bench, engine) as client:
            slowest = _slowest(bench, result, client, dict.fromkeys([*PAGES, *single]), engine)
        result.add(slowest, ENGINES[engine])


_ENDS = "SELECT min(id), max(id) FROM {}"

_TABLES = {"events": "events", "jobs": "jobs", "refused": "deliveries"}


def search(bench: Bench, result: Result) -> None:
    """Measure searches for events, the ones that find nothing too, and that they find what is there."""
    count = events(bench)
    ids = {"new": job_id(count - 3 - 10**9), "old": job_id(count // 2 - 10**9)}
    wanted = {
        f"/events?{one.format(**ids)}": f'href="/jobs/{found.format(**ids)}' if found else None
        for one, found in SEARCHES.items()
    }
    for engine in ENGINES:
        with _history(bench, engine) as client:
            slowest = _slowest(bench, result, client, wanted, engine)
            slowest = max(slowest, _far_back(bench, result, client, ids["old"], engine))
        result.add(slowest, ENGINES[engine])


def _far_back(bench: Bench, result: Result, client: httpx.Client, job: str, engine: str) -> float:
    """Look for a text that no index finds, from page to page until it is found; return the p95 of these."""
    text, taken = job.removeprefix("vg_tool_"), list[float]()
    path: str | None = f"/events?text={text}"
    while path is not None:
        taken.append(_timed(client, path))
        answer = client.get(path).text
        if f"/jobs/{job}" in answer:
            break
        further = re.search(r'href="(/events[?][^"]*cursor=[^"]*)"', answer)
        path = html.unescape(further[1]) if further else None
    if path is None:
        raise AssertionError(f"{text} stands in a body, and was not found")
    bench.say(f"search  {ENGINES[engine]:<12}a text far back, found on page {len(taken)}, p95 {_p95(taken):.0f} ms")
    result.note(f"{ENGINES[engine]}: pages until a text far back is found", len(taken))
    return _p95(taken)


@dataclass(frozen=True, kw_only=True)
class _Server:
    port: int
    url: str
    process: psutil.Process

    def used(self) -> float:
        """Seconds of CPU so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


def viewers(bench: Bench, result: Result) -> None:
    """Measure what an open dashboard takes of the core that acknowledges at a steady rate, and what a crowd takes.

    Two servers do the same side by side, and in turn one of them is watched: what else the machine does is the same
    for both.
    """
    for _ in range(bench.rounds):
        with ExitStack() as stack:
            servers = []
            for _ in range(2):
                folder, url = stack.enter_context(bench.place("sqlite"))
                process, port = serve(folder, url, "--no-dispatch", RECEIVER_ADMIN_TOKEN=TOKEN)
                stack.enter_context(process)
                servers.append(_Server(port=port, url=url, process=psutil.Process(process.pid)))
            result.add(_share(bench, result, servers, OPEN))
            _share(bench, result, servers, CROWD)


def _share(bench: Bench, result: Result, servers: Sequence[_Server], many: int) -> float:
    """Return how many percent of a core so many viewers take."""
    seconds = (SETTLE + WATCHED) * TURNS + 15
    (first,) = checks.ask(servers[0].url, "SELECT count(*) FROM events")[0]
    orders = [Order(ports=[one.port], count=RATE * seconds, first=first, rate=RATE, seconds=seconds) for one in servers]
    with ThreadPoolExecutor(len(servers)) as pool:
        loading = [pool.submit(load, order) for order in orders]
        for one in servers:
            until(
                lambda url=one.url: checks.ask(url, "SELECT count(*) FROM events")[0][0] > first + CROWD, "deliveries"
            )
        taken = [_taken(servers, many, watched=turn % 4 in (1, 2)) for turn in range(TURNS)]
        if any(one.done() for one in loading):
            raise RuntimeError("the load ended before all was measured")
        answers = [one.result() for one in loading]
    for one, answer in zip(servers, answers, strict=True):
        checks.stored(one.url, answer.acked)
        bench.say(told(f"{many} watch", answer))
    share = 100 * statistics.mean(taken)
    result.note(f"% of a core for {many}", share)
    result.note(f"p99 ms with {many} half of the time", max(answer.p99 for answer in answers) * 1e3)
    return share


def _taken(servers: Sequence[_Server], many: int, *, watched: bool) -> float:
    """Return how much more CPU the one that is watched uses than the other, seconds in a second."""
    one, other = reversed(servers) if watched else servers
    with _watching(one.port, one.url, many):
        time.sleep(SETTLE)
        before, began = (one.used(), other.used()), time.perf_counter()
        time.sleep(WATCHED)
        seconds = time.perf_counter() - began
        return ((one.used() - before[0]) - (other.used() - before[1])) / seconds


@contextmanager
def _watching(port: int, url: str, many: int) -> Iterator[None]:
    """So many live viewers, who read what they are told: of the overview, of the events, and each of one event.

    Raises RuntimeError if one of them is sent away.
    """
    with _signed_in(port) as client:
        cookie = f"receiver={client.cookies['receiver']}"
    latest = [row[0] for row in checks.ask(url, f"SELECT id FROM events ORDER BY id DESC LIMIT {many}")]
    sockets = []
    for number, event in enumerate(latest):
        topic = ("overview", "events", f"event?id={event}")[number % 3]
        one = socket.create_connection(("127.0.0.1", port))
        one.sendall(f"GET /live/{topic} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nCookie: {cookie}\r\n\r\n".encode())
        sockets.append(one)
    for one in sockets:
        if not one.recv(64).startswith(b"HTTP/1.1 200"):
            raise RuntimeError("a viewer was turned away")
    over = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(_read, sockets, over)
        try:
            yield
        finally:
            over.set()
        reading.result()
    for one in sockets:
        one.close()


def _read(sockets: list[socket.socket], over: threading.Event) -> None:
    """Read all that viewers are told, until that is over."""
    with selectors.DefaultSelector() as selector:
        for one in sockets:
            selector.register(one, selectors.EVENT_READ, one)
        while not over.is_set():
            for key, _ in selector.select(0.1):
                if not key.data.recv(2**16):
                    raise RuntimeError("a viewer was sent away")


def _slowest(
    bench: Bench, result: Result, client: httpx.Client, wanted: Mapping[str, str | None], engine: str
) -> float:
    """Return the p95 of the slowest of what is wanted, milliseconds. Each page must hold what stands beside its path.

    Raises AssertionError if it does not.
    """
    for path, text in wanted.items():
        if text is not None and text not in client.get(path).text:
            raise AssertionError(f"{path} does not show {text}")
    taken = {path: _p95([_timed(client, path) for _ in range(ASKED)]) for path in wanted}
    for path, milliseconds in taken.items():
        bench.say(f"{result.row.name:<8}{ENGINES[engine]:<12}{path[:60]:<62}p95 {milliseconds:.0f} ms")
    return max(taken.values())


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
