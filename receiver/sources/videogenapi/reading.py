"""What VideoGenAPI says about a generation. Pure, no I/O.

It has no event names: `generation.completed` and `generation.failed` are made from its own words. Its times have no
zone, so they stay in the data as they are. What a failed generation says about why is not documented.

Source: https://videogenapi.com/docs (read 2026-11).
"""

from collections.abc import Mapping
from typing import Any

from ...events import Kind, Output, Reading
from .. import Standing
from ..reason import job_error
from ..wire import name, parse

_STANDINGS: dict[str, Standing] = {
    "pending": "submitted",
    "in_queue": "submitted",
    "in_progress": "running",
    "processing": "running",
    "completed": "succeeded",
    "failed": "failed",
}
_KINDS: dict[Standing, Kind] = {"succeeded": "job.succeeded", "failed": "job.failed"}


def read(body: bytes) -> Reading:
    """Return what an answer says. Raises Unreadable for what is no JSON object."""
    data = parse(body)
    standing = standing_of(data)
    word = {"succeeded": "completed"}.get(standing, standing)
    url = data.get("video_url")
    there = standing == "succeeded" and isinstance(url, str) and url.startswith("http") and url.isprintable()
    return Reading(
        type=f"generation.{word}",
        kind=_KINDS.get(standing),
        job_id=name(data.get("generation_id")),
        tool=name(data.get("type")),
        # Each generation makes one file, which has no id.
        outputs=(Output(id="0", type="VIDEO", url=url),) if there else (),
        error=job_error(data.get("error") or data.get("message") or "no reason given")
        if standing == "failed"
        else None,
        data=data,
    )


def standing_of(data: Mapping[str, Any]) -> Standing:
    """Return how a generation stands. What nobody knows is no end."""
    return _STANDINGS.get(name(data.get("status")) or "", "running")
