"""Proxies that cut connections at the worst moment: when the request is there and the answer is not."""

import asyncio
import random
import threading
from collections.abc import Callable
from contextlib import suppress

from .processes import PATIENCE


class Proxy:
    """Stands before a port of this machine until this is left.

    Of the requests that carry a delivery it cuts the share `cuts`: half of these as soon as the request is
    through, the others once the answer has come back. Nothing of the answer gets to the sender.
    """

    def __init__(self, port: int, *, cuts: float, seed: int = 0) -> None:
        self._port = port
        self._share = cuts
        self._random = random.Random(seed)
        self._ready = threading.Event()
        self._stop: Callable[[], object] = lambda: None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="proxy", daemon=True)
        self.url = ""
        self.cut = 0  #: connections that were cut

    def __enter__(self) -> "Proxy":
        self._thread.start()
        self._ready.wait(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        self._thread.join(PATIENCE)

    async def _serve(self) -> None:
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()
        self._stop = lambda: loop.call_soon_threadsafe(stopped.set)
        server = await self._listen()
        self._ready.set()
        await stopped.wait()
        server.close()

    async def _listen(self) -> asyncio.Server:
        server = await asyncio.start_server(self._one, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return server

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._port)
            try:
                while await self._exchange(reader, writer, there_reader, there_writer):
                    pass
            finally:
                there_writer.transport.abort()
        writer.transport.abort()

    async def _exchange(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        there_reader: asyncio.StreamReader,
        there_writer: asyncio.StreamWriter,
    ) -> bool:
        """Pass one request on and its answer back; return whether the connection is still whole."""
        there_writer.write(await message(reader))
        await there_writer.drain()
        if self._random.random() < self._share:
            self.cut += 1
            if self._random.random() < 0.5:
                await message(there_reader)
            return False
        writer.write(await message(there_reader))
        await writer.drain()
        return True


async def message(reader: asyncio.StreamReader) -> bytes:
    """Return one HTTP message with its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return head + await reader.readexactly(int(line.partition(b":")[2]))
    return head
