"""How a job stands, by VideoGen's answers; at its end, the body that its webhook would have had. Pure, no I/O."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import ProviderError
from .. import Answer, Standing
from ..wire import mapping, mappings, name
from .work import REMIX, Work

_STANDINGS: dict[str, Standing] = {
    "pending": "submitted",
    "running": "running",
    "awaiting_approval": "awaiting_approval",
    "succeeded": "succeeded",
    "failed": "failed",
    "cancelled": "cancelled",
    "canceled": "cancelled",
}
_ENDS = ("succeeded", "failed", "cancelled")


def answer(data: Mapping[str, Any], work: Work, *, job_id: str, now: float) -> Answer:
    """Return what an answer about one job says. A status that is not known is no end.

    Raises ProviderError if it says nothing.
    """
    if work is REMIX:
        data = _together(mappings(data.get("remixActions")), job_id)
    status = name(data.get("status"))
    if status is None:
        raise ProviderError("VideoGen's answer does not say how the job stands", status=200)
    standing = _STANDINGS.get(status, "running")
    body = _body(data, work, standing, job_id=job_id, now=now) if standing in _ENDS else None
    return Answer(standing=standing, status=status, progress=_percent(data.get("progressPercentage")), body=body)


def _body(data: Mapping[str, Any], work: Work, standing: Standing, *, job_id: str, now: float) -> bytes:
    told: dict[str, Any] = {"event": f"{work.event}.{standing}", "occurredAt": int(now)}
    if work.event == "assistant_message":
        told |= {"messageId": job_id, "message": dict(data)}
    else:
        left_out = {"status", "progressPercentage", "attemptIndex"}
        told |= {key: value for key, value in data.items() if key not in left_out}
        told[work.id] = job_id
        if standing != "succeeded":
            told.pop("results", None)
        elif told.get("error") is None:
            told.pop("error", None)
    return json.dumps(told).encode()


def _together(actions: Sequence[Mapping[str, Any]], job_id: str) -> dict[str, Any]:
    """Return the remix actions of one job as one thing: it ends when all have, and well only if all did."""
    ids = job_id.rpartition(":")[2].split(",")
    mine = [action for action in actions if action.get("remixActionId") in ids]
    if len(mine) < len(ids):
        raise ProviderError("VideoGen does not list these remix actions", status=404)
    statuses = [_STANDINGS.get(name(action.get("status")) or "", "running") for action in mine]
    ended = all(status in _ENDS for status in statuses)
    worst = next((one for one in ("failed", "cancelled") if one in statuses), "succeeded")
    progress = [_percent(action.get("progressPercentage")) or 0.0 for action in mine]
    return {
        "status": worst if ended else "running",
        "progressPercentage": sum(progress) / len(progress),
        "projectId": mine[0].get("projectId"),
        "projectUrl": mine[0].get("projectUrl"),
        "error": next((mapping(action.get("error")) for action in mine if action.get("error")), None),
        "remixActions": [dict(action) for action in mine],
    }


def _percent(value: object) -> float | None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 100
    return float(value) if good else None  # type: ignore[arg-type]
