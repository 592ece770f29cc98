"""What takes long goes on by itself, piece by piece: a listing that found nothing yet, and work on many runs."""

import itertools
import time
from types import SimpleNamespace

import pytest
from playwright.sync_api import expect

from receiver.dashboard import runs as runs_pages
from receiver.store import Finished, page, replay

from ..dashboard.stored import arrival
from .conftest import PATIENCE, sign_in

expect.set_options(timeout=PATIENCE)


@pytest.fixture
def impatient(monkeypatch):
    """Each answer looks at two rows, or changes two."""
    moments = itertools.count()
    monkeypatch.setattr(page, "time", SimpleNamespace(monotonic=lambda: next(moments) * 10.0))
    monkeypatch.setattr(page, "SLICE", 2)
    monkeypatch.setattr(runs_pages, "PATIENCE", -1.0)
    monkeypatch.setattr(replay, "STEP", 2)


async def fail_five(store):
    """Store five events whose handler failed."""
    await store.events.add([arrival(number, time.time()) for number in range(5)])
    turn = {"worker": "w", "lease": 30, "wanted": lambda _event: {"log": None}}
    made = await store.runs.turn(**turn, finished=[], free={"log": 5})
    ended = [Finished(run=run, outcome="failed", finished_at=time.time(), error="x") for run in made.claimed]
    await store.runs.turn(**turn, finished=ended, free={})


def test_what_takes_long_goes_on_by_itself_to_its_end(here, visit, impatient):
    with here(fail_five) as (url, _), visit(url) as window:
        sign_in(window)
        window.wait_for_url("**/")
        asked, said = [], []
        window.on("request", lambda request: asked.append((request.method, request.url.partition(url)[2])))
        for path, end in (
            ("/events?type=rare", "No event is like this"),
            ("/jobs?tool=rare", "No job is like this"),
            ("/runs?handler=rare", "No run is like this"),
        ):
            window.goto(path)
            expect(window.get_by_text(end)).to_be_visible()
            said.append(sum(url.startswith(path.partition("?")[0] + "?") and "cursor=" in url for _, url in asked))
        assert min(said) >= 2, said
        window.goto("/runs/retry")
        window.get_by_role("button", name="Retry 5 runs").click()
        expect(window.get_by_role("status")).to_contain_text("5 runs start again.")
        assert asked.count(("POST", "/runs/retry")) == 3
