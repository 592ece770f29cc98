"""What every source can do. One file per provider beside this one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import httpx

from ..events import Output, Reading
from ..settings import Provider


@runtime_checkable
class Source(Protocol):
    """A provider as the inbox needs it: how it signs and what its JSON means. Pure, no I/O."""

    name: str  #: as in `POST /webhooks/{name}`
    events: Sequence[str]  #: the event names known when this was written; others are taken too

    def decode_secret(self, secret: str) -> bytes:
        """Return the key bytes of a signing secret. Raises ConfigError if it must not be used."""

    def verify(self, headers: Iterable[tuple[bytes, bytes]], body: bytes, *, keys: Sequence[bytes], now: float) -> str:
        """Return the delivery's message id. Raises BadSignature and nothing else."""

    def read(self, body: bytes, *, brief: bool = False) -> Reading:
        """Return what a body says; if `brief`, outputs and error may be left out.

        Raises Unreadable and nothing else. It must fail on a brief reading if it fails on a full one.
        """

    def client(self, http: httpx.AsyncClient, provider: Provider) -> "Client":
        """Return the provider's API. Raises ConfigError if its key is not set."""


class Client(Protocol):
    """A provider's API as the receiver needs it. Every call raises ProviderError if it is refused or fails."""

    async def create_endpoint(self, url: str, events: Sequence[str], description: str) -> "Registered":
        """Register a webhook. The answer is the only one that has the signing secret."""

    async def endpoints(self) -> "list[Registered]":
        """Return all registered webhooks, without their secrets."""

    async def delete_endpoint(self, id: str) -> None:
        """Remove a webhook. One that is already gone is fine."""

    async def refresh(self, output: Output, *, job_id: str | None) -> Output:
        """Return the output with a URL that works now, or with none if there is none yet."""


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
