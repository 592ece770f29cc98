"""Run one handler on one event outside any store: for `receiver handlers test`, and for tests of handlers.

    ended = rehearse("shout", sample(tool="GENERATE_MUSIC"), handlers="handlers")
    assert ended.outcome == "done", ended.error

Everything else is real: the handler is found as a worker finds it, its time limit counts, requests are sent.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import httpx
from pydantic import TypeAdapter, ValidationError

from .attempt import Calls, Ended
from .errors import ConfigError, Unreadable
from .events import Event, Output
from .outbound import create_client
from .registry import Handler, find_handlers, find_sources, webhook_sources
from .settings import Settings, load
from .shared import Shared
from .sources import Source, wire
from .store import Claimed
from .worker import Desk

_EVENT = TypeAdapter(Event)


def sample(**changes: Any) -> Event:
    """Return an event as the end of a job makes it; what is given differs."""
    now = time.time()
    given: dict[str, Any] = {
        "id": "evt_sample",
        "source": "videogen",
        "type": "tool_execution.succeeded",
        "kind": "job.succeeded",
        "job_id": "sample_job",
        "tool": "GENERATE_VIDEO_CLIP",
        "outputs": (Output(id="sample_file", type="VIDEO", url="https://storage.example/sample.mp4"),),
        "occurred_at": now,
        "received_at": now,
    }
    return Event(**given | changes)


def rehearse(
    name: str, event: Event, *, handlers: str | Path, files: Path | None = None, http: httpx.AsyncClient | None = None
) -> Ended:
    """Run the handler `name` of a folder or module on `event`, once, and return how it ended.

    Nothing is stored: `context.once` is always the first time, jobs to submit are in what is returned.
    `files` is the folder for outputs, a temporary one if none is given; `http` is what requests go through,
    e.g. an `httpx.AsyncClient(transport=httpx.MockTransport(…))`. Raises ConfigError if there is no such handler.
    """
    found = {one.name: one for one in find_handlers([str(handlers)])}
    if name not in found:
        raise ConfigError(f"no handler is called {name} in {handlers}; there are: {', '.join(found) or 'none'}")
    with tempfile.TemporaryDirectory(prefix="receiver-") as folder:
        stage = Stage(load().model_copy(update={"files": str(files or folder)}), http)
        return asyncio.run(stage.run(found[name], event))


@dataclass
class Stage:
    """Where a handler is run: all is real but for the store, in whose place things are only remembered."""

    settings: Settings
    http: httpx.AsyncClient | None = None
    recorded: list[dict[str, Any]] = field(default_factory=list)  #: what was told of outputs

    async def run(self, handler: Handler, event: Event) -> Ended:
        """Run a handler once; it is its first and its last attempt."""
        calls, shared = Calls(), Shared()
        async with self.http or create_client(allow=self.settings.outbound_allow) as http:
            desk = Desk(
                settings=self.settings,
                sources=find_sources(self.settings.providers),
                http=http,
                shared=shared,
                once=self._once,
                record=self._record,
            )
            claimed = Claimed(
                id="run_sample", handler=handler.name, attempt=1, token=1, due_at=0, started_at=0, event={}
            )
            try:
                return await calls.attempt(handler, event, desk.context(claimed, event), last=False)
            finally:
                await shared.close()
                calls.close()

    @asynccontextmanager
    async def _once(self, _run: Claimed, _key: str) -> AsyncIterator[bool]:
        yield True

    async def _record(self, **values: Any) -> None:
        self.recorded.append(values)


def read_event(file: Path, sources: Mapping[str, Source], *, source: str | None = None) -> Event:
    """Return the event in a file: ours as JSON, with `id`, `source` and `received_at`, or else a provider's own body.

    Without `source`, a body belongs to the one provider that has an event of its name.
    Raises ConfigError if it cannot be read, or nobody or several know it.
    """
    try:
        body = file.read_bytes()
        data = wire.parse(body)
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}") from None
    except Unreadable as error:
        raise ConfigError(f"{file}: {error}") from None
    if {"id", "source", "type", "received_at"} <= set(data):
        return _ours(file, data)
    return _theirs(file, body, sources, source)


def _ours(file: Path, data: dict[str, Any]) -> Event:
    known = {one.name for one in fields(Event)} - {"body"}
    try:
        given = {name: value for name, value in data.items() if name in known}
        return _EVENT.validate_python({**given, "body": json.dumps(data.get("data")).encode()})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{file} has the fields of an event of ours, but {where}: {first['msg']}") from None


def _theirs(file: Path, body: bytes, sources: Mapping[str, Source], name: str | None) -> Event:
    if name and name not in sources:
        raise ConfigError(f"there is no source {name}: see `receiver sources`")
    source = sources[name] if name else _only_one_that_knows(file, body, sources)
    try:
        reading = source.read(body)
    except Unreadable as error:
        raise ConfigError(f"{file}: {source.name} cannot read it: {error}") from None
    now = time.time()
    return Event(
        id="evt_sample",
        source=source.name,
        type=reading.type,
        kind=reading.kind,
        job_id=reading.job_id,
        tool=reading.tool,
        outputs=reading.outputs,
        error=reading.error,
        occurred_at=now if reading.occurred_at is None else reading.occurred_at,
        received_at=now,
        data=reading.data,
        body=body,
    )


def _only_one_that_knows(file: Path, body: bytes, sources: Mapping[str, Source]) -> Source:
    knowing = [source for source in webhook_sources(sources).values() if _type(source, body) in source.events]
    if len(knowing) == 1:
        return knowing[0]
    told = " and ".join(source.name for source in knowing) or "no source"
    raise ConfigError(
        f"{file} is no event of ours (these have id, source, type and received_at), and as a provider's body it is "
        f"known to {told}: say whose it is with --source"
    )


def _type(source: Source, body: bytes) -> str | None:
    try:
        return source.read(body).type
    except Unreadable:
        return None
