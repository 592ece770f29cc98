"""What a second web and a second worker process bring on PostgreSQL."""

from contextlib import ExitStack

from . import checks
from .acks import told
from .bench import Bench
from .load import Order
from .processes import load, receiver, serve
from .report import Result


def measure(bench: Bench, result: Result) -> None:
    """Measure one of each and two of each, in turn."""
    for _ in range(bench.rounds):
        one, two = (_rate(bench, number) for number in (1, 2))
        result.add(two / one)
        result.note("one of each acks/s", one)
        result.note("two of each acks/s", two)


def _rate(bench: Bench, number: int) -> float:
    with bench.place("postgresql") as (folder, url), ExitStack() as stack:
        ports = []
        for each in range(number):
            process, port = serve(folder / f"web-{each}", url, "--no-dispatch")
            stack.enter_context(process)
            ports.append(port)
        for each in range(number):
            stack.enter_context(receiver(folder / f"worker-{each}", url, "worker"))
        order = Order(ports=ports, count=int(24_000 * bench.seconds), warm=1.5, seconds=bench.seconds)
        answer = load(order)
        checks.stored(url, answer.acked)
        checks.handled(url)
    bench.say(told(f"{number} + {number}", answer))
    return answer.rate
