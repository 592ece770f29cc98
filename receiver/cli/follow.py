"""Listings that go on: what comes is printed when it is there."""

import asyncio
import contextlib
import json
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import typer

from .output import cell, tell

#: Seconds between two looks, and rows that are remembered as printed.
LOOK, REMEMBERED = 1.0, 20_000

#: Seconds by which a clock elsewhere may be behind ours.
LATE = 60.0

#: A listing; of later looks since when rows are of interest, if they are found by their time.
Pages = Callable[[float | None], AsyncIterator[list[dict[str, Any]]]]


async def follow(
    listings: Sequence[Pages], columns: Sequence[str], *, limit: int, as_json: bool, by: Sequence[str] = ("id",)
) -> None:
    """Print the newest rows of some listings and whatever appears in them, or changes, until interrupted.

    A row is known, and put in order, by what it has under the names in `by`.
    """
    printed: OrderedDict[tuple[Any, ...], None] = OrderedDict()
    since, few = None, limit
    began = time.time()
    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        while True:
            new = [row for pages in listings for row in await _unseen(pages(since), printed, by, limit=few)]
            for row in sorted(new, key=lambda row: [row[name] for name in by])[-few:]:
                _print(row, columns, as_json=as_json)
            # What is rare would be looked for through the whole history, each second.
            since, few = began - LATE, REMEMBERED
            await asyncio.sleep(LOOK)


async def _unseen(
    pages: AsyncIterator[list[dict[str, Any]]],
    printed: OrderedDict[tuple[Any, ...], None],
    by: Sequence[str],
    *,
    limit: int,
) -> list[dict[str, Any]]:
    """Return the rows that were not printed, down to a page with one that was."""
    found: list[dict[str, Any]] = []
    async for page in pages:
        new = [row for row in page if _mark(row, by) not in printed]
        found += new
        if len(new) < len(page) or len(found) >= limit:
            break
    for row in found:
        printed[_mark(row, by)] = None
    while len(printed) > REMEMBERED:
        printed.popitem(last=False)
    return found


def _mark(row: dict[str, Any], by: Sequence[str]) -> tuple[Any, ...]:
    return *(row[name] for name in by), row["state"], row.get("attempt"), row.get("progress")


def _print(row: dict[str, Any], columns: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(row))
    else:
        tell("  ".join(cell(column, row[column]) for column in columns))
