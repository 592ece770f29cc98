"""The commands about events."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import typer

from ..config import read
from ..errors import ConfigError, ReceiverError
from ..events import redact
from ..registry import Handler, find_handlers
from ..replay import replay
from ..settings import load
from ..store import Filter, Store, headers_of
from .output import Json, Limit, ago, console, moment, plain, show

app = typer.Typer(name="events", help="What providers told us.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID")]
SourceOf = Annotated[str | None, typer.Option("--source", help="Only this source.")]
JobId = Annotated[str | None, typer.Option("--job", help="Only this job's.")]
Since = Annotated[str | None, typer.Option(metavar="AGE", help="Only what came in the last 90s, 15m, 36h or 7d.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only count.")]


def with_store(work: Callable[[Store], Awaitable[Any]]) -> Any:
    """Return what `work` makes of the configured store."""

    async def opened() -> Any:
        store = Store(load().database_url)
        try:
            await store.check()
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(opened())


def configured_handlers() -> list[Handler]:
    """Return the handlers that the settings and `receiver.toml` name."""
    settings = load()
    return find_handlers(settings.handlers, read(settings.config))


@app.command("list")
def list_events(
    as_json: Json = False,
    limit: Limit = 50,
    source: SourceOf = None,
    job: JobId = None,
) -> None:
    """List the newest events."""
    rows = with_store(lambda store: store.events.recent(limit=limit, source=source, job_id=job))
    columns = ("id", "received_at", "source", "type", "job_id", "road", "state")
    show(rows, columns, as_json=as_json, empty="No events yet.")


@app.command("show")
def show_event(id: Id, as_json: Json = False) -> None:
    """Show one event: its JSON without signatures, and every attempt of its handlers."""

    async def fetch(store: Store) -> dict[str, Any]:
        row = await store.events.get(id)
        if row is None:
            raise ReceiverError(f"no event has the id {id}: see `receiver events list`")
        event = {name: value for name, value in row.items() if name not in ("headers", "body")}
        event["headers"] = headers_of(row["headers"])
        event["data"] = _json(row["body"])
        event["runs"] = _runs(await store.events.history(id))
        return event

    event = with_store(fetch)
    if as_json:
        typer.echo(json.dumps(event))
        return
    _print(event)


@app.command("replay")
def replay_events(
    id: Annotated[str | None, typer.Argument(metavar="[ID]", help="One event; without it, all that match.")] = None,
    handler: Annotated[list[str] | None, typer.Option(help="Only this handler; may be repeated.")] = None,
    source: SourceOf = None,
    type: Annotated[str | None, typer.Option(help="Only events of this type.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only events of this kind, e.g. job.failed.")] = None,
    tool: Annotated[str | None, typer.Option(help="Only this tool's.")] = None,
    job: JobId = None,
    since: Since = None,
    every: Annotated[bool, typer.Option("--all", help="All events there are.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Run handlers again on an event, or on all that match; also handlers added since."""
    meant = Filter(id=id, source=source, type=type, kind=kind, tool=tool, job_id=job, since=ago(since))
    if meant == Filter() and not every:
        raise typer.BadParameter("name an event, narrow it with an option, or say --all")
    handlers = _chosen(handler)
    done = with_store(lambda store: replay(store, meant, handlers, dry_run=dry_run))
    if id and not done.events:
        raise ReceiverError(f"no event has the id {id}, or it is in quarantine: see `receiver events list`")
    told = "would start again at most" if dry_run else "start again"
    console.print(f"{done.events} events match; {done.runs} runs {told}.")


@app.command("refused")
def refused(as_json: Json = False, limit: Limit = 50) -> None:
    """List the newest deliveries that made no event, and why."""
    rows = with_store(lambda store: store.events.deliveries(limit=limit))
    columns = ("received_at", "source", "verdict", "reason", "status", "sender", "unlisted", "event_id")
    show(rows, columns, as_json=as_json, empty="None.")


def _chosen(names: list[str] | None) -> list[Handler]:
    found = configured_handlers()
    if unknown := set(names or ()) - {one.name for one in found}:
        raise ConfigError(f"no handler is called {', '.join(sorted(unknown))}: see `receiver handlers list`")
    return [one for one in found if not names or one.name in names]


def _print(event: dict[str, Any]) -> None:
    facts = {name: event[name] for name in _SHOWN if event[name] is not None}
    facts["received"] = f"{moment(event['received_at'])} UTC"
    for name, value in facts.items():
        console.print(f"[bold]{name:<12}[/]{plain(str(value))}", highlight=False, soft_wrap=True)
    for run in event["runs"]:
        console.print(f"\n[bold]{plain(run['handler'])}[/] {run['state']}  ({run['id']})", highlight=False)
        for attempt in run["attempts"]:
            took = attempt["finished_at"] - attempt["started_at"]
            error = f": {plain(attempt['error'])}" if attempt["error"] else ""
            line = f"  attempt {attempt['number']} {attempt['outcome']} after {took:.3f} s{error}"
            console.print(line, highlight=False, soft_wrap=True)
            for noted in (attempt["note"] or "").splitlines():
                console.print(f"    {plain(noted)}", highlight=False, soft_wrap=True)
    console.print()
    console.print_json(data=event["data"])


#: What is shown above the runs, in this order, if it is there.
_SHOWN = ("id", "state", "source", "type", "kind", "job_id", "tool", "road", "message_id", "reason")


def _json(body: bytes) -> Any:
    try:
        return redact(json.loads(body))
    except (ValueError, RecursionError):
        return {"unreadable": body[:4096].decode("utf-8", "backslashreplace"), "bytes": len(body)}


def _runs(history: list[Any]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for row in history:
        run = found.setdefault(
            row["id"],
            {name: row[name] for name in ("id", "handler", "state", "attempt", "due_at", "error")} | {"attempts": []},
        )
        if row["number"] is not None:
            run["attempts"].append(
                {
                    "number": row["number"],
                    "outcome": row["outcome"],
                    "started_at": row["attempt_started_at"],
                    "finished_at": row["attempt_finished_at"],
                    "error": row["attempt_error"],
                    "note": row["note"],
                }
            )
    return list(found.values())
