"""A provider of the tests' own: it says what it is told to, and remembers what it was asked."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from receiver.errors import Unreadable
from receiver.events import JobError, Output, Reading
from receiver.sources import Answer, Submission, Tool


class Words(BaseModel):
    model_config = ConfigDict(extra="allow")
    prompt: str


CALLED = Tool(
    name="sing", type="SING", parameters=Words, calls=True, cancels=True, usual=60, docs="https://studio.example"
)
ASKED = Tool(name="hum", type="HUM", parameters=Words, usual=20, docs="https://studio.example")
KINDS = {"succeeded": "job.succeeded", "failed": "job.failed", "cancelled": "job.cancelled"}


def body(job_id: str, standing: str) -> bytes:
    return json.dumps({"event": f"song.{standing}", "id": job_id, "file": f"https://x.example/{job_id}"}).encode()


def answer(job_id: str, standing: str, progress: float | None = None) -> Answer:
    ended = body(job_id, standing) if standing in KINDS else None
    return Answer(standing=standing, status=standing.upper(), progress=progress, body=ended)


class Studio:
    """A source; and its client, which takes the next of `replies` for each call, or what `always` says."""

    name = "studio"
    tools = (CALLED, ASKED)
    at_once = None

    def __init__(self) -> None:
        self.replies: list[Any] = []
        self.always: dict[str, Any] = {}
        self.calls: list[tuple[str, ...]] = []

    def read(self, body: bytes, *, brief: bool = False) -> Reading:
        try:
            data = json.loads(body)
            state = data["event"].partition(".")[2]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Unreadable("no song") from None
        return Reading(
            type=data["event"],
            kind=KINDS.get(state),
            job_id=data["id"],
            outputs=() if brief or state != "succeeded" else (Output(id="0", url=data["file"]),),
            error=JobError(message="out of tune") if state == "failed" else None,
            fact=f"{data['id']}:{state}",
            data=data,
        )

    def client(self, http: Any, provider: Any) -> "Studio":
        return self

    def _reply(self, call: str, *about: str) -> Any:
        self.calls.append((call, *about))
        reply = self.always[call] if call in self.always else self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def submit(self, tool: Tool, parameters: Mapping[str, Any]) -> Submission:
        return self._reply("submit", tool.name, parameters["prompt"])

    async def ask(self, job_id: str, tool: Tool | None, parameters: Mapping[str, Any]) -> Answer:
        return self._reply("ask", job_id)

    async def recent(self, tool: Tool) -> Sequence[str] | None:
        return self._reply("recent", tool.name)

    async def cancel(self, job_id: str, tool: Tool | None) -> None:
        self._reply("cancel", job_id)

    async def refresh(self, output: Output, *, job_id: str | None) -> Output:
        return output
