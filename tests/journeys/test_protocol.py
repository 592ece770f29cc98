"""Connections that keep us waiting, on real sockets."""

import asyncio
import contextlib

import pytest
import uvicorn

from receiver import protocol
from receiver.protocol import BoundedProtocol


@pytest.fixture
async def port(monkeypatch):
    """A server that answers 200 to whole requests, and is impatient."""
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT", 0.05)
    monkeypatch.setattr(protocol, "BODY_TIMEOUT", 0.1)

    async def app(scope, receive, send):
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    config = uvicorn.Config(app, port=0, http=BoundedProtocol, lifespan="off", log_config=None, interface="asgi3")
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.001)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
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


async def test_a_connection_that_says_nothing_is_closed(port):
    assert await talk(port) == b""


async def test_headers_that_never_end_are_cut_off(port):
    assert await talk(port, b"POST / HTTP/1.1\r\nx-a: ", *[b"a"] * 30, pause=0.01) == b""


async def test_headers_without_measure_are_cut_off_at_once(port):
    line = b"x-a: " + b"a" * 1000 + b"\r\n"
    assert await talk(port, b"POST / HTTP/1.1\r\n", *[line * 10] * 10) == b""


async def test_a_body_that_never_comes_is_cut_off(port):
    assert await talk(port, b"POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\n", b"ab") == b""


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
