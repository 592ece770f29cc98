"""Ids that sort by the time they were made."""

import os
import random
import threading
import time

# Unique is all they must be; the operating system's generator costs ten times as much per id.
_random = random.Random(random.SystemRandom().getrandbits(256))  # noqa: S311 - not for secrets
# A forked process would else go on to make the ids that the process it comes from makes.
os.register_at_fork(after_in_child=_random.seed)

_lock = threading.Lock()
_last = 0


def new_id(prefix: str) -> str:
    """Return `prefix_` and 32 hexadecimal digits: 48 bits of milliseconds, then 80 random bits.

    Unique across processes and databases, so that it can serve as an idempotency key elsewhere. Within
    a process each is greater than the one before.
    """
    global _last  # noqa: PLW0603 - the order within a process is the process's own
    with _lock:  # two threads that both add one to the same id would make the same id
        _last = number = max(time.time_ns() // 1_000_000 << 80 | _random.getrandbits(80), _last + 1)
    return f"{prefix}_{number:032x}"


def first_id(prefix: str, moment: float) -> str:
    """Return the smallest id of that moment, Unix seconds: ids made before are smaller, later ones are not."""
    return f"{prefix}_{max(0, int(moment * 1000)) << 80:032x}"


def made_at(id: str) -> float:
    """Return the moment at which an id was made, Unix seconds."""
    return (int(id.rpartition("_")[2], 16) >> 80) / 1000
