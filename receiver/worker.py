"""A worker process: the dispatcher, with all that handlers need around it."""

import asyncio
import contextlib
import functools
import os
import random
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import structlog
from prometheus_client.core import Metric

from . import interpreter, meters
from .alarms import Rules, Watchman
from .config import read
from .context import Context, untraced
from .dispatcher import Dispatcher, backoff
from .endpoints import Inspector
from .errors import AddressRefused, ConfigError, ProviderError, Unavailable
from .events import Event, Output
from .files import open_files
from .guard import Guard
from .metrics import families, own_port
from .outbound import create_client
from .recall import event_of
from .registry import Handler, find_handlers, find_sources
from .retention import Ages, Pruner
from .settings import Settings
from .shared import Shared
from .sources import Source
from .store import REPORT, Claimed, NewJob, Reported, Store
from .tracing import Tracing
from .tracker import Tracker, new_job

log = structlog.get_logger(__name__)

#: Seconds after which a part that failed begins again.
AGAIN = 30.0

#: What makes the kernel end a supervised worker rather than the door when memory runs out, thousandths of all memory.
BLAME = 500

#: Seconds between two times of adding up what happened, and between two steps of it when there is more.
ADD_UP, AFTER = 20.0, 0.2


def run_worker(
    settings: Settings,
    *,
    name: str | None = None,
    after: str | None = None,
    supervised: bool = False,
    pipe: int | None = None,
) -> None:
    """Run handlers until SIGTERM or SIGINT, then drain.

    `after` names a worker that died: its runs are taken over at once. A `supervised` worker is woken by
    lines on its standard input, stops when that ends, and tells what it has counted through `pipe`.
    """
    with interpreter.runner() as runner:
        runner.run(_work(settings, name=name or worker_name(), after=after, supervised=supervised, pipe=pipe))
    if threading.active_count() > 1:
        # A handler in a thread that never returns must not keep the process: its run was given back.
        sys.stderr.flush()
        os._exit(0)


def worker_name() -> str:
    """Return a name for this process's worker."""
    return f"{socket.gethostname()}:{os.getpid()}"


async def _work(settings: Settings, *, name: str, after: str | None, supervised: bool, pipe: int | None) -> None:
    config = read(settings.config)
    handlers, rules = find_handlers(settings.handlers, config), Rules.of(config)
    ages = config.table("retention", Ages)
    store = Store(settings.database_url)
    tracing = Tracing.of(settings)
    around = tracing.around if tracing else _as_it_is
    async with create_client(allow=settings.outbound_allow, around=around) as http, _metered(settings, pipe):
        sources = find_sources(settings.providers)
        shared = Shared()
        desk = Desk(
            settings=settings,
            sources=sources,
            http=http,
            shared=shared,
            once=store.runs.once,
            record=store.outputs.record,
            tracing=tracing,
        )
        dispatcher = Dispatcher(
            store=store,
            handlers=handlers,
            event_of=desk.event,
            context_of=desk.context,
            worker=name,
            concurrency=settings.concurrency,
            lease=settings.lease,
            grace=settings.grace,
            tracing=tracing,
        )
        tracker = Tracker(
            store=store,
            sources=sources,
            settings=settings,
            http=http,
            worker=name,
            told=dispatcher.wake,
            tracing=tracing,
        )

        def stop() -> None:
            dispatcher.stop()
            tracker.stop()  # at once: the drain may take long, and another worker may look after the jobs

        loop = asyncio.get_running_loop()
        for sign in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(sign, stop)
        if supervised:
            _take_the_blame()
            await _listen(wake=dispatcher.wake, stop=stop)
        try:
            await store.check()
            if after:
                limits = {handler.name: handler.retries + 1 for handler in handlers}
                await store.runs.reap(
                    limits=limits,
                    worker=after,
                    wait=lambda attempt: backoff(attempt, roll=random.random()),  # noqa: S311 - not a secret
                )
            interpreter.started()
            log.info("worker_started", worker=name, handlers=[handler.name for handler in handlers])
            watchman = Watchman(store=store, rules=rules, sources=sources, told=dispatcher.wake)
            parts: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
                "wakeups": lambda: store.wakeups.follow(dispatcher.wake),
                "guard": Guard(2 * settings.lease).run,  # by then, others have taken over what is ours
                "report": lambda: _report(store, handlers, name),
                "tally": lambda: _add_up(store),
                "pruner": Pruner(store=store, files=open_files(settings.files), ages=ages).run,
                "watchman": watchman.run,
                "inspector": Inspector(store=store, sources=sources, settings=settings, http=http).run,
            }
            beside = [asyncio.create_task(keep_up(part, work)) for part, work in parts.items()]
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(tracker.run())
                    await dispatcher.run()
            finally:
                for task in beside:
                    task.cancel()
                # Before the store is closed under them: what they were in the middle of would never end.
                await asyncio.gather(*beside, return_exceptions=True)
                await shared.close()
        finally:
            await store.close()
            if tracing is not None:
                await tracing.close()
    log.info("worker_stopped", worker=name)


def _as_it_is(transport: httpx.AsyncBaseTransport) -> httpx.AsyncBaseTransport:
    return transport


async def keep_up(part: str, work: Callable[[], Awaitable[None]]) -> None:
    """Do the work of a part beside the handlers, for good: what ends it is told, and it begins again.

    A mistake of ours in one of them is no reason to stop the handlers, and must not go unnoticed.
    """
    while True:
        try:
            await work()
        except Exception:
            log.exception("part_failed", part=part, again_in=AGAIN)
        await asyncio.sleep(AGAIN)


async def _report(store: Store, handlers: Sequence[Handler], worker: str) -> None:
    """Tell the store, for good, which handlers are here: other processes never look at their code."""
    found = [reported(handler) for handler in handlers]
    while True:
        try:
            await store.handlers.report(found, worker=worker)
        except Unavailable as error:
            log.error("store_unavailable", error=str(error))
        await asyncio.sleep(REPORT)


async def _add_up(store: Store) -> None:
    """Add up, for good, how much happened in the minutes that are over."""
    while True:
        try:
            more = await store.tally.add_up()
        except Unavailable as error:
            log.error("store_unavailable", error=str(error))
            more = False
        await asyncio.sleep(AFTER if more else ADD_UP)


def reported(handler: Handler) -> Reported:
    """Return what the store is told of a handler."""
    names = ("name", "source", "tool", "retries", "timeout", "concurrency", "ordered", "captures", "place")
    return Reported(events=handler.patterns, **{name: getattr(handler, name) for name in names})


def _take_the_blame() -> None:
    """Let the kernel, out of memory, end this process and what handlers started, rather than the door."""
    score = Path("/proc/self/oom_score_adj")
    # Elsewhere than on Linux there is no such file, and some containers forbid it.
    with contextlib.suppress(OSError):
        score.write_text(str(min(1000, int(score.read_text()) + BLAME)))


@asynccontextmanager
async def _metered(settings: Settings, pipe: int | None) -> AsyncIterator[None]:
    """Tell what this process counts: its supervisor through `pipe`, or Prometheus on a port of its own."""
    if pipe is None:
        async with own_port(settings, _counted_here):
            watching = asyncio.create_task(meters.watch("worker"))
            try:
                yield
            finally:
                watching.cancel()
        return
    told, _ = await asyncio.get_running_loop().connect_write_pipe(
        asyncio.BaseProtocol, os.fdopen(pipe, "wb", buffering=0)
    )

    def tell() -> None:
        # A supervisor that hangs is not waited for.
        if not told.is_closing() and told.get_write_buffer_size() == 0:
            told.write(meters.dumped(meters.counted()))

    watching = asyncio.create_task(meters.watch("worker", tell=tell))
    try:
        yield
    finally:
        watching.cancel()
        tell()
        told.close()


async def _counted_here() -> list[Metric]:
    return families(meters.counted())


async def _listen(*, wake: Callable[[], None], stop: Callable[[], None]) -> None:
    class Supervisor(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            wake()

        def eof_received(self) -> None:
            stop()

        def connection_lost(self, exc: Exception | None) -> None:
            stop()

    line = os.fdopen(0, "rb", buffering=0, closefd=False)  # `sys.stdin` is that of the door, if we are its fork
    await asyncio.get_running_loop().connect_read_pipe(Supervisor, line)


@functools.cache
def _log_of(handler: str) -> Any:
    return structlog.get_logger(f"handlers.{handler}")


class Desk:
    """Makes the event and the context of each attempt.

    `once` is as `store.runs.once`, `record` as `store.outputs.record`.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        sources: Mapping[str, Source],
        http: Any,
        shared: Shared,
        once: Callable[[Claimed, str], AbstractAsyncContextManager[bool]],
        record: Callable[..., Awaitable[None]],
        tracing: Tracing | None = None,
    ) -> None:
        self._settings = settings
        self._files = open_files(settings.files)
        self._sources = sources
        self._http = http
        self._shared = shared
        self._once = once
        self._record = record
        self._traced = tracing.outgoing if tracing else untraced

    def event(self, row: Mapping[str, Any]) -> Event:
        """Return the event of a row of the store."""
        return event_of(row, self._sources)

    def context(self, claimed: Claimed, event: Event) -> Context:
        """Return the context for one attempt on an event."""

        async def refresh(output: Output) -> Output:
            source = self._sources.get(event.source)
            if source is None:
                raise ProviderError(f"the source {event.source} is not installed here")
            try:
                client = source.client(self._http, self._settings.provider(source.name))
                return await client.refresh(output, job_id=event.job_id)
            except (AddressRefused, ConfigError) as error:  # a handler goes on with what else it can do
                raise ProviderError(str(error)) from None

        def submit(source: str, tool: str, parameters: Mapping[str, Any], metadata: Mapping[str, Any] | None) -> NewJob:
            carried = event.metadata if metadata is None else metadata
            return new_job(self._sources, source, tool, parameters, metadata=carried, run_id=claimed.id)

        async def record(output: Output, **values: Any) -> None:
            await self._record(
                event_id=event.id,
                handler=claimed.handler,
                output_id=output.id,
                source=event.source,
                job_id=event.job_id,
                type=output.type,
                expires_at=output.expires_at,
                **values,
            )
            meters.CAPTURES.add(claimed.handler, values["state"])

        return Context(
            attempt=claimed.attempt,
            log=_log_of(claimed.handler),
            http=self._http,
            files=self._files,
            once=lambda key: self._once(claimed, key),
            refresh=refresh,
            submit=submit,
            record=record,
            shared=self._shared,
            max_file=self._settings.max_file,
            traced=self._traced,
        )
