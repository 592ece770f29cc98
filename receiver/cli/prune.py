"""The command that deletes what is old."""

from collections import Counter
from typing import Annotated

import typer

from ..store.retention import KINDS
from .bulk import pieces
from .events import DryRun
from .link import Link, linked
from .output import ago, console


@linked()
async def prune(
    link: Link,
    older_than: Annotated[
        str | None,
        typer.Option(
            metavar="AGE", help="One age, e.g. 30d, for all kinds but captured files, in place of the configured ones."
        ),
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Delete what is older than `[retention]` in `receiver.toml` says, or than AGE: by kind, in small steps.

    A copy of a deleted event would be taken for a new one: keep more than the days that providers try again.
    Workers do this by themselves.
    """
    since = ago(older_than, now=lambda: 0.0)
    counts: Counter[str] = Counter()
    body = {"older_than": None if since is None else -since, "dry_run": dry_run}
    async for piece in pieces(link, "/prune", body, "deleting", lambda piece: sum(piece["deleted"].values())):
        for kind, number in piece["deleted"].items():
            counts[kind] += number
    done = "would be deleted" if dry_run else "deleted"
    for kind in KINDS:
        told = f"{counts[kind.name]:>9,} {kind.told} {done}" if kind.name in counts else f"{'':>9} {kind.told}: kept"
        console.print(told, highlight=False)
