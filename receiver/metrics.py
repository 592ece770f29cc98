"""`GET /metrics` for Prometheus, read from the store at each scrape: right with any number of processes."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from . import access
from .errors import NoAccess, Unavailable
from .store import Left, Store


class Metrics:
    """The route of the metrics. It needs `Authorization: Bearer $RECEIVER_ADMIN_TOKEN`."""

    def __init__(self, *, store: Store, token: SecretStr | None) -> None:
        self._store = store
        self._token = token

    def routes(self) -> list[Route]:
        """Return everything that is answered."""
        return [Route("/metrics", self._scrape)]

    async def _scrape(self, request: Request) -> Response:
        try:
            access.check(request, self._token)
            left = await self._store.backlog.left()
        except NoAccess as refused:
            return PlainTextResponse(f"{refused}\n", refused.status, refused.headers)
        except Unavailable as error:
            return PlainTextResponse("the store does not answer\n", 503, {"retry-after": str(error.retry_after)})
        return Response(exposed(left), media_type=CONTENT_TYPE_PLAIN_0_0_4)


def exposed(left: Left) -> bytes:
    """Return what is left to do in Prometheus's text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once(left))
    return generate_latest(registry)


class _Once(Collector):
    def __init__(self, left: Left) -> None:
        self._left = left

    def collect(self) -> Iterator[Metric]:
        left = self._left
        age = max([left.event_age, *(since for _, since in left.waiting.values())])
        yield GaugeMetricFamily("receiver_backlog_age_seconds", "For how long the oldest work has been due.", age)
        runs = GaugeMetricFamily("receiver_waiting_runs", "Runs that wait, retries included.", labels=["handler"])
        due = GaugeMetricFamily(
            "receiver_oldest_waiting_run_seconds", "For how long the first run has been due.", labels=["handler"]
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
