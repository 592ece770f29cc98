"""The commands about jobs."""

import asyncio
import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ..api.models.jobs import JobState
from ..events import redact_url
from ..logs import printable
from ..store.ledger import DEADLINE
from .events import Follow, SourceOf
from .follow import follow
from .link import Link, linked, segment
from .output import Json, Limit, console, moment, show, tell

app = typer.Typer(name="jobs", help="What providers work on.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID", help="Ours or the provider's.")]
SourceName = Annotated[str, typer.Argument(metavar="SOURCE", help="The provider, as in `receiver sources`.")]
Meta = Annotated[list[str] | None, typer.Option("--meta", metavar="NAME=VALUE", help="Goes along to its events.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for its end; exit 1 unless it succeeded.")]

COLUMNS = ("id", "created_at", "source", "tool", "job_id", "state", "overdue", "progress", "event_id")

#: Seconds between two looks at a job.
LOOK = 0.2


@app.command("submit")
@linked(make=True)
async def submit(
    link: Link,
    source: SourceName,
    tool: Annotated[str, typer.Argument(metavar="TOOL", help="What to make, e.g. generate-sound-effect.")],
    parameters: Annotated[list[str] | None, typer.Argument(metavar="[NAME=VALUE]…", help="Its parameters.")] = None,
    meta: Meta = None,
    wait: Wait = False,
    as_json: Json = False,
) -> None:
    """Submit a job; a worker sends it off. A VALUE that is JSON is taken as that: prompt='"42"' is a text."""
    wish = {"source": source, "tool": tool, "parameters": _pairs(parameters), "metadata": _pairs(meta)}
    job = await link.post("/jobs", wish)
    await _go_on(link, job["id"], wait=wait, as_json=as_json)


@app.command("track")
@linked(make=True)
async def track(
    link: Link,
    source: SourceName,
    job_id: Annotated[str, typer.Argument(metavar="JOB_ID", help="The provider's id.")],
    tool: Annotated[str | None, typer.Option(help="What it makes, if it is known.")] = None,
    meta: Meta = None,
    wait: Wait = False,
    as_json: Json = False,
) -> None:
    """Look after a job that was started elsewhere."""
    body = {"source": source, "job_id": job_id, "tool": tool, "metadata": _pairs(meta)}
    job = await link.post("/jobs/track", body)
    await _go_on(link, job["id"], wait=wait, as_json=as_json)


@app.command("expect")
@linked(make=True)
async def expect(
    link: Link,
    source: SourceName,
    meta: Meta = None,
    deadline: Annotated[int, typer.Option(metavar="SECONDS", help="How long its provider may take.")] = int(DEADLINE),
) -> None:
    """Print a URL at which the provider may call back about one job that you submit to it yourself.

    Whoever has it can make the receiver ask about that job: keep it between you and the provider.
    """
    typer.echo(
        (await link.post("/callbacks", {"source": source, "metadata": _pairs(meta), "deadline": deadline}))["url"]
    )


@app.command("list")
@linked(make=True)
async def list_jobs(
    link: Link,
    as_json: Json = False,
    limit: Limit = 50,
    source: SourceOf = None,
    tool: Annotated[str | None, typer.Option(help="Only this tool's, as events call it.")] = None,
    state: Annotated[JobState | None, typer.Option(help="Only in this state; `open` for all that go on.")] = None,
    following: Follow = False,
) -> None:
    """List the newest jobs; with --follow, every change among them."""
    meant = {"source": source, "tool": tool, "state": state}
    if following:
        await follow([lambda _since: link.pages("/jobs", limit=limit, **meant)], COLUMNS, limit=limit, as_json=as_json)
        return
    show(await link.rows("/jobs", limit=limit, **meant), COLUMNS, as_json=as_json, empty="No jobs.")


@app.command("show")
@linked(make=True)
async def show_job(link: Link, id: Id, as_json: Json = False) -> None:
    """Show one job: how it stands, what was said along, and its outputs."""
    await _go_on(link, id, wait=False, as_json=as_json)


@app.command("wait")
@linked(make=True)
async def wait_for(link: Link, id: Id, as_json: Json = False) -> None:
    """Wait for a job's end; exit 1 unless it succeeded."""
    await _go_on(link, id, wait=True, as_json=as_json)


@app.command("cancel")
@linked(make=True)
async def cancel(link: Link, id: Id) -> None:
    """Ask for the end of a job. Its provider may finish it all the same: its event says how it ended."""
    await link.post(f"/jobs/{segment(id)}/cancel")
    console.print("Its end is asked for.")


@app.command("recovered")
@linked(make=True)
async def recovered(link: Link, as_json: Json = False) -> None:
    """Count the ends that a webhook should have told, and that were found by asking: what webhooks lost."""
    found = (await link.get("/stats", spans=1))["recovered"]
    rows = [{"source": source, "recovered": number} for source, number in sorted(found.items())]
    show(rows, ("source", "recovered"), as_json=as_json, empty="None: every webhook came.")


async def _go_on(link: Link, id: str, *, wait: bool, as_json: bool) -> None:
    job = await _ended(link, id) if wait else await link.get(f"/jobs/{segment(id)}")
    _print(job, as_json=as_json)
    if wait and job["state"] != "succeeded":
        raise typer.Exit(1)


async def _ended(link: Link, id: str) -> dict[str, Any]:
    """Show how a job goes on until it has ended."""
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("", total=100)
        while True:
            job: dict[str, Any] = await link.get(f"/jobs/{segment(id)}")
            if job["ended_at"] is not None:
                return job
            status = f" ({job['status']})" if job["status"] else ""
            told = job["state"] + status
            progress.update(bar, description=printable(told), completed=job["progress"] or 0)
            await asyncio.sleep(LOOK)


def _print(job: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(job))
        return
    for name, value in job.items():
        if value not in (None, {}, [], 0) and name != "outputs":
            told = f"{moment(value)} UTC" if name.endswith("_at") else _text(name, value)
            tell((f"{name:<13}", "bold"), told)
    for output in job["outputs"]:
        # Whoever needs the whole URL takes --json: a terminal's history is no place for signatures.
        told = f"{output['type'] or 'file'} {output['id']}  {redact_url(output['url'] or '')}"
        tell((f"{'output':<13}", "bold"), told)


def _text(name: str, value: object) -> str:
    if name == "usual":
        return f"{value:g} s"
    if value is True:
        return "yes"
    if isinstance(value, dict) and set(value) == {"message", "code", "reference"}:
        return " ".join(str(part) for part in value.values() if part)
    return json.dumps(value) if isinstance(value, dict) else str(value)


def _pairs(given: Sequence[str] | None) -> dict[str, Any]:
    pairs = {}
    for pair in given or ():
        name, equals, text = pair.partition("=")
        if not name or not equals:
            raise typer.BadParameter(f"{pair!r}: write NAME=VALUE")
        try:
            pairs[name] = json.loads(text)
        except ValueError:
            pairs[name] = text
    return pairs
