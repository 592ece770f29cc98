"""The commands that run something, each importing what it runs: a worker has no use for the door, or for the demo."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from .. import logs
from ..settings import Settings, load
from ..store import Store
from .output import console, tell

Host = Annotated[str | None, typer.Option(help="Address to listen on.")]
Port = Annotated[int | None, typer.Option(min=0, max=65535, help="Port to listen on.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands to the `receiver` command."""
    for command in (serve, worker, migrate, demo, emulator, doctor):
        app.command()(command)


def configured() -> Settings:
    """Return the settings, with logging set up as they say."""
    settings = load()
    logs.configure(format=settings.log_format, level=settings.log_level, secrets=settings.secrets)
    return settings


def serve(
    host: Host = None,
    port: Port = None,
    no_dispatch: Annotated[bool, typer.Option("--no-dispatch", help="Receive only; run handlers elsewhere.")] = False,
) -> None:
    """Receive deliveries, and run handlers in a worker process beside."""
    from ..server import serve as run_server

    settings = configured()
    changed = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    raise typer.Exit(run_server(settings.model_copy(update=changed), dispatch=not no_dispatch))


def worker() -> None:
    """Run handlers only. Start as many as you like."""
    from ..worker import run_worker

    run_worker(configured())


def migrate() -> None:
    """Bring the database to this version's schema."""

    async def work() -> None:
        store = Store(settings.database_url)
        try:
            await store.migrate()
        finally:
            await store.close()

    settings = configured()
    asyncio.run(work())
    console.print("The database is up to date.")


def demo(
    serve: Annotated[bool, typer.Option("--serve", help="Keep everything running afterwards.")] = False,
    folder: Annotated[Path, typer.Option(help="Where the demo keeps its database and files.")] = Path("demo"),
) -> None:
    """Show seven jobs at three emulated providers, from submission to file."""
    from ..demo import run_demo

    raise typer.Exit(run_demo(folder, keep_serving=serve))


def emulator(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8010,
    seconds: Annotated[float, typer.Option(min=0, help="How long a job takes.")] = 2.0,
    fail: Annotated[float, typer.Option(min=0, max=1, help="Share of jobs that fail.")] = 0.0,
    duplicates: Annotated[float, typer.Option(min=0, max=1, help="Share of deliveries that are sent twice.")] = 0.0,
    loss: Annotated[float, typer.Option(min=0, max=1, help="Share of deliveries that are never sent.")] = 0.0,
    lose: Annotated[str, typer.Option(metavar="TOOL", help="Never send what this tool's jobs come to.")] = "",
    disorder: Annotated[
        float, typer.Option(min=0, max=1, help="Share of deliveries held back behind later ones.")
    ] = 0.0,
    wrong_signature: Annotated[
        float, typer.Option(min=0, max=1, help="Share first sent with a wrong signature.")
    ] = 0.0,
    delay: Annotated[float, typer.Option(min=0, help="Longest extra wait before a delivery, seconds.")] = 0.0,
    outage: Annotated[float, typer.Option(min=0, max=1, help="Share of API answers that are server errors.")] = 0.0,
    limit: Annotated[float, typer.Option(min=0, max=1, help="Share of API answers that are rate limits.")] = 0.0,
    garbage: Annotated[float, typer.Option(min=0, max=1, help="Share of API answers that are no JSON.")] = 0.0,
    url_seconds: Annotated[float, typer.Option(help="Life of signed URLs; 0 sends them expired.")] = 604800.0,
    retry_scale: Annotated[float, typer.Option(min=0, help="Multiplies the waits between retries.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Another seed, other faults; the same seed, the same faults.")] = 0,
) -> None:
    """Be VideoGen, FineVoice and VideoGenAPI, offline: takes jobs, makes files, sends signed deliveries."""
    import uvicorn

    from ..emulator import Knobs, create_emulator

    logs.configure(format="console", level="info")
    knobs = Knobs(
        seconds=seconds,
        fail=fail,
        duplicates=duplicates,
        loss=loss,
        lose=lose,
        disorder=disorder,
        wrong_signature=wrong_signature,
        delay=delay,
        outage=outage,
        limit=limit,
        garbage=garbage,
        url_seconds=url_seconds,
        retry_scale=retry_scale,
        seed=seed,
    )
    uvicorn.run(create_emulator(knobs), host=host, port=port, log_config=None, access_log=False)


def doctor() -> None:
    """Check settings, store, secrets, public URL, endpoints, clock, jobs, handlers, alarms and retention.

    Exit 1 if something is wrong.
    """
    from ..doctor import examine

    settings = load()
    logs.configure(format=settings.log_format, level="error", secrets=settings.secrets)
    wrong = False
    for check in asyncio.run(examine(settings)):
        wrong = wrong or check.state == "wrong"
        mark = {"fine": ("ok   ", "green"), "note": ("note ", "yellow"), "wrong": ("wrong", "bold red")}[check.state]
        tell(mark, f" {check.name:<12}{check.text}")
    raise typer.Exit(1 if wrong else 0)
