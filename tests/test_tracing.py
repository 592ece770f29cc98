"""One trace from a delivery through its runs to the calls of their handlers, and nothing without the extra."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.trace import StatusCode

from receiver import Retry
from receiver.app import Door
from receiver.emulator import Knobs, create_emulator
from receiver.errors import ConfigError
from receiver.outbound import create_client
from receiver.registry import find_sources
from receiver.settings import Settings
from receiver.sources import Submission
from receiver.store import NewJob, Store
from receiver.tracing import Tracing
from receiver.tracker import Tracker

from .conftest import SECRET
from .store.conftest import arrival  # noqa: F401 - a fixture
from .studio import ASKED, Studio, answer
from .test_dispatcher import dispatching, mark, until
from .test_inbox import signed

THEIRS = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@contextmanager
def listening(handle) -> Iterator[str]:
    """A server on loopback; `handle` is given each request's headers and body, and returns the status."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(handle(self.headers, body))
            self.send_header("content-length", "0")
            self.end_headers()

        do_GET = do_POST  # noqa: N815 - http.server calls it

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@asynccontextmanager
async def door_at(database_url, clock, tracing):
    door = Door(Settings(database_url=database_url), dispatch=False, clock=clock, tracing=tracing)
    async with (
        door.open(),
        httpx.AsyncClient(transport=httpx.ASGITransport(door.app), base_url="http://receiver") as client,
    ):
        yield client


@asynccontextmanager
async def opened(database_url, clock):
    store = Store(database_url, clock=clock)
    yield store
    await store.close()


async def send(client, body, headers, source="videogen"):
    return await client.post(f"/webhooks/{source}", content=body, headers=headers)


async def test_one_trace_leads_from_the_delivery_through_the_run_to_the_call(
    database_url, clock, monkeypatch, sample, spans
):
    monkeypatch.setenv("VIDEOGEN_WEBHOOK_SECRET", SECRET)
    body = sample("tool_execution.succeeded")
    got = []

    def handle(headers, _body):
        got.append(headers["traceparent"])
        return 204

    with listening(handle) as url:

        async def call(event, context):
            await http.get(f"{url}/path?X-Signature=hunter2")

        def in_a_thread(event, context):
            spans.tracing.tell(thread="here")

        async with (
            door_at(database_url, clock, spans.tracing) as client,
            opened(database_url, clock) as store,
            create_client(allow=["127.0.0.1"], around=spans.tracing.around) as http,
        ):
            headers = signed(body, clock) | {"traceparent": THEIRS}
            event_id = (await send(client, body, headers)).json()["event"]
            handlers = (mark(call), mark(in_a_thread))
            async with dispatching(store, clock, *handlers, tracing=spans.tracing):
                await until(store, "done", 2)

    [delivery], [outgoing] = spans.named("delivery"), spans.named("GET")
    runs = {span.attributes["receiver.handler"]: span for span in spans.named("run")}
    assert len({span.context.trace_id for span in spans}) == 1
    assert delivery.parent is None
    assert [f"{link.context.trace_id:032x}" for link in delivery.links] == [THEIRS[3:35]]
    assert f"{delivery.context.trace_id:032x}" != THEIRS[3:35]
    assert runs["call"].parent.span_id == delivery.context.span_id
    assert outgoing.parent.span_id == runs["call"].context.span_id
    [carried] = got
    assert carried.startswith(f"00-{outgoing.context.trace_id:032x}-{outgoing.context.span_id:016x}-")
    assert int(carried[-2:], 16) & 1  # sampled
    assert delivery.attributes["receiver.event_id"] == runs["call"].attributes["receiver.event_id"] == event_id
    assert outgoing.attributes["http.response.status_code"] == 204
    assert runs["in_a_thread"].attributes["receiver.thread"] == "here"
    assert "hunter2" not in "".join(span.to_json() for span in spans)


async def test_calls_to_a_provider_belong_to_the_trace_of_the_run_that_submitted_the_job(
    database_url, clock, monkeypatch, sample, spans
):
    monkeypatch.setenv("VIDEOGEN_WEBHOOK_SECRET", SECRET)
    body, provider = sample("tool_execution.succeeded"), create_emulator(Knobs(seconds=3600))
    carried = []

    async def submits(event, context):
        await context.submit("finevoice", "sfx-generation", prompt="la", duration=1)

    async def noted(scope, receive, send):
        carried.append(dict(scope["headers"]).get(b"traceparent"))
        await provider(scope, receive, send)

    settings = Settings(providers={"finevoice": {"api_key": "k", "base_url": "http://emulator"}})
    async with (
        door_at(database_url, clock, spans.tracing) as client,
        opened(database_url, clock) as store,
        provider.router.lifespan_context(provider),
        httpx.AsyncClient(transport=spans.tracing.around(httpx.ASGITransport(noted))) as http,
    ):
        await send(client, body, signed(body, clock))
        async with dispatching(store, clock, mark(submits), tracing=spans.tracing):
            await until(store, "done")
        await store.jobs.track(NewJob(source="finevoice", tool="sfx-generation", job_id="made-by-others"))
        tracker = Tracker(
            store=store, sources=find_sources(), settings=settings, http=http, worker="w1", tracing=spans.tracing
        )
        task = asyncio.create_task(tracker.run())
        async with asyncio.timeout(20):
            while len(carried) < 2 or {job.state for job in await store.jobs.recent()} & {"waiting", "sending"}:
                await asyncio.sleep(0)
        tracker.stop()
        await task

    # It may have been asked about already, after it was submitted.
    [delivery], [run], [job, *_], [call, *_] = (spans.named(name) for name in ("delivery", "run", "job", "POST"))
    assert {span.context.trace_id for span in spans} == {delivery.context.trace_id}
    assert job.parent.span_id == run.context.span_id
    assert call.parent.span_id == job.context.span_id
    assert job.attributes["receiver.run_id"] == run.attributes["receiver.run_id"]
    # What nobody submitted here is asked about in no trace.
    assert None in carried
    assert next(filter(None, carried)).startswith(
        f"00-{call.context.trace_id:032x}-{call.context.span_id:016x}-".encode()
    )


@pytest.mark.parametrize("trace", [THEIRS, None])
async def test_an_event_that_was_asked_for_belongs_to_the_trace_of_its_job(store, clock, spans, trace):
    studio = Studio()
    studio.always = {"submit": Submission(job_id="s1"), "ask": answer("s1", "succeeded")}
    await store.jobs.add(NewJob(source="studio", tool=ASKED.type, parameters={"prompt": "la"}, trace=trace))
    settings = Settings(providers={"studio": {"api_key": "key"}})
    tracker = Tracker(
        store=store, sources={"studio": studio}, settings=settings, http=None, worker="w1", tracing=spans.tracing
    )
    async with asyncio.timeout(20):
        while not await store.events.recent():
            await tracker._turn()
            clock.turn(60)
            await asyncio.sleep(0)

    async def fine(event, context):
        pass

    async with dispatching(store, clock, mark(fine), tracing=spans.tracing):
        await until(store, "done")
    [run] = spans.named("run")
    if trace is None:
        assert run.parent is None
    else:
        assert run.parent.span_id in {span.context.span_id for span in spans.named("job")}
        assert f"{run.context.trace_id:032x}" == THEIRS[3:35]


async def test_what_fails_is_told_without_its_text(database_url, clock, monkeypatch, sample, spans):
    monkeypatch.setenv("VIDEOGEN_WEBHOOK_SECRET", SECRET)
    body = sample("tool_execution.succeeded")

    async def fails(event, context):
        raise ValueError("hunter2")

    async def waits(event, context):
        raise Retry("hunter2", after=60)

    async with door_at(database_url, clock, spans.tracing) as client, opened(database_url, clock) as store:
        assert (await send(client, body, signed(body, clock) | {"webhook-signature": "v1,hunter2"})).status_code == 401
        await send(client, body, signed(body, clock) | {"traceparent": "00-not-one"})
        async with dispatching(store, clock, mark(fails, retries=0), mark(waits), tracing=spans.tracing):
            await until(store, "failed")
            await until(store, "waiting")
    refused, stored = spans.named("delivery")
    assert (refused.status.status_code, refused.status.description) == (StatusCode.ERROR, "wrong-signature")
    assert stored.links == ()
    outcomes = {span.attributes["receiver.outcome"]: span.status.status_code for span in spans.named("run")}
    assert outcomes == {"failed": StatusCode.ERROR, "retry": StatusCode.ERROR}
    assert "hunter2" not in "".join(span.to_json() for span in spans)


async def test_an_event_that_came_without_a_trace_begins_one_at_its_run(store, clock, arrival, spans):  # noqa: F811
    await store.events.add([arrival(1)])

    async def fine(event, context):
        pass

    async with dispatching(store, clock, mark(fine), tracing=spans.tracing):
        await until(store, "done")
    [run] = spans.named("run")
    assert run.parent is None


async def test_calls_outside_of_a_trace_are_no_spans(spans):
    got = []

    def handle(headers, _body):
        got.append(headers["traceparent"])
        return 200

    with listening(handle) as url:
        async with create_client(allow=["127.0.0.1"], around=spans.tracing.around) as http:
            await http.get(url)
    assert got == [None]
    assert list(spans) == []


async def test_spans_arrive_at_a_collector_over_http(sqlite_url, clock, monkeypatch, sample):
    monkeypatch.setenv("VIDEOGEN_WEBHOOK_SECRET", SECRET)
    got = []

    def handle(headers, body):
        got.append((headers["content-type"], ExportTraceServiceRequest.FromString(body)))
        return 200

    body = sample("tool_execution.succeeded")
    with listening(handle) as url:
        settings = Settings(database_url=sqlite_url, otlp_url=f"{url}/v1/traces")
        door = Door(settings, dispatch=False, clock=clock)
        async with (
            door.open(),
            httpx.AsyncClient(transport=httpx.ASGITransport(door.app), base_url="http://receiver") as client,
        ):
            assert (await send(client, body, signed(body, clock))).status_code == 200
    [(kind, told)] = got
    assert kind == "application/x-protobuf"
    [resource] = told.resource_spans
    assert {"media-receiver"} == {
        pair.value.string_value for pair in resource.resource.attributes if pair.key == "service.name"
    }
    assert [span.name for span in resource.scope_spans[0].spans] == ["delivery"]


def test_without_the_extra_the_setting_is_refused_with_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ConfigError, match=r"RECEIVER_OTLP_URL needs the extra otel"):
        Tracing.of(Settings(otlp_url="http://127.0.0.1:4318/v1/traces"))


def test_without_the_setting_nothing_of_it_is_imported():
    code = (
        "import sys, receiver.app, receiver.worker, receiver.settings\n"
        "receiver.app.Door(receiver.settings.Settings(database_url='sqlite:///r.db'))\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"
