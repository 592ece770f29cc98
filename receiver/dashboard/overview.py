"""The first page: do events flow, and if not, where to look."""

import asyncio
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import Response

from .. import meters
from ..recall import seconds_told
from ..store import Alarm, Count, Filter, Store, reached, total
from .live import News, Watched
from .pages import Pages, Views, number, query, took
from .refused import REASONS

#: Seconds after which work that is due and not begun is worth a look.
LATE = 60.0

#: Seconds in which an output's URL must not expire without a capture.
EXPIRING = 3600.0

#: Events that are listed.
LATEST = 8

#: Seconds for which it is remembered how it stands, and how many times longer at least than it took to ask: a long
#: queue costs something to count.
FRESH, TIMES = 1.0, 20.0

#: Where the events of alarms are.
ALARMS = "/events?source=receiver"

#: Reasons for which deliveries were refused that are drawn: those of the most.
DRAWN = 4

#: Of how many percent a chart shows how long they took at most.
SHARES = (50, 95)

#: The spans of time that the charts show: seconds, and seconds in each step.
SPANS = {"1h": (3600.0, 60.0), "24h": (86_400.0, 1800.0), "7d": (7 * 86_400.0, 7200.0)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Concern:
    """Something that needs a look, and where to look."""

    kind: Literal["bad", "warn"]
    text: str
    path: str


class Overview:
    """The page at `/`."""

    def __init__(self, *, store: Store, pages: Pages, clock: Callable[[], float]) -> None:
        self._store = store
        self._pages = pages
        self._clock = clock
        self._stands: dict[str, Any] = {}
        self._stale_at = -math.inf
        self._asking = asyncio.Lock()

    def views(self) -> Views:
        """Return everything that is answered."""
        yield "GET", "/", self._show

    async def _show(self, request: Request) -> Response:
        span = request.query_params.get("span", "24h")
        span = span if span in SPANS else "24h"
        seconds, step = SPANS[span]
        begin = (self._clock() - seconds) // step * step
        found = await self._store.tally.over(since=begin - seconds, step=step)
        counts = [count for count in found if count.at >= begin]
        whole = bool(found) and found[0].at <= begin - seconds
        refusals = _by_reason(counts, [count for count in found if count.at < begin] if whole else None)
        now = await self._now()
        latest = (await self._store.events.page(Filter(), limit=LATEST)).rows
        times = {
            f"{what}, {share} %": _reached(find, share)
            for what, find in (("Acknowledgements", _acks), ("Handlers", _times))
            for share in SHARES
        }
        return self._pages.answer(
            request,
            "overview.html",
            **now,
            span=span,
            spans=SPANS,
            flow=_series(counts, {"Events": _events, "Copies": _copies, "Refused": _refused}),
            work=_series(counts, {"Done": _ended("done"), "To be tried again": _ended("retry"), "Failed": _failed}),
            times=_series(counts, times),
            refusals=refusals,
            reasons=REASONS,
            refused=_series(counts, {one["reason"]: _refused_for(one["reason"]) for one in refusals[:DRAWN]}),
            acks=seconds_told(total(count.acks for count in counts)),
            slow_acks=times["Acknowledgements, 95 %"],
            slow_handlers=times["Handlers, 95 %"],
            counts=[count for count in reversed(counts) if _events(count) or _refused(count) or count.attempts],
            latest=latest,
            standings=await self._store.runs.standings([event["id"] for event in latest]),
        )

    async def _now(self) -> dict[str, Any]:
        """Return how it stands now, or stood a moment ago: all who look are shown the same."""
        async with self._asking:
            began = time.monotonic()
            if began > self._stale_at:
                self._stands = await self._look()
                ended = time.monotonic()
                self._stale_at = ended + max(FRESH, TIMES * (ended - began))
        return self._stands

    async def _look(self) -> dict[str, Any]:
        left = await self._store.backlog.left()
        handlers = await self._store.handlers.list()
        hour = await self._store.tally.over(since=self._clock() - 3600.0, step=300.0)
        expiring = await self._store.outputs.expiring(within=EXPIRING, limit=20)
        last = (await self._store.events.page(Filter(), limit=1)).rows
        paused = {one["name"] for one in handlers if one["paused_at"]}
        age = max([left.event_age, *(since for name, (_, since) in left.waiting.items() if name not in paused)])
        alarms = await self._store.alarms.active()
        concerns = [*_alarms(alarms), *_late(age), *_handlers(handlers), *_refusals(hour), *_expiring(expiring)]
        return {
            "left": left,
            "age": age,
            "late": LATE,
            "last": last[0] if last else None,
            "concerns": sorted(concerns, key=lambda concern: concern.kind),
            "handlers": handlers,
            "expiring": expiring,
            "hour": {
                "events": sum(_events(count) for count in hour),
                "refused": sum(_refused(count) for count in hour),
                "failed": sum(_failed(count) for count in hour),
            },
        }

    async def look(self, watched: Sequence[Watched]) -> list[list[News]]:
        """Return how it stands now, as one piece of the page."""
        now = await self._now()
        left, last = now["left"], now["last"]
        waiting = {name: count for name, (count, _) in left.waiting.items()}
        at_work = (left.running, left.open_jobs, waiting)
        mark = (last and last["id"], round(now["age"]), now["concerns"], now["hour"], at_work)
        return [[News(id="now", mark=mark, render=lambda: self._pages.render("now.html", **now))] for _ in watched]


def _by_reason(counts: Sequence[Count], before: Sequence[Count] | None) -> list[dict[str, Any]]:
    """Return for each reason how many deliveries were refused in the time shown and before it, the most first."""
    now, then = (Counter(total(count.refusals for count in some)) for some in (counts, before or ()))
    reasons = sorted({*now, *then}, key=lambda reason: (-now[reason], -then[reason], reason))
    return [{"reason": one, "now": now[one], "before": then[one] if before is not None else None} for one in reasons]


#: Where to look when what an alarm watches needs it.
_PLACES = {
    "backlog": "/runs?state=waiting",
    "failing": "/runs?state=failed",
    "silent": "/endpoints",
    "refused": "/refused",
    "clock": "/refused",
    "expiring": "/#expiring",
    "overdue": "/jobs?state=open",
    "drift": "/endpoints",
}


def _alarms(alarms: Sequence[Alarm]) -> list[Concern]:
    return [
        Concern(kind="bad", text=f"{one.text[:1].upper()}{one.text[1:]}.", path=_PLACES.get(one.watch, ALARMS))
        for one in alarms
    ]


def _late(age: float) -> list[Concern]:
    if age <= LATE:
        return []
    return [Concern(kind="bad", text=f"Work has been due for {took(age)}.", path="/runs?state=waiting")]


def _handlers(handlers: Sequence[dict[str, Any]]) -> list[Concern]:
    found = []
    for one in handlers:
        name = one["name"]
        if one["waiting"] and not one["there"]:
            text = f"{number(one['waiting'])} runs wait for {name}, which no worker has."
            found.append(Concern(kind="bad", text=text, path="/handlers"))
        if one["paused_at"]:
            text = f"{name} is paused; {number(one['waiting'])} runs wait."
            found.append(Concern(kind="warn", text=text, path="/handlers"))
        if lately := one["failed_lately"]:
            text = f"{number(lately)} {'run' if lately == 1 else 'runs'} of {name} failed in the last 24 h"
            text += f", {number(one['failed'])} in all." if one["failed"] > lately else "."
            found.append(Concern(kind="warn", text=text, path="/runs" + query({"handler": name, "state": "failed"})))
    return found


def _refusals(hour: Sequence[Count]) -> list[Concern]:
    count = sum(one.refused for one in hour)
    if not count:
        return []
    text = f"{number(count)} {'delivery was' if count == 1 else 'deliveries were'} refused in the last hour."
    return [Concern(kind="warn", text=text, path="/refused")]


def _expiring(expiring: Sequence[dict[str, Any]]) -> list[Concern]:
    if not expiring:
        return []
    text = f"Outputs of {len(expiring)} {'event' if len(expiring) == 1 else 'events'} expire soon and are not captured."
    return [Concern(kind="bad", text=text, path="/#expiring")]


def _series(counts: Sequence[Count], lines: Mapping[str, Callable[[Count], float | None]]) -> str:
    """Return what a chart is drawn from, as JSON."""
    return json.dumps(
        {
            "names": list(lines),
            "at": [count.at for count in counts],
            "series": [[line(count) for count in counts] for line in lines.values()],
        }
    )


def _reached(find: Callable[[Count], Mapping[float, int]], share: float) -> Callable[[Count], float | None]:
    def find_one(count: Count) -> float | None:
        found = reached(find(count), share)
        return meters.ACKS.bounds[-1] if found == math.inf else found  # as far as a chart goes

    return find_one


def _acks(count: Count) -> Mapping[float, int]:
    return count.acks


def _times(count: Count) -> Mapping[float, int]:
    return count.times


def _refused_for(reason: str) -> Callable[[Count], int]:
    return lambda count: count.refusals.get(reason, 0)


def _events(count: Count) -> int:
    return count.events


def _copies(count: Count) -> int:
    return count.duplicates


def _refused(count: Count) -> int:
    return count.refused


def _failed(count: Count) -> int:
    return count.ended("failed") + count.ended("lost")


def _ended(outcome: str) -> Callable[[Count], int]:
    return lambda count: count.ended(outcome)
