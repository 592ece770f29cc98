"""How much memory `serve` holds after many deliveries."""

import psutil

from . import checks
from .acks import told
from .bench import Bench
from .load import Order
from .processes import load, serve
from .report import Result


def measure(bench: Bench, result: Result) -> None:
    """Deliver a great many and read the memory of the web process and the worker beside it, together."""
    for _ in range(bench.rounds):
        with bench.place("sqlite") as (folder, url):
            process, port = serve(folder, url)
            with process:
                share = bench.of(200_000) // 4
                for part in range(4):
                    answer = load(Order(ports=[port], count=share, first=share * part, seconds=600))
                    bench.say(told("memory", answer))
                    checks.stored(url, answer.acked)
                checks.handled(url)
                web = psutil.Process(process.pid)
                workers = web.children(recursive=True)
                # The sum is what whoever pays for the machine pays. Where the system cannot tell, what both share
                # is counted twice.
                result.add(sum(_megabytes(each) for each in (web, *workers)))
                result.note("web alone, resident MB", _megabytes(web, "rss"))
                result.note("worker alone, resident MB", sum(_megabytes(worker, "rss") for worker in workers))
        bench.say("memory    " + result.measured)


def _megabytes(process: psutil.Process, kind: str = "pss") -> float:
    found = process.memory_full_info()
    return float(getattr(found, kind, found.rss)) / 1e6
