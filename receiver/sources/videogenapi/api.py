"""VideoGenAPI's API, as far as the receiver needs it."""

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import httpx

from ...errors import ProviderError
from ...events import Output
from ...settings import Provider
from .. import Answer, Submission, Tool
from ..connection import Connection, segment
from ..reason import clean
from ..refusal import until_reset
from ..wire import mapping, name
from .reading import read, standing_of

BASE_URL = "https://videogenapi.com/api/v1"


class Api:
    """A client for one API key. Every call raises ProviderError if it is refused or fails; none is repeated.

    Source: https://videogenapi.com/docs (read 2026-11). It documents no way to cancel, and not what its list of
    generations looks like.
    """

    def __init__(self, http: httpx.AsyncClient, provider: Provider, *, clock: Callable[[], float] = time.time) -> None:
        self._connection = Connection(http, provider, name="VideoGenAPI", base_url=BASE_URL, clock=clock)

    async def submit(self, tool: Tool, parameters: Mapping[str, Any]) -> Submission:
        """Start a generation. Older documents show answers that are complete already."""
        data = await self._ask("POST", "/generate", body=dict(parameters))
        job_id = name(data.get("generation_id"))
        ended = standing_of(data) in ("succeeded", "failed") and (data.get("video_url") or data.get("error"))
        if job_id is None and not ended:
            raise ProviderError("VideoGenAPI took the job but did not say under which id", status=200)
        return Submission(job_id=job_id, answer=_answer(data) if ended else None)

    async def ask(self, job_id: str, tool: Tool | None, parameters: Mapping[str, Any]) -> Answer:
        """Return how a generation stands. `status_url` is not used: it repeats a part of the base URL."""
        return _answer(await self._status(job_id))

    async def recent(self, tool: Tool) -> Sequence[str] | None:
        """Return the ids in the list of generations, in its order; None if there is nothing that looks like one."""
        found = [(name(item.get("generation_id")), item) for item in _objects(await self.generations())]
        ids = [job_id for job_id, item in found if job_id and item.get("type") in (None, tool.type)]
        return ids or None

    async def generations(self, *, page: int = 1, limit: int = 20) -> dict[str, Any]:
        """Return a page of the list of generations, as it comes."""
        return await self._ask("GET", "/generations", params={"page": str(page), "limit": str(limit)})

    async def usage(self) -> dict[str, Any]:
        """Return the account and its usage, as it comes."""
        return await self._ask("GET", "/user")

    async def cancel(self, job_id: str, tool: Tool | None) -> None:
        """Raise ProviderError: VideoGenAPI documents no way to cancel a generation."""
        raise ProviderError("VideoGenAPI has no way to cancel a generation", status=405)

    async def refresh(self, output: Output, *, job_id: str | None) -> Output:
        """Return the output with the URL that its generation has now. URLs are public; how long, is not documented."""
        if job_id is None:
            raise ProviderError("VideoGenAPI is asked for a file by its generation, which is not known")
        found = read(json.dumps(await self._status(job_id)).encode()).outputs
        return dataclasses.replace(output, url=found[0].url if found else None)

    async def _status(self, job_id: str) -> dict[str, Any]:
        return await self._ask("GET", f"/status/{segment(job_id, 'VideoGenAPI')}")

    async def _ask(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        data = await self._connection.ask(method, path, **more)
        if (wait := until_reset(data)) is not None:  # with which HTTP status, is not documented
            raise ProviderError(f"VideoGenAPI: {clean(str(data.get('error')))}", status=429, retry_after=wait)
        return data


def _answer(data: Mapping[str, Any]) -> Answer:
    status = name(data.get("status"))
    if status is None:
        raise ProviderError("VideoGenAPI's answer does not say how the generation stands", status=200)
    standing = standing_of(data)
    ended = standing in ("succeeded", "failed")
    return Answer(standing=standing, status=status, body=json.dumps(data).encode() if ended else None)


def _objects(data: object) -> Iterator[dict[str, Any]]:
    """Yield the objects in the lists of an answer whose shape is not known."""
    for value in mapping(data).values():
        if isinstance(value, list):
            yield from (item for item in value if isinstance(item, dict))
        yield from _objects(value)
