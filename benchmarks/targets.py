"""What the receiver is compared with, each a server process: `python -m benchmarks.targets bare PORT`.

Both run under the receiver's own uvicorn settings.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiosqlite
import uvicorn
import uvloop
from standardwebhooks import Webhook, WebhookVerificationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from receiver.server import config
from receiver.settings import Settings

from .deliveries import SECRET


def bare() -> Starlette:
    """Return an app that reads the body and answers 200: what the framework alone costs."""

    async def receive(request: Request) -> Response:
        await request.body()
        return Response()

    return Starlette(routes=[Route("/webhooks/{source}", receive, methods=["POST"])])


def handmade(path: Path, *, own_commit: bool) -> Starlette:
    """Return the usual receiver: verify, insert, commit, answer, on one connection for all requests.

    With `own_commit` each request has its commit to itself. Without, as most people write it, requests get
    into each other's transactions: faster, and one that fails undoes what others take for stored.
    """
    webhook = Webhook(SECRET)
    turn = asyncio.Lock() if own_commit else contextlib.nullcontext()
    state: dict[str, Any] = {}

    @contextlib.asynccontextmanager
    async def opened(_app: Starlette) -> AsyncIterator[None]:
        async with aiosqlite.connect(path) as database:
            await database.execute("PRAGMA journal_mode=WAL")
            await database.execute("PRAGMA synchronous=FULL")
            await database.execute(
                "CREATE TABLE events (id TEXT PRIMARY KEY, type TEXT, body BLOB, at REAL DEFAULT (unixepoch()))"
            )
            state["database"] = database
            yield

    async def receive(request: Request) -> Response:
        body = await request.body()
        try:
            data = webhook.verify(body, dict(request.headers))
        except WebhookVerificationError:
            return JSONResponse({"error": "bad signature"}, status_code=401)
        async with turn:
            await state["database"].execute(
                "INSERT OR IGNORE INTO events (id, type, body) VALUES (?, ?, ?)",
                (request.headers["webhook-id"], data["event"], body),
            )
            await state["database"].commit()
        return JSONResponse({"ok": True})

    return Starlette(routes=[Route("/webhooks/{source}", receive, methods=["POST"])], lifespan=opened)


class _Served:
    def __init__(self, app: Starlette) -> None:
        self.app = app


async def _serve(app: Starlette, port: int) -> None:
    settings = config(_Served(app), Settings(port=port))  # type: ignore[arg-type]
    server = uvicorn.Server(settings)
    async with app.router.lifespan_context(app):
        await server.serve()


def main() -> None:
    name, port = sys.argv[1], int(sys.argv[2])
    app = bare() if name == "bare" else handmade(Path("handmade.db"), own_commit=name == "handmade")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(app, port))


if __name__ == "__main__":
    main()
