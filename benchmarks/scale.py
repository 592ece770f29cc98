"""What a second web and a second worker process bring on PostgreSQL."""

from contextlib import ExitStack
from dataclasses import replace
from typing import NamedTuple

import psutil

from . import checks
from .acks import told
from .bench import Bench
from .load import Order
from .processes import load, receiver, serve
from .report import Result

#: Deliveries that arrive while handlers wait: as many a second as two workers can take, and for how long.
ARRIVING, LASTING = 600, 10.0


def acks(bench: Bench, result: Result) -> None:
    """Measure one of each and two of each, in turn."""
    closed = Order(ports=[], count=int(24_000 * bench.seconds), warm=1.5, seconds=bench.seconds)
    for _ in range(bench.rounds):
        one, two = (_rates(bench, number, closed, handlers="nothing") for number in (1, 2))
        result.add(two.acks / one.acks)
        for what, rates in (("one of each", one), ("two of each", two)):
            result.note(f"{what}, acks/s", rates.acks)
            result.note(f"{what}, from first ack to last run, events/s", rates.handled)
            result.note(f"{what}, cores busy", rates.busy)


def cores(bench: Bench, result: Result) -> None:
    """The same where one of each has one core, with its sender and PostgreSQL, and two of each have two."""
    closed = Order(ports=[], count=int(24_000 * bench.seconds), warm=1.5, seconds=bench.seconds)
    for _ in range(bench.rounds):
        rates = []
        for number in (1, 2):
            with bench.on_cores(number):
                rates.append(_rates(bench, number, closed, handlers="nothing"))
            result.note(f"{number} + {number} on {number}, acks/s", rates[-1].acks)
            result.note(f"{number} + {number} on {number}, from first ack to last run, events/s", rates[-1].handled)
        result.add(rates[1].acks / rates[0].acks)


def waiting(bench: Bench, result: Result) -> None:
    """The same where handlers wait for others, so that a worker is full long before the machine is."""
    seconds = LASTING / 10 if bench.quick else LASTING
    for _ in range(bench.rounds):
        rates = []
        for number in (1, 2):
            order = Order(ports=[], count=int(ARRIVING * (seconds + 1)), warm=0.5, seconds=seconds, rate=ARRIVING)
            rates.append(_rates(bench, number, order, handlers="waiting").handled)
            result.note(f"{number} + {number}, events/s", rates[-1])
        result.add(rates[1] / rates[0])


class _Rates(NamedTuple):
    acks: float  #: per second
    handled: float  #: events per second, from the first ack until the last of them was handled
    busy: float  #: cores, of all there are, while deliveries were sent


def _rates(bench: Bench, number: int, order: Order, *, handlers: str) -> _Rates:
    with bench.place("postgresql") as (folder, url), ExitStack() as stack:
        ports = []
        for each in range(number):
            process, port = serve(folder / f"web-{each}", url, "--no-dispatch")
            stack.enter_context(process)
            ports.append(port)
        for each in range(number):
            stack.enter_context(receiver(folder / f"worker-{each}", url, "worker", handlers=handlers))
        psutil.cpu_percent()  # the next one is for what lies between them
        answer = load(replace(order, ports=ports))
        busy = psutil.cpu_percent() / 100 * (psutil.cpu_count() or 1)
        checks.stored(url, answer.acked)
        checks.handled(url)
        began, ended = (checks.ask(url, query)[0][0] for query in _SPAN)
    bench.say(told(f"{number} + {number}", answer))
    return _Rates(answer.rate, len(answer.acked) / (ended - began), busy)


_SPAN = ("SELECT min(received_at) FROM events", "SELECT max(finished_at) FROM runs")
