"""The whole journey on this machine: emulator, receiver, four jobs, their events, handlers and files."""

import asyncio
import json
import os
import shutil
import socket
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from .endpoints import Registrar
from .errors import ReceiverError
from .outbound import create_client
from .settings import Provider, Settings
from .sources import find_tool
from .sources.videogen import VideoGen, VideoGenApi
from .store import Store
from .vault import new_key

#: Seconds after which the demo has failed.
PATIENCE = 20.0

console = Console()


@dataclass(slots=True, kw_only=True)
class Job:
    """One submitted job and what became of it."""

    id: str
    tool: str
    submitted_at: float
    event: dict[str, Any] | None = None
    runs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def handled(self) -> bool:
        """Whether its event came and every handler is through with it."""
        return bool(self.event and self.runs) and all(run["state"] in ("done", "failed") for run in self.runs)

    @property
    def succeeded(self) -> bool:
        """Whether every handler succeeded."""
        return self.handled and all(run["state"] == "done" for run in self.runs)

    @property
    def told(self) -> str:
        """What was heard of it, and how long after it was submitted."""
        if self.event is None:
            return "none"
        kind, seconds = self.event["kind"] or self.event["type"], self.event["received_at"] - self.submitted_at
        return f"{kind}\nafter {seconds:.1f} s"

    @property
    def handlers(self) -> list[str]:
        """Each handler, how it stands, and how soon after the delivery it first started."""
        if self.event is None:
            return []
        first = {run["handler"]: run for run in reversed(self.runs) if run["attempt_started_at"]}
        return [
            f"{name} {run['state']}, {(run['attempt_started_at'] - self.event['received_at']) * 1000:.0f} ms"
            for name, run in sorted(first.items())
        ]


def run_demo(folder: Path, *, keep_serving: bool = False) -> int:
    """Show the whole journey in `folder`, which is emptied of earlier demos; return the exit code."""
    try:
        return asyncio.run(_demo(folder.resolve(), keep_serving=keep_serving))
    except KeyboardInterrupt:
        return 0


async def _demo(folder: Path, *, keep_serving: bool) -> int:
    settings, provider = _prepare(folder)
    log = folder / "receiver.log"
    async with (
        _process(provider, log, "emulator", "--port", provider["EMULATOR_PORT"], "--seconds", "1.2") as emulator,
        create_client(allow=settings.outbound_allow) as http,
    ):
        await _answers(emulator, f"{provider['VIDEOGEN_BASE_URL']}/v1/me", log)
        console.print(f"[bold]1[/] VideoGen, emulated, listens on {provider['VIDEOGEN_BASE_URL']}")
        store = Store(settings.database_url)
        try:
            await store.migrate()
            url = f"{settings.public_url}/webhooks/videogen"
            registrar = Registrar(source=VideoGen(), settings=settings, store=store, http=http)
            await registrar.register(url, VideoGen.events)
            console.print(f"[bold]2[/] registered {url}; its signing secret is stored, sealed")
            async with _process(provider, log, "serve", "--port", str(settings.port)) as server:
                await _answers(server, f"{settings.public_url}/readyz", log)
                console.print(f"[bold]3[/] the receiver listens on {settings.public_url}")
                jobs = await _journey(VideoGenApi(http, settings.provider("videogen")), store)
                ok = _summary(jobs, folder)
                if not ok:
                    console.print(f"[bold red]Not everything arrived within {PATIENCE:.0f} s.[/] See {log}")
                if keep_serving:
                    console.print("Still serving; Ctrl-C ends it.")
                    await asyncio.Event().wait()
        finally:
            await store.close()
    return 0 if ok else 1


def _prepare(folder: Path) -> tuple[Settings, dict[str, str]]:
    """Return the demo's settings, and the environment in which its processes run."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in ("receiver.db", "receiver.db-wal", "receiver.db-shm", "receiver.log"):
        (folder / left).unlink(missing_ok=True)
    shutil.rmtree(folder / "files", ignore_errors=True)
    emulator, port, key = _free_port(), _free_port(), new_key()
    base_url, api_key = f"http://127.0.0.1:{emulator}", "demo-key"
    values: dict[str, Any] = {
        "database_url": f"sqlite:///{folder / 'receiver.db'}",
        "files": folder / "files",
        "secret_key": key,
        "public_url": f"http://127.0.0.1:{port}",
        "handlers": ("handlers",),
        "outbound_allow": ("127.0.0.1",),
        "host": "127.0.0.1",
        "port": port,
    }
    settings = Settings(**values, providers={"videogen": Provider(api_key=api_key, base_url=base_url)})
    shown = {name: ",".join(value) if isinstance(value, tuple) else str(value) for name, value in values.items()}
    environment = {f"RECEIVER_{name.upper()}": value for name, value in shown.items()}
    provider = {"VIDEOGEN_API_KEY": api_key, "VIDEOGEN_BASE_URL": base_url, "EMULATOR_PORT": str(emulator)}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RECEIVER_", "VIDEOGEN_"))}
    for name in ("DATABASE_URL", "PORT"):
        inherited.pop(name, None)
    return settings, inherited | environment | provider


async def _journey(api: VideoGenApi, store: Store) -> list[Job]:
    """Submit a sound effect, a clip and, once its speech is there, an avatar. Return them as far as they came."""
    jobs = [
        await _submit(api, "text-to-speech", ttsText="Hello from the receiver.", voiceId=await _voice(api)),
        await _submit(api, "generate-sound-effect", prompt="rain on a tin roof", durationSeconds=2),
        await _submit(api, "generate-video-clip", prompt="a paper boat in the rain"),
    ]
    speech = jobs[0]
    told: set[str] = set()
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and not (len(jobs) == 4 and all(job.handled for job in jobs)):
        await _look(jobs, store)
        for job in jobs:
            if job.handled and job.id not in told:
                told.add(job.id)
                _tell(job)
        if len(jobs) == 3 and speech.event:
            actors, file = await api.actors(), _first_file(await api.execution(speech.id))
            avatar = {"actorEntityId": actors[0]["entityId"], "audioFileId": file}
            jobs.append(await _submit(api, "generate-avatar", **avatar))
        await asyncio.sleep(0.05)
    return jobs


async def _voice(api: VideoGenApi) -> str:
    return next(str(voice["voiceId"]) for voice in await api.voices() if voice.get("supportsDirectToolExecution"))


def _first_file(execution: Mapping[str, Any]) -> str:
    return str(execution["results"][0]["fileId"])


async def _submit(api: VideoGenApi, tool: str, **parameters: Any) -> Job:
    known = find_tool(VideoGen(), tool)
    assert known is not None  # noqa: S101 - a name of VideoGen's
    taken = await api.submit(known, parameters)
    job = Job(id=taken.job_id or "", tool=tool, submitted_at=time.time())
    console.print(f"[bold]→[/] submitted {tool} as {job.id}", highlight=False)
    return job


async def _look(jobs: list[Job], store: Store) -> None:
    events = {row["job_id"]: row for row in await store.events.recent()}
    for job in jobs:
        if not job.handled and job.id in events:
            job.event = events[job.id]
            job.runs = await store.events.history(job.event["id"])


def _tell(job: Job) -> None:
    heard = job.told.partition("\n")[0]
    console.print(f"[bold]←[/] {heard} for {job.tool}: {'; '.join(job.handlers)}", highlight=False)


def _summary(jobs: list[Job], folder: Path) -> bool:
    """Print what became of the jobs; return whether all ended well, with their files."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("job", "event", "handler, started after", "file"):
        table.add_column(column, no_wrap=True)
    files = {job.id: _files(job, folder) for job in jobs}
    for job in jobs:
        sizes = [f"{file.suffix.removeprefix('.')}, {file.stat().st_size:,} bytes" for file in files[job.id]]
        table.add_row(job.tool, job.told, "\n".join(job.handlers), "\n".join(sizes) or "none")
    console.print()
    console.print(table)
    console.print()
    for file in (file for found in files.values() for file in found):
        console.print(os.path.relpath(file), highlight=False, soft_wrap=True)
    return len(jobs) == 4 and all(job.succeeded and files[job.id] for job in jobs)


def _files(job: Job, folder: Path) -> list[Path]:
    records = [(path, json.loads(path.read_text())) for path in sorted((folder / "files").rglob("*.json"))]
    return [path.with_name(record["file"]) for path, record in records if record["job_id"] == job.id]


@asynccontextmanager
async def _process(environment: Mapping[str, str], log: Path, *arguments: str) -> AsyncIterator[Process]:
    """Run a `receiver` command as long as this is entered; it ends as on any platform, by SIGTERM."""
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "receiver", *arguments, env=dict(environment), stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def _answers(process: Process, url: str, log: Path) -> None:
    """Wait until a process of ours answers and says that nothing is missing."""
    deadline = time.monotonic() + PATIENCE / 2
    async with httpx.AsyncClient(trust_env=False, headers={"Authorization": "Bearer demo-key"}) as client:
        while time.monotonic() < deadline and process.returncode is None:
            try:
                answer = await client.get(url)
                if answer.status_code == 200 and not answer.json().get("problems"):
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)
    raise ReceiverError(f"a part of the demo did not start; the end of {log} says why:\n{_end(log)}")


def _end(log: Path) -> str:
    return "\n".join(log.read_text().splitlines()[-5:])


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
