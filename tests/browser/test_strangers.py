"""What strangers wrote, and a listing that goes on by itself, in a real Chromium before a receiver in this process."""

import re
import time
from urllib.parse import quote

from playwright.sync_api import expect

from ..dashboard.stored import NASTY, Strangers, fill
from .conftest import PATIENCE, sign_in

expect.set_options(timeout=PATIENCE)

#: What only a stranger can have made: an element, something that runs, a way out, a setting of the page.
MADE = """
    (() => {
        const leads = ["href", "src", "action", "formaction", "hx-get", "data-live"];
        const away = (value) => !value.startsWith("/") && value != "#main" || value.startsWith("//");
        const strange = ({name, value}) => name.startsWith("on") || leads.includes(name) && away(value);
        const never = ".stranger, script:not([src^='/static/']), iframe, object, embed, base, meta[http-equiv]";
        return [...document.querySelectorAll("*")]
            .filter((one) => one.matches(never) || [...one.attributes].some(strange))
            .map((one) => one.outerHTML.slice(0, 200));
    })()
"""


def test_what_strangers_wrote_into_any_field_is_shown_as_text_and_does_nothing(here, visit, tmp_path):
    async def write(store):
        now = time.time()
        await fill(store, tmp_path / "files", at=now - 600, text=NASTY)
        strangers = Strangers(store, now)
        return strangers, await strangers.write()

    with here(write) as (url, (strangers, own)), visit(url) as page:
        dialogs = []
        page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        sign_in(page)
        page.wait_for_url("**/")
        handler = quote(strangers.handler)
        listings = ["/", "/events", "/jobs", "/runs", f"/runs?handler={handler}", "/refused?verdict=all"]
        listings += ["/endpoints", "/handlers", f"/runs/retry?handler={handler}", f"/events?text={quote(NASTY)}"]
        seen, made = set(), {}
        for path in (*listings, *own):
            page.goto(path)
            if path in (*listings[:3], own[0]):
                again = page.get_by_role("button", name="Live")
                again.click()
                page.locator("[data-live] > *").evaluate_all("all => all.forEach((one) => { one.dataset.old = 1 })")
                page.get_by_role("button", name="Paused").click()
                expect(again).to_be_visible()
                expect(page.locator("[data-old]")).to_have_count(0)  # it came once more, by server-sent events
            made[path] = page.evaluate(MADE)
            seen |= set(re.findall("@([a-z-]+)@", page.content()))
        assert {path: found for path, found in made.items() if found} == {}
        assert dialogs == []
        assert strangers.fields - seen == set()
        assert {cookie["name"] for cookie in page.context.cookies()} == {"receiver"}
