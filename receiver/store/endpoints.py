"""Webhooks registered at providers, and their sealed signing secrets."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import case, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ..ids import new_id
from .beats import our_turn
from .database import Database
from .tables import beats, endpoints, secrets
from .text import storable, storable_row

#: How the part is called that beats when a source delivers; the source's name follows.
HEARD = "heard:"

#: Who compared last, among the beats.
_PART = "inspector"

#: Seconds for which a secret counts before its time: another machine may have stored it, by a clock that is ahead.
EARLY = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A webhook that this receiver registered. Times are Unix seconds."""

    source: str
    id: str
    url: str
    events: tuple[str, ...]
    description: str | None
    created_at: float
    deleted_at: float | None = None
    compared_at: float | None = None  #: when its provider last told how it has it
    drift: str | None = None  #: in what it was not as it should be then
    drift_text: str | None = None  #: the same for people
    drifted_at: float | None = None  #: since when that was seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A sealed signing secret and when it counts. Times are Unix seconds, `valid_until` None means for good."""

    id: str
    source: str
    endpoint_id: str | None
    sealed: str
    last4: str
    valid_from: float
    valid_until: float | None


class Endpoints:
    """The tables of endpoints and secrets."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert = sqlite.insert if database.is_sqlite else postgresql.insert

    async def add(self, endpoint: Endpoint, *, sealed: str, last4: str) -> None:
        """Keep a new endpoint and its secret, together or not at all."""
        row = {
            "source": endpoint.source,
            "id": endpoint.id,
            "url": endpoint.url,
            "events": json.dumps(endpoint.events),
            "description": endpoint.description,
            "created_at": endpoint.created_at,
        }
        async with self._database.write() as connection:
            await connection.execute(insert(endpoints), [storable_row(row)])
            await connection.execute(
                insert(secrets),
                [_secret_row(endpoint.source, endpoint.id, sealed, last4, endpoint.created_at)],
            )

    async def live(self, source: str | None = None) -> list[Endpoint]:
        """Return the endpoints that were not deleted, oldest first."""
        query = select(endpoints).where(endpoints.c.deleted_at.is_(None)).order_by(endpoints.c.created_at)
        if source:
            query = query.where(endpoints.c.source == source)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).mappings()
            return [Endpoint(**{**row, "events": tuple(json.loads(row["events"]))}) for row in rows]

    async def mine(self, every: float) -> bool:
        """Whether it is time to compare, `every` so many seconds, and for us to do it: one process is told so."""
        return await our_turn(self._database, _PART, every)

    async def compared(self, source: str, found: Mapping[str, tuple[str | None, str]]) -> None:
        """Keep how the provider has each endpoint, by its id: the drift, None without, and what that is for people."""
        async with self._database.write() as connection:
            now = await self._database.now(connection)
            for name, (drift, text) in sorted(found.items()):
                since = None if drift is None else case((endpoints.c.drift == drift, endpoints.c.drifted_at), else_=now)
                mine = (endpoints.c.source == source) & (endpoints.c.id == name)
                values = {"drift": drift, "drift_text": storable(text) if drift else None, "drifted_at": since}
                await connection.execute(update(endpoints).where(mine).values(compared_at=now, **values))

    async def heard(self, sources: Mapping[str, float]) -> None:
        """Note when the last trusted delivery of each source came, Unix seconds."""
        if not sources:
            return
        statement = self._insert(beats)
        later = statement.excluded.seen_at > beats.c.seen_at
        statement = statement.on_conflict_do_update(
            index_elements=["part"], set_={"seen_at": statement.excluded.seen_at}, where=later
        )
        # Always in the same order: two processes would else wait for each other.
        rows = [{"part": HEARD + source, "seen_at": at} for source, at in sorted(sources.items())]
        async with self._database.write() as connection:
            await connection.execute(statement, rows)

    async def last_heard(self) -> dict[str, float]:
        """Return when the last trusted delivery of each source came; deliveries of the last seconds may be missing."""
        query = select(beats.c.part, beats.c.seen_at).where(beats.c.part.startswith(HEARD, autoescape=True))
        async with self._database.read() as connection:
            return {row.part.removeprefix(HEARD): row.seen_at for row in await connection.execute(query)}

    async def retire(self, source: str, id: str, *, now: float, overlap: float) -> None:
        """Mark an endpoint deleted; its secret stays valid for `overlap` seconds, for deliveries still on their way."""
        async with self._database.write() as connection:
            mine = (endpoints.c.source == source) & (endpoints.c.id == id)
            await connection.execute(update(endpoints).where(mine).values(deleted_at=now))
            open_ended = secrets.c.valid_until.is_(None) & (secrets.c.endpoint_id == id) & (secrets.c.source == source)
            await connection.execute(update(secrets).where(open_ended).values(valid_until=now + overlap))

    async def secrets(self, source: str | None = None, *, now: float | None = None) -> list[Secret]:
        """Return the secrets, newest first; with `now` only those that count then, or soon."""
        query = select(secrets).order_by(secrets.c.valid_from.desc(), secrets.c.id.desc())
        if source:
            query = query.where(secrets.c.source == source)
        if now is not None:
            query = query.where(secrets.c.valid_until.is_(None) | (secrets.c.valid_until > now))
            query = query.where(secrets.c.valid_from <= now + EARLY)
        async with self._database.read() as connection:
            return [Secret(**row) for row in (await connection.execute(query)).mappings()]

    async def add_secret(
        self, source: str, *, sealed: str, last4: str, valid_from: float, valid_until: float | None = None
    ) -> str:
        """Keep a secret that belongs to no endpoint of ours; return its id."""
        row = _secret_row(source, None, sealed, last4, valid_from)
        async with self._database.write() as connection:
            await connection.execute(insert(secrets), [row | {"valid_until": valid_until}])
        return str(row["id"])

    async def end_secret(self, id: str, *, at: float) -> bool:
        """Let a secret count until `at` and no longer; return whether there is one."""
        async with self._database.write() as connection:
            ended = update(secrets).where(secrets.c.id == id).values(valid_until=at)
            return (await connection.execute(ended)).rowcount > 0


def _secret_row(source: str, endpoint_id: str | None, sealed: str, last4: str, now: float) -> dict[str, object]:
    return {
        "id": new_id("sec"),
        "source": source,
        "endpoint_id": endpoint_id,
        "sealed": sealed,
        "last4": last4,
        "valid_from": now,
    }
