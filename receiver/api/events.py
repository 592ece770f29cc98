"""Calls about events, and deliveries that made none."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from ..events import redact
from ..recall import event_told, refusal_told
from ..replay import replay
from ..store import PATIENCE, SEARCH, Filter, Reported, Store
from .call import AT_LENGTH, Call, Said
from .models.events import EventAnswer, EventsAnswer, EventsQuery, ReplayAnswer, ReplayBody, ReplayManyBody
from .models.refused import RefusedAnswer, RefusedPage, RefusedQuery
from .problem import Problem

#: Who tells which handlers a replay may run.
There = Callable[[], Awaitable[Sequence[Reported]]]


class EventCalls:
    """Events: find, show, run handlers on them again."""

    def __init__(self, store: Store, there: There) -> None:
        self._store = store
        self._there = there

    def calls(self) -> list[Call]:
        """Return what is answered."""
        return [
            Call(
                method="GET",
                path="/events",
                does=self._list,
                summary="Find events, newest first",
                query=EventsQuery,
                answer=EventsAnswer,
            ),
            Call(
                method="GET",
                path="/events/{id}",
                does=self._show,
                summary="Show an event with its headers, its JSON and every attempt of its handlers",
                answer=EventAnswer,
                refuses=(404,),
            ),
            Call(
                method="POST",
                path="/events/{id}/replay",
                does=self._replay,
                summary="Run handlers again on an event",
                body=ReplayBody,
                answer=ReplayAnswer,
                refuses=(404, 409, 413),
            ),
            Call(
                method="POST",
                path="/events/replay",
                does=self._replay_many,
                summary="Run handlers again on all events that match, for a second; go on with `next`",
                body=ReplayManyBody,
                answer=ReplayAnswer,
                refuses=(409, 413),
            ),
            Call(
                method="GET",
                path="/refused",
                does=self._refused,
                summary="List deliveries that made no event, and why",
                query=RefusedQuery,
                answer=RefusedPage,
            ),
            Call(
                method="GET",
                path="/refused/{id}",
                does=self._show_refused,
                summary="Show a delivery that made no event",
                answer=RefusedAnswer,
                refuses=(404,),
            ),
        ]

    async def _list(self, said: Said) -> Any:
        meant = Filter(**said.query.model_dump(exclude={"cursor", "limit"}))
        patience = SEARCH if meant.text else PATIENCE
        page = await self._store.events.page(meant, cursor=said.query.cursor, limit=said.query.limit, patience=patience)
        return {"events": redact(page.rows), "next": page.next}

    async def _show(self, said: Said) -> Any:
        row = await self._store.events.get(said.id)
        if row is None:
            raise Problem(404, "no event has this id")
        return event_told(row, await self._store.events.history(said.id))

    async def _replay(self, said: Said) -> Any:
        handlers = await self._handlers(said.body.handlers)
        row = await self._store.events.get(said.id)
        if row is None:
            raise Problem(404, "no event has this id")
        if row["state"] in ("quarantined", "erased"):
            told = {"quarantined": "in quarantine", "erased": "erased"}[row["state"]]
            raise Problem(409, f"this event is {told}: no handler could read it")
        done = await replay(self._store, Filter(id=said.id), handlers, dry_run=said.body.dry_run)
        return {"events": done.events, "runs": done.runs, "next": None}

    async def _replay_many(self, said: Said) -> Any:
        handlers = await self._handlers(said.body.handlers)
        done = await replay(
            self._store,
            Filter(**said.body.events.model_dump()),
            handlers,
            dry_run=said.body.dry_run,
            after=said.body.cursor or "",
            patience=AT_LENGTH,
        )
        return {"events": done.events, "runs": done.runs, "next": done.last}

    async def _handlers(self, names: Sequence[str] | None) -> list[Reported]:
        found = await self._there()
        if not found:
            raise Problem(409, "there are no handlers to run: no worker has told of one lately")
        if unknown := set(names or ()) - {one.name for one in found}:
            raise Problem(409, f"no handler is called {', '.join(sorted(unknown))}")
        return [one for one in found if not names or one.name in names]

    async def _refused(self, said: Said) -> Any:
        query = said.query.model_dump()
        query["verdict"] = query["verdict"] or ("duplicate" if query["event_id"] else "refused")
        page = await self._store.events.others(**query)
        return {"refused": redact(page.rows), "next": page.next}

    async def _show_refused(self, said: Said) -> Any:
        row = await self._store.events.other(said.id)
        if row is None:
            raise Problem(404, "no delivery has this id")
        return refusal_told(row)
