"""What happened, as handlers see it. Pure values, no I/O.

A provider's own words stay as they came (`type`, `tool`, `data`); what is ours is added beside them
(`kind`, `road`). New event types of a provider therefore need no release of ours.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import urlsplit

Kind = Literal["job.succeeded", "job.failed", "job.cancelled"]
Road = Literal["webhook", "poll", "reconcile", "import", "emulator"]

#: Above this, a number of seconds must be milliseconds (it would be the year 5138).
_LATEST_SECONDS = 1e11

#: The year 10000, Unix seconds: what comes later fits no `datetime`.
_END_OF_TIME = 253_402_300_800

#: A URL in a text, also with its slashes escaped as in JSON. No scheme is long: that keeps this fast on any text.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,15}:\\?/\\?/\S*")

#: Data that is nested deeper is not shown.
_DEEPEST = 100

_MALFORMED = "[a malformed URL]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A file that a job made. Its URL is signed and expires."""

    id: str  #: the provider's id of the file
    type: str | None = None  #: the provider's word, e.g. `"VIDEO"`
    url: str | None = field(default=None, repr=False)  #: None while the provider still prepares it
    expires_at: float | None = None  #: when `url` stops working, Unix seconds
    size: int | None = None  #: bytes, if the provider said so
    temporary: bool = False  #: the provider may delete the file itself soon, not just the URL


@dataclass(frozen=True, slots=True, kw_only=True)
class JobError:
    """Why a job failed, in the provider's words."""

    message: str
    code: str | None = None
    reference: str | None = None  #: opaque, for the provider's support


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing a provider told us, stored once however often and by whichever road it came."""

    id: str  #: ours; the same on every retry of a handler
    source: str  #: e.g. `"videogen"`
    type: str  #: the provider's event name, e.g. `"tool_execution.succeeded"`
    kind: Kind | None = None  #: our name for the end of a job, None for everything else
    job_id: str | None = None
    tool: str | None = None  #: e.g. `"GENERATE_SOUND_EFFECT"`
    outputs: tuple[Output, ...] = ()
    error: JobError | None = None
    occurred_at: float  #: Unix seconds, the provider's clock
    received_at: float  #: Unix seconds, our clock
    road: Road = "webhook"
    data: Any = field(default=None, repr=False)  #: the provider's JSON, untouched
    #: what the application said when it submitted the job
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)  #: what `data` was read from, byte for byte

    def matches(self, pattern: str) -> bool:
        """Whether `pattern` names this event: its type, its kind, `"file.*"`, `"job.*"` or `"*"`."""
        if pattern.endswith("*"):
            prefix = pattern[:-1]
            return self.type.startswith(prefix) or (self.kind or "").startswith(prefix)
        return pattern in (self.type, self.kind)

    def fits(self, patterns: Iterable[str], *, source: str | None, tool: str | None) -> bool:
        """Whether one of the patterns names this event, and it is of the source and the tool, if they are given."""
        ours = source in (None, self.source) and tool in (None, self.tool)
        return ours and any(self.matches(pattern) for pattern in patterns)

    def as_json(self, *, urls: bool = True) -> dict[str, Any]:
        """Return it as JSON data with the names it has here, for whoever gets events from a handler; without `body`.

        The URLs of its outputs are in it, in `data` too: signed, and open to all who see them. Without `urls`,
        outputs have none, and all others lose their queries.
        """
        told = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "body"}
        told["outputs"] = [asdict(output if urls else replace(output, url=None)) for output in self.outputs]
        told["error"] = asdict(self.error) if self.error else None
        told["metadata"] = dict(self.metadata)
        return told if urls else redact(told)


@dataclass(slots=True, kw_only=True)  # not frozen: one is made per delivery, and that costs half
class Reading:
    """What a source makes of one JSON body: the part of an Event that the provider decides."""

    type: str
    occurred_at: float | None = None
    kind: Kind | None = None
    job_id: str | None = None
    tool: str | None = None
    outputs: tuple[Output, ...] = ()
    expires_at: float | None = None  #: when the first of the outputs' URLs stops working
    lifetime: float | None = None  #: or else for how many seconds they work from when they were told
    error: JobError | None = None
    fact: str | None = None  #: the same for every telling of one fact about one thing; None if unknown
    data: Any = None


def seconds(value: object) -> float | None:
    """Return Unix seconds from what providers write: a number, a numeric string, milliseconds, ISO 8601; else None.

    ISO times without a zone are taken as UTC. None also for what lies before 1970 or after the year 9999.
    """
    if type(value) is int and 0 <= value < _LATEST_SECONDS:  # the usual one
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    except ValueError:
        number = _iso_seconds(str(value))
    else:
        number = number / 1000 if number > _LATEST_SECONDS else number
    return number if 0 <= number < _END_OF_TIME else None


def _iso_seconds(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return math.nan
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def redact(data: object) -> Any:
    """Return a copy of JSON data in which no URL keeps its query: there the signatures are.

    URLs are found inside longer texts too, and in the keys of objects.
    """
    return _redact(data, 0)


def _redact(data: object, depth: int) -> Any:
    if depth > _DEEPEST and isinstance(data, dict | list):
        return "[nested too deeply]"
    if isinstance(data, dict):
        return {_redact_text(str(key)): _redact(value, depth + 1) for key, value in data.items()}
    if isinstance(data, list):
        return [_redact(value, depth + 1) for value in data]
    return _redact_text(data) if isinstance(data, str) else data


def _redact_text(text: str) -> str:
    if _URL.match(text.lstrip()):
        return redact_url(text.strip())  # as a whole: a query may have spaces in it that should not be there
    return _URL.sub(lambda found: redact_url(found[0]), text)


def redact_url(url: str) -> str:
    """Return `url` without user, query and fragment: fit for a log or a page. Never raises."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return _MALFORMED
    if not parts.scheme or not host:
        return _MALFORMED
    netloc = f"[{host}]" if ":" in host else host
    netloc += "" if port is None else f":{port}"
    return f"{parts.scheme}://{netloc}{parts.path}" + ("?[redacted]" if parts.query else "")
