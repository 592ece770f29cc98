"""Hints that another process has stored something. They only shorten the wait; nothing depends on them."""

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Any

import structlog
from sqlalchemy import text
from sqlalchemy.engine import make_url

from ..errors import Unavailable
from .database import Database

log = structlog.get_logger(__name__)

CHANNEL = "receiver"

#: Seconds between two looks at SQLite's change counter, which cost a few microseconds each.
LOOK = 0.02

#: Seconds within which many new events make one notification: notifying takes a lock for all of PostgreSQL.
DEBOUNCE = 0.01

#: Seconds between two tries to listen again.
RECONNECT = 1.0

#: Seconds between two looks whether a connection that says nothing is still there, and for the answer.
ALIVE = 30.0


class Wakeups:
    """Tells workers elsewhere that there is something new: LISTEN/NOTIFY, or SQLite's change counter."""

    def __init__(self, database: Database, url: str) -> None:
        self._database = database
        self._url = url
        self._news = asyncio.Event()

    def tell(self) -> None:
        """Have workers elsewhere woken soon. SQLite's find out by themselves."""
        self._news.set()

    async def send(self) -> None:
        """Send what `tell` asked for, for good."""
        while True:
            await self._news.wait()
            await asyncio.sleep(DEBOUNCE)
            self._news.clear()
            if self._database.is_sqlite:
                continue
            try:
                async with self._database.write() as connection:
                    await connection.execute(text(f"NOTIFY {CHANNEL}"))
            except Unavailable as error:
                log.warning("wakeup_not_sent", error=str(error))

    async def follow(self, wake: Callable[[], None]) -> None:
        """Call `wake` whenever another process has stored something, for good."""
        if self._database.is_sqlite:
            await self._watch(wake)
        while True:
            try:
                await self._listen(wake)
            except Unavailable as error:
                log.warning("wakeups_not_heard", error=str(error))
            await asyncio.sleep(RECONNECT)

    async def _listen(self, wake: Callable[[], None]) -> None:
        async with self._database.read() as connection:
            driver: Any = await connection.driver()
            closed = asyncio.Event()

            def heard(*_: object) -> None:
                wake()

            def ended(_driver: object) -> None:
                closed.set()

            driver.add_termination_listener(ended)
            await driver.add_listener(CHANNEL, heard)
            wake()  # something may have come while nobody listened
            try:
                while not await _set_within(closed, ALIVE):
                    await driver.fetchval("SELECT 1", timeout=ALIVE)
            finally:
                driver.remove_termination_listener(ended)
                await connection.invalidate()  # nobody else shall have one that listens, or is cut

    async def _watch(self, wake: Callable[[], None]) -> None:
        connection = sqlite3.connect(str(make_url(self._url).database), timeout=0)
        try:
            seen = None
            while True:
                found = connection.execute("PRAGMA data_version").fetchone()
                if found != seen:
                    seen = found
                    wake()
                await asyncio.sleep(LOOK)
        finally:
            connection.close()


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
