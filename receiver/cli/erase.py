"""The command that erases."""

from typing import Annotated

import typer

from ..erasure import erase as erase_jobs
from ..errors import ReceiverError
from ..files import open_files
from ..settings import load
from ..store import Store
from ..store.erasure import Subject
from .events import DryRun, with_store
from .output import complain, console, plain


def erase(
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

    async def find(store: Store) -> list[Subject]:
        return await (store.erasures.called(job) if job else store.erasures.carrying(name, value))

    subjects = with_store(find)
    if not subjects:
        raise ReceiverError("no job is known by that: see `receiver jobs list`")
    files = open_files(load().files)
    told = with_store(lambda store: erase_jobs(store, subjects, files=files, dry_run=dry_run))
    how = "would be erased" if dry_run else "are erased"
    console.print(
        f"{told.jobs} jobs {how}: {told.rows['events']} events, {told.rows['runs']} runs, "
        f"{told.rows['deliveries']} other deliveries, {told.files} files.",
        highlight=False,
    )
    for place in told.left:
        console.print(f"not here, delete it yourself: {plain(place)}", highlight=False, soft_wrap=True)
    for line in told.busy:
        complain(line)
    if told.busy or (told.left and not dry_run):
        raise typer.Exit(1)
