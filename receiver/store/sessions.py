"""Who is signed in to the pages: rows that know a session only by its digest."""

from collections.abc import Collection

from sqlalchemy import delete, insert, select

from .database import Database
from .tables import sessions


class Sessions:
    """The sessions table. Times are Unix seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, digest: str, *, now: float, valid_until: float) -> None:
        """Keep a new session, and forget those that are over."""
        row = {"digest": digest, "begun_at": now, "valid_until": valid_until}
        async with self._database.write() as connection:
            await connection.execute(delete(sessions).where(sessions.c.valid_until <= now))
            await connection.execute(insert(sessions), [row])

    async def valid(self, digests: Collection[str], *, now: float) -> set[str]:
        """Return those whose session is not over."""
        query = select(sessions.c.digest).where(sessions.c.digest.in_(digests), sessions.c.valid_until > now)
        async with self._database.read() as connection:
            return set((await connection.execute(query)).scalars())

    async def end(self, digest: str) -> None:
        """Forget a session."""
        async with self._database.write() as connection:
            await connection.execute(delete(sessions).where(sessions.c.digest == digest))
