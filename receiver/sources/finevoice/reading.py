"""What FineVoice says about a task. Pure, no I/O.

Its documents contradict each other: a status is a number (200, 202) or a word, an id is `taskId` or `task_id`, an
error is an object or a text. All of that is read. It has no event names: `task.completed` and `task.failed` are
made from its own words. What its timestamps mean is not known, so they stay in the data.

Source: https://api.finevoice.ai (read 2026-11).
"""

from collections.abc import Mapping
from typing import Any

from ...events import Kind, Output, Reading
from .. import Standing
from ..reason import job_error
from ..wire import name, parse

_DONE = (200, "200", "completed", "success", "succeeded", "done", "finished")
_FAILED = ("failed", "error")
_KINDS: dict[Standing, Kind] = {"succeeded": "job.succeeded", "failed": "job.failed"}


def read(body: bytes) -> Reading:
    """Return what an answer says. Raises Unreadable for what is no JSON object."""
    data = parse(body)
    standing = standing_of(data)
    word = {"succeeded": "completed"}.get(standing, standing)
    return Reading(
        type=f"task.{word}",
        kind=_KINDS.get(standing),
        job_id=task_id(data),
        outputs=_outputs(data) if standing == "succeeded" else (),
        error=job_error(data.get("error") or data.get("message") or "no reason given")
        if standing == "failed"
        else None,
        data=data,
    )


def task_id(data: Mapping[str, Any]) -> str | None:
    """Return the id of the task, whichever name it has."""
    return name(data.get("taskId")) or name(data.get("task_id"))


def has_result(data: Mapping[str, Any]) -> bool:
    """Whether there is a file already."""
    return bool(_urls(data))


def standing_of(data: Mapping[str, Any]) -> Standing:
    """Return how a task stands. What nobody knows is no end."""
    status = data.get("status")
    if status in _FAILED or (isinstance(status, int) and not isinstance(status, bool) and status >= 400):
        return "failed"
    if has_result(data) or status in _DONE:
        return "succeeded"
    return "failed" if data.get("error") and status is None else "running"


def _outputs(data: Mapping[str, Any]) -> tuple[Output, ...]:
    # Files have no ids: their place is the only name that stays the same.
    return tuple(Output(id=str(place), url=url) for place, url in enumerate(_urls(data)))


def _urls(data: Mapping[str, Any]) -> list[str]:
    several = data.get("urls")
    found = [*(several if isinstance(several, list) else []), data.get("url")]
    return list(dict.fromkeys(url for url in found if _is_url(url)))


def _is_url(value: object) -> bool:
    return isinstance(value, str) and value.startswith(("https://", "http://")) and value.isprintable()
