"""How long to wait before a server is asked again."""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

#: The longest wait a server may ask for, seconds.
LONGEST = 3600.0


def retry_after(headers: Mapping[str, str], *, now: float) -> float | None:
    """Return the seconds that an answer's `Retry-After` asks for, perhaps below 0; None if it asks for nothing."""
    text = headers.get("retry-after", "")
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text)
    try:
        return parsedate_to_datetime(text).timestamp() - now
    except (ValueError, OverflowError):
        return None


def within_reason(asked: float, *, attempt: int) -> float:
    """Return the seconds to wait if a server asks for so many: an hour at most, and longer with each attempt.

    A server that says "in a second" each time must not use up the attempts.
    """
    return max(2.0 ** min(attempt, 10), min(asked, LONGEST))
