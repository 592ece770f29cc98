"""Durable acks per second beside a bare route, and beside the usual hand-made receiver."""

from collections.abc import Iterator
from contextlib import contextmanager

from . import checks
from .bench import Bench
from .load import Answer, Order
from .processes import Process, free_port, load, serve
from .report import Result

#: The sender has core 0. A server that is one process has core 1; one of several processes has both.
SENDER, SERVER = 0, 1

#: What can be asked for, and what its ratio needs.
NEEDS = {"sqlite": ("bare", "sqlite"), "serve": ("bare", "serve"), "postgres": ("bare", "postgres")} | {
    "handmade": ("sqlite", "handmade")
}

#: Most deliveries per second to have ready for each.
_MOST = {"bare": 36_000, "sqlite": 24_000, "serve": 20_000, "postgres": 24_000, "handmade": 6_000}


def measure(bench: Bench, results: dict[str, Result]) -> None:
    """Measure each candidate once per round, one after the other."""
    wanted = [name for name in _MOST if any(name in NEEDS[row] for row in results)]
    for _ in range(bench.rounds):
        rates = {name: rate(bench, name) for name in wanted}
        for row, result in results.items():
            below, above = ("handmade", "sqlite") if row == "handmade" else ("bare", row)
            result.add(rates[above] / rates[below])
            result.note(f"{above} acks/s", rates[above])
            result.note(f"{below} requests/s" if below == "bare" else f"{below} acks/s", rates[below])


def rate(bench: Bench, name: str) -> float:
    """Return the acks per second of one candidate in one run, after the checks."""
    with running(bench, name) as (port, url):
        core = None if name == "serve" else SENDER
        order = Order(ports=[port], count=int(_MOST[name] * bench.seconds), warm=0.5, seconds=bench.seconds)
        answer = load(order, core=core)
        if url:
            checks.stored(url, answer.acked, column="id" if name == "handmade" else "message_id")
        if name == "serve":
            checks.handled(url)
    bench.say(told(name, answer))
    return answer.rate


@contextmanager
def running(bench: Bench, name: str) -> Iterator[tuple[int, str]]:
    """A candidate that listens: its port and the URL of its database."""
    with bench.place("postgresql" if name == "postgres" else "sqlite") as (folder, url):
        if name in ("bare", "handmade"):
            port = free_port()
            process = Process(folder, "benchmarks.targets", name, str(port), core=SERVER)
            url = f"sqlite:///{folder / 'handmade.db'}" if name == "handmade" else ""
            process.listening(port)
        elif name == "serve":
            process, port = serve(folder, url)
        else:
            process, port = serve(folder, url, "--no-dispatch", core=SERVER)
        with process:
            yield port, url


def told(name: str, answer: Answer) -> str:
    """Return a line about one run."""
    return (
        f"{name:<10}{answer.rate:>8,.0f} acks/s  p50 {answer.p50 * 1e3:.1f} ms  p99 {answer.p99 * 1e3:.1f} ms  "
        f"worst {answer.worst * 1e3:.0f} ms  sender {answer.busy:.0%}"
    )
