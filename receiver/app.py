"""The composition root of the web process: builds every part, starts them, stops them in order."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from . import meters
from .access import Tries
from .alarms import EVERY, Rules, Watchman
from .api import PREFIX, Api, gallery_of
from .callback import Callbacks
from .config import read
from .dashboard import Dashboard
from .errors import ConfigError, NewerSchema, ReceiverError, Unavailable
from .fork import Fork
from .inbox import Inbox
from .jwks import key_servers, publishes
from .keyring import Keyring
from .metrics import Metrics, own_port
from .outbound import create_client
from .proxies import Proxies
from .registry import find_sources, webhook_sources
from .settings import Settings
from .store import THERE, Store
from .supervisor import Supervisor
from .tracing import Tracing
from .writer import Writer

log = structlog.get_logger(__name__)

#: Seconds between two notes that this process is here, and without one for how long deliveries may have been missed.
BEAT, DOWNTIME = 15.0, 60.0

#: Seconds that a process which stops waits for the store to take what its last acknowledgements took.
LAST_WORD = 2.0

#: Where deliveries arrive; the source's name follows.
DELIVERIES = "/webhooks/"


class Door:
    """The web process: the inbox, its writer, the keyring and, if it dispatches, the worker's supervisor.

    `app` answers while `open` is entered. `first` is a worker that waits already. Raises ConfigError if the settings
    cannot work; a secret that must not be used is one such case.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        dispatch: bool = True,
        clock: Callable[[], float] = time.time,
        tracing: Tracing | None = None,
        first: Fork | None = None,
    ) -> None:
        if platform := settings.throwaway_disk():
            raise ConfigError(
                f"{platform} is set: on this platform the disk with {settings.sqlite_path} is lost at each deploy, and "
                "every event with it. Set DATABASE_URL to a PostgreSQL database, mount a volume, "
                "or set RECEIVER_ACCEPT_THROWAWAY_DISK=1 to accept the loss"
            )
        found = find_sources(settings.providers)
        sources = webhook_sources(found)
        self._dispatch = dispatch
        self._store = Store(settings.database_url)
        self._supervisor = Supervisor(grace=settings.grace, first=first)
        self._writer = Writer(self._store, queue=settings.queue, stored=self._wake)
        # Only where it is needed: to load the usual authorities takes longer than all the rest here.
        self._http = create_client(allow=settings.outbound_allow) if any(map(publishes, sources.values())) else None
        self._keyring = Keyring(
            store=self._store,
            sources=sources,
            settings=settings,
            clock=clock,
            servers=key_servers(sources, self._http) if self._http else {},
        )
        self._tracing = tracing or Tracing.of(settings)
        callbacks = Callbacks(settings.secret_keys, settings.public_url)
        self._inbox = Inbox(
            sources=sources,
            keyring=self._keyring,
            writer=self._writer,
            hints=self._store.hints,
            callbacks=callbacks,
            clock=clock,
            max_body=settings.max_body,
            body_timeout=settings.body_timeout,
            proxies=Proxies(settings.trusted_proxies),
            tracing=self._tracing,
        )
        self._settings = settings
        self._clock = clock
        self._opened_at = clock()
        self._acks = meters.Kept(meters.ACKS)
        self._found = found
        tries = Tries(clock)
        self._metrics = Metrics(
            store=self._store,
            token=settings.admin_token,
            tries=tries,
            counted=lambda: meters.together(meters.counted(), self._supervisor.counted),
        )
        self._api = Api(store=self._store, sources=found, settings=settings, tries=tries)
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._failed: Callable[[], None] = lambda: None
        #: Why the process must end, once a part of it has died.
        self.failure: BaseException | None = None
        self._dashboard = Dashboard(
            store=self._store, sources=found, settings=settings, gallery=gallery_of(settings), tries=tries, clock=clock
        )
        self._pages = Starlette(
            routes=[
                Mount(
                    DELIVERIES,
                    routes=[Route(path, self._inbox, methods=["POST"]) for path in ("/{source}", "/{source}/{token}")],
                ),
                *self._metrics.routes(),
                Route("/healthz", self._healthz),
                Route("/readyz", self._readyz),
                Mount("/", self._dashboard),
            ],
        )
        self._pages.router.redirect_slashes = False

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        # Straight to the inbox: the router would take a fifth of the time that a delivery costs.
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"].startswith(DELIVERIES):
            source, slash, token = scope["path"].removeprefix(DELIVERIES).partition("/")
            scope["path_params"] = {"source": source, "token": token if slash else None}
            await self._inbox(scope, receive, send)
        elif scope["type"] == "http" and scope["path"].startswith(f"{PREFIX}/"):
            await self._api(scope, receive, send)
        else:
            await self._pages(scope, receive, send)

    def leave(self) -> None:
        """End the answers that would go on for good: the server is about to stop, and waits for all others."""
        self._dashboard.leave()

    @asynccontextmanager
    async def open(self, *, failed: Callable[[], None] = lambda: None) -> AsyncIterator[None]:
        """Start every part; stop them in order at the end. `failed` is called if one dies in between.

        Raises ConfigError or Unavailable if the store or its secrets cannot be used.
        """
        self._failed = failed
        try:
            if self._store.database.is_sqlite:
                await self._store.migrate()
            else:
                await self._store.check()
            await self._keyring.load()
            self._start("writer", self._writer.run())
            self._start("keyring", self._keyring.follow())
            self._start("wakeups", self._store.wakeups.send())
            self._start("beats", self._beat())
            self._start("meters", meters.watch("web"))
            self._watch()
            if self._dispatch:
                self._start("supervisor", self._supervisor.run())
            try:
                async with own_port(self._settings, self._metrics.families):
                    yield
            finally:
                await self._stop()
        finally:
            if self._http:
                await self._http.aclose()
            await self._store.close()
            if self._tracing is not None:
                await self._tracing.close()

    def _wake(self) -> None:
        self._supervisor.wake()
        self._store.wakeups.tell()

    def _watch(self) -> None:
        """Judge here too: the usual cause of an alarm is that there is no worker."""
        try:
            rules = Rules.of(read(self._settings.config))
        except ConfigError as error:
            log.error("alarms_not_judged", error=str(error))  # no reason to take no deliveries
            return
        watchman = Watchman(store=self._store, rules=rules, sources=self._found, told=self._wake)
        # What gathered while nobody was here is handled first, if somebody is there to do it.
        self._start("watchman", watchman.run(after=EVERY / 2))

    async def _beat(self) -> None:
        """Note that we are here, for good. What webhooks told while nobody was here is asked for soon."""
        while True:
            try:
                missed = await self._store.jobs.beat("door")
                await self._store.endpoints.heard(self._writer.heard)
                if missed > DOWNTIME:
                    asked = await self._store.jobs.ask_within(DOWNTIME)
                    log.warning("was_away", seconds=round(missed), jobs_to_ask_about=asked)
                await self._acks.keep(self._store.tally.keep_acks)
            except Unavailable as error:
                log.error("store_unavailable", error=str(error))
            await asyncio.sleep(BEAT)

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks[task] = name
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        name = self._tasks.pop(task)
        if task.cancelled() or task.exception() is None:
            return
        # Better no server than one that answers 200 with a part missing: end, so that the platform starts anew.
        self.failure = task.exception()
        if isinstance(self.failure, ReceiverError):
            log.critical("part_failed", part=name, error=str(self.failure))
        else:
            log.critical("part_failed", part=name, exc_info=self.failure)
        self._failed()

    async def _stop(self) -> None:
        self._writer.stop()
        await self._supervisor.stop()
        for task, name in list(self._tasks.items()):
            if name in ("keyring", "wakeups", "beats", "meters", "watchman"):  # these go on for good
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(LAST_WORD):
                await self._acks.keep(self._store.tally.keep_acks)

    async def _healthz(self, _request: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    async def _readyz(self, _request: Request) -> JSONResponse:
        problems = []
        try:
            with suppress(NewerSchema):  # brought ahead under us, as in an upgrade: we take deliveries as before
                await self._store.check()
            if not await self._has_worker():
                problems.append("worker")
        except ReceiverError:
            problems.append("store")
        if self._inbox.clock_watch.skew is not None:
            problems.append("clock")
        ready = "store" not in problems
        status = "ok" if not problems else "degraded" if ready else "unavailable"
        return JSONResponse({"status": status, "problems": problems}, status_code=200 if ready else 503)

    async def _has_worker(self) -> bool:
        """Whether ours lives; without one of ours, whether any has reported lately, or still has time for it."""
        if self._dispatch:
            return self._supervisor.alive
        if self._clock() - self._opened_at <= THERE:
            return True
        silence = await self._store.handlers.silence()
        return silence is not None and silence <= THERE
