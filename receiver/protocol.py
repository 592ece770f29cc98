"""HTTP as uvicorn speaks it, with an end to what a connection may keep us waiting and hold.

uvicorn bounds how long an idle connection lives after its first request; not how long, and how much,
somebody may send before a request's headers are complete. The body is the inbox's concern.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: Seconds in which a request's headers must be complete.
HEAD_TIMEOUT = 10.0

#: Bytes in which they must be.
HEAD_LIMIT = 64 * 1024


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol; a head that is too slow or too large closes the connection."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head = 0  # bytes of a head that is not complete; 0 between heads
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start waiting for the first head."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._rest()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Note that a head has begun."""
        self._head = 1
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Note that the head is complete."""
        self._head = 0
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Take what arrived; a whole head in one piece, the usual case, sets no timer."""
        super().data_received(data)
        if not self._head:
            self._rest()
            return
        self._head += len(data)
        if self._head > HEAD_LIMIT:
            self.transport.abort()
        elif self._deadline is None:
            self._wait()

    def _wait(self) -> None:
        self._deadline = self.loop.call_later(HEAD_TIMEOUT, self.transport.abort)

    def _rest(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
