"""Captured media in a real Chromium: it plays, from a bucket too, and nobody else is asked for it."""

import time

from playwright.sync_api import expect

from receiver.emulator.media import sound

from ..dashboard.stored import arrival
from .conftest import PATIENCE, sign_in

expect.set_options(timeout=PATIENCE)

#: How long it is, and where it is after a jump into its middle.
JUMP = """
    (audio) => new Promise((settle, fail) => {
        audio.onerror = () => fail(new Error(audio.error.message));
        audio.onseeked = () => settle([audio.duration, audio.currentTime]);
        const jump = () => { audio.currentTime = audio.duration / 2; };
        if (audio.readyState) jump(); else audio.onloadedmetadata = jump;
    })
"""


def test_captured_media_from_a_bucket_plays_in_the_page(here, visit, bucket):
    body = sound(seconds=10).content

    async def capture(store):
        [event] = await store.events.add([arrival(1, time.time())])
        async with bucket.files.new("rain") as part:
            await part.write(body)
            place = await part.keep("rain.wav", media_type="audio/wav")
            about = {"size": part.size, "sha256": part.sha256, "media_type": "audio/wav", "expires_at": None}
        about |= {"output_id": "1", "source": "videogen", "job_id": "vg_tool_1", "type": "AUDIO", "state": "captured"}
        await store.outputs.record(event_id=event.event_id, handler="download", place=place, **about)
        return event.event_id

    with here(capture, files=bucket.files.place) as (url, event), visit(url) as page:
        sign_in(page)
        page.wait_for_url("**/")
        page.goto(f"/events/{event}")
        audio = page.locator("audio")
        expect(audio).to_be_visible()
        assert audio.evaluate(JUMP) == [10, 5]
