"""The commands about jobs."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ..callback import Callbacks
from ..errors import ConfigError, ReceiverError
from ..events import redact_url
from ..recall import described
from ..registry import find_sources
from ..settings import load
from ..sources import find_tool
from ..store import Job, NewJob, Store
from ..store.ledger import DEADLINE
from ..tracker import expected_job, new_job
from .events import SourceOf
from .output import Json, Limit, console, moment, plain, show

app = typer.Typer(name="jobs", help="What providers work on.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID", help="Ours or the provider's.")]
SourceName = Annotated[str, typer.Argument(metavar="SOURCE", help="The provider, as in `receiver sources`.")]
Meta = Annotated[list[str] | None, typer.Option("--meta", metavar="NAME=VALUE", help="Goes along to its events.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for its end; exit 1 unless it succeeded.")]

#: Seconds between two looks at a job.
LOOK = 0.2


@app.command("submit")
def submit(
    source: SourceName,
    tool: Annotated[str, typer.Argument(metavar="TOOL", help="What to make, e.g. generate-sound-effect.")],
    parameters: Annotated[list[str] | None, typer.Argument(metavar="[NAME=VALUE]…", help="Its parameters.")] = None,
    meta: Meta = None,
    wait: Wait = False,
    as_json: Json = False,
) -> None:
    """Submit a job; a worker sends it off. A VALUE that is JSON is taken as that: prompt='"42"' is a text."""
    job = new_job(find_sources(), source, tool, _pairs(parameters), metadata=_pairs(meta))
    with_jobs(lambda store: store.jobs.add(job))
    _go_on(job.id, wait=wait, as_json=as_json)


@app.command("track")
def track(
    source: SourceName,
    job_id: Annotated[str, typer.Argument(metavar="JOB_ID", help="The provider's id.")],
    tool: Annotated[str | None, typer.Option(help="What it makes, if it is known.")] = None,
    meta: Meta = None,
    wait: Wait = False,
    as_json: Json = False,
) -> None:
    """Look after a job that was started elsewhere."""
    sources = find_sources(load().providers)
    if source not in sources:
        raise ConfigError(f"no source is called {source}: there are {', '.join(sources)}")
    known = find_tool(sources[source], tool)
    if tool and known is None:
        raise ConfigError(
            f"{source} has no tool {tool}: there are {', '.join(one.name for one in sources[source].tools)}"
        )
    new = NewJob(source=source, tool=known.type if known else None, job_id=job_id, metadata=_pairs(meta))
    job: Job = with_jobs(lambda store: store.jobs.track(new))
    _go_on(job.id, wait=wait, as_json=as_json)


@app.command("expect")
def expect(
    source: SourceName,
    meta: Meta = None,
    deadline: Annotated[int, typer.Option(metavar="SECONDS", help="How long its provider may take.")] = int(DEADLINE),
) -> None:
    """Print a URL at which the provider may call back about one job that you submit to it yourself.

    Whoever has it can make the receiver ask about that job: keep it between you and the provider.
    """
    settings = load()
    job = expected_job(find_sources(settings.providers), source, metadata=_pairs(meta), deadline=deadline)
    callbacks = Callbacks(settings.secret_keys, settings.public_url)
    callbacks.url(source, job.id, expires=0)  # raises before anything is kept
    expires = with_jobs(lambda store: store.hints.expect(job))
    typer.echo(callbacks.url(source, job.id, expires=expires))


@app.command("list")
def list_jobs(
    as_json: Json = False,
    limit: Limit = 50,
    source: SourceOf = None,
    tool: Annotated[str | None, typer.Option(help="Only this tool's, as events call it.")] = None,
    state: Annotated[str | None, typer.Option(help="Only those in this state; `open` for all that go on.")] = None,
) -> None:
    """List the newest jobs."""

    async def fetch(store: Store) -> list[dict[str, Any]]:
        found = await store.jobs.recent(limit=limit, source=source, tool=tool, state=state)
        return [await _told(store, job) for job in found]

    columns = ("id", "created_at", "source", "tool", "job_id", "state", "progress", "event_id")
    show(with_jobs(fetch), columns, as_json=as_json, empty="No jobs.")


@app.command("show")
def show_job(id: Id, as_json: Json = False) -> None:
    """Show one job: how it stands, what was said along, and its outputs."""
    _print(with_jobs(lambda store: _fetch(store, id)), as_json=as_json)


@app.command("wait")
def wait_for(id: Id, as_json: Json = False) -> None:
    """Wait for a job's end; exit 1 unless it succeeded."""
    _go_on(id, wait=True, as_json=as_json)


@app.command("cancel")
def cancel(id: Id) -> None:
    """Ask for the end of a job. Its provider may finish it all the same: its event says how it ended."""

    async def work(store: Store) -> None:
        job = await _get(store, id)
        if not await store.jobs.cancel(job.id):
            raise ReceiverError(f"the job {job.id} has {job.state} already")

    with_jobs(work)
    console.print("Its end is asked for.")


@app.command("recovered")
def recovered(as_json: Json = False) -> None:
    """Count the ends that a webhook should have told, and that were found by asking: what webhooks lost."""
    found: dict[str, int] = with_jobs(lambda store: store.jobs.recovered())
    rows = [{"source": source, "recovered": number} for source, number in sorted(found.items())]
    show(rows, ("source", "recovered"), as_json=as_json, empty="None: every webhook came.")


def with_jobs(work: Callable[[Store], Awaitable[Any]]) -> Any:
    """Return what `work` makes of the configured store, which is made first if it is a file."""

    async def opened() -> Any:
        store = Store(load().database_url)
        try:
            if store.database.is_sqlite:
                await store.migrate()
            await store.check()
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(opened())


def _go_on(id: str, *, wait: bool, as_json: bool) -> None:
    job = with_jobs(lambda store: _ended(store, id) if wait else _fetch(store, id))
    _print(job, as_json=as_json)
    if wait and job["state"] != "succeeded":
        raise typer.Exit(1)


async def _ended(store: Store, id: str) -> dict[str, Any]:
    """Show how a job goes on until it has ended."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("", total=100)
        while (job := await _get(store, id)).ended_at is None:
            told = f"{job.state}{f' ({job.status})' if job.status else ''}"
            progress.update(bar, description=plain(told), completed=job.progress or 0)
            await asyncio.sleep(LOOK)
    return await _told(store, job)


async def _get(store: Store, id: str) -> Job:
    job = await store.jobs.get(id)
    if job is None:
        raise ReceiverError(f"no job has the id {id}: see `receiver jobs list`")
    return job


async def _fetch(store: Store, id: str) -> dict[str, Any]:
    return await _told(store, await _get(store, id))


async def _told(store: Store, job: Job) -> dict[str, Any]:
    return await described(store, job, find_sources(load().providers))


def _print(job: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(job))
        return
    for name, value in job.items():
        if value not in (None, {}, [], 0) and name != "outputs":
            told = f"{moment(value)} UTC" if name.endswith("_at") else _text(value)
            console.print(f"[bold]{name:<13}[/]{plain(told)}", highlight=False, soft_wrap=True)
    for output in job["outputs"]:
        # Whoever needs the whole URL takes --json: a terminal's history is no place for signatures.
        told = f"{output['type'] or 'file'} {output['id']}  {redact_url(output['url'] or '')}"
        console.print(f"[bold]{'output':<13}[/]{plain(told)}", highlight=False, soft_wrap=True)


def _text(value: object) -> str:
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
