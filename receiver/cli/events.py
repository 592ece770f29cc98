"""The commands about events and runs."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import typer

from ..errors import ReceiverError
from ..events import redact
from ..settings import load
from ..store import Store
from .output import Json, Limit, console, moment, plain, show

events = typer.Typer(name="events", help="What providers told us.", no_args_is_help=True)
runs = typer.Typer(name="runs", help="Handlers on events.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID")]


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


@events.command("list")
def list_events(
    as_json: Json = False,
    limit: Limit = 50,
    source: Annotated[str | None, typer.Option(help="Only this source.")] = None,
    job: Annotated[str | None, typer.Option(help="Only this job's.")] = None,
) -> None:
    """List the newest events."""
    rows = with_store(lambda store: store.events.recent(limit=limit, source=source, job_id=job))
    columns = ("id", "received_at", "source", "type", "job_id", "road", "state")
    show(rows, columns, as_json=as_json, empty="No events yet.")


@events.command("show")
def show_event(id: Id, as_json: Json = False) -> None:
    """Show one event: its JSON without signatures, and every attempt of its handlers."""

    async def fetch(store: Store) -> dict[str, Any]:
        row = await store.events.get(id)
        if row is None:
            raise ReceiverError(f"no event has the id {id}: see `receiver events list`")
        event = {name: value for name, value in row.items() if name not in ("headers", "body")}
        event["headers"] = json.loads(row["headers"])
        event["data"] = _json(row["body"])
        event["runs"] = _runs(await store.events.history(id))
        return event

    event = with_store(fetch)
    if as_json:
        typer.echo(json.dumps(event))
        return
    _print(event)


@events.command("replay")
def replay_event(
    id: Id,
    handler: Annotated[list[str] | None, typer.Option(help="Only this handler; may be repeated.")] = None,
) -> None:
    """Run an event's handlers again, those that ended."""
    again = with_store(lambda store: store.runs.replay(event_id=id, handlers=handler))
    console.print(f"{again} runs start again.")


@events.command("refused")
def refused(as_json: Json = False, limit: Limit = 50) -> None:
    """List the newest deliveries that made no event, and why."""
    rows = with_store(lambda store: store.events.deliveries(limit=limit))
    columns = ("received_at", "source", "verdict", "reason", "status", "sender", "unlisted", "event_id")
    show(rows, columns, as_json=as_json, empty="None.")


@runs.command("list")
def list_runs(
    as_json: Json = False,
    limit: Limit = 50,
    state: Annotated[str | None, typer.Option(help="Only waiting, running, done or failed ones.")] = None,
) -> None:
    """List the newest runs."""
    rows = with_store(lambda store: store.runs.recent(state=state, limit=limit))
    columns = ("id", "created_at", "handler", "state", "attempt", "event_id", "job_id", "error")
    show(rows, columns, as_json=as_json, empty="No runs.")


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
                }
            )
    return list(found.values())
