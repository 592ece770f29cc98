"""The providers, offline: they sign, retry and misbehave like the real ones, all in memory."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from . import finevoice, videogen, videogenapi
from .api import refuse
from .background import Background
from .deliveries import TIMEOUT
from .knobs import Knobs
from .videogen import VideoGen

__all__ = ["Knobs", "VideoGen", "create_emulator"]


def create_emulator(
    knobs: Knobs = Knobs(),  # noqa: B008 - it is frozen
    *,
    clock: Callable[[], float] = time.time,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Starlette:
    """Return an app that answers like VideoGen, FineVoice and VideoGenAPI, and delivers webhooks like VideoGen.

    It opens no connection except to the URLs registered with it. While it runs, `app.state.videogen`,
    `app.state.finevoice` and `app.state.videogenapi` show what happened. `transport` carries its deliveries, for a
    receiver in the same process.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        # No proxy from the environment, no redirects: it talks to nobody else.
        client = httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=TIMEOUT, transport=transport)
        async with client, Background() as background:
            app.state.videogen = VideoGen(knobs=knobs, clock=clock, client=client, background=background)
            app.state.finevoice = finevoice.FineVoice(knobs=knobs, background=background)
            app.state.videogenapi = videogenapi.VideoGenApi(knobs=knobs, clock=clock, background=background)
            yield

    return Starlette(
        routes=[*videogen.routes(), *finevoice.routes(), *videogenapi.routes()],
        lifespan=lifespan,
        exception_handlers={HTTPException: refuse},
    )
