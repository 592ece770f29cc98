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
        one, two = (_rates(bench, number) for number in (1, 2))
        result.add(two[0] / one[0])
        for what, (acks, handled) in (("one of each", one), ("two of each", two)):
            result.note(f"{what}, acks/s", acks)
            result.note(f"{what}, from first ack to last run, events/s", handled)


def _rates(bench: Bench, number: int) -> tuple[float, float]:
    """Return acks per second, and events per second until the last of them was handled."""
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
        began, ended = (checks.ask(url, query)[0][0] for query in _SPAN)
    bench.say(told(f"{number} + {number}", answer))
    return answer.rate, len(answer.acked) / (ended - began)


_SPAN = ("SELECT min(received_at) FROM events", "SELECT max(finished_at) FROM runs")
