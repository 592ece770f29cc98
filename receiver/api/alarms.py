"""The call about alarms."""

import json
from collections.abc import Mapping
from typing import Any

from ..store import OURSELVES, Filter, Store
from .call import Call, Said
from .models.alarms import AlarmsAnswer, AlarmsQuery


class AlarmCalls:
    """Alarms: those that are on, and those that are over."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def calls(self) -> list[Call]:
        """Return what is answered."""
        return [
            Call(
                method="GET",
                path="/alarms",
                does=self._list,
                summary="List what somebody should look at, or what was so and is over",
                query=AlarmsQuery,
                answer=AlarmsAnswer,
            ),
        ]

    async def _list(self, said: Said) -> Any:
        since = said.query.since
        if said.query.state == "over":
            return await self._over(since=since, cursor=said.query.cursor, limit=said.query.limit)
        rows = [
            {name: getattr(alarm, name) for name in _NAMES} | {"state": "on", "resolved_at": None, "event_id": None}
            for alarm in await self._store.alarms.active()
            if since is None or alarm.raised_at >= since
        ]
        return {"alarms": rows[: said.query.limit], "next": None}

    async def _over(self, *, since: float | None, cursor: str | None, limit: int) -> Any:
        """Return those that are over: each left an event, which is all there is of it."""
        meant = Filter(source=OURSELVES, type="alarm.resolved", since=since)
        page = await self._store.events.page(meant, cursor=cursor, limit=limit)
        whole = await self._store.events.some([row["id"] for row in page.rows])
        return {"alarms": [_told(whole[row["id"]]) for row in page.rows if row["id"] in whole], "next": page.next}


#: What an alarm and its events say in the same words.
_NAMES = ("watch", "about", "value", "text", "raised_at")


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    body = json.loads(row["body"])
    told = {name: body[name] for name in _NAMES}
    return {**told, "state": "over", "resolved_at": row["received_at"], "event_id": row["id"]}
