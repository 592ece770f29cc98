"""The commands about events."""

import json
from typing import Annotated, Any, Literal

import typer

from ..config import read
from ..errors import ReceiverError
from ..logs import printable
from ..registry import Handler, find_handlers
from ..settings import load
from .bulk import bulk
from .follow import follow
from .link import Link, linked, segment
from .output import Json, Limit, ago, attempts, console, moment, show, tell

app = typer.Typer(name="events", help="What providers told us.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID")]
SourceOf = Annotated[str | None, typer.Option("--source", help="Only this source.")]
JobId = Annotated[str | None, typer.Option("--job", help="Only this job's.")]
Since = Annotated[str | None, typer.Option(metavar="AGE", help="Only what came in the last 90s, 15m, 36h or 7d.")]
Until = Annotated[str | None, typer.Option(metavar="AGE", help="Only what came before that.")]
Type = Annotated[str | None, typer.Option(help="Only events of this type.")]
Kind = Annotated[
    Literal["job.succeeded", "job.failed", "job.cancelled"] | None, typer.Option(help="Only events of this kind.")
]
Tool = Annotated[str | None, typer.Option(help="Only this tool's, as events call it.")]
Text = Annotated[str | None, typer.Option(help="Only events with this text in their body.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only count.")]
Follow = Annotated[bool, typer.Option("--follow", help="Go on with what comes, until you stop it.")]

COLUMNS = ("id", "received_at", "source", "type", "job_id", "road", "state")


def configured_handlers() -> list[Handler]:
    """Return the handlers that the settings and `receiver.toml` name."""
    settings = load()
    return find_handlers(settings.handlers, read(settings.config))


@app.command("list")
@linked()
async def list_events(
    link: Link,
    as_json: Json = False,
    limit: Limit = 50,
    source: SourceOf = None,
    job: JobId = None,
    type: Type = None,
    kind: Kind = None,
    tool: Tool = None,
    state: Annotated[
        Literal["waiting", "dispatched", "conflicting", "quarantined", "erased"] | None,
        typer.Option(help="Only in this state."),
    ] = None,
    text: Text = None,
    since: Since = None,
    until: Until = None,
    following: Follow = False,
) -> None:
    """Find events, newest first. What no index finds is looked for from the newest to the oldest."""
    meant = _meant(source, job, type, kind, tool, since, until, text) | {"state": state}
    if following:
        early = meant.pop("since")
        listing = [lambda late: link.pages("/events", limit=limit, since=late or early, **meant)]
        await follow(listing, COLUMNS, limit=limit, as_json=as_json)
        return
    show(await link.rows("/events", limit=limit, **meant), COLUMNS, as_json=as_json, empty="No events.")


@app.command("show")
@linked()
async def show_event(link: Link, id: Id, as_json: Json = False) -> None:
    """Show one event: its JSON without signatures, and every attempt of its handlers."""
    event = await link.get(f"/events/{segment(id)}")
    if as_json:
        typer.echo(json.dumps(event))
        return
    _print(event)


@app.command("replay")
@linked()
async def replay_events(
    link: Link,
    id: Annotated[str | None, typer.Argument(metavar="[ID]", help="One event; without it, all that match.")] = None,
    handler: Annotated[list[str] | None, typer.Option(help="Only this handler; may be repeated.")] = None,
    source: SourceOf = None,
    type: Type = None,
    kind: Kind = None,
    tool: Tool = None,
    job: JobId = None,
    text: Text = None,
    since: Since = None,
    until: Until = None,
    every: Annotated[bool, typer.Option("--all", help="All events there are.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Run handlers again on an event, or on all that match; also handlers added since."""
    meant = {"id": id, **_meant(source, job, type, kind, tool, since, until, text)}
    if not any(meant.values()) and not every:
        raise typer.BadParameter("name an event, narrow it with an option, or say --all")
    body = {"events": meant, "handlers": handler or None}
    count = await bulk(link, "/events/replay", {**body, "dry_run": True}, "counting", "events")
    if id and not count["events"]:
        raise ReceiverError(f"no event has the id {id}, or it is in quarantine: see `receiver events list`")
    if dry_run:
        console.print(f"{count['events']} events match; {count['runs']} runs would start again at most.")
        return
    done = await bulk(link, "/events/replay", body, "replaying", "events", total=count["events"])
    console.print(f"{done['events']} events match; {done['runs']} runs start again.")


@app.command("refused")
@linked()
async def refused(
    link: Link,
    as_json: Json = False,
    limit: Limit = 50,
    source: SourceOf = None,
    reason: Annotated[str | None, typer.Option(help="Only those refused for this.")] = None,
    duplicates: Annotated[bool, typer.Option("--duplicates", help="Copies of stored events instead.")] = False,
) -> None:
    """List the newest deliveries that made no event, and why."""
    verdict = "duplicate" if duplicates else "refused"
    rows = await link.rows("/refused", limit=limit, verdict=verdict, source=source, reason=reason)
    columns = ("id", "received_at", "source", "reason", "status", "sender", "unlisted", "event_id")
    show(rows, columns, as_json=as_json, empty="None.")


def _meant(
    source: str | None,
    job: str | None,
    type: str | None,
    kind: str | None,
    tool: str | None,
    since: str | None,
    until: str | None,
    text: str | None,
) -> dict[str, Any]:
    times = {"since": ago(since), "until": ago(until)}
    return {"source": source, "job_id": job, "type": type, "kind": kind, "tool": tool, "text": text, **times}


def _print(event: dict[str, Any]) -> None:
    facts = {name: event[name] for name in _SHOWN if event[name] is not None}
    facts["received"] = f"{moment(event['received_at'])} UTC"
    for name, value in facts.items():
        tell((f"{name:<12}", "bold"), str(value))
    for run in event["runs"]:
        tell("\n", (run["handler"], "bold"), f" {run['state']}  ({run['id']})")
        attempts(run["attempts"])
    console.print()
    console.print_json(printable(json.dumps(event["data"], ensure_ascii=False)))


#: What is shown above the runs, in this order, if it is there.
_SHOWN = ("id", "state", "source", "type", "kind", "job_id", "tool", "road", "message_id", "reason")
