"""What a second web and a second worker process bring on PostgreSQL."""

from contextlib import ExitStack
from dataclasses import replace

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
        result.add(two[0] / one[0])
        for what, (acks, handled) in (("one of each", one), ("two of each", two)):
            result.note(f"{what}, acks/s", acks)
            result.note(f"{what}, from first ack to last run, events/s", handled)


def cores(bench: Bench, result: Result) -> None:
    """The same where one of each has one core, with its sender and PostgreSQL, and two of each have two."""
    closed = Order(ports=[], count=int(24_000 * bench.seconds), warm=1.5, seconds=bench.seconds)
    for _ in range(bench.rounds):
        rates = []
        for number in (1, 2):
            with bench.on_cores(number):
                rates.append(_rates(bench, number, closed, handlers="nothing"))
            result.note(f"{number} + {number} on {number}, acks/s", rates[-1][0])
            result.note(f"{number} + {number} on {number}, from first ack to last run, events/s", rates[-1][1])
        result.add(rates[1][0] / rates[0][0])


def waiting(bench: Bench, result: Result) -> None:
    """The same where handlers wait for others, so that a worker is full long before the machine is."""
    seconds = LASTING / 10 if bench.quick else LASTING
    for _ in range(bench.rounds):
        rates = []
        for number in (1, 2):
            order = Order(ports=[], count=int(ARRIVING * (seconds + 1)), warm=0.5, seconds=seconds, rate=ARRIVING)
            rates.append(_rates(bench, number, order, handlers="waiting")[1])
            result.note(f"{number} + {number}, events/s", rates[-1])
        result.add(rates[1] / rates[0])


def _rates(bench: Bench, number: int, order: Order, *, handlers: str) -> tuple[float, float]:
    """Return acks per second, and events per second until the last of them was handled."""
    with bench.place("postgresql") as (folder, url), ExitStack() as stack:
        ports = []
        for each in range(number):
            process, port = serve(folder / f"web-{each}", url, "--no-dispatch")
            stack.enter_context(process)
            ports.append(port)
        for each in range(number):
            stack.enter_context(receiver(folder / f"worker-{each}", url, "worker", handlers=handlers))
        answer = load(replace(order, ports=ports))
        checks.stored(url, answer.acked)
        checks.handled(url)
        began, ended = (checks.ask(url, query)[0][0] for query in _SPAN)
    bench.say(told(f"{number} + {number}", answer))
    return answer.rate, len(answer.acked) / (ended - began)


_SPAN = ("SELECT min(received_at) FROM events", "SELECT max(finished_at) FROM runs")
