"""The example of a provider as a package, from its entry point to an event."""

import base64
import hmac
import json
import time
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import httpx
import pytest

from receiver import registry
from receiver.app import Door
from receiver.recall import event_of
from receiver.settings import Settings
from receiver.sources import WebhookSource

PLUGIN = Path(__file__).parent.parent / "plugins" / "receiver-example-source"
SECRET = "kR7mW2pX9qL4vN8tB3zY"


@pytest.fixture
def installed(monkeypatch):
    """The package, as if it were installed: its module is there, and so are its entry points."""
    entries = tomllib.loads((PLUGIN / "pyproject.toml").read_text())["project"]["entry-points"]
    points = [EntryPoint(name, value, group) for group, found in entries.items() for name, value in found.items()]
    monkeypatch.syspath_prepend(PLUGIN)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point for point in points if point.group == group])


async def test_a_provider_that_came_by_pip_install_delivers_events(installed, sqlite_url):
    settings = Settings(database_url=sqlite_url, providers={"atelier": {"webhook_secret": SECRET}})
    body = json.dumps(
        {"event": "render.ended", "render": {"id": "r1", "state": "done", "files": [{"link": "https://a.example/f"}]}}
    ).encode()
    stamp = str(int(time.time()))
    digest = hmac.digest(SECRET.encode(), stamp.encode() + b":" + body, "sha256")
    headers = {"Atelier-Time": stamp, "Atelier-Signature": "k1=" + base64.b64encode(digest).decode()}
    door = Door(settings, dispatch=False)
    sources = registry.find_sources(settings.providers)
    assert isinstance(sources["atelier"], WebhookSource)
    transport = httpx.ASGITransport(door.app)
    async with door.open(), httpx.AsyncClient(transport=transport, base_url="http://receiver") as sender:
        answer = await sender.post("/webhooks/atelier", content=body, headers=headers)
        assert answer.status_code == 200, answer.text
        forged = await sender.post("/webhooks/atelier", content=body + b" ", headers=headers)
        assert forged.status_code == 401
        event = event_of(await door._store.events.get(answer.json()["event"]), sources)
    assert (event.source, event.type, event.kind, event.job_id) == ("atelier", "render.ended", "job.succeeded", "r1")
    assert [output.url for output in event.outputs] == ["https://a.example/f"]
