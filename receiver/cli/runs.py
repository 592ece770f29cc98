"""The commands about runs."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import typer

from .bulk import bulk
from .events import DryRun, Follow, Id, JobId, Since, SourceOf
from .follow import follow
from .link import Link, linked, segment
from .output import Json, Limit, ago, attempts, console, moment, show, tell

app = typer.Typer(name="runs", help="Handlers on events.", no_args_is_help=True)

State = Annotated[Literal["waiting", "running", "done", "failed"] | None, typer.Option(help="Only in this state.")]
HandlerName = Annotated[str | None, typer.Option("--handler", help="Only this handler's.")]

COLUMNS = ("id", "created_at", "handler", "state", "paused", "attempt", "event_id", "job_id", "error")


@app.command("list")
@linked()
async def list_runs(
    link: Link,
    as_json: Json = False,
    limit: Limit = 50,
    state: State = None,
    handler: HandlerName = None,
    event: Annotated[str | None, typer.Option(help="Only this event's.")] = None,
    following: Follow = False,
) -> None:
    """List runs, failed ones first; with --follow, the newest of each state and every change among them."""
    meant = {"handler": handler, "event_id": event}
    if following:
        states = (state,) if state else ("waiting", "running", "done", "failed")
        listings = [lambda _since, one=one: link.pages("/runs", state=one, limit=limit, **meant) for one in states]
        await follow(listings, COLUMNS, limit=limit, as_json=as_json)
        return
    show(await link.rows("/runs", limit=limit, state=state, **meant), COLUMNS, as_json=as_json, empty="No runs.")


@app.command("show")
@linked()
async def show_run(link: Link, id: Id, as_json: Json = False) -> None:
    """Show one run with its attempts."""
    run = await link.get(f"/runs/{segment(id)}")
    if as_json:
        typer.echo(json.dumps(run))
        return
    for name in ("id", "handler", "state", "event_id", "source", "type", "job_id", "error"):
        if run[name] is not None:
            tell((f"{name:<12}", "bold"), str(run[name]))
    if run["state"] == "waiting":
        tell((f"{'waits':<12}", "bold"), _until(run))
    attempts(run["attempts"])


def _until(run: dict[str, Any]) -> str:
    """Say what a waiting run waits for."""
    if run["paused"]:
        return "until its handler is resumed"
    if run["behind"]:
        return f"until the run of {run['behind']} has ended"
    return f"until {moment(run['due_at'])} UTC"


@app.command("retry")
@linked()
async def retry_runs(
    link: Link,
    id: Annotated[str | None, typer.Argument(metavar="[ID]", help="One run; without it, failed ones.")] = None,
    handler: HandlerName = None,
    source: SourceOf = None,
    job: JobId = None,
    since: Since = None,
    dry_run: DryRun = False,
) -> None:
    """Let a run that has ended start again, one that waits start now, or all failed ones that match start again."""
    if id:
        run = await link.post(f"/runs/{segment(id)}/retry") if not dry_run else await link.get(f"/runs/{segment(id)}")
        tell(f"{run['handler']} {'would start' if dry_run else 'starts'} again.")
        return
    body = {"handler": handler, "events": {"source": source, "job_id": job, "since": ago(since)}}
    await _many(link, "/runs/retry", body, dry_run=dry_run, doing="retrying", what="failed runs", does="start again")


@app.command("give-up")
@linked()
async def give_up(
    link: Link,
    id: Annotated[str | None, typer.Argument(metavar="[ID]", help="One run; without it, those that wait.")] = None,
    handler: HandlerName = None,
    source: SourceOf = None,
    job: JobId = None,
    since: Since = None,
    every: Annotated[bool, typer.Option("--all", help="All runs that wait.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Let a run that waits fail for good, or all that wait and match."""
    if id:
        run = await link.post(f"/runs/{segment(id)}/give-up") if not dry_run else await link.get(f"/runs/{segment(id)}")
        tell(f"{run['handler']} {'would give' if dry_run else 'has given'} up.")
        return
    if not (handler or source or job or since or every):
        raise typer.BadParameter("name a run, narrow them with an option, or say --all")
    body = {"handler": handler, "events": {"source": source, "job_id": job, "since": ago(since)}}
    await _many(link, "/runs/give-up", body, dry_run=dry_run, doing="giving up", what="waiting runs", does="fail")


async def _many(
    link: Link, path: str, body: Mapping[str, Any], *, dry_run: bool, doing: str, what: str, does: str
) -> None:
    """Count runs, and change those that were counted."""
    count = await link.post(path, {**body, "dry_run": True})
    if dry_run:
        more = ", and perhaps more: there are too many to look at all of them now" if count["more"] else ""
        console.print(f"{count['runs']} {what} would {does}{more}.")
        return
    total = None if count["more"] else count["runs"]
    done = await bulk(link, path, {**body, "until": count["at"]}, doing, "runs", total=total)
    console.print(f"{done['runs']} {what} {does}.")
