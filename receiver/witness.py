"""A service of one's own, as the demo has one: it takes the events that are signed for it, and no others."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .errors import BadSignature
from .schemes import STANDARD
from .signatures import decode_secret


class Witness:
    """Verifies what it is sent as any library of the Standard Webhooks does, and remembers what it took."""

    def __init__(self, secret: str) -> None:
        self._key = decode_secret(secret)
        self.verified: set[str] = set()  #: ids of events

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Listen as long as this is entered; yield the URL to send events to."""
        app = Starlette(routes=[Route("/hooks", self._take, methods=["POST"])])
        with socket.socket() as door:
            door.bind(("127.0.0.1", 0))
            server = _Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", ws="none"))
            task = asyncio.create_task(server.serve(sockets=[door]))
            try:
                yield f"http://127.0.0.1:{door.getsockname()[1]}/hooks"
            finally:
                server.should_exit = True
                await task

    async def _take(self, request: Request) -> Response:
        body = await request.body()
        try:
            self.verified.add(STANDARD.verify(request.headers.raw, body, keys=[self._key], now=time.time()))
        except BadSignature:
            return Response(status_code=401)
        return Response(status_code=204)


class _Server(uvicorn.Server):
    """A server that leaves signals to the program that it is a part of."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
