"""What this process counts and times. Everything adds up: over processes, and over those that are gone.

These count in place of prometheus-client's own counters, whose locks and labels cost an acknowledgement ten times
as much; what they counted is told in that library's words by metrics.py.
"""

import asyncio
import json
import math
import time
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

#: What was counted under each combination of labels; for times, each bucket's count and at last the sum.
Rows = dict[tuple[str, ...], list[float]]

#: All that a process has counted, by the name of the meter.
Counted = Mapping[str, Rows]

#: Seconds between two looks at how late the event loop is.
LOOK = 0.5


class Counts:
    """How often something happened, by labels."""

    def __init__(self, name: str, meaning: str, *labels: str) -> None:
        self.name = name
        self.meaning = meaning
        self.labels = labels
        self.rows: Rows = {}
        ALL.append(self)

    def add(self, *labels: str) -> None:
        """Count one more."""
        row = self.rows.get(labels)
        if row is None:
            row = self.rows[labels] = [0.0]
        row[0] += 1


class Spread:
    """How large something was, by labels, in buckets up to each of `bounds`."""

    def __init__(self, name: str, meaning: str, *labels: str, bounds: Sequence[float]) -> None:
        self.name = name
        self.meaning = meaning
        self.labels = labels
        self.bounds = tuple(bounds)
        self.rows: Rows = {}
        ALL.append(self)

    def add(self, value: float, *labels: str) -> None:
        """Note one value."""
        row = self.rows.get(labels)
        if row is None:
            row = self.rows[labels] = [0.0] * (len(self.bounds) + 2)
        row[bisect_left(self.bounds, value)] += 1
        row[-1] += value

    def total(self) -> dict[float, int]:
        """Return how many values there were, under all labels, up to each bound and above the one before."""
        columns = zip(*(row[:-1] for row in self.rows.values()), strict=True)
        return {bound: int(sum(column)) for bound, column in zip((*self.bounds, math.inf), columns, strict=False)}


class Kept:
    """How large something was, as far as that is kept elsewhere: what is new is handed on once."""

    def __init__(self, spread: Spread) -> None:
        self._spread = spread
        self._before = spread.total()

    async def keep(self, keep: Callable[[Mapping[float, int]], Awaitable[None]]) -> None:
        """Let `keep` have the new values, how many there were up to each bound; if it raises, again the next time."""
        before, self._before = self._before, self._spread.total()
        new = {bound: more for bound, count in self._before.items() if (more := count - before.get(bound, 0))}
        if not new:
            return
        try:
            await keep(new)
        except Exception:
            self._before = before
            raise


#: Every meter there is.
ALL: list[Counts | Spread] = []

_QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_LONG = (0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600)

DELIVERIES = Counts("receiver_deliveries", "Deliveries, by what they were answered.", "source", "verdict")
REFUSED = Counts("receiver_refused_deliveries", "Deliveries that were refused, by reason.", "source", "reason")
ACKS = Spread("receiver_ack_seconds", "From a delivery's arrival to its 200.", "source", bounds=_QUICK)
COMMIT_SIZES = Spread(
    "receiver_commit_deliveries", "Deliveries that one commit stored.", bounds=(1, 2, 4, 8, 16, 32, 64, 128, 256)
)
COMMITS = Spread("receiver_commit_seconds", "How long a commit of deliveries took.", bounds=_QUICK)
LAGS = Spread("receiver_loop_lag_seconds", "How late the event loop was.", "process", bounds=_QUICK)
ATTEMPTS = Counts("receiver_attempts", "Attempts of runs that ended, by how.", "handler", "outcome")
ATTEMPT_TIMES = Spread("receiver_attempt_seconds", "How long an attempt took.", "handler", bounds=_LONG)
TURNS = Spread("receiver_turn_seconds", "How long a worker's turn with the store took.", bounds=_QUICK)
QUESTIONS = Counts("receiver_questions", "Providers asked how a job stands, by what came.", "source", "outcome")
SUBMISSIONS = Counts("receiver_submissions", "Jobs sent to providers, by what came.", "source", "outcome")
CAPTURES = Counts("receiver_captures", "Outputs that an attempt captured or missed.", "handler", "state")


def counted() -> Counted:
    """Return what this process has counted."""
    return {meter.name: dict(meter.rows) for meter in ALL}


def together(*parts: Counted) -> Counted:
    """Return the sum of what several processes have counted."""
    total: dict[str, Rows] = {}
    for part in parts:
        for name, rows in part.items():
            into = total.setdefault(name, {})
            for labels, row in rows.items():
                into[labels] = [a + b for a, b in zip(into[labels], row, strict=True)] if labels in into else [*row]
    return total


def dumped(counted: Counted) -> bytes:
    """Return what was counted as one line for another process."""
    told = {name: [[labels, row] for labels, row in rows.items()] for name, rows in counted.items() if rows}
    return json.dumps(told).encode() + b"\n"


def loaded(line: bytes) -> Counted:
    """Return what another process has counted from its line."""
    told: dict[str, Iterable[tuple[list[str], list[float]]]] = json.loads(line)
    return {name: {tuple(labels): row for labels, row in rows} for name, rows in told.items()}


async def watch(process: str, *, tell: Callable[[], None] = lambda: None) -> None:
    """Note for good how late the event loop is, and after each look `tell`."""
    while True:
        began = time.perf_counter()
        await asyncio.sleep(LOOK)
        LAGS.add(max(0.0, time.perf_counter() - began - LOOK), process)
        tell()
