"""How long to wait before a server is asked again."""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

#: The longest wait a server may ask for, seconds.
LONGEST = 3600.0


def retry_after(headers: Mapping[str, str], *, attempt: int, now: float) -> float | None:
    """Return the seconds that an answer's `Retry-After` asks for, None if it asks for nothing.

    Never longer than an hour; and longer with each attempt: a server that says "in a second" each time must
    not use them up.
    """
    text = headers.get("retry-after", "")
    if re.fullmatch(r"[0-9]{1,9}", text):
        asked = float(text)
    else:
        try:
            asked = parsedate_to_datetime(text).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return max(2.0 ** min(attempt, 10), min(asked, LONGEST))
