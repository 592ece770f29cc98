"""What is measured, what it must reach, and the table that says whether it does."""

import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import psutil
from rich.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the table. Where `most` is true the limits are upper ones; None: it is told for what it is."""

    name: str
    what: str
    must: float | None = None
    aim: float | None = None
    most: bool = False
    unit: str = ""

    def number(self, value: float) -> str:
        """Return a measured value as text."""
        return (
            f"{value:.2f}"
            if not self.unit
            else f"{value:,.0f}{self.unit}"
            if value >= 100
            else f"{value:.1f}{self.unit}"
        )

    def limit(self, value: float | None) -> str:
        """Return a limit as text."""
        return "-" if value is None else f"{'≤' if self.most else '≥'} {value:,g}{self.unit}"

    def verdict(self, value: float) -> str:
        """Return how a value stands to the limits."""
        if self.must is None or self.aim is None:
            return "-"
        reached = [value <= limit if self.most else value >= limit for limit in (self.must, self.aim)]
        return "missed" if not reached[0] else "aim reached" if reached[1] else "reached"


ROWS = (
    Row(
        name="sqlite",
        what="durable acks/s on SQLite, `serve --no-dispatch` ÷ requests/s of a bare Starlette route that reads the "
        "body and answers 200",
        must=0.5,
        aim=0.75,
    ),
    Row(
        name="serve",
        what="the same while plain `serve` also fans out and runs a no-op handler on every event",
        must=0.3,
        aim=0.6,
    ),
    Row(
        name="postgres",
        what="durable acks/s ÷ bare, `serve --no-dispatch`, on PostgreSQL (local, `synchronous_commit=on`)",
        must=0.45,
        aim=0.7,
    ),
    Row(
        name="handmade",
        what="durable acks/s ÷ the usual hand-made receiver (Starlette + `standardwebhooks` + one aiosqlite commit per "
        "request)",
        must=2.5,
        aim=4,
    ),
    Row(
        name="p99",
        what="ack p99 at 1,000/s open loop, SQLite, dispatcher running",
        must=25,
        aim=10,
        most=True,
        unit=" ms",
    ),
    Row(name="runs", what="no-op handler runs/s, one worker process", must=2000, aim=5000, unit=" /s"),
    Row(
        name="start",
        what="ack received → handler starts, at rest, p50",
        must=15,
        aim=5,
        most=True,
        unit=" ms",
    ),
    Row(
        name="history",
        what="acks/s and claim p95 with 1,000,000 stored events and 100,000 waiting runs ÷ with none",
        must=0.9,
        aim=0.98,
    ),
    Row(
        name="pruning",
        what="ack p99 at 1,000/s while 300,000 old events are being deleted",
        must=25,
        aim=10,
        most=True,
        unit=" ms",
    ),
    Row(
        name="memory",
        what="memory of `serve` after 200,000 deliveries, web and worker together",
        must=150,
        aim=100,
        most=True,
        unit=" MB",
    ),
    Row(
        name="waiting",
        what="two `web` + two `worker` processes on PostgreSQL ÷ one of each, events/s handled while deliveries "
        "arrive, by a handler that waits 50 ms, 16 at once, as one does that calls a service",
        must=1.5,
        aim=1.8,
    ),
    Row(
        name="cores",
        what="the same, acks/s beside a no-op handler, two of each on two cores ÷ one of each on one, sender and "
        "PostgreSQL included",
        must=1.5,
        aim=1.8,
    ),
    Row(name="scale", what="the same, acks/s, where one of each already keeps both cores busy"),
    Row(
        name="hmac",
        what="CPU time to verify a 1.3 KB delivery, the slowest of the HMAC kinds",
        must=25,
        aim=15,
        most=True,
        unit=" µs",
    ),
    Row(name="ed25519", what="the same for ed25519", must=250, aim=150, most=True, unit=" µs"),
    Row(
        name="pages",
        what="the slowest page of the dashboard with 1,000,000 stored events, 100,000 waiting and as many failed runs, "
        "310,000 jobs and 60,000 refused deliveries and copies, p95",
        must=100,
        aim=50,
        most=True,
        unit=" ms",
    ),
    Row(
        name="search",
        what="the slowest search for events there, p95: also one that finds nothing, and each page of one far back",
        must=300,
        aim=150,
        most=True,
        unit=" ms",
    ),
    Row(
        name="viewers",
        what="share of a core that an open dashboard takes from a server that acknowledges 500/s",
        must=2,
        aim=1,
        most=True,
        unit=" %",
    ),
    Row(
        name="tracking",
        what="5,000 open jobs, one worker: how late a question is, p99, as a share of its planned wait",
        must=10,
        aim=5,
        most=True,
        unit=" %",
    ),
    Row(
        name="api-search",
        what="an API request that looks for text in bodies or for a job's events, among 1,000,000, p95",
        must=300,
        aim=180,
        most=True,
        unit=" ms",
    ),
    Row(
        name="api-lists",
        what="an API request for a listing (events, runs, refusals, jobs, handlers, counts) there, p95",
        must=100,
        aim=60,
        most=True,
        unit=" ms",
    ),
)


@dataclass(slots=True, kw_only=True)
class Result:
    """The values of each round, by what they are of; a row with one figure names it ""."""

    row: Row
    rounds: dict[str, list[float]] = field(default_factory=dict)
    notes: dict[str, list[float]] = field(default_factory=dict)  #: absolute numbers behind a ratio

    def add(self, value: float, figure: str = "") -> None:
        """Keep the value of one more round."""
        self.rounds.setdefault(figure, []).append(value)

    def note(self, what: str, value: float) -> None:
        """Keep a number that stands behind the value."""
        self.notes.setdefault(what, []).append(value)

    @property
    def measured(self) -> str:
        """The medians as text, each with its extremes."""
        return "; ".join(f"{figure} {self._spread(values)}".strip() for figure, values in self.rounds.items())

    def _spread(self, values: Sequence[float]) -> str:
        number = self.row.number
        middle = number(statistics.median(values))
        return middle if len(values) == 1 else f"{middle} ({number(min(values))} … {number(max(values))})"

    @property
    def behind(self) -> str:
        """The medians of the notes as text."""
        return ", ".join(f"{what} {statistics.median(values):,.4g}" for what, values in self.notes.items())

    @property
    def verdict(self) -> str:
        """The worst verdict of the figures."""
        worst = ("missed", "reached", "aim reached", "-")
        return min((self.row.verdict(statistics.median(values)) for values in self.rounds.values()), key=worst.index)


_HEAD = ("what", "measured: median (least … most)", "must reach", "aim", "verdict")


def table(results: Sequence[Result]) -> Table:
    """Return the results for a terminal."""
    shown = Table(*_HEAD, show_lines=True)
    colours = {"missed": "red", "reached": "yellow", "aim reached": "green", "-": "default"}
    for result in results:
        colour = colours[result.verdict]
        shown.add_row(*_cells(result)[:-1], f"[{colour}]{result.verdict}[/]")
    return shown


def markdown(results: Sequence[Result]) -> str:
    """Return the results for the docs."""
    lines = ["| " + " | ".join(_HEAD) + " |", "|---" * len(_HEAD) + "|"]
    lines += ["| " + " | ".join(_cells(result)) + " |" for result in results]
    numbers = [f"- `{result.row.name}`: {result.behind}" for result in results if result.behind]
    return "\n".join([*lines, "", "Behind these, medians:", "", *numbers, ""])


def machine() -> Mapping[str, str]:
    """Return what the numbers depend on."""
    return {
        "when": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": f"{platform.system()} {platform.machine()}, {psutil.cpu_count()} cores, "
        f"{psutil.virtual_memory().total / 2**30:.0f} GB",
        "Python": platform.python_version(),
    }


def _cells(result: Result) -> list[str]:
    row = result.row
    return [row.what, result.measured, row.limit(row.must), row.limit(row.aim), result.verdict]
