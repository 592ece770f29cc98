"""Tell people: Slack, Discord, Teams, Telegram, mail and whatever else Apprise can reach.

    [[handlers]]
    use = "notify"
    on = "job.failed"                                    # alarms, `alarm.*`, better in one without quiet hours
    to = [{ env = "SLACK_URL" }, { env = "MAIL_URL" }]   # URLs of Apprise: slack://…, mailto://…
    text = "{tool} for order {order} failed: {error}"    # `{summary}` without; see below
    quiet = "22:00-07:00"                                # nothing is sent then, but afterwards
    zone = "Europe/Berlin"                               # of the quiet hours, UTC without

What comes within `burst` seconds (10) is one message, which counts it and lists the first twenty. A run is done when
the message that has its event was taken by every target: nothing is lost with a worker, and a message may come
twice if one dies just after it was sent. Each worker sends for itself: with three of them, a burst is up to three
messages. A target that fails is tried again later, the others are not told again. Keep `timeout` (120) longer than
a burst and half a minute more.

The text may name `{summary}`, `{source}`, `{type}`, `{kind}`, `{tool}`, `{job_id}`, `{id}`, `{error}`, and each thing
that the application said when it submitted the job, such as `{order}`; what is missing is empty. URLs lose their
query, and long texts their end.

Apprise speaks with the targets through a client of its own, not through the guarded one: it goes where the URLs in
`to` say, inside your network too, follows no redirects, uses the proxies of the environment, and loads nothing else.
"""

import asyncio
import importlib
import importlib.util
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from datetime import time as time_of_day
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field, SecretStr, field_validator

from receiver import Context, Event, Retry, Secret, configurable

from ._template import check, fill

#: Lines of a message, and characters of a line; services have limits of a few thousand characters.
_LINES, _LENGTH = 20, 160

#: Seconds for one target to take a message.
_PATIENCE = 25.0

#: What a text may name, beside what the application said.
_NAMES = ("summary", "source", "type", "kind", "tool", "job_id", "id", "error")

_QUERY = re.compile(r"(https?://[^\s?]*)\?\S*")


class Notify(BaseModel):
    """Whom to tell, and how."""

    to: list[Secret] = Field(min_length=1, description="Whom to tell: URLs of Apprise, one or a list.")
    title: str = Field("media-receiver", description="The title, where a target has one.")
    text: str = Field("{summary}", description="The line for each event, with the names above in it.")
    burst: float = Field(10, ge=0, le=60, description="Seconds whose events are one message.")
    quiet: str | None = Field(
        None,
        pattern=r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$",
        description="Hours in which nothing is sent, but afterwards, e.g. `22:00-07:00`.",
    )
    zone: str = Field("UTC", description="The time zone of these hours.")

    @field_validator("to", mode="before")
    @classmethod
    def _one_or_more(cls, to: object) -> object:
        return [to] if isinstance(to, dict) else to

    @field_validator("to")
    @classmethod
    def _can_be_reached(cls, to: list[SecretStr]) -> list[SecretStr]:
        if not importlib.util.find_spec("apprise"):
            raise ValueError("notify needs the extra notify: pip install 'media-receiver[notify]'")
        for number, url in enumerate(to, 1):
            if _target(url) is None:
                raise ValueError(f"target {number} is no URL that Apprise knows: see https://appriseit.com/services/")
        return to

    @field_validator("text")
    @classmethod
    def _is_template(cls, text: str) -> str:
        check(text)
        return text

    @field_validator("zone")
    @classmethod
    def _is_zone(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (OSError, ValueError, KeyError):
            raise ValueError(f"there is no time zone {zone}: write one like Europe/Berlin") from None
        return zone


@dataclass(eq=False)
class _Burst:
    """Events that go into one message, and how that went."""

    lines: dict[str, str] = field(default_factory=dict)  #: by the id of the event
    over: asyncio.Event = field(default_factory=asyncio.Event)
    took: frozenset[int] = frozenset()  #: the targets that have the message


@configurable(retries=20, timeout=120, concurrency=32)
def notify(options: Notify) -> Callable[[Event, Context], Awaitable[None]]:
    """Tell people of events, one message per burst."""
    return notifier(options)


def notifier(
    options: Notify,
    *,
    now: Callable[[], float] = time.time,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Callable[[Event, Context], Awaitable[None]]:
    """Return the handler, by a clock of its own."""
    targets = dict(enumerate(map(_target, options.to)))
    bursts: dict[frozenset[int], _Burst] = {}  # the open ones, by the targets that are still to be told

    async def handle(event: Event, context: Context) -> None:
        if options.quiet and (left := quiet_left(now(), options.quiet, options.zone)):
            raise Retry(f"quiet hours, {options.quiet} in {options.zone}", after=left)
        untold = await _untold(frozenset(targets), context)
        if not untold:
            return
        line = fill(options.text, words(event))[:_LENGTH]
        if burst := bursts.get(untold):
            await _follow(burst, event.id, line, context)
        else:
            burst = bursts[untold] = _Burst({event.id: line})
            try:
                await context.aside(sleep(options.burst))
                del bursts[untold]
                burst.took = await _send({number: targets[number] for number in untold}, options, burst, context)
            finally:
                if bursts.get(untold) is burst:
                    del bursts[untold]
                burst.over.set()
        await _settle(untold, burst.took, context)

    return handle


async def _follow(burst: _Burst, id: str, line: str, context: Context) -> None:
    """Wait until the message that has this line is out, or has failed."""
    burst.lines[id] = line
    try:
        await context.aside(burst.over.wait())
    except asyncio.CancelledError:
        if not burst.over.is_set():
            burst.lines.pop(id, None)  # another worker tells it
        raise


async def _settle(untold: frozenset[int], took: frozenset[int], context: Context) -> None:
    """End the run if all targets have the message; if not, keep which have it, and try the others again."""
    failed = untold - took
    if not failed:
        return
    for number in took:
        async with context.once(f"target {number}"):
            pass
    told = ", ".join(str(number + 1) for number in sorted(failed))
    raise Retry(f"not taken by target {told}: Apprise's warnings in the log say why")


class _NotYet(Exception):
    """Undoes a step that was only asked about."""


async def _untold(targets: frozenset[int], context: Context) -> frozenset[int]:
    """Return the targets that an earlier attempt did not reach."""
    if context.attempt == 1:
        return targets
    untold = set()
    for number in targets:
        try:
            async with context.once(f"target {number}") as first:
                if first:
                    raise _NotYet
        except _NotYet:
            untold.add(number)
    return frozenset(untold)


async def _send(targets: dict[int, Any], options: Notify, burst: _Burst, context: Context) -> frozenset[int]:
    """Send one message to each target; return those that took it."""
    count = len(burst.lines)
    title = options.title if count == 1 else f"{options.title}: {count} events"
    lines = list(burst.lines.values())
    body = "\n".join(lines[:_LINES]) + (f"\n… and {count - _LINES} more" if count > _LINES else "")
    # In the trace of the run that began the burst; of a URL only the service, as hosts of Apprise's may be tokens.
    services = {number: options.to[number].get_secret_value().partition(":")[0] for number in targets}
    results = await asyncio.gather(
        *(_tell(target, title, body, context.traced(services[number])) for number, target in targets.items())
    )
    return frozenset(number for number, taken in zip(targets, results, strict=True) if taken)


class NotTaken(Exception):
    """A target has not taken a message."""


async def _tell(target: Any, title: str, body: str, traced: AbstractContextManager[Any]) -> bool:
    from apprise import Apprise, NotifyFormat

    try:
        with traced:
            async with asyncio.timeout(_PATIENCE + 5):
                apprise = Apprise(asset=target.asset)
                apprise.add(target)
                if not await apprise.async_notify(body=body, title=title, body_format=NotifyFormat.TEXT):
                    raise NotTaken
            return True
    except Exception:  # noqa: BLE001 - a hundred services; whatever one raises, it has not taken the message
        return False


def _target(url: SecretStr) -> Any:
    """Return the target behind a URL of Apprise's, None if there is none. Importing Apprise takes a second."""
    from apprise import Apprise, AppriseAsset, OverflowMode

    asset = AppriseAsset(
        app_id="media-receiver",
        app_desc="media-receiver",
        storage_mode="memory",
        http_redirects=False,
        allow_templates=False,
        image_url_mask="",
        image_url_logo="",
        pgp_autogen=False,
        pem_autogen=False,
        service_timeout=_PATIENCE,
    )
    target = Apprise.instantiate(url.get_secret_value(), asset=asset)
    if target is not None and "overflow=" not in url.get_secret_value():
        target.overflow_mode = OverflowMode.TRUNCATE  # a message that is too long would be refused for ever
    return target


def words(event: Event) -> dict[str, str]:
    """Return what a text may name, each as one line; what is not there is empty."""
    error = event.error.message if event.error else ""
    named = {
        "summary": _summary(event, error),
        "source": event.source,
        "type": event.type,
        "kind": event.kind or "",
        "tool": event.tool or "",
        "job_id": event.job_id or "",
        "id": event.id,
        "error": error,
    }
    said = {name: value for name, value in event.metadata.items() if isinstance(value, str | int | float)}
    return {name: _line(str(value)) for name, value in (said | named).items()}


def _summary(event: Event, error: str) -> str:
    if event.type.startswith("alarm.") and isinstance(event.data, dict):
        return str(event.data.get("text", event.type))
    state = event.kind.removeprefix("job.") if event.kind else event.type
    of = f" (job {event.job_id})" if event.job_id else ""
    return f"{event.source} {event.tool or ''} {state}{of}" + (f": {error}" if error else "")


def _line(text: str) -> str:
    return " ".join(_QUERY.sub(r"\1?…", text[:2000]).split())


def quiet_left(now: float, quiet: str, zone: str) -> float:
    """Return the seconds until the quiet hours end, 0 outside of them. `22:00-07:00` goes over midnight."""
    begin, end = map(time_of_day.fromisoformat, quiet.split("-"))
    here = datetime.fromtimestamp(now, ZoneInfo(zone))
    inside = begin <= here.time() < end if begin <= end else not end <= here.time() < begin
    if not inside:
        return 0.0
    day = here.date() + timedelta(days=here.time() >= end)
    return max(1.0, datetime.combine(day, end, ZoneInfo(zone)).timestamp() - now)
