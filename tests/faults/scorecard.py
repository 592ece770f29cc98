"""The scorecard: a row per fault and engine, for the terminal and for the docs."""

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table

from .outcome import Outcome

#: Where `--write` puts the table: between these lines of the page.
PAGE = Path(__file__).parents[2] / "docs" / "torture.md"
BEGIN, END = "<!-- scorecard -->", "<!-- /scorecard -->"

COLUMNS = ("fault", "engine", "times", "acked", "lost", "double effects", "verdict")


def table(outcomes: Sequence[Outcome]) -> Table:
    """Return the scorecard for a terminal."""
    shown = Table(*COLUMNS)
    for outcome in outcomes:
        *cells, verdict = _cells(outcome)
        colour = "red" if outcome.failed else "green" if outcome.verdict else "yellow"
        shown.add_row(*cells, f"[{colour}]{verdict}[/]")
    return shown


def markdown(outcomes: Sequence[Outcome]) -> str:
    """Return the scorecard for the docs."""
    rows = [[*_cells(outcome), outcome.note] for outcome in outcomes]
    lines = [[*COLUMNS, "note"], ["---"] * (len(COLUMNS) + 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write(outcomes: Sequence[Outcome], *, seed: int) -> None:
    """Put the scorecard on the page."""
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    about = f"`make torture`, seed {seed}, {datetime.now(UTC):%Y-%m-%d}: {machine}."
    PAGE.write_text(f"{before}{BEGIN}\n{about}\n\n{markdown(outcomes)}\n{END}{after}")


def _cells(outcome: Outcome) -> list[str]:
    verdict = outcome.verdict
    if verdict is None:
        return [outcome.fault, outcome.engine, "0", "-", "-", "-", "not tried here"]
    said = f"{len(verdict.violations)} violations" if verdict.violations else "holds"
    return [
        outcome.fault,
        outcome.engine,
        f"{outcome.times:,}",
        f"{verdict.acked:,}",
        str(verdict.lost),
        str(verdict.doubled),
        said,
    ]
