"""Alarms: what somebody should look at, told once when it begins and once when it is over.

One worker at a time judges. What it finds is stored together with an event of ours, `alarm.raised` or
`alarm.resolved`, that handlers want like any other: `notify` tells people, `forward` tells a pager.
"""

import asyncio
import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import structlog
from pydantic import BaseModel, ConfigDict, Field

from . import schedule
from .config import Config
from .errors import ConfigError, Unavailable
from .logs import scrub
from .sources import Source
from .store import Alarm, Signs, Store
from .usual import usually

log = structlog.get_logger(__name__)

Watch = Literal["backlog", "failing", "silent", "refused", "clock", "expiring", "overdue", "drift"]
Key = tuple[str, str]

#: Seconds between two judgements.
EVERY = 30.0

#: Seconds for which it must be well again before an alarm is over: what comes and goes is one alarm.
CALM = 120.0

#: Seconds back to which failed runs and refused deliveries count.
LOOKBACK = 900.0

#: Refusals for its time of one source in that span before our clock is doubted.
DOUBTED = 3

#: A job is not overdue before this age, seconds, however quick its like are.
YOUNG = 600.0

#: Above which value each is an alarm. The unit is in its text.
LIMITS: Mapping[str, float] = {
    "backlog": 300,
    "failing": 4,
    "silent": 3600,
    "refused": 9,
    "clock": 60,
    "expiring": 0,
    "overdue": 10,
    "drift": 0,
}


class Rule(BaseModel):
    """One `[[alarms]]` of `receiver.toml`."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    watch: Watch
    about: str | None = Field(None, min_length=1)  #: a handler or a source; all of them without
    limit: float | None = Field(None, ge=0)
    off: bool = False


@dataclass(frozen=True, slots=True)
class Measure:
    """How something stands."""

    watch: str
    about: str
    value: float
    text: str  #: what it says if it is too much

    @property
    def key(self) -> Key:
        """What the alarm is known by."""
        return self.watch, self.about


@dataclass(frozen=True, slots=True)
class Rules:
    """What counts as too much."""

    limits: Mapping[tuple[str, str | None], float | None]  #: None is off

    @classmethod
    def of(cls, config: Config) -> "Rules":
        """Return the rules of `receiver.toml` over those that hold without it. Raises ConfigError."""
        limits: dict[tuple[str, str | None], float | None] = {(watch, None): limit for watch, limit in LIMITS.items()}
        said: set[tuple[str, str | None]] = set()
        for placed in config.tables("alarms", Rule):
            rule = placed.value
            key = rule.watch, rule.about
            if key in said:
                raise ConfigError(f"{placed.place}: there is another alarm for {rule.watch} {rule.about or ''}".strip())
            said.add(key)
            limits[key] = None if rule.off else LIMITS[rule.watch] if rule.limit is None else rule.limit
        return cls(limits)

    def limit(self, watch: str, about: str) -> float | None:
        """Return above which value it is an alarm, None if it never is."""
        return self.limits.get((watch, about), self.limits[watch, None])

    def names(self, watch: str, about: str) -> bool:
        """Whether a rule is about just this."""
        return (watch, about) in self.limits


@dataclass(frozen=True, slots=True)
class Judged:
    """What changes: alarms that begin, that are over, and those that go on as they now stand."""

    raised: Sequence[Alarm]
    resolved: Sequence[Alarm]
    standing: Sequence[Alarm]


def judge(measures: Iterable[Measure], rules: Rules, active: Mapping[Key, Alarm], now: float) -> Judged:
    """Return what changes, by how things stand. Pure."""
    too_much = {}
    for measure in measures:
        limit = rules.limit(*measure.key)
        if limit is not None and measure.value > limit:
            too_much[measure.key] = measure
    raised = [
        Alarm(watch=one.watch, about=one.about, raised_at=now, calm_since=None, value=one.value, text=one.text)
        for key, one in too_much.items()
        if key not in active
    ]
    resolved, standing = [], []
    for key, alarm in active.items():
        if one := too_much.get(key):
            standing.append(alarm.now(value=one.value, text=one.text, calm_since=None))
        elif alarm.calm_since is None:
            standing.append(alarm.now(calm_since=now))
        elif now - alarm.calm_since >= CALM:
            resolved.append(alarm)
    return Judged(raised, resolved, standing)


def measured(signs: Signs, rules: Rules, usual: Mapping[Key, float]) -> list[Measure]:
    """Return how everything stands that may be an alarm. `usual` is by source and tool: the seconds of a job."""
    found = [
        Measure("backlog", handler, age, f"runs of {handler} have been due for {span(age)}")
        for handler, (_, age) in signs.left.waiting.items()
    ]
    found.append(
        Measure(
            "backlog", "", signs.left.event_age, f"events have waited for {span(signs.left.event_age)} for their runs"
        )
    )
    minutes = f"in {span(LOOKBACK)}"
    found += [
        Measure(
            "failing", handler, count, f"{_many(count, 'run')} of {handler} failed {minutes}, or three times so far"
        )
        for handler, count in signs.failing.items()
    ]
    found += [
        Measure("refused", source, count, f"{count} deliveries for {source} were refused {minutes}")
        for source, count in signs.refused.items()
    ]
    found += [
        Measure(
            "expiring",
            handler,
            count,
            f"{handler} has not captured the outputs of {_many(count, 'event')}, whose URLs expire",
        )
        for handler, count in signs.left.expiring.items()
    ]
    found += [
        Measure("drift", source, count, f"{_many(count, 'endpoint')} at {source} drifted: {text}")
        for source, (count, text) in signs.drifted.items()
    ]
    for source, skews in signs.skews.items():
        off = statistics.median(skews) if len(skews) >= DOUBTED else 0.0
        text = f"genuine deliveries of {source} are {span(abs(off))} {'ahead of' if off > 0 else 'behind'} our clock"
        found.append(Measure("clock", source, abs(off), text))
    return found + _silent(signs, rules) + _overdue(signs, usual)


def _silent(signs: Signs, rules: Rules) -> list[Measure]:
    """A source is silent if a job waits for its call, or in any case where a rule names it."""
    found = []
    for source, (heard_at, submitted_at) in signs.heard.items():
        quiet = signs.now - heard_at
        waited = quiet if rules.names("silent", source) else signs.now - submitted_at if submitted_at else 0.0
        text = f"{source} has not called for {span(quiet)}"
        found.append(Measure("silent", source, waited, text + (", though jobs were submitted" if submitted_at else "")))
    return found


def _overdue(signs: Signs, usual: Mapping[Key, float]) -> list[Measure]:
    found = []
    for (source, tool), age in signs.ages.items():
        likely = max(usual[source, tool], 1.0)
        text = f"a job of {source} {tool} has taken {span(age)}, usually it is {span(likely)}"
        found.append(Measure("overdue", f"{source} {tool}", age / likely if age > YOUNG else 0.0, text))
    return found


def _many(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")


def span(seconds: float) -> str:
    """Return a time as people say it: `40 s`, `12 min`, `5 h`, `3 d`."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size or (unit == "min" and seconds >= size):
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


class Watchman:
    """Judges again and again, in turn with those of other workers."""

    def __init__(
        self, *, store: Store, rules: Rules, sources: Mapping[str, Source], told: Callable[[], None] = lambda: None
    ) -> None:
        self._store = store
        self._rules = rules
        self._sources = sources
        self._told = told

    async def run(self, *, after: float = 0.0) -> None:
        """Judge for good, first `after` so many seconds. Whatever goes wrong here keeps no handler from running."""
        await asyncio.sleep(after)
        while True:
            try:
                if await self._store.alarms.mine(EVERY):
                    await self.look()
            except Unavailable as error:
                log.error("store_unavailable", error=str(error))
            except Exception as error:  # noqa: BLE001 - a mistake of ours in a watchman must not stop the work
                log.error("alarms_not_judged", error=scrub(f"{type(error).__name__}: {error}"))
            await asyncio.sleep(EVERY / 2)

    async def look(self) -> Judged:
        """Judge once, and keep and tell what changed. Raises Unavailable."""
        expected = [name for name in self._sources if self._rules.names("silent", name)]
        await self._store.alarms.expect(expected)
        signs = await self._store.alarms.signs(self._sources, lookback=LOOKBACK, expected=expected)
        known = {key: await usually(self._store, self._sources, *key) for key in signs.ages}
        usual = {key: seconds or schedule.UNKNOWN for key, seconds in known.items()}
        active = {(alarm.watch, alarm.about): alarm for alarm in await self._store.alarms.active()}
        judged = judge(measured(signs, self._rules, usual), self._rules, active, signs.now)
        told = await self._store.alarms.keep(
            raised=[(alarm, body("alarm.raised", alarm, signs.now)) for alarm in judged.raised],
            resolved=[(alarm, body("alarm.resolved", alarm, signs.now)) for alarm in judged.resolved],
            standing=judged.standing,
        )
        for alarm in judged.raised:
            log.error("alarm_raised", alarm=alarm.watch, about=alarm.about, text=alarm.text)
        for alarm in judged.resolved:
            log.info("alarm_resolved", alarm=alarm.watch, about=alarm.about, text=alarm.text)
        if told:
            self._told()
        return judged


def body(type: str, alarm: Alarm, now: float) -> bytes:
    """Return the body of the event that tells of an alarm."""
    over = f"over after {span(now - alarm.raised_at)}: " if type == "alarm.resolved" else ""
    about = {name: getattr(alarm, name) for name in ("watch", "about", "value", "raised_at")}
    return json.dumps({"event": type, **about, "text": over + alarm.text}).encode()
