"""Ids that sort by the time they were made."""

import secrets
import threading
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"

_lock = threading.Lock()
_last = 0


def new_id(prefix: str) -> str:
    """Return `prefix_` and 26 characters: 48 bits of milliseconds, then 80 random bits.

    Unique across processes and databases, so that it can serve as an idempotency key elsewhere. Within
    a process each is greater than the one before.
    """
    global _last  # noqa: PLW0603 - the order within a process is the process's own
    with _lock:  # two threads that both add one to the same id would make the same id
        _last = number = max(time.time_ns() // 1_000_000 << 80 | secrets.randbits(80), _last + 1)
    return _text(prefix, number)


def first_id(prefix: str, moment: float) -> str:
    """Return the smallest id of that moment, Unix seconds: ids made before are smaller, later ones are not."""
    return _text(prefix, max(0, int(moment * 1000)) << 80)


def _text(prefix: str, number: int) -> str:
    return f"{prefix}_" + "".join([_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5)])
