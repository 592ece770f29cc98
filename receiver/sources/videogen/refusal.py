"""What VideoGen's API says when it says no."""

import re
from email.utils import mktime_tz, parsedate_tz

import httpx

from ...errors import ProviderError, Unreadable
from .reason import clean, job_error, requirement
from .wire import parse


def refusal(answer: httpx.Response, body: bytes, *, now: float, key: str) -> ProviderError:
    """Return the error for an answer that is no success. `key` is kept out of it, if it is there.

    `now` is in Unix seconds, for a `Retry-After` that is a date.
    """
    try:
        data = parse(body)
    except Unreadable:
        data = {}  # a proxy's page, most likely
    reason = job_error(data)
    message = f"VideoGen answered {answer.status_code}"
    if reason:
        message += f": {reason.message}"
        if needed := requirement(data):
            message += f" (it asks for {needed})"
        if reason.reference:
            message += f" (its reference: {reason.reference})"
    return ProviderError(
        message.replace(key, "[redacted]"),
        status=answer.status_code,
        code=reason.code if reason else None,
        request_id=clean(answer.headers.get("x-request-id", "")) or None,
        retry_after=_retry_after(answer.headers.get("retry-after", ""), now),
        exhausted=bool(reason and reason.code == "insufficient_credits"),
    )


def _retry_after(value: str, now: float) -> float | None:
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value):
        return float(value)
    try:
        date = parsedate_tz(value)
        return max(0.0, mktime_tz(date) - now) if date else None
    except (ValueError, OverflowError):
        return None
