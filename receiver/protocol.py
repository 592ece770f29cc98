"""HTTP as uvicorn speaks it, with an end to what a connection may keep us waiting and hold.

uvicorn bounds how long an idle connection lives after its first request; not how long, and how much,
somebody may send before a request is complete, nor how many there are who do.
"""

import asyncio
import resource
import time
from typing import Any

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .flood import Sampler

log = structlog.get_logger(__name__)

#: Seconds in which a request's headers must be complete, and then its body. The inbox is stricter with bodies, and
#: answers; this is for those that never begin.
HEAD_TIMEOUT = 10.0
BODY_TIMEOUT = 75.0

#: Bytes in which the headers must be complete.
HEAD_LIMIT = 64 * 1024


def _most() -> int:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2000 if files == resource.RLIM_INFINITY else min(2000, files // 2)


#: Connections at most, half of the files that the process may open if that is less: each may hold as much as a head,
#: and the store needs files too. One more takes the place of whoever has kept us waiting longest.
MOST = _most()


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol; a request that is too slow, or has too large a head, closes the connection.

    So does somebody new when there are too many: a sender comes with its request, who only sits there is cut.
    """

    _cuts = Sampler(rate=0.1, burst=1)

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head = 0  # bytes of a head that is not complete
        self._open = False  # whether a request is not complete
        self._deadline: asyncio.TimerHandle | None = None
        self.since: float | None = self.loop.time()  #: when it began to keep us waiting; None while we answer

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start waiting for the first request."""
        super().connection_made(transport)
        self._wait(HEAD_TIMEOUT)
        if len(self.connections) > MOST:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._rest()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Note that a request has begun."""
        self._head, self._open = 1, True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Note that its headers are complete."""
        self._head = 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note that it is complete."""
        self._open = False
        if not self.cycle.response_complete:  # it is where nobody wanted the body
            self.since = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Note that it waits for the next request, if that is not here already."""
        super().on_response_complete()
        if self.cycle.response_complete:
            self.since = self.loop.time()

    def data_received(self, data: bytes) -> None:
        """Take what arrived; a whole request in one piece, the usual case, sets no timer."""
        had_head = self._head > 0
        super().data_received(data)
        if not self._open:
            self._rest()
        elif self._head:
            self._head += len(data)
            if self._head > HEAD_LIMIT:
                self.transport.abort()
            elif self._deadline is None:
                self._wait(HEAD_TIMEOUT)
        elif had_head or self._deadline is None:
            self._wait(BODY_TIMEOUT)

    def _make_room(self) -> None:
        """Cut who has kept us waiting longest; where all others are being answered, that is the newcomer."""
        waiting = [one for one in self.connections if isinstance(one, BoundedProtocol) and one.since is not None]
        longest = min(waiting, key=lambda one: one.since or 0.0)
        longest.since = None
        longest.transport.abort()
        if (unlisted := self._cuts.take(time.time())) is not None:
            log.warning("connection_cut", connections=MOST, unlisted=unlisted)

    def _wait(self, seconds: float) -> None:
        self._rest()
        self._deadline = self.loop.call_later(seconds, self.transport.abort)

    def _rest(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
