"""Find a Chromium on this machine: run as a script, this says what to install if there is none."""

import os
import shutil
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")

#: Where it may be although no PATH leads there.
PLACES = (
    "/usr/lib/chromium/chromium",
    "/opt/google/chrome/chrome",
    "/snap/bin/chromium",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)

#: Where playwright puts the browsers that it installs.
CACHES = (".cache/ms-playwright", "Library/Caches/ms-playwright")

MISSING = (
    "There is no Chromium here, and the dashboard's tests drive a real one: nothing is skipped for want of it.\n"
    "Install it (Debian, Ubuntu: apt-get install chromium; elsewhere: .venv/bin/playwright install chromium),\n"
    "or say where one is: CHROMIUM=/path/to/chromium make test.\n"
    "All other tests: .venv/bin/pytest --ignore=tests/browser"
)

#: It runs in a container, as root, and asks nobody for anything.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find() -> str | None:
    """Return the path of a Chromium; None if there is none in any usual place."""
    if said := os.environ.get("CHROMIUM"):
        return said if Path(said).is_file() else None
    found = next(filter(None, map(shutil.which, NAMES)), None)
    return found or next((place for place in (*PLACES, *_cached()) if Path(place).is_file()), None)


def _cached() -> list[str]:
    folders = [Path.home() / cache for cache in CACHES]
    return sorted(str(path) for folder in folders for path in folder.glob("chromium-*/chrome-*/chrome"))


if __name__ == "__main__" and find() is None:
    sys.exit(MISSING)
