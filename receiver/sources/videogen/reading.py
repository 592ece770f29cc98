"""What a VideoGen webhook says. Pure, no I/O.

Source: https://docs.videogen.io/webhook-events, which has changed shape four times in 2026: fields
may be absent, null or of another type, and none of that may cost an event.
"""

from dataclasses import dataclass
from typing import Any

from ...errors import Unreadable
from ...events import Kind, Reading, seconds
from ..reason import job_error
from ..wire import mapping, name, parse
from . import outputs
from .work import WORKS

#: The events known in October 2026. The API takes all of them in a registration.
EVENTS = (
    "tool_execution.succeeded",
    "tool_execution.failed",
    "tool_execution.cancelled",
    "workflow_run.succeeded",
    "workflow_run.failed",
    "workflow_run.cancelled",
    "file.upload.completed",
    "file.upload.failed",
    "file.playback_ready",
    "file.download_ready",
    "file.analysis_completed",
    "file.analysis_failed",
    "assistant_message.succeeded",
    "assistant_message.failed",
    "assistant_message.cancelled",
    "project_export.succeeded",
    "project_export.failed",
    "project_export.cancelled",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Family:
    """Events about one sort of thing: which field has its id, which its tool, and whether it ends."""

    id: str
    tool: str | None = None
    constant: str | None = None  #: the tool of all of them
    ends: bool = True


_FAMILIES = {
    **{work.event: _Family(id=work.id, tool=work.tool, constant=work.constant) for work in WORKS},
    "file": _Family(id="fileId", ends=False),
}
_KINDS: dict[str, Kind] = {
    "succeeded": "job.succeeded",
    "failed": "job.failed",
    "cancelled": "job.cancelled",
    "canceled": "job.cancelled",
}

#: How tool executions were called before May 2026, when results had another shape too.
_LEGACY = ("apiTaskExecutionId", "executionId", "result")


def read(body: bytes, *, brief: bool = False) -> Reading:
    """Return what a webhook says; an unknown event is read as far as it goes.

    A `brief` reading has no outputs and no error: the inbox does not need them.

    Raises Unreadable for what is no JSON object with an event name, and for the shape of April 2026,
    which is not sent any more.
    """
    data = parse(body)
    event = name(data.get("event"))
    if event is None:
        raise Unreadable("the body has no event name")
    topic, _, state = event.partition(".")
    if topic == "tool_execution" and "toolExecutionId" not in data and any(key in data for key in _LEGACY):
        raise Unreadable("legacy: the shape of April 2026, without toolExecutionId")
    family = _family(topic, data)
    kind = _KINDS.get(state) if topic in _FAMILIES and family.ends else None
    thing = name(data.get(family.id))
    return Reading(
        type=event,
        occurred_at=seconds(data.get("occurredAt")),
        kind=kind,
        job_id=thing,
        tool=name(data.get(family.tool)) if family.tool else family.constant if kind else None,
        outputs=outputs.of_job(data) if kind and not brief else (),
        expires_at=outputs.first_expiry(data) if kind == "job.succeeded" else None,
        error=None if brief else job_error(_error(data)),
        fact=_fact(thing, event, kind),
        data=data,
    )


def _family(topic: str, data: dict[str, Any]) -> _Family:
    known = _FAMILIES.get(topic)
    return known or next((found for found in _FAMILIES.values() if name(data.get(found.id))), _FAMILIES["file"])


def _error(data: dict[str, Any]) -> object:
    # Assistant messages keep theirs inside the message.
    return data.get("error") or mapping(data.get("message")).get("error")


def _fact(id: str | None, event: str, kind: Kind | None) -> str | None:
    if id is None:
        return None
    if kind:
        return f"{id}:{kind.removeprefix('job.')}"
    return f"{id}:{event}" if event in EVENTS else None
