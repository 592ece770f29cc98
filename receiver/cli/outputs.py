"""The commands about outputs."""

from typing import Annotated

import typer

from .events import JobId, SourceOf, with_store
from .output import Json, Limit, ago, show

app = typer.Typer(name="outputs", help="Files that jobs made.", no_args_is_help=True)


@app.command("list")
def list_outputs(
    as_json: Json = False,
    limit: Limit = 50,
    state: Annotated[str | None, typer.Option(help="Only captured or missed ones.")] = None,
    source: SourceOf = None,
    job: JobId = None,
) -> None:
    """List the newest outputs: where each is kept, or why it was missed so far."""
    rows = with_store(lambda store: store.outputs.recent(limit=limit, state=state, source=source, job_id=job))
    columns = ("id", "changed_at", "state", "source", "job_id", "media_type", "size", "place", "error")
    show(rows, columns, as_json=as_json, empty="No outputs: handlers/download.py captures them.")


@app.command("expiring")
def expiring(
    as_json: Json = False,
    limit: Limit = 50,
    within: Annotated[str, typer.Option(metavar="AGE", help="In the next 90s, 15m, 36h or 7d.")] = "1h",
) -> None:
    """List runs that have not captured outputs whose URLs expire soon, or did so lately; the most urgent first."""
    seconds = -(ago(within, now=lambda: 0.0) or 0.0)
    rows = with_store(lambda store: store.outputs.expiring(within=seconds, limit=limit))
    columns = ("id", "expires_at", "handler", "state", "attempt", "source", "job_id", "error")
    show(rows, columns, as_json=as_json, empty="None.")
