"""A provider that does not sign what it sends: its deliveries are hints, and it is asked how the job stands."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from ..errors import ConfigError, ProviderError, Unreadable
from ..events import Output
from ..settings import Provider
from . import Answer, Registered, Standing, Submission, Tool
from .connection import Connection, segment
from .profile import Profile
from .wire import name as usable
from .wire import parse


@dataclass(slots=True, kw_only=True)
class Hinted(Profile):
    """A profile whose deliveries are not believed. `status_url` is where it tells how a job stands, with `{job}` in it.

    What it answers there is read as its deliveries would be.
    """

    status_url: str

    def hint(self, body: bytes) -> str | None:
        """Return the provider's id of the job that a body is about; None if it names none."""
        try:
            return self.read(body, brief=True).job_id
        except Unreadable:
            return None

    def challenge(self, body: bytes) -> bytes | None:
        """Return what a provider wants to hear that only asks whether we are there; None if it tells something."""
        if self.handshake is None:
            return None
        try:
            said = usable(parse(body).get(self.handshake))
        except Unreadable:
            return None
        return json.dumps({self.handshake: said}).encode() if said else None

    def client(self, http: httpx.AsyncClient, provider: Provider) -> "Status":
        """Return the one question that can be asked. Raises ConfigError if the provider's key is not set."""
        return Status(self, http, provider)


class Status:
    """An API of which one question is known: how a job stands."""

    def __init__(self, profile: Hinted, http: httpx.AsyncClient, provider: Provider) -> None:
        url = httpx.URL(profile.status_url)
        origin = f"{url.scheme}://{url.netloc.decode()}"
        self._profile = profile
        self._path = profile.status_url.removeprefix(origin)
        self._connection = Connection(http, provider, name=profile.name, base_url=origin)

    async def ask(self, job_id: str, tool: Tool | None, parameters: Mapping[str, Any]) -> Answer:
        """Return how a job stands."""
        name = self._profile.name
        path = self._path.replace("{job}", segment(job_id, name))
        body = json.dumps(await self._connection.ask("GET", path)).encode()
        try:
            reading = self._profile.read(body)
        except Unreadable as error:
            raise ProviderError(f"{name}'s answer makes no sense: {error}", status=200) from None
        if reading.job_id not in (None, job_id):
            raise ProviderError(f"{name} was asked about one job and answered about another", status=200)
        status = reading.type.removeprefix("job.")
        if reading.kind is None:
            return Answer(standing="running", status=status)
        standing: Standing = _STANDINGS[reading.kind]
        return Answer(standing=standing, status=status, body=body)

    async def refresh(self, output: Output, *, job_id: str | None) -> Output:
        """Return the output with the URL that its job has now."""
        answer = await self.ask(job_id or "", None, {})
        found = self._profile.read(answer.body).outputs if answer.body else ()
        url = next((one.url for one in found if one.id == output.id), None)
        return dataclasses.replace(output, url=url)

    async def recent(self, tool: Tool) -> Sequence[str] | None:
        """Return None: there is no list to look in."""
        return None

    async def submit(self, tool: Tool, parameters: Mapping[str, Any]) -> Submission:
        """Raise ProviderError: it is not known how."""
        raise self._unknown()

    async def cancel(self, job_id: str, tool: Tool | None) -> None:
        """Raise ProviderError: it is not known how."""
        raise self._unknown()

    async def create_endpoint(self, url: str, events: Sequence[str], description: str) -> Registered:
        """Raise ConfigError: it is not known how."""
        raise ConfigError(str(self._unknown()))

    async def endpoints(self) -> list[Registered]:
        """Raise ConfigError: it is not known how."""
        raise ConfigError(str(self._unknown()))

    async def delete_endpoint(self, id: str) -> None:
        """Raise ConfigError: it is not known how."""
        raise ConfigError(str(self._unknown()))

    def _unknown(self) -> ProviderError:
        return ProviderError(f"of {self._profile.name} only the question how a job stands is known here", status=405)


_STANDINGS: dict[str, Standing] = {
    "job.succeeded": "succeeded",
    "job.failed": "failed",
    "job.cancelled": "cancelled",
}
