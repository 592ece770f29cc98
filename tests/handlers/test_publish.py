"""Events reach real brokers, and a run is done only when the broker has its message."""

import asyncio
import contextlib
import gc
import json
import tempfile
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from handlers import publish as module
from handlers.publish import Publish, publish
from receiver import GiveUp, Retry
from receiver.config import Config
from receiver.errors import ConfigError
from receiver.registry import _options, find_handlers

from .. import brokers

Make = Callable[..., Any]
TO = "media.{source}.{kind}"


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not pytest's own: a server that is killed late may still write there.
    with tempfile.TemporaryDirectory(prefix="broker", ignore_cleanup_errors=True) as name:
        yield Path(name)


# NATS


@pytest.fixture
def nats_server(folder: Path) -> Iterator[brokers.Broker]:
    server = brokers.nats(folder).start()
    yield server
    server.kill()


@asynccontextmanager
async def jetstream(server: brokers.Broker) -> AsyncIterator[Any]:
    import nats

    client = await nats.connect(f"nats://127.0.0.1:{server.port}")
    yield client.jetstream()
    await client.close()


def to_nats(server: brokers.Broker, **changes: Any) -> Any:
    return publish(Publish(**{"url": f"nats://127.0.0.1:{server.port}", "to": TO, "stream": "MEDIA"} | changes))


async def test_nats_has_the_event_as_json_and_one_copy_of_it_however_often_it_is_told(
    nats_server: brokers.Broker, event: Make, context: Make
) -> None:
    async with jetstream(nats_server) as stream:
        await stream.add_stream(name="MEDIA", subjects=["media.>"])
        handle = to_nats(nats_server)
        await handle(event(metadata={"order": 42}), context())
        await handle(event(metadata={"order": 42}), context(attempt=2))
        [message] = await (await stream.pull_subscribe("media.>")).fetch(2, timeout=0.2)
        assert message.subject == "media.videogen.job.succeeded"
        assert message.headers["Nats-Msg-Id"] == "evt_1"
        assert json.loads(message.data)["metadata"] == {"order": 42}
        assert (await stream.stream_info("MEDIA")).state.messages == 1


async def test_a_message_carries_its_trace_on_and_its_span_tells_no_password(
    nats_server: brokers.Broker, event: Make, context: Make, spans: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKER_URL", f"nats://hush:hush@127.0.0.1:{nats_server.port}")
    async with jetstream(nats_server) as stream:
        handle = to_nats(nats_server, url={"env": "BROKER_URL"})
        with spans.tracing.run(None, handler="publish"):
            with pytest.raises(Retry):
                await handle(event(), context(traced=spans.tracing.outgoing))
            await stream.add_stream(name="MEDIA", subjects=["media.>"])
            await handle(event(), context(traced=spans.tracing.outgoing))
        [message] = await (await stream.pull_subscribe("media.>")).fetch(1, timeout=2)
    [run], [refused, taken] = spans.named("run"), spans.named("nats")
    assert taken.parent.span_id == refused.parent.span_id == run.context.span_id
    assert dict(taken.attributes) == {"server.address": "127.0.0.1"}
    assert (refused.status.description, taken.status.description) == ("Retry", None)
    assert message.headers["traceparent"].split("-")[1:3] == [
        f"{run.context.trace_id:032x}",
        f"{taken.context.span_id:016x}",
    ]
    assert "hush" not in "".join(span.to_json() for span in spans)


async def test_what_no_jetstream_takes_is_not_done_and_is_once_one_does(
    nats_server: brokers.Broker, event: Make, context: Make
) -> None:
    handle = to_nats(nats_server)
    with pytest.raises(Retry, match=r"no JetStream takes the subject media\.videogen\.job\.succeeded"):
        await handle(event(), context())
    async with jetstream(nats_server) as stream:
        await stream.add_stream(name="MEDIA", subjects=["media.>"])
        await handle(event(), context())
        assert (await stream.stream_info("MEDIA")).state.messages == 1


async def test_another_jetstream_than_the_one_named_is_told(
    nats_server: brokers.Broker, event: Make, context: Make
) -> None:
    async with jetstream(nats_server) as stream:
        await stream.add_stream(name="OTHER", subjects=["media.>"])
        with pytest.raises(Retry, match="expected stream does not match"):
            await to_nats(nats_server)(event(), context())


async def test_an_event_that_nats_never_takes_is_given_up(
    nats_server: brokers.Broker, event: Make, context: Make
) -> None:
    with pytest.raises(GiveUp, match="max_payload"):
        await to_nats(nats_server)(event(data="x" * 2**20), context())


async def outcomes(handle: Any, events: list[Any], context: Make, *, kill: Callable[[], None]) -> list[Any]:
    """How it went with each event, the broker being killed when the first of them is through."""
    first, slots = asyncio.Event(), asyncio.Semaphore(32)  # as many at once as a worker runs

    async def one(told: Any) -> None:
        async with slots:
            try:
                await handle(told, context())
            finally:
                first.set()

    tasks = [asyncio.create_task(one(told)) for told in events]
    await first.wait()
    kill()
    return await asyncio.gather(*tasks, return_exceptions=True)


def check_outcomes(found: list[Any]) -> None:
    assert found.count(None) >= 1
    assert {type(one) for one in found} == {type(None), Retry}, found


async def test_nats_killed_in_the_middle_has_what_was_done_and_gets_the_rest_once_it_is_back(
    nats_server: brokers.Broker, event: Make, context: Make
) -> None:
    async with jetstream(nats_server) as stream:
        await stream.add_stream(name="MEDIA", subjects=["media.>"])
    handle = to_nats(nats_server)
    events = [event(id=f"evt_{number}", data="x" * 5000) for number in range(300)]
    found = await outcomes(handle, events, context, kill=nats_server.kill)
    check_outcomes(found)
    nats_server.start()
    async with jetstream(nats_server) as stream:
        done = sum(one is None for one in found)
        assert (await stream.stream_info("MEDIA")).state.messages >= done
        left = [told for told, one in zip(events, found, strict=True) if one is not None]
        await eventually(handle, left, context)
        assert (await stream.stream_info("MEDIA")).state.messages == len(events)


async def eventually(handle: Any, events: list[Any], context: Make) -> None:
    """Try until all are done, as a worker does, if not as patiently."""
    slots = asyncio.Semaphore(32)

    async def one(told: Any) -> None:
        async with slots:
            for _ in range(400):
                with contextlib.suppress(Retry):
                    return await handle(told, context())
                await asyncio.sleep(0.05)
            raise AssertionError("it never came back")

    await asyncio.gather(*map(one, events))


# Redis


@pytest.fixture
def redis_server(folder: Path) -> Iterator[brokers.Broker]:
    server = brokers.redis(folder).start()
    yield server
    server.kill()


@asynccontextmanager
async def redis_client(server: brokers.Broker) -> AsyncIterator[Any]:
    import redis.asyncio

    client = redis.asyncio.Redis(port=server.port, decode_responses=True)
    yield client
    await client.aclose()


async def test_redis_has_the_event_in_a_stream_whose_fields_any_client_reads(
    redis_server: brokers.Broker, event: Make, context: Make
) -> None:
    handle = publish(Publish(url=f"redis://127.0.0.1:{redis_server.port}/0", to=TO))
    await handle(event(data={"é": 1}), context())
    async with redis_client(redis_server) as client:
        [(_, fields)] = await client.xrange("media.videogen.job.succeeded")
    assert (fields["id"], fields["source"], fields["type"]) == ("evt_1", "videogen", "tool_execution.succeeded")
    assert json.loads(fields["__data__"])["data"] == {"é": 1}


async def test_a_subscriber_of_faststream_s_gets_the_event_from_the_stream(
    redis_server: brokers.Broker, event: Make, context: Make
) -> None:
    from faststream.redis import RedisBroker, StreamSub

    seen: asyncio.Queue[Any] = asyncio.Queue()
    broker = RedisBroker(f"redis://127.0.0.1:{redis_server.port}")

    @broker.subscriber(stream=StreamSub("all", last_id="0"))
    async def subscriber(body: dict[str, Any]) -> None:
        seen.put_nowait(body)

    async with broker:
        await publish(Publish(url=f"redis://127.0.0.1:{redis_server.port}", to="all"))(event(), context())
        await broker.start()
        async with asyncio.timeout(20):
            assert (await seen.get())["id"] == "evt_1"


async def test_redis_killed_in_the_middle_has_what_was_done_and_gets_the_rest_once_it_is_back(
    redis_server: brokers.Broker, event: Make, context: Make
) -> None:
    handle = publish(Publish(url=f"redis://127.0.0.1:{redis_server.port}", to="all"))
    events = [event(id=f"evt_{number}", data="x" * 5000) for number in range(200)]
    found = await outcomes(handle, events, context, kill=redis_server.kill)
    check_outcomes(found)
    redis_server.start()
    async with redis_client(redis_server) as client:
        stored = {fields["id"] for _, fields in await client.xrange("all")}
        assert {told.id for told, one in zip(events, found, strict=True) if one is None} <= stored
        await eventually(handle, [told for told, one in zip(events, found, strict=True) if one is not None], context)
        assert {fields["id"] for _, fields in await client.xrange("all")} == {told.id for told in events}


# RabbitMQ


@pytest.fixture(scope="module")
def rabbit_server() -> Iterator[brokers.Broker]:
    with tempfile.TemporaryDirectory(prefix="rabbit", ignore_cleanup_errors=True) as name:
        names, server = brokers.rabbit(Path(name))
        names.start()
        try:
            yield server.start()
        finally:
            server.kill()
            names.kill()


@asynccontextmanager
async def rabbit_channel(server: brokers.Broker) -> AsyncIterator[Any]:
    import aio_pika

    connection = await aio_pika.connect(f"amqp://127.0.0.1:{server.port}")
    yield await connection.channel()
    await connection.close()


def to_rabbit(server: brokers.Broker, **changes: Any) -> Any:
    return publish(Publish(**{"url": f"amqp://127.0.0.1:{server.port}", "to": "media"} | changes))


async def test_rabbitmq_has_a_persistent_message_under_the_id_of_the_event(
    rabbit_server: brokers.Broker, event: Make, context: Make
) -> None:
    async with rabbit_channel(rabbit_server) as channel:
        queue = await channel.declare_queue("media", durable=True)
        await to_rabbit(rabbit_server)(event(), context())
        message = await queue.get(no_ack=True)
    assert (message.message_id, message.content_type) == ("evt_1", "application/json")
    assert (message.type, message.delivery_mode) == ("tool_execution.succeeded", 2)
    assert json.loads(message.body)["job_id"] == "vg_tool_1"


async def test_a_message_that_no_queue_takes_is_not_done_and_is_once_one_does(
    rabbit_server: brokers.Broker, event: Make, context: Make
) -> None:
    handle = to_rabbit(rabbit_server, to="nobody")
    with pytest.raises(Retry, match="no queue takes the routing key nobody"):
        await handle(event(), context())
    async with rabbit_channel(rabbit_server) as channel:
        queue = await channel.declare_queue("nobody")
        await handle(event(), context())
        assert await queue.get(no_ack=True)


async def test_an_exchange_that_is_not_there_is_told_and_used_once_it_is(
    rabbit_server: brokers.Broker, event: Make, context: Make
) -> None:
    handle = to_rabbit(rabbit_server, exchange="events", to="{type}")
    with pytest.raises(Retry, match="no exchange 'events'"):
        await handle(event(), context())
    async with rabbit_channel(rabbit_server) as channel:
        exchange = await channel.declare_exchange("events", "topic")
        queue = await channel.declare_queue("")
        await queue.bind(exchange, "tool_execution.*")
        await eventually(handle, [event()], context)
        assert await queue.get(no_ack=True)


async def test_a_connection_to_rabbitmq_that_is_lost_comes_back_by_itself(
    rabbit_server: brokers.Broker, event: Make, context: Make
) -> None:
    cut: list[asyncio.StreamWriter] = []

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there = await asyncio.open_connection("127.0.0.1", rabbit_server.port)
        cut.extend((writer, there))
        await asyncio.gather(pipe(reader, there), pipe(there_reader, writer))

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(2**16):
                writer.write(data)
        except OSError:
            pass
        finally:
            writer.transport.abort()

    async with rabbit_channel(rabbit_server) as channel:
        queue = await channel.declare_queue("lost")
        proxy = await asyncio.start_server(pass_on, "127.0.0.1", 0)
        handle = publish(Publish(url=f"amqp://127.0.0.1:{proxy.sockets[0].getsockname()[1]}", to="lost"))
        await handle(event(id="evt_1"), context())
        for writer in cut:
            writer.transport.abort()
        await eventually(handle, [event(id="evt_2")], context)
        messages = [await queue.get(no_ack=True) for _ in range(2)]
        proxy.close()
    assert [message.message_id for message in messages] == ["evt_1", "evt_2"]


async def test_rabbitmq_killed_in_the_middle_leaves_each_run_done_or_to_be_tried_again(
    rabbit_server: brokers.Broker, event: Make, context: Make
) -> None:
    async with rabbit_channel(rabbit_server) as channel:
        await channel.declare_queue("media", durable=True)
    events = [event(id=f"evt_{number}", data="x" * 20000) for number in range(300)]
    found = await outcomes(to_rabbit(rabbit_server), events, context, kill=rabbit_server.kill)
    check_outcomes(found)


# Kafka: by FastStream's own test broker, as there is no Kafka to install here


async def test_kafka_gets_the_event_under_the_key_of_its_job(event: Make) -> None:
    from faststream.kafka import KafkaMessage, TestKafkaBroker

    broker = module.kafka_broker(SecretStr("kafka://127.0.0.1"))
    seen: list[KafkaMessage] = []

    @broker.subscriber("media")
    async def subscriber(_body: Any, message: KafkaMessage) -> None:
        seen.append(message)

    async with TestKafkaBroker(broker):
        await module.kafka_send(broker)("media", json.dumps(event().as_json()).encode(), event(), {"traceparent": "t"})
    [message] = seen
    assert (message.headers["id"], message.headers["content-type"]) == ("evt_1", "application/json")
    assert message.headers["traceparent"] == "t"
    assert message.raw_message.key == b"vg_tool_1"
    assert json.loads(message.raw_message.value)["id"] == "evt_1"


@pytest.mark.parametrize(
    ("url", "protocol", "servers"),
    [
        ("kafka://a:1,b", "PLAINTEXT", ["a:1", "b:9092"]),
        ("kafka+ssl://a", "SSL", ["a:9092"]),
        ("kafka://me:p%40ss@a", "SASL_PLAINTEXT", ["a:9092"]),
        ("kafka+ssl://me:p%40ss@a", "SASL_SSL", ["a:9092"]),
    ],
)
async def test_kafka_is_asked_for_all_replicas_in_the_way_the_url_says(
    url: str, protocol: str, servers: list[str]
) -> None:
    given = module.kafka_broker(SecretStr(url))._connection_kwargs
    assert (given["security_protocol"], given["bootstrap_servers"]) == (protocol, servers)
    assert given.get("sasl_plain_password") == ("p@ss" if "@" in url else None)
    assert (given["acks"], given["enable_idempotence"]) == ("all", True)


# Any of them


def test_a_server_that_is_not_installed_is_told_and_where_all_are_wanted_it_is_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("REQUIRE_SERVERS", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-server is not installed: apt-get install"):
        brokers.program("no-such-server")
    monkeypatch.setenv("REQUIRE_SERVERS", "1")
    with pytest.raises(pytest.fail.Exception, match="no-such-server is not installed"):
        brokers.program("no-such-server")


@pytest.mark.parametrize("scheme", ["nats", "amqp", "kafka", "redis"])
async def test_a_broker_that_is_not_there_is_tried_again_and_no_password_is_told(
    scheme: str, event: Make, context: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKER", f"{scheme}://me:hu%2Fsh@127.0.0.1:{brokers.free_port()}")
    monkeypatch.setattr(module, "_PATIENCE", 1.0)
    stream = {"stream": "MEDIA"} if scheme == "nats" else {}
    handle = publish(Publish(url={"env": "BROKER"}, to="media", **stream))
    with pytest.raises(Retry) as raised:
        await handle(event(), context())
    told = str(raised.value)
    assert "hu%2Fsh" not in told
    assert "hu/sh" not in told
    del raised
    with warnings.catch_warnings():
        # FastStream drops the producer of Kafka that could not start, and that warns when it is collected.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


async def test_a_stranger_s_words_make_one_harmless_subject(
    redis_server: brokers.Broker, event: Make, context: Make
) -> None:
    handle = publish(Publish(url=f"redis://127.0.0.1:{redis_server.port}", to="{type}/{kind}"))
    await handle(event(type=".a b>*..\r\nc.", kind=None), context())
    async with redis_client(redis_server) as client:
        assert await client.keys() == ["a-b-.-c/other"]


async def test_a_worker_that_stops_is_not_told_to_try_again(
    redis_server: brokers.Broker, event: Make, context: Make
) -> None:
    handle = publish(Publish(url=f"redis://127.0.0.1:{redis_server.port}", to="all"))
    task = asyncio.create_task(handle(event(), context()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"url": "http://x"}, "it starts with one of nats://"),
        ({"url": "redis://me:pw@x"}, "a secret does not belong into this file"),
        ({"url": "nats://x"}, "NATS needs it"),
        ({"url": "redis://x", "stream": "A"}, "stream is for NATS"),
        ({"url": "redis://x", "exchange": "A"}, "exchange is for RabbitMQ"),
        ({"url": "redis://x", "to": "{data}"}, r"there is no \{data\}: there are \{source\}, \{type\}, \{kind\}"),
        ({"url": "redis://x", "to": "{type.__class__}"}, "there is no"),
        ({"url": "redis://x", "to": "{type!r}"}, "stands a name, and nothing else"),
        ({"url": "redis://x", "to": "{"}, "Single '{' encountered"),
        ({"url": "redis://x", "quue": "A"}, "Extra inputs are not permitted"),
    ],
)
def test_options_that_cannot_work_are_refused_with_what_to_change(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        _options(publish, "publish").model_validate({"to": "media"} | options)


def test_a_missing_extra_is_named_with_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None if name == "redis" else object())
    file = Config(Path("receiver.toml"), '[[handlers]]\nuse = "publish"\non = "*"\nurl = "redis://x"\nto = "a"\n')
    with pytest.raises(ConfigError, match=r"receiver.toml:4: handlers\[1\].url: redis:// needs the extra redis: pip "):
        find_handlers(["handlers.publish"], file)
