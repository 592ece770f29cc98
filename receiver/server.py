"""Run the web process under uvicorn."""

import signal
import socket

import uvicorn

from . import interpreter
from .app import Door
from .fork import Child, Fork
from .protocol import BoundedProtocol
from .settings import Settings
from .supervised import exit_code
from .worker import run_worker


def serve(settings: Settings, *, dispatch: bool = True) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code, 0 only if nothing failed.

    Raises ConfigError or Unavailable before it listens if it cannot work.
    """
    first = Fork.make() if dispatch else None
    if isinstance(first, Child):
        return _work(settings, first)
    door = Door(settings, dispatch=dispatch, first=first)
    # uvicorn raises the signal that stopped it once more when it is done; the parts are closed after that.
    for stop in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop, lambda *_: None)
    with interpreter.runner() as runner:
        started = runner.run(_serve(door, settings))
    return 0 if started and door.failure is None else 1


def _work(settings: Settings, child: Child) -> int:
    name = child.wait()
    if name is None:
        return 0
    return exit_code(lambda: run_worker(settings, name=name, supervised=True, pipe=child.tell))


async def _serve(door: Door, settings: Settings) -> bool:
    server = _Server(config(door, settings), door)

    def leave() -> None:
        server.should_exit = True

    async with door.open(failed=leave):
        interpreter.started()
        await server.serve()
    return server.started


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, door: Door) -> None:
        super().__init__(config)
        self._door = door

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._door.leave()
        await super().shutdown(sockets)


def config(door: Door, settings: Settings) -> uvicorn.Config:
    """Return how uvicorn serves the door."""
    return uvicorn.Config(
        door.app,
        interface="asgi3",  # it would take a method for the older kind
        host=settings.host,
        port=settings.port,
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(settings.grace) + 1,
    )
