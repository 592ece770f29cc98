"""`receiver demo`, as a newcomer runs it."""

import os
import re
import signal
import subprocess
import sys

import httpx

from .conftest import PLAIN, until


def test_the_demo_shows_all_providers_a_chain_and_a_lost_webhook_and_then_a_living_dashboard(tmp_path):
    ours = {"DATABASE_URL": "postgresql://not.used/", "VIDEOGEN_WEBHOOK_SECRET": ""}
    environment = os.environ | ours | {"COLUMNS": "80", "PYTHONUNBUFFERED": "1"}
    output = tmp_path / "output"
    arguments = [sys.executable, "-m", "receiver", "demo", "--serve"]
    with output.open("w") as said:
        demo = subprocess.Popen(arguments, cwd=tmp_path, env=environment, stdout=said, stderr=said)
    try:
        told = until(
            lambda: re.search(r"The dashboard: (\S+)\s+Sign in with (\S+)", output.read_text()), "served", patience=60
        )
        url, token = told.groups()
        with httpx.Client(base_url=url, headers={"origin": url}, timeout=20, **PLAIN) as browser:
            assert browser.post("/sign-in", data={"token": token}).status_code == 303
            overview = browser.get("/").text
            assert re.search(r'href="/events/evt_\w{32}">', overview), "what came stands there"
            assert "generate-music" in browser.get("/jobs").text.replace("generate music", "generate-music")
            with browser.stream("GET", "/live/events") as news:
                # A job is submitted every few seconds, and nobody asks for anything here.
                assert any(line.startswith("event: news") for line in news.iter_lines())
    finally:
        demo.send_signal(signal.SIGINT)
        assert demo.wait(20) == 0, output.read_text()
    told = output.read_text()
    for line in (
        "videogen text-to-speech succeeded by webhook",
        "videogen generate-sound-effect succeeded by webhook",
        "videogen generate-video-clip succeeded by webhook",
        "videogen generate-avatar succeeded by webhook",
        "videogen generate-music succeeded recovered",
        "finevoice sfx-generation succeeded asked for",
        "videogenapi text-to-video succeeded asked for",
    ):
        assert f"← {line}" in told
    rows = re.findall(r"^\S+ \S+ +[\w ]+, [\d.]+ s +(\w+) +\w+, [\d,]+ bytes *$", told, re.MULTILINE)
    assert rows == ["verified"] * 7  # whole, also on a terminal of 80 columns
    assert "Forwarded to a service that verified them: 7 of 7." in told
    assert "Webhooks that never came, and were asked for instead: 1 at videogen." in told
    files = [path for path in (tmp_path / "demo" / "files").glob("**/*") if path.suffix != ".json"]
    assert {path.suffix for path in files} == {".mp4", ".wav"}
    assert len(files) >= 7
