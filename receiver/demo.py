"""The whole journey on this machine: emulated providers, a receiver, jobs, their files, and a service that is told."""

import asyncio
import itertools
import json
import os
import secrets
import shutil
import socket
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from .endpoints import Registrar
from .errors import ReceiverError
from .outbound import create_client
from .registry import find_sources
from .settings import Provider, Settings
from .signatures import new_secret
from .sources.videogen import Api, VideoGen
from .store import Job, Store
from .tracker import new_job
from .vault import new_key
from .witness import Witness

#: Seconds after which the demo has failed.
PATIENCE = 30.0

console = Console()


#: What is submitted. The avatar follows from the speech: that is what `handlers/talking_avatar.py` is for.
WISHES: tuple[tuple[str, str, Mapping[str, Any]], ...] = (
    ("videogen", "text-to-speech", {"ttsText": "Hello from the receiver."}),
    ("videogen", "generate-sound-effect", {"prompt": "rain on a tin roof", "durationSeconds": 2}),
    ("videogen", "generate-video-clip", {"prompt": "a paper boat in the rain"}),
    ("videogen", "generate-music", {"prompt": "a slow waltz"}),
    ("finevoice", "sfx-generation", {"prompt": "thunder, far away", "duration": 2}),
    ("videogenapi", "text-to-video", {"prompt": "a lighthouse at night"}),
)

#: Seconds between two jobs while it serves on.
PAUSE = 5.0

#: The tool whose webhooks the emulator loses, and the seconds after which the receiver asks.
LOST, ASK_AFTER = "GENERATE_MUSIC", 3.0


@dataclass(slots=True, kw_only=True)
class Shown:
    """A job and what became of it."""

    job: Job
    event: dict[str, Any] | None = None
    runs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What it is, for people."""
        return f"{self.job.source} {(self.job.tool or '').lower().replace('_', '-')}"

    @property
    def handled(self) -> bool:
        """Whether its event came and every handler is through with it."""
        return bool(self.event and self.runs) and all(run["state"] in ("done", "failed") for run in self.runs)

    @property
    def succeeded(self) -> bool:
        """Whether the job and every handler succeeded."""
        return self.job.state == "succeeded" and self.handled and all(run["state"] == "done" for run in self.runs)

    @property
    def told(self) -> str:
        """What was heard of it, how, and how long after it was sent off."""
        if self.event is None:
            return "nothing"
        seconds = self.event["received_at"] - (self.job.submitted_at or self.job.created_at)
        how = {"webhook": "by webhook", "poll": "asked for", "reconcile": "recovered"}[self.event["road"]]
        return f"{self.job.state} {how}, {seconds:.1f} s"

    @property
    def handlers(self) -> list[str]:
        """Each handler that ran, and how it went if it did not succeed."""
        last = {run["handler"]: run for run in self.runs}.values()
        return [run["handler"] if run["state"] == "done" else f"{run['handler']} {run['state']}" for run in last]


def run_demo(folder: Path, *, keep_serving: bool = False) -> int:
    """Show the whole journey in `folder`, which is emptied of earlier demos; return the exit code."""
    try:
        return asyncio.run(_demo(folder.resolve(), keep_serving=keep_serving))
    except KeyboardInterrupt:
        return 0


#: What is forwarded, and where to.
_CONFIG = """\
[[handlers]]
use = "forward"
on = "job.*"
url = "{url}"
secret = {{ env = "FORWARD_SECRET" }}
"""


async def _demo(folder: Path, *, keep_serving: bool) -> int:
    secret = new_secret()
    witness = Witness(secret)
    settings, provider = _prepare(folder)
    provider["FORWARD_SECRET"] = secret
    log = folder / "receiver.log"
    async with (
        witness.listening() as hooks,
        _process(
            provider, log, "emulator", "--port", provider["EMULATOR_PORT"], "--seconds", "1.2", "--lose", LOST
        ) as emulator,
        create_client(allow=settings.outbound_allow) as http,
    ):
        await _answers(emulator, f"{provider['VIDEOGEN_BASE_URL']}/v1/me", log)
        console.print(f"[bold]1[/] VideoGen, FineVoice and VideoGenAPI, emulated: {provider['VIDEOGEN_BASE_URL']}")
        console.print(f"  one loses webhooks: those of {LOST} never come", highlight=False)
        (folder / "receiver.toml").write_text(_CONFIG.format(url=hooks))
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
                console.print(f"  ends of jobs are forwarded to a service that verifies them: {hooks}", highlight=False)
                jobs = await _journey(Api(http, settings.provider("videogen")), store)
                ok = _summary(jobs, folder, recovered=await store.jobs.recovered(), verified=witness.verified)
                if not ok:
                    console.print(f"[bold red]Not everything arrived within {PATIENCE:.0f} s.[/] See {log}")
                if keep_serving:
                    console.print(f"The dashboard: {settings.public_url}", highlight=False)
                    console.print(f"Sign in with [bold]{provider['RECEIVER_ADMIN_TOKEN']}[/]", highlight=False)
                    console.print(f"A job is submitted every {PAUSE:.0f} s; Ctrl-C ends it.", highlight=False)
                    await _live_on(store)
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
        "files": str(folder / "files"),
        "secret_key": key,
        "admin_token": secrets.token_urlsafe(18),
        "public_url": f"http://127.0.0.1:{port}",
        "handlers": ("handlers",),
        "config": folder / "receiver.toml",
        "outbound_allow": ("127.0.0.1",),
        "host": "127.0.0.1",
        "port": port,
        "reconcile_after": ASK_AFTER,
    }
    urls = {"videogen": base_url, "finevoice": base_url, "videogenapi": f"{base_url}/api/v1"}
    providers = {name: Provider(api_key=SecretStr(api_key), base_url=url) for name, url in urls.items()}
    settings = Settings(**values, providers=providers)
    shown = {name: ",".join(value) if isinstance(value, tuple) else str(value) for name, value in values.items()}
    environment = {f"RECEIVER_{name.upper()}": value for name, value in shown.items()}
    provider = {"EMULATOR_PORT": str(emulator)}
    for name, url in urls.items():
        provider |= {f"{name.upper()}_API_KEY": api_key, f"{name.upper()}_BASE_URL": url}
    others = ("RECEIVER_", "VIDEOGEN", "FINEVOICE_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    for name in ("DATABASE_URL", "PORT"):
        inherited.pop(name, None)
    return settings, inherited | environment | provider


async def _journey(api: Api, store: Store) -> list[Shown]:
    """Submit the jobs and show how they end. Return them as far as they came."""
    sources, metadata = find_sources(), {"actor": (await api.actors())[0]["entityId"]}
    for source, tool, parameters in WISHES:
        speech = {"voiceId": await _voice(api)} if tool == "text-to-speech" else {}
        job = new_job(sources, source, tool, {**parameters, **speech}, metadata=metadata if speech else {})
        await store.jobs.add(job)
        console.print(f"[bold]→[/] submitted {source} {tool}", highlight=False)
    shown: dict[str, Shown] = {}
    told: set[str] = set()
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and len(told) < len(WISHES) + 1:
        await _look(shown, store)
        for one in shown.values():
            if one.handled and one.job.id not in told:
                told.add(one.job.id)
                console.print(f"[bold]←[/] {one.name} {one.told}: {', '.join(one.handlers)}", highlight=False)
        await asyncio.sleep(0.05)
    return [shown[job_id] for job_id in sorted(shown)]


async def _live_on(store: Store) -> None:
    """Submit jobs for good, so that there is something to watch."""
    sources = find_sources()
    for number in itertools.count(1):
        await asyncio.sleep(PAUSE)
        source, tool, parameters = WISHES[1:][number % len(WISHES[1:])]
        await store.jobs.add(new_job(sources, source, tool, parameters, metadata={"order": number}))


async def _voice(api: Api) -> str:
    return next(str(voice["voiceId"]) for voice in await api.voices() if voice.get("supportsDirectToolExecution"))


async def _look(shown: dict[str, Shown], store: Store) -> None:
    for job in await store.jobs.recent():
        one = shown.setdefault(job.id, Shown(job=job))
        if not one.handled:
            one.job = job
            one.event = await store.events.get(job.event_id) if job.event_id else None
            one.runs = await store.events.history(job.event_id) if job.event_id else []


def _summary(jobs: list[Shown], folder: Path, *, recovered: Mapping[str, int], verified: Collection[str]) -> bool:
    """Print what became of the jobs; return whether all ended well, with their files, and were forwarded."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("job", "its end", "forwarded", "file"):
        table.add_column(column, overflow="fold")
    files = {one.job.id: _files(one.job, folder) for one in jobs}
    for one in jobs:
        sizes = [f"{file.suffix.removeprefix('.')}, {file.stat().st_size:,} bytes" for file in files[one.job.id]]
        judged = "verified" if one.job.event_id in verified else "no"
        table.add_row(one.name, one.told.removeprefix("succeeded "), judged, "\n".join(sizes) or "none")
    console.print()
    console.print(table)
    console.print()
    taken = sum(one.job.event_id in verified for one in jobs)
    console.print(f"Forwarded to a service that verified them: {taken} of {len(jobs)}.", highlight=False)
    lost = ", ".join(f"{number} at {source}" for source, number in recovered.items()) or "none"
    console.print(f"Webhooks that never came, and were asked for instead: {lost}.", highlight=False)
    for file in (file for found in files.values() for file in found):
        console.print(os.path.relpath(file), highlight=False, soft_wrap=True)
    good = all(one.succeeded and files[one.job.id] and one.job.event_id in verified for one in jobs)
    return good and len(jobs) == len(WISHES) + 1 and bool(recovered)


def _files(job: Job, folder: Path) -> list[Path]:
    records = [(path, json.loads(path.read_text())) for path in sorted((folder / "files").rglob("*.json"))]
    return [path.with_name(record["file"]) for path, record in records if record["job_id"] == job.job_id]


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
