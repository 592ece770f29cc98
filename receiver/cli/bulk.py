"""Work on many, with a bar: the API does it piece by piece."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from .link import Link

_COLUMNS = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())


async def bulk(
    link: Link, path: str, body: Mapping[str, Any], doing: str, counted: str, *, total: int | None = None
) -> dict[str, int]:
    """Post a body again and again until all is done; return the sums of the answers."""
    sums: Counter[str] = Counter()
    async for piece in pieces(link, path, body, doing, lambda piece: piece[counted], total=total):
        sums.update({name: number for name, number in piece.items() if isinstance(number, int)})
    return dict(sums)


async def pieces(
    link: Link,
    path: str,
    body: Mapping[str, Any],
    doing: str,
    done: Callable[[Mapping[str, Any]], int],
    *,
    total: int | None = None,
) -> AsyncIterator[dict[str, Any]]:
    """Post a body again and again until all is done; yield the answers. `done` says how many were in one."""
    cursor: str | None = None
    console = Console(stderr=True)
    with Progress(*_COLUMNS, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(doing, total=total)
        while True:
            answer = await link.post(path, {**body, "cursor": cursor})
            cursor = answer.pop("next")
            progress.update(bar, advance=done(answer))
            yield answer
            if cursor is None:
                return
