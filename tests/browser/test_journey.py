"""Somebody on call, with a real browser and a real receiver: an event arrives, a handler fails, and is run again."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from ..journeys.conftest import Server, deliver, job, until
from .conftest import PATIENCE, TOKEN, sign_in

expect.set_options(timeout=PATIENCE)

HANDLERS = """
import os
from pathlib import Path
from receiver import handler

@handler("job.succeeded")
async def log(event, context):
    pass

@handler("job.succeeded", retries=0)
async def publish(event, context):
    if not Path(os.environ["MENDED"]).exists():
        raise ValueError("the shop is closed")
"""


# One receiver for all: the first test finds it empty, and each later one delivers jobs of its own.


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("journey")
    environment = {"RECEIVER_ADMIN_TOKEN": TOKEN, "MENDED": str(folder / "mended")}
    with Server(folder, handlers=HANDLERS, **environment) as server:
        yield server.ready()


@pytest.fixture
def mended(server: Server) -> Path:
    """While this file is there, `publish` succeeds."""
    file = server.witness.with_name("mended")
    file.unlink(missing_ok=True)
    return file


def row(page: Page, number: int):
    return page.locator("tbody tr", has_text=f"vg_tool_{number}")


def test_an_event_is_seen_to_arrive_understood_and_run_again(server, visit, mended):
    with visit(server.url) as page:
        page.goto("/events")
        expect(page).to_have_url(re.compile("/sign-in"))
        page.get_by_label("Admin token").fill(TOKEN)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="Events", exact=True)).to_be_visible()
        expect(page.get_by_text("No events yet")).to_be_visible()
        expect(page.get_by_role("button", name="Live")).to_be_visible()

        assert deliver(server.url, job(1), id="msg_1").status_code == 200
        expect(row(page, 1)).to_contain_text("1 failed")
        expect(row(page, 1)).to_contain_text("1 done")
        expect(page.get_by_text("No events yet")).to_have_count(0)

        row(page, 1).get_by_role("link", name="tool_execution.succeeded").click()
        publish = page.locator("#timeline > li", has=page.get_by_text("publish", exact=True))
        expect(publish).to_contain_text("ValueError: the shop is closed")
        expect(publish).to_contain_text("Attempt 1")

        mended.touch()
        publish.get_by_role("button", name="Run again").click()
        expect(page.get_by_role("status")).to_contain_text("1 run starts again.")
        expect(publish.locator(".run .chip")).to_have_text("done")

        mended.unlink()
        for number in (2, 3, 4):
            deliver(server.url, job(number), id=f"msg_{number}")
        page.get_by_role("link", name="Events", exact=True).first.click()
        for number in (2, 3, 4):
            expect(row(page, number)).to_contain_text("1 failed")
        page.get_by_role("navigation", name="Pages").get_by_role("link", name="Runs").click()
        page.get_by_role("link", name="Retry all failed").click()
        expect(page.get_by_text("3 failed runs")).to_be_visible()
        mended.touch()
        page.get_by_role("button", name="Retry 3 runs").click()
        expect(page.get_by_role("status")).to_contain_text("3 runs start again.")
        page.get_by_role("navigation", name="Pages").get_by_role("link", name="Events").click()
        for number in (2, 3, 4):
            expect(row(page, number)).to_contain_text("2 done")

        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        page.goto("/events")
        expect(page).to_have_url(re.compile("/sign-in"))


def test_a_search_narrows_the_list_as_one_types(server, visit):
    for number in (11, 12):
        deliver(server.url, job(number), id=f"msg_{number}")
    with visit(server.url) as page:
        sign_in(page)
        page.goto("/events")
        expect(row(page, 11)).to_be_visible()
        page.get_by_label("Id, job, or text in the body").press_sequentially("vg_tool_12")
        expect(row(page, 11)).to_have_count(0)
        expect(row(page, 12)).to_be_visible()
        expect(page).to_have_url(re.compile("text=vg_tool_12"))
        page.reload()
        expect(page.get_by_label("Id, job, or text in the body")).to_have_value("vg_tool_12")


def test_all_of_it_works_without_javascript(server, visit, mended):
    deliver(server.url, job(21), id="msg_21")

    def again(path: str, text: str) -> None:
        """Load a page until it has a text, bounded."""
        until(lambda: page.goto(path) and page.get_by_text(text).count(), f"{text} on {path}")

    with visit(server.url, java_script_enabled=False) as page:
        sign_in(page)
        again("/runs?state=failed&handler=publish", "vg_tool_21")
        page.get_by_role("row", name="vg_tool_21").get_by_role("link", name="publish").click()
        expect(page.get_by_text("ValueError: the shop is closed").first).to_be_visible()
        mended.touch()
        page.get_by_role("button", name="Run again publish").click()
        expect(page.get_by_role("status")).to_contain_text("1 run starts again.")
        again("/runs?state=done&handler=publish", "vg_tool_21")
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_the_keyboard_alone_reaches_and_does_everything(server, visit):
    deliver(server.url, job(31), id="msg_31")
    with visit(server.url) as page:
        page.goto("/sign-in")
        expect(page.get_by_label("Admin token")).to_be_focused()
        page.keyboard.type(TOKEN)
        page.keyboard.press("Enter")
        page.wait_for_url("**/")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_be_focused()
        page.goto("/events")
        expect(row(page, 31)).to_be_visible()
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.matches('tbody a.main')"):
                break
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="What became of it")).to_be_visible()
