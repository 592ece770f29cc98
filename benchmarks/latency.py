"""How long an ack takes under a steady stream, and how soon a handler starts when nothing else happens."""

import http.client
import random
import socket
import statistics
import time

from . import checks
from .acks import told
from .bench import Bench
from .deliveries import job_id, request
from .history import build
from .load import Order
from .processes import load, serve, until
from .report import Result


def p99(bench: Bench, result: Result) -> None:
    """Send 1,000 deliveries per second to `serve`, whatever it does, and time them from when they were due."""
    for _ in range(bench.rounds):
        with bench.place("sqlite") as (folder, url):
            process, port = serve(folder, url)
            with process:
                seconds = bench.seconds * 2
                order = Order(ports=[port], count=int(1000 * (seconds + 1)), warm=1, seconds=seconds, rate=1000)
                answer = load(order)
                checks.stored(url, answer.acked)
                checks.handled(url)
        bench.say(told("p99", answer))
        result.add(answer.p99 * 1e3)
        result.note("p50 ms", answer.p50 * 1e3)
        result.note("worst ms", answer.worst * 1e3)


def pruning(bench: Bench, result: Result) -> None:
    """Send the same while the worker deletes what is old, all the time that is measured."""
    old = bench.of(300_000)
    for _ in range(bench.rounds):
        with bench.place("sqlite") as (folder, _):
            database = build(folder / "old.db", events=old, waiting=0)
            (folder / "receiver.toml").write_text('[retention]\nevents = "2m"\n')
            url = f"sqlite:///{database}"
            process, port = serve(folder, url)
            with process:
                until(lambda url=url: _old(url) < old, "deleting has begun")
                before, seconds = _old(url), bench.seconds * 2
                order = Order(ports=[port], count=int(1000 * (seconds + 1)), warm=1, seconds=seconds, rate=1000)
                answer = load(order)
                left = _old(url)
                checks.stored(url, answer.acked)
        if left <= 1200:  # those of the last two minutes stay
            raise RuntimeError("all was deleted before the measuring ended: there was too little of it")
        bench.say(told("pruning", answer))
        result.add(answer.p99 * 1e3)
        result.note("worst ms", answer.worst * 1e3)
        result.note("events deleted meanwhile", before - left)


def _old(url: str) -> int:
    """Return how many events there are of those that were there from the start."""
    return int(
        checks.ask(url, "SELECT count(*) FROM runs WHERE handler = 'nothing' AND finished_at = created_at")[0][0]
    )


def start(bench: Bench, result: Result) -> None:
    """Send one delivery at a time; compare when its ack came and when the handler wrote down that it runs."""
    for number in range(bench.rounds):
        waits = _waits(bench, seed=number)
        bench.say(f"start     p50 {statistics.median(waits):.1f} ms  worst {max(waits):.1f} ms")
        result.add(statistics.median(waits))
        result.note("worst ms", max(waits))


def _waits(bench: Bench, *, seed: int) -> list[float]:
    with bench.place("sqlite") as (folder, url):
        witness = folder / "seen.txt"
        witness.touch()
        process, port = serve(folder, url, handlers="witness", WITNESS=str(witness))
        with process:
            acked = _one_by_one(port, count=max(20, bench.of(100)), seed=seed)
            checks.handled(url)
        started = dict(line.split() for line in witness.read_text().splitlines())
    return [(float(started[job]) - at) * 1e3 for job, at in acked.items()]


def _one_by_one(port: int, *, count: int, seed: int) -> dict[str, float]:
    """Return when each job's ack was received, by the clock that all processes share."""
    pauses = random.Random(seed)
    acked = {}
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        for number in range(count):
            connection.sendall(request(number))
            answer = http.client.HTTPResponse(connection, method="POST")
            answer.begin()
            answer.read()
            acked[job_id(number)] = time.monotonic()
            if answer.status != 200:
                raise RuntimeError(f"a delivery was answered {answer.status}")
            time.sleep(pauses.uniform(0.03, 0.12))
    return acked
