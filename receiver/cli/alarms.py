"""The command about alarms."""

from dataclasses import asdict

import typer

from .events import with_store
from .output import Json, Limit, show

app = typer.Typer(name="alarms", help="What somebody should look at.", no_args_is_help=True)


@app.command("list")
def list_alarms(as_json: Json = False, limit: Limit = 50) -> None:
    """List the alarms that are on, oldest first. Those that are over: receiver events list --source receiver."""
    rows = [asdict(alarm) for alarm in with_store(lambda store: store.alarms.active())][:limit]
    show(rows, ("raised_at", "watch", "about", "text"), as_json=as_json, empty="None is on.")
