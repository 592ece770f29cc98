"""How much memory `serve` holds after many deliveries."""

import psutil

from . import checks
from .acks import told
from .bench import Bench
from .load import Order
from .processes import load, serve
from .report import Result


def measure(bench: Bench, result: Result) -> None:
    """Deliver a great many and read the resident memory of the web process and its worker."""
    for _ in range(bench.rounds):
        with bench.place("sqlite") as (folder, url):
            process, port = serve(folder, url)
            with process:
                share = bench.of(200_000) // 4
                for part in range(4):
                    answer = load(Order(ports=[port], count=share, first=share * part, seconds=600))
                    checks.stored(url, answer.acked)
                checks.handled(url)
                sizes = _sizes(process.pid)
        bench.say(told("memory", answer))
        bench.say("memory    " + ", ".join(f"{name} {size:.0f} MB" for name, size in sizes.items()))
        result.add(sum(sizes.values()))
        for name, size in sizes.items():
            result.note(f"{name} MB", size)


def _sizes(pid: int) -> dict[str, float]:
    web = psutil.Process(pid)
    worker = web.children(recursive=True)
    return {
        "web": web.memory_info().rss / 1e6,
        "worker": sum(child.memory_info().rss for child in worker) / 1e6,
    }
