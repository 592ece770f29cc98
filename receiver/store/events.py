"""Events, and deliveries that made none."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, and_, func, insert, or_, select

from ..ids import new_id
from .connection import AsyncConnection
from .database import Database
from .filter import Filter
from .ingest import COLUMNS, Ingest, Row
from .page import PATIENCE, Looking, Page
from .tables import attempts, behind, deliveries, event_state, events, is_paused, news, runs
from .text import storable


@dataclass(slots=True, kw_only=True)
class Arrival:
    """A trusted delivery or answer on its way into the store.

    Whoever makes one has a message id that only verification gives, or asked the provider itself.
    """

    source: str
    type: str
    road: str
    received_at: float
    occurred_at: float
    headers: str
    body: bytes
    message_id: str | None = None
    fact: str | None = None
    kind: str | None = None
    job_id: str | None = None
    tool: str | None = None
    expires_at: float | None = None  #: when the first URL of its outputs stops working
    reason: str | None = None  #: why it is in quarantine, None if it is not
    sender: str | None = None
    trace: str | None = None  #: the span it came in, as a `traceparent`


@dataclass(slots=True, kw_only=True)
class Added:
    """What became of an arrival: `status` is `"stored"` or `"duplicate"` of the event with this id."""

    event_id: str
    status: str


@dataclass(slots=True, kw_only=True)
class Refusal:
    """A delivery that was not taken, and why."""

    source: str
    reason: str
    status: int
    received_at: float
    headers: str
    body: bytes
    size: int
    skew: float | None = None
    sender: str | None = None
    unlisted: int = 0


#: All that is told of an event, and what lists show of it.
WHOLE = [event_state.label("state") if column is events.c.state else column for column in events.c]
LISTED = [column for column in WHOLE if column.name not in ("headers", "body")]


class Events:
    """The events table and its copies and refusals."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ingest = Ingest(database)

    async def close(self) -> None:
        """Give the writer's connection back."""
        await self._ingest.close()

    async def add(self, arrivals: Sequence[Arrival], refusals: Sequence[Refusal] = ()) -> list[Added]:
        """Store each arrival unless its message or its fact is there already. Durable when this returns."""
        rows = [event_row(arrival) for arrival in arrivals]
        # Always in the same order: two writers with the same copies would else wait for each other.
        ordered = sorted(rows, key=_order) if len(rows) > 1 else rows
        new = await self._ingest.add(ordered) if rows else 0
        if new == len(rows):
            added = [Added(event_id=row[0], status="stored") for row in rows]
        else:
            added = await self._told_apart(rows, arrivals)
        if refusals:
            async with self._database.write() as connection:
                await connection.execute(insert(deliveries), [_refusal_row(refusal) for refusal in refusals])
        return added

    async def _told_apart(self, rows: Sequence[Row], arrivals: Sequence[Arrival]) -> list[Added]:
        """Return what became of each arrival when some were there already."""
        async with self._database.write() as connection:
            query = select(events.c.id).where(events.c.id.in_([row[0] for row in rows]))
            stored = set((await connection.execute(query)).scalars())
            return [
                Added(event_id=row[0], status="stored")
                if row[0] in stored
                else await self._duplicate(connection, arrival)
                for row, arrival in zip(rows, arrivals, strict=True)
            ]

    async def _duplicate(self, connection: AsyncConnection, arrival: Arrival) -> Added:
        same = [and_(events.c.message_id == arrival.message_id, events.c.message_id.is_not(None))]
        if arrival.fact is not None:
            same.append(events.c.fact == arrival.fact)
        query = select(events.c.id, events.c.message_id, events.c.state)
        query = query.where(events.c.source == arrival.source, or_(*same))
        first = (await connection.execute(query.order_by(events.c.id).limit(1))).one()
        reason = "same-message" if first.message_id == arrival.message_id else "same-fact"
        row = _copy_row(arrival, first.id, reason)
        if first.state == "erased":  # nor may a copy bring back what was erased
            row |= {"headers": "", "body": b"", "sender": None}
        await connection.execute(insert(deliveries), [row])
        return Added(event_id=first.id, status="duplicate")

    async def get(self, event_id: str) -> dict[str, Any] | None:
        """Return one event with all columns."""
        async with self._database.read() as connection:
            row = (
                (await connection.execute(select(*WHOLE).where(events.c.id == storable(event_id))))
                .mappings()
                .one_or_none()
            )
            return dict(row) if row else None

    async def some(self, event_ids: Collection[str]) -> dict[str, dict[str, Any]]:
        """Return events with all columns by their ids, in one query; ids that no event has are left out."""
        if not event_ids:
            return {}
        async with self._database.read() as connection:
            found = await connection.execute(select(*WHOLE).where(events.c.id.in_(event_ids)))
            return {row["id"]: dict(row) for row in found.mappings()}

    async def listed(self, event_ids: Collection[str]) -> dict[str, dict[str, Any]]:
        """Return events by their ids, in one query, without headers and body; ids that no event has are left out."""
        if not event_ids:
            return {}
        async with self._database.read() as connection:
            found = await connection.execute(select(*LISTED).where(events.c.id.in_(event_ids)))
            return {row["id"]: dict(row) for row in found.mappings()}

    async def page(
        self, wanted: Filter, *, cursor: str | None = None, limit: int = 50, patience: float = PATIENCE
    ) -> Page[dict[str, Any]]:
        """Return the newest events that are meant, without headers and body."""
        looking = Looking(
            query=select(*LISTED),
            id=events.c.id,
            base=wanted.received(),
            narrow=wanted.clauses(),
            exact=wanted.is_exact,
            few=select(news.c.event_id) if wanted.state == "waiting" else None,
        )
        async with self._database.read() as connection:
            return await looking.page(connection, before=cursor, limit=limit, patience=patience)

    async def others(
        self,
        *,
        source: str | None = None,
        verdict: str | None = None,
        reason: str | None = None,
        event_id: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
        patience: float = PATIENCE,
    ) -> Page[dict[str, Any]]:
        """Return the newest deliveries that made no event, without headers and body: refused ones and duplicates."""
        asked = (
            (deliveries.c.source, source),
            (deliveries.c.verdict, verdict),
            (deliveries.c.reason, reason),
            (deliveries.c.event_id, event_id),
        )
        looking = Looking(
            query=select(*(column for column in deliveries.c if column.name not in ("headers", "body"))),
            id=deliveries.c.id,
            narrow=[column == storable(value) for column, value in asked if value is not None],
            exact=event_id is not None,
        )
        async with self._database.read() as connection:
            return await looking.page(connection, before=cursor, limit=limit, patience=patience)

    async def other(self, id: str) -> dict[str, Any] | None:
        """Return one delivery that made no event, with all columns."""
        async with self._database.read() as connection:
            query = select(deliveries).where(deliveries.c.id == storable(id))
            row = (await connection.execute(query)).mappings().one_or_none()
            return dict(row) if row else None

    async def recent(
        self, *, before: str | None = None, limit: int = 50, source: str | None = None, job_id: str | None = None
    ) -> list[dict[str, Any]]:
        """Return the newest events before the event `before`, newest first, without headers and body."""
        query = select(*LISTED).order_by(events.c.id.desc()).limit(limit)
        if before:
            query = query.where(events.c.id < before)
        if source:
            query = query.where(events.c.source == source)
        if job_id:
            query = query.where(events.c.job_id == job_id)
        async with self._database.read() as connection:
            return [dict(row) for row in (await connection.execute(query)).mappings()]

    async def deliveries(self, *, limit: int = 50, since: float = 0) -> list[dict[str, Any]]:
        """Return the newest deliveries that made no event, newest first, without body."""
        columns = [column for column in deliveries.c if column.name != "body"]
        query = select(*columns).where(deliveries.c.received_at >= since)
        async with self._database.read() as connection:
            found = await connection.execute(query.order_by(deliveries.c.id.desc()).limit(limit))
            return [dict(row) for row in found.mappings()]

    async def copies(self, event_id: str, *, limit: int = 50) -> list[dict[str, Any]]:
        """Return further deliveries of what an event tells, in order, without headers and body."""
        return (await self.copies_of([event_id], limit=limit))[event_id]

    async def copies_of(self, event_ids: Collection[str], *, limit: int = 50) -> dict[str, list[dict[str, Any]]]:
        """Return `copies` by event, at most so many of each, in one query."""
        columns = [column for column in deliveries.c if column.name not in ("headers", "body")]
        place = func.row_number().over(partition_by=deliveries.c.event_id, order_by=deliveries.c.id)
        each = select(*columns, place.label("place")).where(deliveries.c.event_id.in_(event_ids)).subquery()
        query = select(*(each.c[column.name] for column in columns)).where(each.c.place <= limit).order_by(each.c.id)
        return await self._by_event(event_ids, query)

    async def history(self, event_id: str) -> list[dict[str, Any]]:
        """Return the runs of an event, each once per attempt, in order; a run never tried has no attempt."""
        return (await self.histories([event_id]))[event_id]

    async def histories(self, event_ids: Collection[str]) -> dict[str, list[dict[str, Any]]]:
        """Return `history` by event, in one query."""
        query = (
            select(runs, attempts.c.number, attempts.c.outcome, attempts.c.error.label("attempt_error"))
            .add_columns(attempts.c.note, attempts.c.started_at.label("attempt_started_at"))
            .add_columns(attempts.c.finished_at.label("attempt_finished_at"), is_paused, behind)
            .select_from(runs.outerjoin(attempts))
            .where(runs.c.event_id.in_(event_ids))
            .order_by(runs.c.handler, attempts.c.id)
        )
        return await self._by_event(event_ids, query)

    async def _by_event(self, event_ids: Collection[str], query: Select[Any]) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {event_id: [] for event_id in event_ids}
        if found:
            async with self._database.read() as connection:
                for row in (await connection.execute(query)).mappings():
                    found[row["event_id"]].append(dict(row))
        return found


def event_row(arrival: Arrival) -> Row:
    """Return the arrival as a row, its values in the order of `ingest.COLUMNS`."""
    return (
        new_id("evt"),
        arrival.source,
        "quarantined" if arrival.reason else None,
        storable(arrival.type),
        arrival.kind,
        storable(arrival.job_id),
        storable(arrival.tool),
        arrival.road,
        arrival.received_at,
        arrival.occurred_at,
        arrival.expires_at,
        arrival.message_id,
        storable(arrival.fact),
        storable(arrival.reason),
        arrival.trace,
        arrival.headers,
        arrival.body,
    )


_FACT, _MESSAGE = (list(COLUMNS).index(name) for name in ("fact", "message_id"))


def _order(row: Row) -> tuple[str, str, str]:
    return row[1], row[_FACT] or "", row[_MESSAGE] or ""


def _copy_row(arrival: Arrival, event_id: str, reason: str) -> dict[str, Any]:
    return {
        "id": new_id("dlv"),
        "source": arrival.source,
        "verdict": "duplicate",
        "reason": reason,
        "status": 200,
        "received_at": arrival.received_at,
        "event_id": event_id,
        "message_id": arrival.message_id,
        "sender": arrival.sender,
        "size": len(arrival.body),
        "headers": arrival.headers,
        "body": b"" if reason == "same-message" else arrival.body,
    }


def _refusal_row(refusal: Refusal) -> dict[str, Any]:
    return {
        "id": new_id("dlv"),
        "source": storable(refusal.source),
        "verdict": "refused",
        "reason": refusal.reason,
        "status": refusal.status,
        "received_at": refusal.received_at,
        "skew": refusal.skew,
        "sender": refusal.sender,
        "unlisted": refusal.unlisted,
        "size": refusal.size,
        "headers": refusal.headers,
        "body": refusal.body,
    }


def headers_text(headers: Sequence[tuple[bytes, bytes]], secret: frozenset[bytes] | None = None) -> str:
    """Return request headers as lines `name: value` for the store; the values of the secret ones are left out."""
    secret = SECRET_HEADERS if secret is None else secret
    lines = [name + b": " + (b"[redacted]" if name in secret else value) for name, value in headers]
    return b"\n".join(lines).decode("latin-1")


def headers_of(text: str) -> dict[str, str]:
    """Return stored headers by name. A repeated name keeps all its values, joined by a comma and a space."""
    found: dict[str, str] = {}
    for line in filter(None, text.split("\n")):  # other ends of lines are part of a value
        name, _, value = line.partition(": ")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


#: Headers that carry what opens a door.
SECRET_HEADERS = frozenset(
    {
        b"authorization",
        b"proxy-authorization",
        b"cookie",
        b"x-api-key",
        b"x-webhook-secret-key",
        b"x-webhook-token",
        b"dg-token",
    }
)
