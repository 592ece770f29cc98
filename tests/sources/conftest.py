"""Clients of providers, connected to the emulator in the same process."""

from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from starlette.applications import Starlette

from receiver.emulator import Knobs, create_emulator
from receiver.settings import Provider


@pytest.fixture
async def emulated() -> AsyncIterator[Callable[..., object]]:
    """Connect a source's client: `app, client = await emulated(FineVoice(), fail=1.0)`."""
    opened = []

    async def connect(source, path: str = "", **knobs: float):
        app: Starlette = create_emulator(Knobs(seconds=0, **knobs))
        life = app.router.lifespan_context(app)
        await life.__aenter__()
        http = httpx.AsyncClient(transport=httpx.ASGITransport(app))
        opened.append((life, http))
        return app, source.client(http, Provider(api_key="key_of_mine", base_url=f"http://emulator{path}"))

    yield connect
    for life, http in opened:
        await http.aclose()
        await life.__aexit__(None, None, None)
