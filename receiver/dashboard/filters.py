"""What the query of a page asks for."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from .pages import query

#: What a page says after something was done; the number is in the query.
_DONE = {
    "started": ("No handler starts: they run or wait already.", "1 handler runs again.", "{n} handlers run again."),
    "no-worker": ("No worker has told of its handlers lately: start one. A run that is there runs again by itself.",)
    * 3,
    "retried": ("No failed run was left to retry.", "1 run starts again.", "{n} runs start again."),
    "all-retry": ("No failed run was left to retry.", "1 run starts again.", "{n} runs start again."),
    "all-give-up": ("No run was waiting any more.", "1 run is given up.", "{n} runs are given up."),
    "busy": ("It runs or waits already.",) * 3,
    "given-up": ("It was not waiting any more.", "It is given up: it stays failed until somebody runs it again.", ""),
    "paused": ("Its runs wait until it is resumed; new ones gather.",) * 3,
    "resumed": ("It goes on.",) * 3,
    "cancelled": ("It had ended already.", "Its provider is asked to end it. Its event tells how it ended.", ""),
}


class Filters:
    """The known parameters of a page, without empty ones; `cursor` says where it begins."""

    def __init__(self, said: Mapping[str, str], *names: str) -> None:
        said = {name: value.strip() for name, value in said.items()}
        self.values: dict[str, Any] = {name: said.get(name) or None for name in names}
        self.cursor = said.get("cursor") or None
        self.values["cursor"] = self.cursor
        self.problem: str | None = None
        self.since = self._moment("since")
        self.until = self._moment("until")
        self.note = _note(said.get("done", ""), said.get("n", ""))

    @property
    def used(self) -> list[str]:
        """The names of those that narrow."""
        return [name for name, value in self.values.items() if value and name != "cursor"]

    def query(self) -> str:
        """Return them as the query of a URL, without the cursor."""
        return query(self.values, cursor=None)

    def _moment(self, name: str) -> float | None:
        said = self.values.get(name)
        if not said:
            return None
        try:
            moment = datetime.fromisoformat(said)
        except ValueError:
            self.problem = "A time is written like 2026-11-27T21:05, in UTC."
            return None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _note(done: str, number: str) -> str | None:
    if done not in _DONE:
        return None
    count = int(number) if number.isascii() and number.isdigit() and len(number) < 10 else 1
    return _DONE[done][min(count, 2)].format(n=f"{count:,}")
