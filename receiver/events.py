"""What happened, as handlers see it. Pure values, no I/O.

A provider's own words stay as they came (`type`, `tool`, `data`); what is ours is added beside them
(`kind`, `road`). New event types of a provider therefore need no release of ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import urlsplit

Kind = Literal["job.succeeded", "job.failed", "job.cancelled"]
Road = Literal["webhook", "poll", "reconcile", "import", "emulator"]

#: Above this, a number of seconds must be milliseconds (it would be the year 5138).
_LATEST_SECONDS = 1e11


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
    metadata: Mapping[str, Any] = field(default_factory=dict)  #: what the application said when it submitted the job

    def matches(self, pattern: str) -> bool:
        """Whether `pattern` names this event: its type, its kind, `"file.*"`, `"job.*"` or `"*"`."""
        if pattern.endswith("*"):
            prefix = pattern[:-1]
            return self.type.startswith(prefix) or (self.kind or "").startswith(prefix)
        return pattern in (self.type, self.kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a source makes of one JSON body: the part of an Event that the provider decides."""

    type: str
    occurred_at: float | None = None
    kind: Kind | None = None
    job_id: str | None = None
    tool: str | None = None
    outputs: tuple[Output, ...] = ()
    error: JobError | None = None
    fact: str | None = None  #: the same for every telling of one fact about one thing; None if unknown
    data: Any = None


def seconds(value: object) -> float | None:
    """Return Unix seconds from what providers write: a number, a numeric string, milliseconds, ISO 8601; else None.

    ISO times without a zone are taken as UTC.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return _iso_seconds(str(value))
    if not abs(number) < 1e15:  # also catches nan
        return None
    return number / 1000 if number > _LATEST_SECONDS else number


def _iso_seconds(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def redact(data: object) -> Any:
    """Return a copy of JSON data in which no URL keeps its query: there the signatures are."""
    if isinstance(data, dict):
        return {key: redact(value) for key, value in data.items()}
    if isinstance(data, list):
        return [redact(value) for value in data]
    if isinstance(data, str) and data.startswith(("http://", "https://")):
        return redact_url(data)
    return data


def redact_url(url: str) -> str:
    """Return `url` without user, query and fragment: fit for a log or a page."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return "[a malformed URL]"
    port = url.split("://", 1)[1].split("/", 1)[0].rpartition(":")[2]
    netloc = f"{host}:{port}" if port.isascii() and port.isdigit() else host
    return f"{parts.scheme}://{netloc}{parts.path}" + ("?[redacted]" if parts.query else "")
