"""Whose turn it is to do what one process at a time does, every so many seconds."""

from sqlalchemy.dialects import postgresql, sqlite

from .database import Database
from .tables import beats


async def our_turn(database: Database, part: str, every: float) -> bool:
    """Return whether nobody has done this part's work for so many seconds; if so, it is our turn, and nobody else's."""
    async with database.write() as connection:
        now = await database.now(connection)
        insert = sqlite.insert if database.is_sqlite else postgresql.insert
        statement = insert(beats).values(part=part, seen_at=now)
        mine = statement.on_conflict_do_update(
            index_elements=["part"], set_={"seen_at": now}, where=beats.c.seen_at <= now - every
        )
        return (await connection.execute(mine)).rowcount == 1
