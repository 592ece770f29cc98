import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import uvicorn

from receiver.emulator import Knobs, VideoGen, create_emulator

NOW = 1_793_232_000.0
ALL = ["tool_execution.succeeded", "tool_execution.failed", "tool_execution.cancelled"]


@dataclass
class Inbox:
    """A receiver that keeps what it is sent and answers as told, with 200 at the end."""

    statuses: list[int] = field(default_factory=list)
    requests: list[httpx.Request] = field(default_factory=list)
    hang: bool = False
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body, more = body + message["body"], message.get("more_body", False)
        url = f"http://{scope['server'][0]}{scope['path']}"
        self.requests.append(httpx.Request(scope["method"], url, headers=scope["headers"], content=body))
        self.arrived.set()
        if self.hang:
            await asyncio.Event().wait()
        status = self.statuses.pop(0) if self.statuses else 200
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    @property
    def bodies(self) -> list[Any]:
        return [httpx.Response(200, content=request.content).json() for request in self.requests]


@dataclass
class Emulator:
    """An emulator that runs, and a client with a key."""

    client: httpx.AsyncClient
    videogen: VideoGen
    inbox: Inbox

    async def register(
        self, url: str = "https://hooks.example.com/in", events: list[str] | None = None
    ) -> dict[str, Any]:
        answer = await self.client.post("/v1/webhooks/endpoints", json={"url": url, "events": events or ALL})
        assert answer.status_code == 201
        found: dict[str, Any] = answer.json()
        return found

    async def run(self, tool: str = "generate-sound-effect", **parameters: Any) -> dict[str, Any]:
        """Start a tool, wait for its end and everything after, and return the execution."""
        answer = await self.client.post(f"/v1/tools/{tool}", json={"prompt": "rain"} | parameters)
        assert answer.status_code == 202, answer.text
        await self.videogen.settled()
        found: dict[str, Any] = await self.get(f"/v1/tools/executions/{answer.json()['toolExecutionId']}")
        return found

    async def get(self, path: str) -> Any:
        answer = await self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()


Start = Callable[..., AbstractAsyncContextManager[Emulator]]


@pytest.fixture
def start() -> Start:
    """Start an emulator in this process; its deliveries reach an Inbox without a socket."""

    @asynccontextmanager
    async def started(*, clock: Callable[[], float] = lambda: NOW, **knobs: Any) -> AsyncIterator[Emulator]:
        inbox = Inbox()
        app = create_emulator(
            Knobs(**{"seconds": 0, "retry_scale": 0} | knobs),
            clock=clock,
            transport=httpx.ASGITransport(inbox),
        )
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app),
                base_url="http://emulator.test:4010",
                headers={"authorization": "Bearer any-key"},
            ) as client,
        ):
            yield Emulator(client, app.state.videogen, inbox)

    return started


@pytest.fixture
async def emulator(start: Start) -> AsyncIterator[Emulator]:
    """A well-behaved one whose jobs take no time."""
    async with start() as running:
        yield running


Serve = Callable[[Any], AbstractAsyncContextManager[str]]


@pytest.fixture
def serve() -> Serve:
    """Serve an app on a free port of 127.0.0.1 and give its URL."""

    @asynccontextmanager
    async def serving(app: Any) -> AsyncIterator[str]:
        # It listens before the server runs: the first client waits in the backlog until it is up.
        with socket.create_server(("127.0.0.1", 0)) as listener:
            server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="auto"))
            task = asyncio.create_task(server.serve(sockets=[listener]))
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            server.should_exit = True
            await task

    return serving
