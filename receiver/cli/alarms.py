"""The command about alarms."""

from typing import Annotated, Literal

import typer

from .events import Follow
from .follow import follow
from .link import Link, linked
from .output import Json, Limit, ago, show

app = typer.Typer(name="alarms", help="What somebody should look at.", no_args_is_help=True)

COLUMNS = ("raised_at", "resolved_at", "state", "watch", "about", "text")


@app.command("list")
@linked()
async def list_alarms(
    link: Link,
    as_json: Json = False,
    limit: Limit = 50,
    state: Annotated[
        Literal["on", "over"] | None, typer.Option(help="Those that are on, oldest first, or over, newest first.")
    ] = None,
    since: Annotated[str | None, typer.Option(metavar="AGE", help="Only of the last 90s, 15m, 36h or 7d.")] = None,
    following: Follow = False,
) -> None:
    """List the alarms that are on; with --follow, also those that are over, and each as it comes."""
    early = ago(since)
    if following:
        states = (state,) if state else ("over", "on")
        listings = [
            lambda late, one=one: link.pages(
                "/alarms", state=one, since=late if late and one == "over" else early, limit=limit
            )
            for one in states
        ]
        await follow(listings, COLUMNS, limit=limit, as_json=as_json, by=("raised_at", "watch", "about"))
        return
    rows = await link.rows("/alarms", limit=limit, state=state or "on", since=early)
    show(rows, COLUMNS, as_json=as_json, empty="None was on." if state == "over" else "None is on.")
