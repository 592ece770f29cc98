"""How much happened in each minute or hour.

A worker adds up what is over, minute by minute. So what a page reads does not depend on how much happened, only the
last minute or two are counted where they are, and the sums stay when what they count is deleted.

What acknowledgements took stands in no other table: the web processes tell it here, each its own.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import CompoundSelect, Connection, Select, and_, case, delete, func, insert, literal, select, union_all
from sqlalchemy.dialects import postgresql, sqlite

from ..ids import first_id
from .database import Database
from .page import PATIENCE
from .tables import attempts, beats, counts, deliveries, events

T = TypeVar("T")

#: Seconds of the spans that are added up: the long ones for the past weeks. For how long each is kept.
MINUTE, LONG = 60, 1800
KEPT = {MINUTE: 2 * 86_400, LONG: 62 * 86_400}

#: Seconds after which nothing is added to a span of the past.
SETTLED = 60.0

#: Spans counted in one statement, and minutes added up in one transaction.
AT_ONCE = 15

#: The seconds, and for how long the longest, by which it is counted how long attempts took.
TIMES = tuple(float(f"{digit}e{power}") for power in range(-3, 5) for digit in (1, 2, 5))

#: What is never added up from other tables.
_ACKS = "acks"

#: Up to when everything is added up, among the beats.
_PART = "tally"


@dataclass(slots=True, kw_only=True)
class Count:
    """What happened in one span of time, which begins `at`, Unix seconds."""

    at: float
    events: int = 0  #: stored, by whichever road
    duplicates: int = 0  #: deliveries of what was there
    #: by reason: deliveries that were refused; those of a flood that got no row of their own count with one that did
    refusals: dict[str, int] = field(default_factory=dict)
    attempts: dict[str, dict[str, int]] = field(default_factory=dict)  #: by handler, then by outcome
    #: by each of TIMES: attempts that were done and took no longer, nor as short as the one before; told once added up
    times: dict[float, int] = field(default_factory=dict)
    #: by seconds: acknowledgements that took no longer, nor as short as the one before
    acks: dict[float, int] = field(default_factory=dict)

    @property
    def refused(self) -> int:
        """How many deliveries were refused, for whatever reason."""
        return sum(self.refusals.values())

    def ended(self, outcome: str) -> int:
        """Return how many attempts of all handlers ended so."""
        return sum(outcomes.get(outcome, 0) for outcomes in self.attempts.values())

    def add(self, what: str, about: str, upto: float, number: int) -> None:
        """Add a row of the table."""
        if what == "events":
            self.events += number
        elif what == "duplicates":
            self.duplicates += number
        elif what == "refused":
            self.refusals[about] = self.refusals.get(about, 0) + number
        elif what == _ACKS:
            self.acks[upto] = self.acks.get(upto, 0) + number
        else:
            outcomes = self.attempts.setdefault(about, {})
            outcomes[what] = outcomes.get(what, 0) + number
            if what == "done" and upto:
                self.times[upto] = self.times.get(upto, 0) + number


#: What is counted of a span: what it is, of which handler or why, up to which time it took, and the number.
_Row = tuple[str, str, float, int]

_Query = Select[*tuple[Any, ...]]


class Tally:
    """The counts table, and what is not in it yet."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert = sqlite.insert if database.is_sqlite else postgresql.insert

    async def over(self, *, since: float, step: float, patience: float = PATIENCE) -> list[Count]:
        """Return the counts of each span of `step` seconds since then, the oldest first.

        `step` is a number of minutes. What nobody has added up is counted, the newest first: when patience ends,
        what is older is missing.
        """
        until = time.monotonic() + patience
        return await self._database.looking(lambda connection: self._over(connection, since, int(step), until))

    def _over(self, connection: Connection, since: float, step: int, until: float) -> list[Count]:
        first, last = int(since // step * step), int(self._database.time(connection) // step * step)
        found = {at: Count(at=at) for at in range(first, last + 1, step)}
        _read_acks(connection, found, first=first, until=last + step, step=step)
        added_up = _added_up(connection) or first
        if added_up > first:
            _read(connection, found, first=first, until=added_up, step=step)
        left = [(at, max(at, added_up), at + step) for at in reversed(found) if at + step > added_up]
        for begin in range(0, len(left), AT_ONCE):
            if begin and time.monotonic() > until:
                return [count for at, count in found.items() if at >= left[begin - 1][0]]
            for at, row in _counted(connection, left[begin : begin + AT_ONCE], _tried):
                found[at].add(*row)
        return list(found.values())

    async def keep_acks(self, took: Mapping[float, int]) -> None:
        """Add to the minute that it is now how many acknowledgements took up to so many seconds. Raises Unavailable.

        What several processes tell adds up.
        """
        told = self._insert(counts)
        sums = {"number": counts.c.number + told.excluded.number}
        told = told.on_conflict_do_update(index_elements=[column.name for column in counts.primary_key], set_=sums)

        def keep(connection: Connection) -> None:
            now = int(self._database.time(connection))
            # Always in the same order: two processes would else wait for each other.
            values = [
                {"step": step, "at": now // step * step, "what": _ACKS, "about": "", "upto": upto, "number": number}
                for step in KEPT
                for upto, number in sorted(took.items())
            ]
            connection.execute(told, values)

        await self._database.writing(keep)

    async def add_up(self) -> bool:
        """Add up some minutes that are over; return whether there are more. Raises Unavailable.

        Any number of processes may do this. What gets an id of the past later than SETTLED is not counted.
        """
        settled, begin, end, rows = await self._database.looking(self._settled)
        if end <= begin:
            return False
        mine = self._insert(beats).values(part=_PART, seen_at=end)
        still = beats.c.seen_at == begin  # else another process has added this up meanwhile
        mine = mine.on_conflict_do_update(index_elements=["part"], set_={"seen_at": end}, where=still)

        def keep(connection: Connection) -> None:
            if connection.execute(mine).rowcount == 1:
                _keep(connection, rows, begin=begin, end=end)

        await self._database.writing(keep)
        return end < settled

    def _settled(self, connection: Connection) -> tuple[int, int, int, list[tuple[int, _Row]]]:
        """Return up to when it is over, and of the next minutes to add up the begin, the end, and what happened."""
        settled = int((self._database.time(connection) - SETTLED) // MINUTE * MINUTE)
        begin = _added_up(connection) or _beginning(connection, settled)
        end = min(settled, begin + AT_ONCE * MINUTE)
        spans = [(at, at, at + MINUTE) for at in range(begin, end, MINUTE)]
        return settled, begin, end, _counted(connection, spans, _tried_for) if spans else []


def _added_up(connection: Connection) -> int | None:
    """Return up to when everything is added up, None if nothing is."""
    found = connection.execute(select(beats.c.seen_at).where(beats.c.part == _PART))
    moment = found.scalar_one_or_none()
    return None if moment is None else int(moment)


def _beginning(connection: Connection, settled: int) -> int:
    """Return the first minute in which something happened, or since when counts are kept."""
    oldest = (
        select(events.c.received_at).order_by(events.c.id).limit(1),
        select(func.min(deliveries.c.received_at)),
        select(func.min(attempts.c.finished_at)),
    )
    moments = [connection.execute(query).scalar() for query in oldest]
    first = min([settled, *(moment for moment in moments if moment is not None)])
    return int(max(first, settled - KEPT[LONG]) // MINUTE * MINUTE)


def _keep(connection: Connection, rows: Iterable[tuple[int, _Row]], *, begin: int, end: int) -> None:
    values = [
        {"step": MINUTE, "at": at, "what": what, "about": about, "upto": upto, "number": number}
        for at, (what, about, upto, number) in rows
    ]
    if values:
        connection.execute(insert(counts), values)
    for at in range(begin // LONG * LONG, end // LONG * LONG, LONG):
        of = (counts.c.what, counts.c.about, counts.c.upto)
        minutes = and_(counts.c.step == MINUTE, counts.c.at >= at, counts.c.at < at + LONG, counts.c.what != _ACKS)
        sums = select(literal(LONG), literal(at), *of, func.sum(counts.c.number)).where(minutes).group_by(*of)
        connection.execute(insert(counts).from_select(["step", "at", "what", "about", "upto", "number"], sums))
    for step, seconds in KEPT.items():
        connection.execute(delete(counts).where(counts.c.step == step, counts.c.at < end - seconds))


def _read(connection: Connection, found: dict[int, Count], *, first: int, until: int, step: int) -> None:
    """Add to what was found what is added up: from long spans where they fit, then from minutes."""
    middle = max(first, until // LONG * LONG) if step % LONG == 0 else first
    at = counts.c.at - counts.c.at % step
    of = (counts.c.what, counts.c.about, counts.c.upto)
    for length, begin, end in ((LONG, first, middle), (MINUTE, middle, until)):
        if begin < end:
            within = (counts.c.step == length, counts.c.at >= begin, counts.c.at < end, counts.c.what != _ACKS)
            query = select(at.label("span"), *of, func.sum(counts.c.number)).where(*within).group_by("span", *of)
            for span, what, about, upto, number in connection.execute(query):
                found[span].add(what, about, upto, int(number))


def _read_acks(connection: Connection, found: Mapping[int, Count], *, first: int, until: int, step: int) -> None:
    """Add to what was found what acknowledgements took: both lengths of spans are whole at any time."""
    at = counts.c.at - counts.c.at % step
    length = LONG if step % LONG == 0 else MINUTE
    within = (counts.c.step == length, counts.c.at >= first, counts.c.at < until)
    query = select(at.label("span"), counts.c.upto, func.sum(counts.c.number)).group_by("span", counts.c.upto)
    for span, upto, number in connection.execute(query.where(*within, counts.c.what == _ACKS)):
        found[span].add(_ACKS, "", upto, int(number))


def reached(times: Mapping[float, int], share: float) -> float | None:
    """Return up to how many seconds so many percent took, None of none."""
    enough, count = sum(times.values()) * share / 100, 0
    for bound in sorted(times):
        count += times[bound]
        if count and count >= enough:
            return bound
    return None


def total(parts: Iterable[Mapping[T, int]]) -> dict[T, int]:
    """Return the sums of counts."""
    sums: Counter[T] = Counter()
    for part in parts:
        sums.update(part)
    return dict(sums)


def _counted(
    connection: Connection,
    spans: Sequence[tuple[int, float, float]],
    tried: Callable[[float, float], _Query],
) -> list[tuple[int, _Row]]:
    """Count what happened in each span from its second to its third moment, and name it by its first."""

    def all_spans(query: Callable[[float, float], _Query]) -> CompoundSelect[*tuple[Any, ...]]:
        return union_all(*(query(begin, end).add_columns(literal(at).label("at")) for at, begin, end in spans))

    found: list[tuple[int, _Row]] = []
    for query in (_stored, _others, tried):
        for what, about, upto, number, at in connection.execute(all_spans(query)):
            if number:
                found.append((at, (what, about, upto, int(number))))
    return found


_NOBODY, _NOTHING = literal(""), literal(0.0)


def _stored(begin: float, end: float) -> _Query:
    # Ids sort by time: the index of ids tells, and no event is read.
    within = (events.c.id >= first_id("evt", begin), events.c.id < first_id("evt", end))
    return select(literal("events"), _NOBODY, _NOTHING, func.count()).where(*within)


def _others(begin: float, end: float) -> _Query:
    verdict = deliveries.c.verdict
    what = case((verdict == "refused", "refused"), else_="duplicates")
    why = case((verdict == "refused", deliveries.c.reason), else_="").label("why")
    query = select(what, why, _NOTHING, func.count() + func.sum(deliveries.c.unlisted))
    return query.where(deliveries.c.received_at >= begin, deliveries.c.received_at < end).group_by(verdict, "why")


def _tried(begin: float, end: float) -> _Query:
    # How long each took stands in no index, and is left to those who add up.
    of = (attempts.c.outcome, attempts.c.handler)
    within = (attempts.c.finished_at >= begin, attempts.c.finished_at < end)
    return select(*of, _NOTHING, func.count()).where(*within).group_by(*of)


def _tried_for(begin: float, end: float) -> _Query:
    took = attempts.c.finished_at - attempts.c.started_at
    upto = case(*((took <= bound, bound) for bound in TIMES), else_=TIMES[-1]).label("upto")
    of = (attempts.c.outcome, attempts.c.handler, upto)
    within = (attempts.c.finished_at >= begin, attempts.c.finished_at < end)
    return select(*of, func.count()).where(*within).group_by(attempts.c.outcome, attempts.c.handler, "upto")
