"""Durable acks per second beside a bare route, and beside the usual hand-made receiver."""

import statistics
from collections.abc import Iterator
from contextlib import contextmanager

from . import checks
from .bench import Bench
from .load import Answer, Order
from .processes import Process, free_port, load, serve
from .report import Result

#: The ratio of each row: what is above and what below the line.
RATIOS = {
    "sqlite": ("sqlite", "bare"),
    "serve": ("serve", "bare"),
    "postgres": ("postgres", "bare"),
    "handmade": ("sqlite", "handmade"),
}

#: Deliveries per second to have ready for each candidate: more than it takes.
MOST = {"bare": 36_000, "sqlite": 24_000, "serve": 20_000, "postgres": 24_000, "handmade": 8_000, "shared": 16_000}


def measure(bench: Bench, results: dict[str, Result]) -> None:
    """Measure each candidate twice per round, there and back, so that a machine that gets slower favours none."""
    wanted = {name for row in results for name in RATIOS[row]}
    if "handmade" in wanted:
        wanted.add("shared")
    for _ in range(bench.rounds):
        there = [name for name in MOST if name in wanted]
        runs = [(name, rate(bench, name)) for name in (*there, *reversed(there))]
        rates = {name: statistics.mean(found for one, found in runs if one == name) for name in there}
        for row, result in results.items():
            above, below = RATIOS[row]
            result.add(rates[above] / rates[below])
            result.note(f"{above} /s", rates[above])
            result.note(f"{below} /s", rates[below])
            if row == "handmade":
                result.note("hand-made without a commit of its own per request /s", rates["shared"])


def rate(bench: Bench, name: str) -> float:
    """Return the acks per second of one candidate in one run, after the checks."""
    with running(bench, name) as (port, url):
        order = Order(ports=[port], count=int(MOST[name] * bench.seconds), warm=0.5, seconds=bench.seconds)
        answer = load(order)
        if url:
            checks.stored(url, answer.acked, column="id" if name in _OURS else "message_id")
        if name == "serve":
            checks.handled(url)
    bench.say(told(name, answer))
    return answer.rate


#: Candidates of benchmarks/targets.py.
_OURS = ("bare", "handmade", "shared")


@contextmanager
def running(bench: Bench, name: str) -> Iterator[tuple[int, str]]:
    """A candidate that listens: its port and the URL of its database."""
    with bench.place("postgresql" if name == "postgres" else "sqlite") as (folder, url):
        if name in _OURS:
            port, file = free_port(), folder / "handmade.db"
            with Process(folder, "benchmarks.targets", name, str(port)) as process:
                process.listening(port)
                yield port, "" if name == "bare" else f"sqlite:///{file}"
        else:
            process, port = serve(folder, url, *([] if name == "serve" else ["--no-dispatch"]))
            with process:
                yield port, url


def told(name: str, answer: Answer) -> str:
    """Return a line about one run."""
    return (
        f"{name:<10}{answer.rate:>8,.0f} acks/s  p50 {answer.p50 * 1e3:.1f} ms  p99 {answer.p99 * 1e3:.1f} ms  "
        f"worst {answer.worst * 1e3:.0f} ms  sender {answer.busy:.0%} of a core"
    )
