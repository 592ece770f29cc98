"""Connections that keep us waiting, on real sockets."""

import asyncio
import contextlib

import pytest
import uvicorn

from receiver import protocol
from receiver.protocol import BoundedProtocol


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT", 0.05)
    monkeypatch.setattr(protocol, "BODY_TIMEOUT", 0.1)


@pytest.fixture
async def port():
    """A server that answers 200 to whole requests, to `/early` before their body, to `/endless` without an end."""

    async def app(scope, receive, send):
        while scope["path"] != "/early" and (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        if scope["path"] == "/endless":
            await asyncio.Event().wait()
        await send({"type": "http.response.body"})

    config = uvicorn.Config(app, port=0, http=BoundedProtocol, lifespan="off", log_config=None, interface="asgi3")
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.001)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = server.force_exit = True
    await task


async def talk(port, *pieces, pause=0.0):
    """Send pieces, and return what came back until the server closed; None if it did not within a second."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            if writer.is_closing() or reader.at_eof() or reader.exception():
                return b""
            writer.write(piece)
            await asyncio.sleep(pause)
        async with asyncio.timeout(1):
            return await reader.read()
    except ConnectionResetError:
        return b""
    except TimeoutError:
        return None
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@pytest.mark.usefixtures("impatient")
async def test_a_connection_that_says_nothing_is_closed(port):
    assert await talk(port) == b""


@pytest.mark.usefixtures("impatient")
async def test_headers_that_never_end_are_cut_off(port):
    assert await talk(port, b"POST / HTTP/1.1\r\nx-a: ", *[b"a"] * 30, pause=0.01) == b""


@pytest.mark.usefixtures("impatient")
async def test_headers_without_measure_are_cut_off_at_once(port):
    line = b"x-a: " + b"a" * 1000 + b"\r\n"
    assert await talk(port, b"POST / HTTP/1.1\r\n", *[line * 10] * 10) == b""


@pytest.mark.usefixtures("impatient")
async def test_a_body_that_never_comes_is_cut_off(port):
    assert await talk(port, b"POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\n", b"ab") == b""


@pytest.mark.usefixtures("impatient")
async def test_whole_requests_in_any_pieces_are_answered(port):
    answer = await talk(
        port,
        b"POST / HTTP/1.1\r\ncontent-le",
        b"ngth: 5\r\n\r\nab",
        b"cde",
        b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n",
        pause=0.005,
    )
    assert answer.count(b"HTTP/1.1 200") == 2


REQUEST = b"GET / HTTP/1.1\r\n\r\n"
EARLY = b"POST /early HTTP/1.1\r\ncontent-length: 5\r\n\r\n"
ENDLESS = b"GET /endless HTTP/1.1\r\n\r\n"


@pytest.fixture
async def connect(port):
    """Opens connections, sends pieces, and reads the head of the answer to each; closes them at the end."""
    writers = []

    async def connected(*pieces):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writers.append(writer)
        await asked(reader, writer, *pieces)
        return reader, writer

    yield connected
    for writer in writers:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def asked(reader, writer, *pieces):
    for piece in pieces:
        writer.write(piece)
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")


async def closed(reader):
    """Wait until the server has closed a connection."""
    with contextlib.suppress(ConnectionResetError):
        assert await asyncio.wait_for(reader.read(), 5) == b""


@pytest.mark.parametrize("sent", [(), (REQUEST,), (EARLY,)], ids=["silent", "idle", "answered before its body"])
async def test_when_there_are_too_many_a_newcomer_takes_the_place_of_who_keeps_us_waiting_longest(
    connect, monkeypatch, sent
):
    monkeypatch.setattr(protocol, "MOST", 3)
    oldest, *others = [await connect(*sent) for _ in range(3)]
    if EARLY in sent:
        for _, writer in (oldest, *others):
            writer.write(b"12345")
    newcomer = await connect(REQUEST)
    await closed(oldest[0])
    for one in (*others, newcomer):
        await asked(*one, REQUEST)


async def test_who_is_being_answered_is_not_cut_for_a_newcomer(connect, monkeypatch):
    monkeypatch.setattr(protocol, "MOST", 2)
    answered = [await connect(ENDLESS) for _ in range(2)]
    newcomer, _ = await connect()
    await closed(newcomer)
    assert not any(reader.at_eof() or reader.exception() for reader, _ in answered)
