"""Which events are meant."""

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Boolean, ColumnElement, LargeBinary, literal, or_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from ..ids import first_id
from .tables import event_state, events
from .text import storable

#: Seconds that lie at most between the receipt of an event and the making of its id.
LATEST = 120.0


class _Holds(FunctionElement[bool]):
    """Whether the first bytes hold the second ones."""

    type = Boolean()
    inherit_cache = True


@compiles(_Holds, "sqlite")
def _instr(element: _Holds, compiler: Any, **options: Any) -> str:
    return f"instr({compiler.process(element.clauses, **options)}) > 0"


@compiles(_Holds, "postgresql")
def _position(element: _Holds, compiler: Any, **options: Any) -> str:
    return f"pg_catalog.position({compiler.process(element.clauses, **options)}) > 0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which events are meant; what is None does not narrow. Times are Unix seconds of receipt.

    `text` is looked for in the body as it came, upper and lower case told apart.
    """

    id: str | None = None
    source: str | None = None
    type: str | None = None
    kind: str | None = None
    job_id: str | None = None
    tool: str | None = None
    state: str | None = None
    road: str | None = None
    since: float | None = None
    until: float | None = None
    text: str | None = None

    def clauses(self) -> list[ColumnElement[bool]]:
        """Return the conditions on the events table."""
        equal = ("id", "type", "kind", "job_id", "tool", "road")
        found = [events.c[name] == storable(value) for name in equal if (value := getattr(self, name)) is not None]
        if self.state is not None:
            found.append(event_state == storable(self.state))
        if self.source is not None:
            # Joined with nothing, so that no engine takes the index of messages: all of a source, in no useful order.
            found.append(events.c.source.concat("") == storable(self.source))
        if self.since is not None:
            found.append(events.c.received_at >= self.since)
        if self.until is not None:
            found.append(events.c.received_at < self.until)
        if self.text:
            found.append(holds(events.c.body, self.text))
        return found

    @property
    def is_exact(self) -> bool:
        """Whether an index finds the few events that are meant."""
        return self.id is not None or self.job_id is not None

    def received(self) -> list[ColumnElement[bool]]:
        """Return between which ids those lie that were received in this time: ids sort by it."""
        found = []
        if self.since is not None:
            found.append(events.c.id >= first_id("evt", self.since))  # an id is made after receipt
        if self.until is not None:
            found.append(events.c.id < first_id("evt", self.until + LATEST))
        return found


def holds(body: ColumnElement[bytes], text: str) -> ColumnElement[bool]:
    """Whether a body holds the text, plain or as JSON writes it: its writer may escape what is not ASCII."""
    written = {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
    parts = (literal(one.encode("utf-8", "replace"), LargeBinary) for one in sorted(written))
    return or_(*(_Holds(body, part) for part in parts))
