"""What a provider's API says when it says no."""

import re
from collections.abc import Mapping
from email.utils import mktime_tz, parsedate_tz
from typing import Any

import httpx

from ..errors import ProviderError, Unreadable
from .reason import clean, job_error, requirement
from .wire import mapping, parse


def refusal(answer: httpx.Response, body: bytes, *, name: str, now: float, key: str) -> ProviderError:
    """Return the error for an answer of the provider `name` that is no success.

    It may say why in its `error`, or be the error object itself. `key` is kept out, if it is there. `now` is in
    Unix seconds, for a `Retry-After` that is a date.
    """
    try:
        data = parse(body)
    except Unreadable:
        data = {}  # a proxy's page, most likely
    reason = job_error(data.get("error")) or job_error(data)
    message = f"{name} answered {answer.status_code}"
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
        retry_after=until_reset(data) or _retry_after(answer.headers.get("retry-after", ""), now),
        exhausted=answer.status_code == 402 or bool(reason and reason.code == "insufficient_credits"),
    )


def until_reset(data: Mapping[str, Any]) -> float | None:
    """Return the seconds that the limits of a model tell (VideoGenAPI); its prose may say otherwise."""
    seconds = mapping(data.get("details")).get("seconds_until_reset")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    return float(seconds) if 0 < seconds < 10**9 else None


def _retry_after(value: str, now: float) -> float | None:
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value):
        return float(value)
    try:
        date = parsedate_tz(value)
        return max(0.0, mktime_tz(date) - now) if date else None
    except (ValueError, OverflowError):
        return None
