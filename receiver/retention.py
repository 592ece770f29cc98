"""How long things are kept, and the part of a worker that deletes what is older."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from typing import Annotated

import structlog
from pydantic import BaseModel, ConfigDict
from pydantic.functional_validators import BeforeValidator

from .errors import Unavailable
from .files import Files, remove
from .store import Store

log = structlog.get_logger(__name__)

#: Seconds between two prunings, by whichever worker, and between two looks whether it is time.
EVERY, LOOK = 600.0, 60.0

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds_of(age: str) -> int | None:
    """Return the seconds of an age like `"90s"`, `"15m"`, `"36h"` or `"7d"`, None if it is none."""
    match = re.fullmatch(r"([0-9]{1,6})([smhd])", age)
    return int(match[1]) * _UNITS[match[2]] if match else None


def _age(value: object) -> object:
    seconds = seconds_of(value) if isinstance(value, str) else None
    if not seconds and value != "never":
        raise ValueError('write an age in quotes, like "90d" or "36h", or "never"')
    return seconds


#: Seconds, written as an age; None is never.
Age = Annotated[float | None, BeforeValidator(_age)]


class Ages(BaseModel):
    """The section `[retention]` of `receiver.toml`: after what age each kind is deleted, or never."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    events: Age = None  #: all of whose runs are done, with these
    failed: Age = None  #: events with a failed run
    quarantined: Age = None
    refused: Age = 30 * 86400.0
    copies: Age = 30 * 86400.0
    attempts: Age = None
    jobs: Age = None  #: that have ended
    secrets: Age = 30 * 86400.0  #: after their end
    files: Age = None  #: captured, with what is known of them

    def before(self, now: float) -> dict[str, float]:
        """Return by kind the moment before which it is too old."""
        ages = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: now - age for name, age in ages.items() if age is not None}


def remover(files: Files) -> Callable[[str, int, str], Awaitable[bool]]:
    """Return what removes captured files for `Retention.prune`, and tells in the log of those that it does not."""

    async def removed(place: str, size: int, sha256: str) -> bool:
        try:
            if await remove(files, place, size, sha256):
                return True
            why = "it is not here as it was captured"
        except OSError as error:
            why = error.strerror or type(error).__name__
        log.warning("file_not_deleted", place=place, reason=why)
        return False

    return removed


class Pruner:
    """Deletes what is too old, for good. One per worker; they take turns by the store."""

    def __init__(self, *, store: Store, files: Files, ages: Ages, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._remove = remover(files)
        self._ages = ages
        self._clock = clock

    async def run(self) -> None:
        """Look again and again whether it is time, and ours to do it."""
        while True:
            try:
                await self.once()
            except Unavailable as error:
                log.error("store_unavailable", error=str(error))
            except Exception:
                log.exception("not_pruned")  # no reason to stop, and somebody must hear of it
            await asyncio.sleep(LOOK)

    async def once(self) -> None:
        """Prune if nobody has for a while. Raises Unavailable."""
        before = self._ages.before(self._clock())
        if before and await self._store.retention.turn(EVERY):
            deleted = (await self._store.retention.prune(before, remove=self._remove)).deleted
            if any(deleted.values()):
                log.info("pruned", **{kind: count for kind, count in deleted.items() if count})
