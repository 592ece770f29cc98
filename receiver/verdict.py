"""Ends of jobs that no provider told: what the tracker concludes, as bodies of ordinary events. Pure."""

import json
from typing import Any

from .events import JobError, Kind, Reading

#: Our own event types, and what they mean for the job.
VERDICTS: dict[str, Kind] = {
    "job.refused": "job.failed",  # its provider did not take it
    "job.lost": "job.failed",  # its provider does not know it any more
    "job.overdue": "job.failed",  # nobody told its end until its deadline
    "job.withdrawn": "job.cancelled",  # cancelled before it was sent
}


def verdict(type: str, job: str, message: str, *, code: str | None = None, reference: str | None = None) -> bytes:
    """Return the body of an event of ours about a job."""
    error = {"message": message, "code": code, "reference": reference}
    return json.dumps({"event": type, "job": job, "error": error}).encode()


def read(body: bytes) -> Reading:
    """Return what such a body says."""
    data: dict[str, Any] = json.loads(body)
    kind = VERDICTS[data["event"]]
    error = JobError(**data["error"]) if kind == "job.failed" else None
    return Reading(type=data["event"], kind=kind, error=error, data=data)
