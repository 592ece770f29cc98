"""Traces by OpenTelemetry: one for each delivery, through the runs of its event, to the calls their handlers make.

Only with the extra `otel` and RECEIVER_OTLP_URL; without them nothing of it is imported and nothing is done.
"""

import asyncio
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import httpx
import structlog

from .errors import ConfigError
from .settings import Settings

Headers = Sequence[tuple[bytes, bytes]]

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


class Tracing:
    """Makes the spans of a process, and sends them off.

    No span has a URL's path or query, a header, a body, or an exception's text: any of these may hold a secret.
    """

    def __init__(self, exporter: Any, *, at_once: bool = False) -> None:
        from opentelemetry import trace
        from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

        resource = Resource.create({SERVICE_NAME: "media-receiver"}).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor((SimpleSpanProcessor if at_once else BatchSpanProcessor)(exporter))
        self._trace = trace
        self._tracer = self._provider.get_tracer("receiver")

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """Return what sends traces where the settings say, None if they do not.

        Raises ConfigError if the extra is missing.
        """
        if settings.otlp_url is None:
            return None
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            return cls(OTLPSpanExporter(endpoint=settings.otlp_url))
        except ImportError:
            raise ConfigError(
                "RECEIVER_OTLP_URL needs the extra otel: pip install 'media-receiver[otel]', or unset it"
            ) from None

    async def close(self) -> None:
        """Send off what is left."""
        await asyncio.to_thread(self._provider.shutdown)

    @contextmanager
    def delivery(self, source: str, headers: Headers) -> Iterator[None]:
        """Be within the span of one delivery. What its sender says of a trace of its own becomes a link, no more."""
        theirs = next((value.decode("latin-1") for name, value in headers if name == b"traceparent"), None)
        named = self._context(theirs)
        links = [self._trace.Link(named)] if named else []
        kind = self._trace.SpanKind.SERVER
        attributes = {"receiver.source": source}
        # Never within what happens to be current: a delivery begins a trace.
        with self._within("delivery", kind, attributes, links=links, parent=self._trace.INVALID_SPAN):
            yield

    @contextmanager
    def run(self, trace: str | None, **about: Any) -> Iterator[None]:
        """Be within the span of one attempt of a run, in the trace that its event is stored with."""
        named = self._context(trace)
        parent = self._trace.NonRecordingSpan(named) if named else self._trace.INVALID_SPAN
        attributes = {f"receiver.{name}": value for name, value in about.items() if value is not None}
        with (
            self._within("run", self._trace.SpanKind.CONSUMER, attributes, parent=parent) as span,
            structlog.contextvars.bound_contextvars(trace_id=f"{span.get_span_context().trace_id:032x}"),
        ):
            yield

    @contextmanager
    def job(self, trace: str | None, **about: str | None) -> Iterator[None]:
        """Be within the span of one look at a job, in the trace of the run that submitted it; without it, in none."""
        named = self._context(trace)
        if named is None:
            yield
            return
        attributes = {f"receiver.{name}": value for name, value in about.items() if value is not None}
        parent = self._trace.NonRecordingSpan(named)
        with self._within("job", self._trace.SpanKind.CONSUMER, attributes, parent=parent):
            yield

    def tell(self, *, wrong: str | None = None, **about: Any) -> None:
        """Say more about the current span; `wrong` is a short word for why it did not end well."""
        span = self._trace.get_current_span()
        span.set_attributes({f"receiver.{name}": value for name, value in about.items() if value is not None})
        if wrong:
            span.set_status(self._trace.StatusCode.ERROR, wrong)

    @contextmanager
    def outgoing(self, name: str, host: str | None = None) -> Iterator[dict[str, str]]:
        """Be within the span of a call that is made by other means; yield the headers that carry the trace on."""
        attributes = {"server.address": host} if host else {}
        with self._within(name, self._trace.SpanKind.CLIENT, attributes):
            yield {"traceparent": self.here() or ""}

    def here(self) -> str | None:
        """Return the current span as it is stored with an event: a `traceparent`, as W3C has it; None without one."""
        context = self._trace.get_current_span().get_span_context()
        if not context.is_valid:
            return None
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    def around(self, transport: httpx.AsyncBaseTransport) -> httpx.AsyncBaseTransport:
        """Return a transport that makes a span of each call that is made within another one."""
        return _Calls(self, transport)

    @contextmanager
    def call(self, request: httpx.Request) -> Iterator[Any]:
        """Be within the span of an outgoing call; yield it, None if it belongs to no trace."""
        if not self._trace.get_current_span().get_span_context().is_valid:
            yield None
            return
        attributes = {"http.request.method": request.method, "server.address": request.url.host}
        with self._within(request.method, self._trace.SpanKind.CLIENT, attributes) as span:
            request.headers["traceparent"] = self.here() or ""
            yield span

    @contextmanager
    def _within(
        self, name: str, kind: Any, attributes: dict[str, Any], *, links: Sequence[Any] = (), parent: Any = None
    ) -> Iterator[Any]:
        context = None if parent is None else self._trace.set_span_in_context(parent)
        with self._tracer.start_as_current_span(
            name,
            context=context,
            kind=kind,
            attributes=attributes,
            links=links,
            record_exception=False,  # their texts may hold what must not be told
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except Exception as error:
                span.set_status(self._trace.StatusCode.ERROR, type(error).__name__)
                raise

    def _context(self, text: str | None) -> Any:
        found = _TRACEPARENT.fullmatch(text or "")
        if not found:
            return None
        trace_id, span_id, flags = (int(part, 16) for part in found.groups())
        context = self._trace.SpanContext(trace_id, span_id, is_remote=True, trace_flags=self._trace.TraceFlags(flags))
        return context if context.is_valid else None


class _Calls(httpx.AsyncBaseTransport):
    """Calls within spans."""

    def __init__(self, tracing: Tracing, transport: httpx.AsyncBaseTransport) -> None:
        self._tracing = tracing
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        with self._tracing.call(request) as span:
            answer = await self._transport.handle_async_request(request)
            if span is not None:
                span.set_attribute("http.response.status_code", answer.status_code)
                if answer.status_code >= 400:
                    self._tracing.tell(wrong=str(answer.status_code))
            return answer

    async def aclose(self) -> None:
        await self._transport.aclose()
