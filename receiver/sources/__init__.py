"""What every source can do. One file per provider beside this one.

A source is pure: it says what a provider's words mean. Its client is the provider's API.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import httpx
from pydantic import BaseModel, ValidationError

from ..errors import BadParameters
from ..events import Output, Reading
from ..settings import Provider

if TYPE_CHECKING:
    from ..schemes import Scheme  # who imports `handler` needs no cryptography

Model = type[BaseModel]

#: How a job stands at its provider. `awaiting_approval` is not an end: somebody has to look.
Standing = Literal["submitted", "running", "awaiting_approval", "succeeded", "failed", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One thing that a provider makes, and what is known of it before it is asked for."""

    name: str  #: how it is submitted, as in the provider's API: `"generate-sound-effect"`
    type: str  #: how its events call it, which handlers choose by: `"GENERATE_SOUND_EFFECT"`
    parameters: Model  #: refuses what is certainly wrong and lets pass what it does not know
    calls: bool = False  #: whether a webhook tells its end; if none does, the provider is asked
    cancels: bool = False  #: whether it can be cancelled
    usual: float = 60.0  #: seconds it takes, until our own jobs tell better
    docs: str  #: where its parameters are documented

    def check(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters as they are. Raises BadParameters that names every rule that is broken."""
        try:
            self.parameters.model_validate(dict(parameters))
        except ValidationError as error:
            broken = "; ".join(
                ": ".join(filter(None, (".".join(map(str, item["loc"])), item["msg"].removeprefix("Value error, "))))
                for item in error.errors(include_url=False, include_input=False)
            )
            raise BadParameters(f"{self.name}: {broken} (see {self.docs})") from None
        return dict(parameters)


@runtime_checkable
class Source(Protocol):
    """A provider: what can be asked of it, and what its JSON means. Pure, no I/O."""

    name: str  #: as in `receiver jobs submit NAME` and `POST /webhooks/NAME`
    tools: Sequence[Tool]  #: what can be submitted; others may be heard of all the same
    at_once: int | None  #: jobs that the provider works on at once for one account, if it is known to have a limit

    def read(self, body: bytes, *, brief: bool = False) -> Reading:
        """Return what a body says, of a webhook or of an `Answer`; if `brief`, outputs and error may be left out.

        Raises Unreadable and nothing else. It must fail on a brief reading if it fails on a full one.
        """

    def client(self, http: httpx.AsyncClient, provider: Provider) -> "Client":
        """Return the provider's API. Raises ConfigError if its key is not set."""


@runtime_checkable
class WebhookSource(Source, Protocol):
    """A source that calls: how it signs, and the events it has."""

    events: Sequence[str]  #: the event names known when this was written; others are taken too

    def decode_secret(self, secret: str) -> bytes:
        """Return the key bytes of a signing secret. Raises ConfigError if it must not be used."""

    def verify(self, headers: Iterable[tuple[bytes, bytes]], body: bytes, *, keys: Sequence[bytes], now: float) -> str:
        """Return the delivery's message id. Raises BadSignature and nothing else."""

    def client(self, http: httpx.AsyncClient, provider: Provider) -> "WebhookClient":
        """Return the provider's API. Raises ConfigError if its key is not set."""


@runtime_checkable
class Told(Protocol):
    """A source that says of itself how it signs, for people."""

    scheme: "Scheme"


@runtime_checkable
class HintingSource(WebhookSource, Protocol):
    """A source that calls but is not believed: what its deliveries are about is asked of it, and the answer counts."""

    def hint(self, body: bytes) -> str | None:
        """Return the provider's id of the job that a body is about; None if it names none. Raises nothing."""

    def challenge(self, body: bytes) -> bytes | None:
        """Return the JSON to answer to a body that only asks whether we are there; None for all others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How a job stands, as its provider says when asked."""

    standing: Standing
    status: str  #: the provider's word for it, e.g. `"in_queue"`
    progress: float | None = None  #: percent
    #: At an end, JSON that `Source.read` understands: where there are webhooks, the body one would have had, so that
    #: nobody can tell by which road an event came. Else the answer's own bytes.
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A job that its provider has taken."""

    job_id: str | None  #: the provider's id; None where it was done at once and got none
    answer: Answer | None = None  #: how it stands, if the provider said so; it may be done already


class Client(Protocol):
    """A provider's API as the receiver needs it.

    Every call raises ProviderError if it is refused or fails, and none is repeated. A `status` of 0 means that
    no answer came: what was asked for may happen all the same.
    """

    async def submit(self, tool: Tool, parameters: Mapping[str, Any]) -> Submission:
        """Start a job."""

    async def ask(self, job_id: str, tool: Tool | None, parameters: Mapping[str, Any]) -> Answer:
        """Return how a job stands. A `status` of 404 means there is no such job.

        `tool` is None, and `parameters` are empty, if nobody here knows them.
        """

    async def recent(self, tool: Tool) -> Sequence[str] | None:
        """Return the ids of the newest jobs of a tool, newest first; None if the provider has no list to tell."""

    async def cancel(self, job_id: str, tool: Tool | None) -> None:
        """Ask for the end of a job. It may still succeed: its event says how it ended."""

    async def refresh(self, output: Output, *, job_id: str | None) -> Output:
        """Return the output with a URL that works now, or with none if there is none yet."""


class WebhookClient(Client, Protocol):
    """The API of a provider that calls, with the registration of where to."""

    async def create_endpoint(self, url: str, events: Sequence[str], description: str) -> "Registered":
        """Register a webhook. The answer is the only one that has the signing secret."""

    async def endpoints(self) -> "list[Registered]":
        """Return all registered webhooks, without their secrets."""

    async def delete_endpoint(self, id: str) -> None:
        """Remove a webhook. One that is already gone is fine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A webhook as its provider describes it."""

    id: str
    url: str
    events: tuple[str, ...]
    description: str | None = None
    created_at: float | None = None  #: Unix seconds
    secret: str | None = field(default=None, repr=False)  #: only in the answer to its creation
    last4: str | None = None  #: the last four characters of the secret, if the provider tells them


def find_tool(source: Source, name: str | None) -> Tool | None:
    """Return a source's tool by its name or its type; None if there is none."""
    return next((tool for tool in source.tools if name in (tool.name, tool.type)), None)
