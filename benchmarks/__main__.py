"""Measure and print the table: `python -m benchmarks`. Ends with an error only if something acked is not there."""

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from . import acks, api, history, latency, memory, pages, runs, scale, tracking, verdicts
from .bench import Bench
from .report import ROWS, Result, machine, markdown, table

ROOT = Path(__file__).parent.parent

#: On the disk the code is on: a temporary folder may be in memory, where waiting for the disk is free.
PLACE = ROOT / "build"

#: Where `--write` puts the table: between these lines of the page.
PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- measured -->", "<!-- /measured -->"

NAMES = [row.name for row in ROWS]


def measure(bench: Bench, wanted: list[str]) -> list[Result]:
    """Return the results of the wanted rows, in the table's order."""
    results = {row.name: Result(row=row) for row in ROWS if row.name in wanted}
    if ratios := {name: result for name, result in results.items() if name in acks.RATIOS}:
        acks.measure(bench, ratios)
    alone = {
        "p99": latency.p99,
        "runs": runs.measure,
        "start": latency.start,
        "history": history.measure,
        "pruning": latency.pruning,
        "memory": memory.measure,
        "scale": scale.acks,
        "cores": scale.cores,
        "waiting": scale.waiting,
        "hmac": verdicts.hmac_kinds,
        "ed25519": verdicts.ed25519,
        "pages": pages.pages,
        "search": pages.search,
        "viewers": pages.viewers,
        "tracking": tracking.measure,
    }
    for name, work in alone.items():
        if name in results:
            work(bench, results[name])
    if found := {name: results[name] for name in api.ROWS if name in results}:
        api.measure(bench, found)
    return list(results.values())


def write(results: list[Result], *, rounds: int) -> None:
    """Put the table on the page."""
    about = ", ".join(f"{name} {value}" if name == "Python" else value for name, value in machine().items())
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    shown = f"{BEGIN}\n`make bench`, medians of {rounds} rounds: {about}.\n\n{markdown(results)}{END}"
    PAGE.write_text(before + shown + after)


def main() -> None:
    """Do what the command line says."""
    chosen = arguments()
    console = Console(highlight=False, soft_wrap=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all that was started is ended
    PLACE.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir=PLACE, ignore_cleanup_errors=True) as folder,
        Bench(folder=Path(folder), rounds=chosen.rounds, quick=chosen.quick, say=console.print) as bench,
    ):
        results = measure(bench, chosen.only or NAMES)
    console.print(table(results))
    for result in results:
        if result.behind:
            console.print(f"{result.row.name}: {result.behind}")
    if chosen.write:
        write(results, rounds=chosen.rounds)


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything, one round: is it alive?")
    parser.add_argument("--only", action="append", choices=NAMES, help="this row; may be given several times")
    parser.add_argument("--rounds", type=int, default=3, help="rounds to take the median of")
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE.parent.name}/{PAGE.name}")
    chosen = parser.parse_args()
    if chosen.write and (chosen.quick or chosen.only or chosen.rounds < 3):
        parser.error("only a whole table of at least three rounds goes into the docs")
    if chosen.quick:
        chosen.rounds = 1
    return chosen


if __name__ == "__main__":
    main()
