"""VideoGen's API, as far as the receiver needs it."""

import dataclasses
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx

from ...errors import ProviderError
from ...events import Output, seconds
from ...settings import Provider
from .. import Answer, Registered, Submission, Tool
from ..connection import Connection, segment
from ..wire import mappings, name
from . import outputs
from .answer import answer
from .tools import work_for
from .work import EXECUTION, MESSAGE, REMIX, Work, work_of

BASE_URL = "https://api.videogen.io"

#: Entries of a list to ask for at once, and how many pages a list may have.
PAGE, PAGES = 100, 100

_ENDPOINTS = "/v1/webhooks/endpoints"

#: "Not a tool execution", "not now": asking for the file itself may still work.
_ASK_ELSEWHERE = (400, 403, 404, 429)


class Api:
    """A client for one API key. Every call raises ProviderError if it is refused or fails; none is repeated.

    A 429 is either the hourly limit of one endpoint or the end of the credits: `code` tells which
    (`"insufficient_credits"`).

    Source: https://docs.videogen.io (read 2026-10). All times are Unix seconds.
    """

    def __init__(self, http: httpx.AsyncClient, provider: Provider, *, clock: Callable[[], float] = time.time) -> None:
        self._connection = Connection(
            http,
            provider,
            name="VideoGen",
            base_url=BASE_URL,
            headers={"x-videogen-client": "media-receiver"},
            clock=clock,
        )
        self._clock = clock

    async def me(self) -> dict[str, Any]:
        """Return whose key this is: `apiKeyId`, `apiKeyNickname`, `email`, `displayName`, `teamId`."""
        return await self._connection.ask("GET", "/v1/me")

    async def create_endpoint(self, url: str, events: Sequence[str], description: str) -> Registered:
        """Register a webhook. The answer is the only one that has the signing secret."""
        body = {"url": url, "events": list(events), "description": description}
        registered = _registered(await self._connection.ask("POST", _ENDPOINTS, body=body))
        if registered is None:
            raise ProviderError("VideoGen registered the webhook but did not say under which id", status=201)
        return registered

    async def endpoints(self) -> list[Registered]:
        """Return all registered webhooks of the account, without their secrets."""
        found = [_registered(item) for item in await self._list(_ENDPOINTS, "endpoints")]
        return [item for item in found if item]

    async def delete_endpoint(self, id: str) -> None:
        """Remove a webhook. One that is already gone is fine."""
        try:
            await self._connection.ask("DELETE", f"{_ENDPOINTS}/{_segment(id)}")
        except ProviderError as error:
            if error.status != 404:
                raise

    async def submit(self, tool: Tool, parameters: Mapping[str, Any]) -> Submission:
        """Start a job. There is no idempotency key: after an error without a status it may run all the same."""
        work = work_for(tool)
        start = "/v1/assistants" if work is MESSAGE and "assistantId" not in parameters else work.start
        path, body = _filled(start.replace("{name}", tool.name), parameters)
        answered = await self._connection.ask("POST", path, body=body)
        ids = answered.get(work.id)
        found = ",".join(filter(None, map(name, ids))) if isinstance(ids, list) else name(ids)
        if not found:
            raise ProviderError("VideoGen took the job but did not say under which id", status=202)
        # A remix is asked about in the project that it makes, which need not be the one it was made from.
        made_in = name(answered.get("projectId")) or parameters.get("projectId")
        return Submission(job_id=f"{made_in}:{found}" if work is REMIX else found)

    async def ask(self, job_id: str, tool: Tool | None, parameters: Mapping[str, Any]) -> Answer:
        """Return how a job stands. Without a tool, its id tells what sort of work it is."""
        work = work_for(tool) if tool else work_of(job_id)
        return answer(await self._asked(job_id, work, parameters), work, job_id=job_id, now=self._clock())

    async def recent(self, tool: Tool) -> Sequence[str] | None:
        """Return the ids of the newest jobs of a tool that this key started; None for work that is not listed."""
        work = work_for(tool)
        if work.listed is None or work.tool is None:
            return None
        path, key = work.listed
        page = await self._connection.ask("GET", path, params={"limit": "100", "selfOnly": "true"})
        found = [(name(item.get(work.id)), item.get(work.tool)) for item in mappings(page.get(key))]
        return [job_id for job_id, made_by in found if job_id and made_by == tool.type]

    async def execution(self, id: str) -> dict[str, Any]:
        """Return a tool execution. URLs with less than an hour left are signed anew."""
        return await self._asked(id, EXECUTION, {})

    async def cancel(self, job_id: str, tool: Tool | None) -> None:
        """Ask for the end of a job. It may still succeed: its event says how it ended."""
        work = work_for(tool) if tool else work_of(job_id)
        if work.cancel is None:
            raise ProviderError("VideoGen has no way to cancel this", status=405)
        await self._connection.ask("POST", _filled(work.cancel, {"id": job_id})[0])

    async def _list(self, path: str, key: str, **query: str) -> list[dict[str, Any]]:
        """Return all entries of a list, from all its pages. `key` is its name in the answer."""
        found: list[dict[str, Any]] = []
        params = {"limit": str(PAGE), **query}
        for _ in range(PAGES):
            page = await self._connection.ask("GET", path, params=params)
            found += mappings(page.get(key))
            cursor = page.get("nextCursor")
            if not page.get("hasMore") or not isinstance(cursor, str):
                return found
            params["cursor"] = cursor
        raise ProviderError(f"VideoGen's list at {path} does not end", status=200)

    async def _asked(self, job_id: str, work: Work, parameters: Mapping[str, Any]) -> dict[str, Any]:
        if work is REMIX:
            parameters = {"projectId": job_id.partition(":")[0]}
        if "{projectId}" in work.ask and "projectId" not in parameters:
            raise ProviderError("VideoGen is asked for this by its project, which is not known here", status=404)
        return await self._connection.ask("GET", _filled(work.ask, {**parameters, "id": job_id})[0])

    async def hydrate(self, file_id: str) -> dict[str, Any]:
        """Return a file with all its URLs signed anew."""
        return await self._connection.ask("POST", f"/v1/files/{_segment(file_id)}/hydrate")

    async def voices(self) -> list[dict[str, Any]]:
        """Return the voices. Text-to-speech takes those with `supportsDirectToolExecution`."""
        return await self._list("/v1/resources/tts-voices", "ttsVoices")

    async def actors(self) -> list[dict[str, Any]]:
        """Return the entities that avatars are made of; their `entityId` is the tool's `actorEntityId`."""
        return await self._list("/v1/entities", "entities", entityType="ACTOR")

    async def refresh(self, output: Output, *, job_id: str | None) -> Output:
        """Return the output with a URL that works now, or with none if there is none yet.

        The execution is asked first, which answers for all its files. It keeps URLs that have an hour
        left: if the URL we have comes back, it may be the one that failed, so the file itself is asked.
        """
        if job_id and work_of(job_id) is EXECUTION and not job_id.startswith("vg_file_"):
            fresh = await self._from_execution(output, job_id)
            if fresh and fresh.url and fresh.url != output.url:
                return _merged(output, fresh)
        return _merged(output, outputs.of_file(await self.hydrate(output.id), id=output.id))

    async def _from_execution(self, wanted: Output, job_id: str) -> Output | None:
        try:
            found = outputs.of_job(await self.execution(job_id))
        except ProviderError as error:
            if error.status not in _ASK_ELSEWHERE:
                raise
            return None
        return next((item for item in found if item.id == wanted.id), None)


def _filled(path: str, values: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the path with its braces filled, and the values that are not in it."""
    wanted = re.findall(r"{(\w+)}", path)
    filled = path.format_map({one: _segment(str(values[one])) for one in wanted})
    return filled, {key: value for key, value in values.items() if key not in wanted}


def _segment(id: str) -> str:
    return segment(id, "VideoGen")


def _registered(item: Mapping[str, Any]) -> Registered | None:
    endpoint_id, url, events = name(item.get("endpointId")), item.get("url"), item.get("events")
    if endpoint_id is None or not isinstance(url, str):
        return None
    return Registered(
        id=endpoint_id,
        url=url,
        events=tuple(event for event in events if isinstance(event, str)) if isinstance(events, list) else (),
        description=name(item.get("description")),
        created_at=seconds(item.get("createdAt")),
        secret=name(item.get("signingSecret")),
        last4=name(item.get("signingSecretLast4")),
    )


def _merged(old: Output, new: Output) -> Output:
    return dataclasses.replace(
        old,
        type=new.type or old.type,
        url=new.url,
        expires_at=new.expires_at,
        size=old.size if new.size is None else new.size,
        temporary=old.temporary or new.temporary,
    )
