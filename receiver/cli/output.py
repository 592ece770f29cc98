"""What the commands print: tables for people, one JSON object a line for programs."""

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..events import seconds
from ..logs import printable
from ..retention import seconds_of

Json = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many at most.")]

#: Columns of what is read by programs: they care for whole words and lines.
WIDEST = 10_000

console = Console(width=None if sys.stdout.isatty() else WIDEST)
_errors = Console(stderr=True)

#: A text, or one with its style.
Part = str | tuple[str, str]


def complain(message: str) -> None:
    """Print an error."""
    _errors.print(_line(("error:", "bold red"), f" {message}"), soft_wrap=True)


def tell(*parts: Part) -> None:
    """Print a line. Whatever is in it is shown, not obeyed: no markup, no control characters."""
    console.print(_line(*parts), soft_wrap=True)


def _line(*parts: Part) -> Text:
    line = Text()
    for part in parts:
        text, style = (part, "") if isinstance(part, str) else part
        line.append(printable(text), style)
    return line


def show(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool, empty: str) -> None:
    """Print rows: all their fields as JSON lines, or `columns` as a table, or `empty` if there are none.

    Where the table would be wider than the terminal, each row is told by itself.
    """
    rows = list(rows)
    if as_json:
        for row in rows:
            typer.echo(json.dumps(dict(row), default=str))
        return
    if not rows:
        tell(empty)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(_title(column), overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell(column, row[column])) for column in columns))
    if console.measure(table, options=console.options.update(max_width=WIDEST)).maximum <= console.width:
        console.print(table)
        return
    for row in rows:
        _tell_row(row, columns)


def _tell_row(row: Mapping[str, Any], columns: Sequence[str]) -> None:
    """Print a row over as many lines as it takes, each column with its title and whole, if a line can hold it."""
    first, *others = columns
    tell((cell(first, row[first]), "bold"))
    line = Text()
    for column in others:
        if value := cell(column, row[column]):
            said = _line("  ", (_title(column), "dim"), f" {value}")
            if line and line.cell_len + said.cell_len > console.width:
                console.print(line, soft_wrap=True)
                line = Text()
            line.append_text(said)
    console.print(line, soft_wrap=True)


def _title(column: str) -> str:
    return column.removesuffix("_at").replace("_", " ")


def attempts(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print the attempts of a run."""
    for one in rows:
        took = one["finished_at"] - one["started_at"]
        error = f": {one['error']}" if one["error"] else ""
        tell(f"  attempt {one['number']} {one['outcome']} after {took:.3f} s{error}")
        for noted in (one["note"] or "").splitlines():
            tell(f"    {noted}")


def ago(age: str | None, *, now: Callable[[], float] = time.time) -> float | None:
    """Return the moment, Unix seconds, that lies an age like `"90s"`, `"15m"`, `"36h"` or `"7d"` back."""
    if age is None:
        return None
    length = seconds_of(age)
    if length is None:
        raise typer.BadParameter(f"{age!r} is not an age: write 90s, 15m, 36h or 7d")
    return now() - length


def ahead(text: str, *, now: Callable[[], float] = time.time) -> float:
    """Return the moment, Unix seconds, of a time like `"2026-12-01T08:00Z"`, or of `"36h"` from now."""
    length = seconds_of(text)
    if length is not None:
        return now() + length
    found = seconds(text) if "T" in text else None  # a bare number may be meant as anything
    if found is None:
        raise typer.BadParameter(f"{text!r} is no time: write 2026-12-01T08:00Z, or 90s, 15m, 36h or 7d from now")
    return found


def moment(seconds: float | None) -> str:
    """Return Unix seconds as a UTC time for people."""
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def cell(column: str, value: object) -> str:
    """Return a value as text for people."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else ""
    if column.endswith(("_at", "_from", "_until")) and isinstance(value, int | float):
        return moment(value)
    if isinstance(value, list | tuple):
        value = ", ".join(str(item) for item in value)
    return printable(str(value)).replace("\n", " ")  # a line is a row
