"""The commands about outputs."""

from typing import Annotated, Literal

import typer

from .events import JobId, SourceOf
from .link import Link, linked
from .output import Json, Limit, ago, show

app = typer.Typer(name="outputs", help="Files that jobs made.", no_args_is_help=True)

State = Annotated[Literal["captured", "missed"] | None, typer.Option(help="Only in this state.")]
Within = Annotated[str, typer.Option(metavar="AGE", help="In the next 90s, 15m, 36h or 7d.")]


@app.command("list")
@linked()
async def list_outputs(
    link: Link,
    as_json: Json = False,
    limit: Limit = 50,
    state: State = None,
    source: SourceOf = None,
    job: JobId = None,
) -> None:
    """List the newest outputs: where each is kept, or why it was missed so far."""
    rows = await link.rows("/outputs", limit=limit, state=state, source=source, job_id=job)
    columns = ("id", "changed_at", "state", "source", "job_id", "media_type", "size", "place", "error")
    show(rows, columns, as_json=as_json, empty="No outputs: handlers/download.py captures them.")


@app.command("expiring")
@linked()
async def expiring(link: Link, as_json: Json = False, limit: Limit = 50, within: Within = "1h") -> None:
    """List runs that have not captured outputs whose URLs expire soon, or did so lately; the most urgent first."""
    seconds = -(ago(within, now=lambda: 0.0) or 0.0)
    rows = await link.rows("/expiring", limit=limit, within=seconds)
    columns = ("id", "expires_at", "handler", "state", "attempt", "source", "job_id", "error")
    show(rows, columns, as_json=as_json, empty="None.")
