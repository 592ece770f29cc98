"""FineVoice's API, as far as the receiver needs it."""

import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx

from ...errors import ProviderError
from ...events import Output
from ...settings import Provider
from .. import Answer, Submission, Tool
from ..connection import Connection, segment
from .parameters import Queued
from .reading import has_result, read, standing_of, task_id
from .tools import PATHS

BASE_URL = "https://apis.finevoice.ai"


class Api:
    """A client for one API key. Every call raises ProviderError if it is refused or fails; none is repeated.

    Source: https://api.finevoice.ai (read 2026-11). How it refuses what is over the limit of tasks at once, and what
    it says when the credits are used up, is not documented.
    """

    def __init__(self, http: httpx.AsyncClient, provider: Provider, *, clock: Callable[[], float] = time.time) -> None:
        self._connection = Connection(http, provider, name="FineVoice", base_url=BASE_URL, clock=clock)

    async def submit(self, tool: Tool, parameters: Mapping[str, Any]) -> Submission:
        """Start a task. It may be answered with the result at once, and then has perhaps no id."""
        body = dict(parameters)
        if issubclass(tool.parameters, Queued):
            body.setdefault("useAsync", True)
        data = await self._connection.ask("POST", PATHS[tool.name], body=body)
        job_id = task_id(data)
        if has_result(data) or standing_of(data) == "failed":
            return Submission(job_id=job_id, answer=_answer(data))
        if job_id is None:
            raise ProviderError("FineVoice answered with neither a result nor the id of a task", status=200)
        return Submission(job_id=job_id)

    async def ask(self, job_id: str, tool: Tool | None, parameters: Mapping[str, Any]) -> Answer:
        """Return how a task stands."""
        return _answer(await self._task(job_id))

    async def recent(self, tool: Tool) -> Sequence[str] | None:
        """Return None: FineVoice has no list of tasks."""
        return None

    async def cancel(self, job_id: str, tool: Tool | None) -> None:
        """Raise ProviderError: FineVoice documents no way to cancel a task."""
        raise ProviderError("FineVoice has no way to cancel a task", status=405)

    async def refresh(self, output: Output, *, job_id: str | None) -> Output:
        """Return the output with the URL that its task has now. How long one works is not documented."""
        if job_id is None:
            raise ProviderError("FineVoice is asked for a file by its task, which is not known")
        found = read(json.dumps(await self._task(job_id)).encode()).outputs
        fresh = next((item for item in found if item.id == output.id), None)
        return dataclasses.replace(output, url=fresh.url if fresh else None)

    async def _task(self, job_id: str) -> dict[str, Any]:
        return await self._connection.ask("GET", f"/v1/task/{segment(job_id, 'FineVoice')}")


def _answer(data: Mapping[str, Any]) -> Answer:
    if not {"status", "url", "urls", "error"} & data.keys():
        raise ProviderError("FineVoice's answer does not say how the task stands", status=200)
    standing = standing_of(data)
    ended = standing in ("succeeded", "failed")
    return Answer(standing=standing, status=str(data.get("status")), body=json.dumps(data).encode() if ended else None)
