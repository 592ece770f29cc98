"""The command that erases."""

from typing import Annotated, Any

import typer

from ..errors import ReceiverError
from .bulk import pieces
from .events import DryRun
from .link import Link, linked, segment
from .output import complain, console, tell


@linked()
async def erase(
    link: Link,
    job: Annotated[str | None, typer.Option(metavar="ID", help="This job: our id or its provider's.")] = None,
    metadata: Annotated[
        str | None, typer.Option(metavar="NAME=VALUE", help="All jobs that carry this: customer=42.")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Erase all that is known of a job: events, runs, copies, its row, and the files captured of it.

    That its messages were seen stays, without what they said: a copy that comes later brings nothing back.
    """
    name, equals, value = (metadata or "").partition("=")
    if (job is None) == (metadata is None) or (metadata is not None and not (name and equals)):
        raise typer.BadParameter("say which: --job ID or --metadata NAME=VALUE")
    if job is not None:
        told = await link.post(f"/jobs/{segment(job)}/erase", {"dry_run": dry_run})
    else:
        told = await _all(link, {"metadata": {"name": name, "value": value}, "dry_run": dry_run})
    if not told["jobs"] and not told["busy"]:
        raise ReceiverError("no job carries that: see `receiver jobs list`")
    how = "would be erased" if dry_run else "are erased"
    console.print(
        f"{told['jobs']} jobs {how}: {told['events']} events, {told['runs']} runs, "
        f"{told['deliveries']} other deliveries, {told['files']} files.",
        highlight=False,
    )
    for place in told["left"]:
        tell(f"not here, delete it yourself: {place}")
    for line in told["busy"]:
        complain(line)
    if told["busy"] or (told["left"] and not dry_run):
        raise typer.Exit(1)


async def _all(link: Link, body: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    async for piece in pieces(link, "/jobs/erase", body, "erasing", lambda piece: piece["jobs"]):
        told = {name: told[name] + value if told else value for name, value in piece.items()}
    return told
