"""Torture the receiver and print the scorecard: `python -m tests.faults`. Ends with 1 if a history does not hold."""

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from receiver import logs

from . import scorecard
from .databases import postgres
from .outcome import Outcome, broken
from .torture import FAULTS, Torture

#: Violations that are printed of one fault.
SHOWN = 5

console = Console(highlight=False, soft_wrap=True)


def main() -> int:
    """Do what the command line says; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32), help="the same seed again")
    parser.add_argument("--scale", type=float, default=1.0, help="0.1 is a tenth of every fault")
    parser.add_argument("--only", action="append", choices=list(FAULTS), help="only this; may be given several times")
    parser.add_argument("--write", action="store_true", help=f"put the scorecard into docs/{scorecard.PAGE.name}")
    chosen = parser.parse_args()
    console.print(f"seed {chosen.seed}")
    logs.configure(format="console", level="error")
    for stop in (signal.SIGTERM, signal.SIGINT):  # the second is ignored where a shell starts us in the background
        signal.signal(stop, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="pg", ignore_cleanup_errors=True) as data, postgres(Path(data)) as server:
        folder = Path(tempfile.mkdtemp(prefix="torture-"))
        torture = Torture(folder=folder, server=server, seed=chosen.seed, scale=chosen.scale)
        outcomes = endure(torture, chosen.only or list(FAULTS))
    console.print(scorecard.table(outcomes))
    if chosen.write:
        scorecard.write(outcomes, seed=chosen.seed)
    if any(outcome.failed for outcome in outcomes):
        console.print(f"databases and logs are kept in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


def endure(torture: Torture, wanted: Sequence[str]) -> list[Outcome]:
    """Return the rows of the wanted faults; one that breaks off is a row too."""
    outcomes: list[Outcome] = []
    for name in wanted:
        began = time.monotonic()
        try:
            for outcome in FAULTS[name](torture):
                outcomes.append(outcome)
                _tell(outcome, time.monotonic() - began)
                began = time.monotonic()
        except Exception as error:  # noqa: BLE001 - whatever it was, the other faults are still to come
            console.print_exception()
            outcomes.append(broken(name, error))
    return outcomes


def _tell(outcome: Outcome, seconds: float) -> None:
    console.print(f"{outcome.fault} on {outcome.engine}, {outcome.times} times, {seconds:.0f} s: {outcome.note or '-'}")
    for text in outcome.verdict.violations[:SHOWN] if outcome.verdict else ():
        console.print(f"  [red]{text}[/]")


if __name__ == "__main__":
    sys.exit(main())
