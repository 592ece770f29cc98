"""A provider that only calls, written down as data: how it signs and where its JSON says what. Pure, no I/O."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import httpx

from ..errors import ConfigError, Unreadable
from ..events import JobError, Kind, Output, Reading, seconds
from ..schemes import Scheme
from ..settings import Provider
from . import Tool, WebhookClient
from .wire import name as usable
from .wire import parse

#: How sure the facts are: read at the provider, told by others, or sources contradict each other or are silent.
Certainty = Literal["confirmed", "told", "unknown"]

#: A provider's words for the end of a job, without regard to case.
Ends = Mapping[str, Kind]

_ALTERNATIVES = re.compile(r"\|(?=/)")


@dataclass(slots=True, kw_only=True)  # not frozen: the attributes of a `Source` are plain ones
class Profile:
    """A source as data.

    Pointers are JSON pointers: several with `|`, the first that is there counts; `*` is each of a list, `{json}` what a
    text holds as JSON.
    """

    name: str
    scheme: Scheme
    certainty: Certainty
    facts: str  #: where the provider documents it
    job: str  #: the job's id
    state: str  #: how the job stands
    ends: Ends
    event: str | None = None  #: the event's name; without one it is `job.` and the state
    outputs: str | None = None  #: URLs of files; None where they must be asked for
    error: str | None = None
    expires: str | None = None  #: when the URLs end
    lifetime: float | None = None  #: for how many seconds they work, where nothing tells when they end
    occurred: str | None = None
    tools: Sequence[Tool] = ()
    at_once: int | None = None
    events: Sequence[str] = ()
    doubts: str | None = None  #: what is not known of it, for who confirms it
    answer: Literal["2xx", "200"] = "2xx"  #: which answers it takes for a yes; ours is 200 with a small body
    waits: float | None = None  #: seconds in which it wants that answer, if they are documented
    handshake: str | None = None  #: what it sends to see whether we are there, and wants to have back
    media: Literal["json", "any"] = "json"  #: what it says its bodies are

    def decode_secret(self, secret: str) -> bytes:
        """Return the key bytes of a signing secret. Raises ConfigError if it must not be used."""
        return self.scheme.decode_secret(secret)

    def verify(self, headers: Iterable[tuple[bytes, bytes]], body: bytes, *, keys: Sequence[bytes], now: float) -> str:
        """Return the delivery's message id. Raises BadSignature and nothing else."""
        return self.scheme.verify(headers, body, keys=keys, now=now)

    def read(self, body: bytes, *, brief: bool = False) -> Reading:
        """Return what a body says; if `brief`, without outputs and error. Raises Unreadable and nothing else."""
        data = parse(body)
        state = _text(data, self.state)
        event = _text(data, self.event) if self.event else state and f"job.{state.casefold()}"
        if event is None:
            raise Unreadable(f"the body has nothing at {self.event or self.state}")
        kind = self.ends.get(state.casefold()) if state else None
        job = _text(data, self.job)
        expires = self._expires_at(data) if kind == "job.succeeded" else None
        return Reading(
            type=event,
            occurred_at=seconds(_first(data, self.occurred)),
            kind=kind,
            job_id=job,
            outputs=self._outputs(data) if kind == "job.succeeded" and not brief else (),
            expires_at=expires,
            lifetime=self.lifetime if kind == "job.succeeded" and expires is None else None,
            error=self._error(data) if kind == "job.failed" and not brief else None,
            fact=f"{job}:{kind.removeprefix('job.')}" if job and kind else None,
            data=data,
        )

    def client(self, http: httpx.AsyncClient, provider: Provider) -> WebhookClient:
        """Raise ConfigError: this provider calls us, and nothing of its API is known here."""
        raise ConfigError(f"the receiver does not know the API of {self.name}: register the webhook there by hand")

    def _expires_at(self, data: Any) -> float | None:
        return seconds(_first(data, self.expires)) if self.expires else None

    def _outputs(self, data: Any) -> tuple[Output, ...]:
        expires = self._expires_at(data)
        urls = dict.fromkeys(url for url in _values(data, self.outputs) if _is_url(url))
        # They have no ids of their own: their place is the id.
        return tuple(Output(id=str(place), url=url, expires_at=expires) for place, url in enumerate(urls))

    def _error(self, data: Any) -> JobError:
        message = _first(data, self.error)
        return JobError(message=message if isinstance(message, str) and message else "no reason given")


def _values(data: Any, pointers: str | None) -> Iterator[Any]:
    """Yield what the first of the pointers leads to that leads anywhere."""
    for pointer in _ALTERNATIVES.split(pointers or ""):
        found = [data] if pointer else []
        for step in pointer.split("/")[1:]:
            found = [inner for value in found for inner in _step(value, step)]
        if any(value is not None for value in found):
            yield from found
            return


def _step(value: Any, step: str) -> Iterable[Any]:
    if step == "{json}":
        return _held(value)
    if step == "*":
        # A single URL stands for a list of one.
        return value if isinstance(value, list) else [value] if isinstance(value, str) else []
    return [value[step]] if isinstance(value, dict) and step in value else []


def _held(value: Any) -> list[Any]:
    try:
        return [json.loads(value)] if isinstance(value, str) else []
    except (ValueError, RecursionError):
        return []


def _first(data: Any, pointers: str | None) -> Any:
    return next((value for value in _values(data, pointers) if value is not None), None)


def _text(data: Any, pointers: str) -> str | None:
    return usable(_first(data, pointers))


def _is_url(value: object) -> bool:
    return isinstance(value, str) and value.startswith(("https://", "http://"))
