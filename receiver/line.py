"""The two pipes between a door and the worker beside it."""

import asyncio
import os


class Line:
    """Through one the door wakes its worker, through the other the worker tells what it has counted.

    Each side closes what is the other's: the end of a pipe is how a worker learns that its door is gone.
    """

    def __init__(self) -> None:
        self.stdin, self._wake = os.pipe()
        self._hear, self.tell = os.pipe()

    def keep_ours(self) -> None:
        """Be the door's side."""
        os.close(self.stdin)
        os.close(self.tell)

    def close(self) -> None:
        """Give up the side of the door, which nobody has used yet."""
        os.close(self._wake)
        os.close(self._hear)

    def keep_theirs(self) -> None:
        """Be the worker's side: what wakes is its standard input."""
        self.close()
        os.dup2(self.stdin, 0)
        os.close(self.stdin)

    async def waker(self) -> asyncio.WriteTransport:
        """Return what the door writes to."""
        transport, _ = await asyncio.get_running_loop().connect_write_pipe(
            asyncio.BaseProtocol, os.fdopen(self._wake, "wb", buffering=0)
        )
        return transport

    async def hearer(self, limit: int) -> tuple[asyncio.StreamReader, asyncio.ReadTransport]:
        """Return what the door reads lines from, each no longer than `limit` bytes, and what closes that."""
        lines = asyncio.StreamReader(limit=limit)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(lines), os.fdopen(self._hear, "rb", buffering=0)
        )
        return lines, transport
