"""The commands about runs."""

from typing import Annotated

import typer

from ..store import Filter
from .events import DryRun, JobId, Since, SourceOf, with_store
from .output import Json, Limit, ago, console, show

app = typer.Typer(name="runs", help="Handlers on events.", no_args_is_help=True)


@app.command("list")
def list_runs(
    as_json: Json = False,
    limit: Limit = 50,
    state: Annotated[str | None, typer.Option(help="Only waiting, running, done or failed ones.")] = None,
) -> None:
    """List the newest runs."""
    rows = with_store(lambda store: store.runs.recent(state=state, limit=limit))
    columns = ("id", "created_at", "handler", "state", "attempt", "event_id", "job_id", "error")
    show(rows, columns, as_json=as_json, empty="No runs.")


@app.command("retry")
def retry_runs(
    handler: Annotated[str | None, typer.Option(help="Only this handler's.")] = None,
    source: SourceOf = None,
    job: JobId = None,
    since: Since = None,
    dry_run: DryRun = False,
) -> None:
    """Let failed runs start again, with all their attempts."""
    meant = Filter(source=source, job_id=job, since=ago(since))
    if dry_run:
        count = with_store(lambda store: store.replays.failed(meant, handler=handler))
        console.print(f"{count} failed runs would start again.")
        return
    count = with_store(lambda store: store.replays.retry_failed(meant, handler=handler))
    console.print(f"{count} failed runs start again.")
