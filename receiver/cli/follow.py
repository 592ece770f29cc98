"""Listings that go on: what comes is printed when it is there."""

import asyncio
import contextlib
import json
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import typer

from .output import cell, console

#: Seconds between two looks, and rows that are remembered as printed.
LOOK, REMEMBERED = 1.0, 20_000

Pages = Callable[[], AsyncIterator[list[dict[str, Any]]]]


async def follow(
    listings: Sequence[Pages], columns: Sequence[str], *, limit: int, as_json: bool, by: Sequence[str] = ("id",)
) -> None:
    """Print the newest rows of some listings and whatever appears in them, or changes, until interrupted.

    A row is known, and put in order, by what it has under the names in `by`.
    """
    printed: OrderedDict[tuple[Any, ...], None] = OrderedDict()
    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        while True:
            first = not printed
            new = [
                row for pages in listings for row in await _unseen(pages(), printed, by, limit=limit if first else None)
            ]
            for row in sorted(new, key=lambda row: [row[name] for name in by])[-limit if first else 0 :]:
                _print(row, columns, as_json=as_json)
            await asyncio.sleep(LOOK)


async def _unseen(
    pages: AsyncIterator[list[dict[str, Any]]],
    printed: OrderedDict[tuple[Any, ...], None],
    by: Sequence[str],
    *,
    limit: int | None,
) -> list[dict[str, Any]]:
    """Return the rows that were not printed, down to a page with one that was."""
    found: list[dict[str, Any]] = []
    async for page in pages:
        new = [row for row in page if _mark(row, by) not in printed]
        found += new
        if len(new) < len(page) or (limit is not None and len(found) >= limit) or len(found) >= REMEMBERED:
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
        console.print("  ".join(cell(column, row[column]) for column in columns), highlight=False, soft_wrap=True)
