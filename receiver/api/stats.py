"""The call that tells how it all goes."""

import time
from typing import Any

from ..recall import stats_told
from ..store import Store
from .call import Call, Said
from .models.stats import StatsAnswer, StatsQuery

#: Seconds of a minute and an hour.
SPANS = {"minute": 60.0, "hour": 3600.0}


class StatsCalls:
    """Statistics."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def calls(self) -> list[Call]:
        """Return what is answered."""
        return [
            Call(
                method="GET",
                path="/stats",
                does=self._stats,
                summary="Tell what is left to do, and how much happened in each of the last minutes or hours",
                query=StatsQuery,
                answer=StatsAnswer,
            ),
        ]

    async def _stats(self, said: Said) -> Any:
        step = SPANS[said.query.span]
        since = time.time() - (said.query.spans - 1) * step
        return await stats_told(self._store, since=since, step=step)
