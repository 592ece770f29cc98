"""`GET /metrics` for Prometheus: what is left to do, read from the store, and what the processes here have counted.

What is left is right with any number of processes. What is counted is that of this process and of the worker it
supervises; a worker on another machine tells its own, on a port of its own.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from itertools import accumulate

import structlog
from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from . import access, meters
from .errors import ConfigError, NoAccess, Unavailable
from .settings import Settings
from .store import Left, Store

log = structlog.get_logger(__name__)

#: Seconds that a scrape of the own port waits for the store.
PATIENCE = 10.0


class Metrics:
    """The route of the metrics. It needs `Authorization: Bearer $RECEIVER_ADMIN_TOKEN`."""

    def __init__(
        self, *, store: Store, token: SecretStr | None, tries: access.Tries, counted: Callable[[], meters.Counted]
    ) -> None:
        self._store = store
        self._token = token
        self._tries = tries
        self._counted = counted

    def routes(self) -> list[Route]:
        """Return everything that is answered."""
        return [Route("/metrics", self._scrape)]

    async def families(self) -> list[Metric]:
        """Return all that is told. A store that does not answer is told too: the counters are wanted then."""
        found = families(self._counted())
        try:
            left = await self._store.backlog.left()
        except Unavailable as error:
            log.error("store_unavailable", error=str(error))
            return [_up(0), *found]
        return [_up(1), *_left(left), *found]

    async def _scrape(self, request: Request) -> Response:
        try:
            access.check(request, self._token, self._tries)
        except NoAccess as refused:
            return PlainTextResponse(f"{refused}\n", refused.status, refused.headers)
        return Response(exposed(await self.families()), media_type=CONTENT_TYPE_PLAIN_0_0_4)


def exposed(found: Iterable[Metric]) -> bytes:
    """Return metrics in Prometheus's text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Told(lambda: found))
    return generate_latest(registry)


@asynccontextmanager
async def own_port(settings: Settings, look: Callable[[], Awaitable[Iterable[Metric]]]) -> AsyncIterator[None]:
    """Answer scrapes on `RECEIVER_METRICS_PORT`, if that is set, until this is left.

    Raises ConfigError if the port cannot be had.
    """
    if settings.metrics_port is None:
        yield
        return
    loop = asyncio.get_running_loop()

    async def looked() -> Iterable[Metric]:
        return await look()

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Told(lambda: asyncio.run_coroutine_threadsafe(looked(), loop).result(PATIENCE)))
    try:
        server, thread = start_http_server(settings.metrics_port, settings.metrics_host, registry)
    except OSError as error:
        place = f"{settings.metrics_host}:{settings.metrics_port}"
        raise ConfigError(
            f"the metrics cannot listen on {place}: {error.strerror}; set RECEIVER_METRICS_PORT to a free port"
        ) from None
    try:
        yield
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        await asyncio.to_thread(thread.join)


class _Told(Collector):
    def __init__(self, look: Callable[[], Iterable[Metric]]) -> None:
        self._look = look

    def collect(self) -> Iterator[Metric]:
        yield from self._look()


def families(counted: meters.Counted) -> list[Metric]:
    """Return what processes have counted as Prometheus's library has it."""
    return [_family(meter, counted.get(meter.name, {})) for meter in meters.ALL]


def _family(meter: meters.Counts | meters.Spread, rows: meters.Rows) -> Metric:
    if isinstance(meter, meters.Counts):
        counter = CounterMetricFamily(meter.name, meter.meaning, labels=meter.labels)
        for labels, (count,) in rows.items():
            counter.add_metric(labels, count)
        return counter
    histogram = HistogramMetricFamily(meter.name, meter.meaning, labels=meter.labels)
    bounds = [*(str(float(bound)) for bound in meter.bounds), "+Inf"]
    for labels, row in rows.items():
        buckets = list(zip(bounds, accumulate(row[:-1]), strict=True))
        histogram.add_metric(labels, buckets, sum_value=row[-1])
    return histogram


def _up(up: int) -> Metric:
    return GaugeMetricFamily("receiver_store_up", "Whether the store answers.", up)


def _left(left: Left) -> Iterator[Metric]:
    age = max([left.event_age, *(since for _, since in left.waiting.values())])
    yield GaugeMetricFamily("receiver_backlog_age_seconds", "For how long the oldest work has been due.", age)
    runs = GaugeMetricFamily("receiver_waiting_runs", "Runs that wait, retries included.", labels=["handler"])
    due = GaugeMetricFamily(
        "receiver_oldest_waiting_run_seconds",
        "For how long the first run has been due; 0 while the handler is paused.",
        labels=["handler"],
    )
    for handler, (count, since) in left.waiting.items():
        runs.add_metric([handler], count)
        due.add_metric([handler], since)
    yield runs
    yield due
    yield GaugeMetricFamily("receiver_running_runs", "Runs that workers hold.", left.running)
    jobs = GaugeMetricFamily("receiver_open_jobs", "Jobs that have not ended.", labels=["source", "state"])
    for (source, state), count in left.open_jobs.items():
        jobs.add_metric([source, state], count)
    yield jobs
    expiring = GaugeMetricFamily(
        "receiver_expiring_runs",
        "Runs that did not capture outputs whose URLs expire within 15 minutes, or did lately.",
        labels=["handler"],
    )
    for handler, count in left.expiring.items():
        expiring.add_metric([handler], count)
    yield expiring
    recovered = GaugeMetricFamily(
        "receiver_recovered_events", "Stored events whose webhook did not come.", labels=["source"]
    )
    for source, count in left.recovered.items():
        recovered.add_metric([source], count)
    yield recovered
    alarms = GaugeMetricFamily("receiver_alarms", "Alarms that are on.", labels=["watch", "about"])
    for watch, about in left.alarms:
        alarms.add_metric([watch, about], 1)
    yield alarms
