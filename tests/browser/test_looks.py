"""Every page in light, dark and at phone width: nothing serious for axe, nothing on the console, no request to others.

With `--screenshots`, what the pages look like is written to docs/screenshots.
"""

import asyncio
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from receiver.store import Store
from receiver.vault import Vault, new_key

from ..conftest import SECRET
from ..journeys.conftest import Server
from . import history
from .conftest import TOKEN, sign_in

AXE = (Path(__file__).parent / "axe.min.js").read_text()

WIDE, PHONE = {"width": 1160, "height": 760}, {"width": 390, "height": 760}
LOOKS = {
    "light": {"color_scheme": "light", "viewport": WIDE},
    "dark": {"color_scheme": "dark", "viewport": WIDE},
    "phone": {"color_scheme": "light", "viewport": PHONE},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    """A receiver with a day behind it. No worker runs: it stays as it is."""
    folder = tmp_path_factory.mktemp("looks")
    url = f"sqlite:///{folder / 'receiver.db'}"

    key = new_key()
    sealed = Vault((key,)).seal(SECRET)

    async def fill() -> None:
        store = Store(url)
        await store.migrate()
        await store.close()
        await history.write(url, time.time(), files=folder / "files", sealed=sealed)

    with ThreadPoolExecutor(1) as thread:  # in this one the browser's event loop runs
        thread.submit(lambda: asyncio.run(fill())).result()
    environment = {
        "RECEIVER_ADMIN_TOKEN": TOKEN,
        "RECEIVER_SECRET_KEY": key,
        "RECEIVER_FILES": str(folder / "files"),
    }
    with Server(folder, "--no-dispatch", **environment) as server:
        yield server.ready()


#: Links of the menu beside the screen, and columns that are left out where a row has not one line more instead.
HIDDEN = """
    [...document.querySelectorAll("header nav a")]
        .filter((link) => link.getBoundingClientRect().right > innerWidth).map((link) => link.textContent)
        .concat([...document.querySelectorAll("main tbody tr")]
            .filter((row) => [...row.querySelectorAll("td.wide")]
                .some((cell) => !cell.offsetParent && !["", "–"].includes(cell.textContent.trim())))
            .filter((row) => ![...row.querySelectorAll(".narrow")].some((line) => line.offsetParent))
            .map((row) => row.textContent.trim()))
"""


def pages(folder: Path) -> dict[str, str]:
    """Every page, by the name of its screenshot."""
    with sqlite3.connect(folder / "receiver.db") as connection:
        (event, job) = connection.execute("SELECT event_id, job_id FROM outputs").fetchone()
        [refused] = connection.execute("SELECT id FROM deliveries WHERE verdict = 'refused'").fetchone()
    connection.close()
    return {
        "overview": "/",
        "events": "/events",
        "event": f"/events/{event}",
        "jobs": "/jobs",
        "job": f"/jobs/{job}",
        "runs": "/runs",
        "retry": "/runs/retry",
        "refused": "/refused",
        "delivery": f"/refused/{refused}",
        "endpoints": "/endpoints",
        "handlers": "/handlers",
    }


def serious(page: Page) -> list[str]:
    """What axe finds on a page that keeps somebody out."""
    # As a script of the debugger, which the page's content security policy does not concern.
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['impact']} {one['id']}: {one['help']}: {[node['html'][:160] for node in one['nodes'][:3]]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("look", LOOKS)
def test_every_page_is_fit_for_everybody_in_this_look(server, visit, screenshot, look):
    problems = {}
    with visit(server.url, **LOOKS[look]) as page:
        page.goto("/sign-in")
        problems["sign-in"] = serious(page)
        screenshot(page, f"sign-in-{look}")
        sign_in(page)
        for name, path in pages(server.witness.parent).items():
            page.goto(path)
            if page.locator("button.live").count():
                expect(page.get_by_role("button", name="Live")).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} is too wide"
            assert page.evaluate(HIDDEN) == [], f"{name} does not show all of its menu, or of its columns"
            problems[name] = serious(page)
            screenshot(page, f"{name}-{look}")
    assert {name: found for name, found in problems.items() if found} == {}


def test_what_keeps_somebody_out_would_be_found(server, visit):
    with visit(server.url) as page:
        page.goto("/sign-in")
        page.evaluate(
            "document.querySelector('label').remove(), document.body.append(document.createElement('button'))"
        )
        assert [problem.split(":")[0] for problem in serious(page)] == ["critical button-name", "critical label"]
