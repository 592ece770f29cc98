"""Hand events to a message broker: NATS, RabbitMQ, Kafka or Redis.

    [[handlers]]
    use = "publish"
    on = "job.*"
    url = { env = "BROKER_URL" }     # or "nats://127.0.0.1:4222", if it needs no password
    to = "media.{source}.{kind}"
    stream = "MEDIA"                 # NATS only: the JetStream that takes it

A run is done when the broker has confirmed that it has the message; while the broker is away, runs wait and try
again. The message is the event as JSON, under the event's id, so that a message that comes twice can be told:

| `url` | extra | `to` is | confirmed by | the id is |
| --- | --- | --- | --- | --- |
| `nats://`, `tls://` | `nats` | the subject | JetStream's answer | `Nats-Msg-Id`, by which JetStream drops copies |
| `amqp://`, `amqps://` | `rabbit` | the routing key, else the queue | the confirm, once a queue has it | `message_id` |
| `kafka://`, `kafka+ssl://` | `kafka` | the topic | all replicas in sync | the header `id`; the key is the job |
| `redis://`, `rediss://` | `redis` | the stream | the answer to `XADD` | the field `id`; the event is in `__data__` |

Queues, exchanges and JetStreams are yours: they are not made here. Streams of Redis are, and nothing is trimmed from
them. RabbitMQ is asked to keep messages on its disk; what the others keep is up to their configuration.

It is tested with real servers of NATS, RabbitMQ and Redis, killed in the middle of publishing; with Kafka only by
FastStream's test broker, which never leaves this process.

Where traces are made, the message carries its own on: in the header, or for Redis the field, `traceparent`.

The message has the URLs of outputs, which are signed and open to whoever reads it.
"""

import asyncio
import importlib
import importlib.util
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, Field, SecretStr, field_validator, model_validator
from pydantic.functional_validators import BeforeValidator

from receiver import Context, Event, GiveUp, Retry, Secret, configurable

from ._template import check, fill

#: Sends an event as it is told: where to, its JSON, the event, and headers that carry its trace on.
Send = Callable[[str, bytes, Event, Mapping[str, str]], Awaitable[None]]

#: Seconds for connecting, and again for a message until it is confirmed.
_PATIENCE = 10.0

#: The extra of this package that each scheme needs, and the module that comes with it.
_EXTRAS = {
    "nats": ("nats", "nats"),
    "tls": ("nats", "nats"),
    "amqp": ("rabbit", "aio_pika"),
    "amqps": ("rabbit", "aio_pika"),
    "kafka": ("kafka", "aiokafka"),
    "kafka+ssl": ("kafka", "aiokafka"),
    "redis": ("redis", "redis"),
    "rediss": ("redis", "redis"),
}

#: What `to` may name.
_NAMES = ("source", "type", "kind")


def _open_text(value: object) -> object:
    """A URL may stand in the file if it has nothing to hide; `Secret` refuses other texts."""
    return SecretStr(value) if isinstance(value, str) and "@" not in value else value


class Publish(BaseModel):
    """Where to publish."""

    url: Annotated[Secret, BeforeValidator(_open_text)] = Field(
        description="The broker; without a password in it, it may stand in the file."
    )
    to: str = Field(
        description="Where to, with `{source}`, `{type}` and `{kind}` in it; the latter is `other` where no job ends."
    )
    stream: str | None = Field(None, description="NATS only, and needed there: the JetStream that takes it.")
    exchange: str | None = Field(None, description="RabbitMQ only: the exchange; it must be there.")

    @field_validator("url")
    @classmethod
    def _is_installed(cls, url: SecretStr) -> SecretStr:
        scheme = _scheme(url)
        if scheme not in _EXTRAS:
            raise ValueError(f"it starts with one of {', '.join(f'{known}://' for known in _EXTRAS)}")
        extra, module = _EXTRAS[scheme]
        if not all(importlib.util.find_spec(needed) for needed in ("faststream", module)):
            raise ValueError(f"{scheme}:// needs the extra {extra}: pip install 'media-receiver[{extra}]'")
        return url

    @field_validator("to")
    @classmethod
    def _is_template(cls, to: str) -> str:
        check(to, _NAMES)
        return to

    @model_validator(mode="after")
    def _fits(self) -> "Publish":
        extra, _ = _EXTRAS[_scheme(self.url)]
        if (extra == "nats") != (self.stream is not None):
            raise ValueError("stream is for NATS, and NATS needs it: only a JetStream confirms messages")
        if self.exchange is not None and extra != "rabbit":
            raise ValueError("exchange is for RabbitMQ")
        return self


@configurable(timeout=30, concurrency=32)
def publish(options: Publish) -> Callable[[Event, Context], Awaitable[None]]:
    """Publish each event; the run is done when the broker confirms it. The connection is one per worker."""
    extra, _ = _EXTRAS[_scheme(options.url)]
    host = urlsplit(options.url.get_secret_value()).hostname
    importlib.import_module(f"faststream.{extra}")  # now, as it takes a second in which no other handler would run

    def connection() -> AbstractAsyncContextManager[Send]:
        return _BROKERS[extra](options)

    async def handle(event: Event, context: Context) -> None:
        to = fill(options.to, {name: _word(getattr(event, name) or "other") for name in _NAMES})
        body = json.dumps(event.as_json(), separators=(",", ":")).encode()
        try:
            async with asyncio.timeout(_PATIENCE):
                send = await context.shared(connection)
            with context.traced(extra, host=host) as trace:
                async with asyncio.timeout(_PATIENCE):
                    await send(to, body, event, trace)
        except (Retry, GiveUp):
            raise
        except TimeoutError:
            raise Retry(f"{extra}: no answer came in time") from None
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) and task.cancelling():
                raise
            # A client that lost its connection cancels what waits for an answer.
            raise Retry(f"{extra}: the connection was lost") from None
        except Exception as error:  # noqa: BLE001 - four libraries, each with errors of its own; all may pass
            raise Retry(f"{extra}: {_told(error, options.url)}") from None

    return handle


@asynccontextmanager
async def _nats(options: Publish) -> AsyncIterator[Send]:
    from faststream.nats import NatsBroker
    from nats.errors import MaxPayloadError, OutboundBufferLimitError
    from nats.js.errors import NoStreamResponseError

    # It reconnects for as long as it takes, and buffers nothing: what was not sent is tried again by its run.
    broker = NatsBroker(
        options.url.get_secret_value(), logger=None, max_reconnect_attempts=-1, reconnect_time_wait=1, pending_size=-1
    )

    async def send(subject: str, body: bytes, event: Event, trace: Mapping[str, str]) -> None:
        headers = {"Nats-Msg-Id": event.id, "content-type": "application/json", **trace}
        try:
            await broker.publish(body, subject, headers=headers, stream=options.stream, correlation_id=event.id)
        except OutboundBufferLimitError:
            raise Retry("nats: the connection was lost, and is not there again yet") from None
        except NoStreamResponseError:
            raise Retry(f"nats: no JetStream takes the subject {subject}") from None
        except MaxPayloadError:
            raise GiveUp(f"nats: the event has {len(body)} bytes, more than the server's max_payload") from None

    async with broker:
        yield send


@asynccontextmanager
async def _rabbit(options: Publish) -> AsyncIterator[Send]:
    from aio_pika.exceptions import PublishError
    from faststream.rabbit import Channel, RabbitBroker, RabbitExchange

    broker = RabbitBroker(
        options.url.get_secret_value(),
        logger=None,
        default_channel=Channel(publisher_confirms=True, on_return_raises=True),
        reconnect_interval=1,
    )
    exchange = RabbitExchange(options.exchange, declare=False) if options.exchange else None

    async def send(key: str, body: bytes, event: Event, trace: Mapping[str, str]) -> None:
        try:
            await broker.publish(
                body,
                exchange=exchange,
                routing_key=key,
                mandatory=True,
                persist=True,
                message_id=event.id,
                correlation_id=event.id,
                message_type=event.type[:255],
                headers=dict(trace),
                content_type="application/json",
                timeout=_PATIENCE,
            )
        except PublishError:
            raise Retry(f"rabbit: no queue takes the routing key {key}") from None

    async with broker:
        yield send


@asynccontextmanager
async def _kafka(options: Publish) -> AsyncIterator[Send]:
    async with kafka_broker(options.url) as broker:
        yield kafka_send(broker)


def kafka_broker(url: SecretStr) -> Any:
    """Return FastStream's broker for `kafka://[USER:PASSWORD@]HOST[:PORT],…`, not connected yet."""
    import ssl

    from faststream.kafka import KafkaBroker
    from faststream.security import BaseSecurity, SASLPlaintext

    parts = urlsplit(url.get_secret_value())
    credentials, _, hosts = parts.netloc.rpartition("@")
    tls = ssl.create_default_context() if parts.scheme == "kafka+ssl" else None
    user, _, password = map(unquote, credentials.partition(":"))
    security = (
        SASLPlaintext(user, password, ssl_context=tls, use_ssl=tls is not None)
        if credentials
        else BaseSecurity(ssl_context=tls, use_ssl=tls is not None)
    )
    return KafkaBroker(
        [host if ":" in host else f"{host}:9092" for host in hosts.split(",")],
        security=security,
        logger=None,
        acks="all",
        enable_idempotence=True,
    )


def kafka_send(broker: Any) -> Send:
    """Return what sends over a broker of FastStream's."""
    from aiokafka.errors import MessageSizeTooLargeError

    async def send(topic: str, body: bytes, event: Event, trace: Mapping[str, str]) -> None:
        try:
            await broker.publish(
                body,
                topic,
                key=(event.job_id or event.id).encode(),  # one partition for what belongs together
                headers={"id": event.id, "type": event.type, "content-type": "application/json", **trace},
                correlation_id=event.id,
            )
        except MessageSizeTooLargeError:
            raise GiveUp(f"kafka: the event has {len(body)} bytes, more than the topic takes") from None

    return send


@asynccontextmanager
async def _redis(options: Publish) -> AsyncIterator[Send]:
    from faststream.redis import RedisBroker
    from redis.asyncio.retry import Retry as AgainNever
    from redis.backoff import NoBackoff

    # Its client would wait for seconds and send again by itself: that is what runs are for.
    once = AgainNever(NoBackoff(), 0)
    broker = RedisBroker(options.url.get_secret_value(), logger=None, retry=once)  # type: ignore[arg-type]

    async def send(stream: str, body: bytes, event: Event, trace: Mapping[str, str]) -> None:
        # Fields that any client can read; `__data__` is where FastStream's subscribers look.
        fields: dict[Any, Any] = {"id": event.id, "source": event.source, "type": event.type, "__data__": body, **trace}
        await client.xadd(stream, fields)

    async with broker:
        client = await broker.connect()
        yield send


_BROKERS: Mapping[str, Callable[[Publish], AbstractAsyncContextManager[Send]]] = {
    "nats": _nats,
    "rabbit": _rabbit,
    "kafka": _kafka,
    "redis": _redis,
}


def _scheme(url: SecretStr) -> str:
    return url.get_secret_value().partition("://")[0].lower()


def _word(text: str) -> str:
    """Return a stranger's text as part of a subject: letters, digits, `-`, `_`, and single dots between them."""
    return ".".join(filter(None, re.sub(r"[^A-Za-z0-9_.-]+", "-", text[:200]).split("."))) or "other"


def _told(error: Exception, url: SecretStr) -> str:
    """Return an error of a library without what stands before the host in the URL."""
    text = f"{type(error).__name__}: {error}"
    for hidden in re.split("[:@]", urlsplit(url.get_secret_value()).netloc.rpartition("@")[0]):
        if hidden:
            text = text.replace(hidden, "***").replace(unquote(hidden), "***")
    return text
