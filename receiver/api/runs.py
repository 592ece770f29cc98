"""Calls about runs."""

from typing import Any

from ..events import redact
from ..recall import attempts_told
from ..store import Changed, Filter, RunFilter, Store
from .call import AT_LENGTH, Call, Said
from .models.runs import ManyRunsAnswer, ManyRunsBody, RunAnswer, RunRow, RunsAnswer, RunsQuery
from .problem import Problem


class RunCalls:
    """Runs: find, show, retry, give up."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def calls(self) -> list[Call]:
        """Return what is answered."""
        return [
            Call(
                method="GET",
                path="/runs",
                does=self._list,
                summary="List runs, failed ones first",
                query=RunsQuery,
                answer=RunsAnswer,
            ),
            Call(
                method="POST",
                path="/runs/retry",
                does=self._retry_many,
                summary="Start all failed runs that match again, for a second; go on with `next`",
                body=ManyRunsBody,
                answer=ManyRunsAnswer,
                refuses=(413,),
            ),
            Call(
                method="POST",
                path="/runs/give-up",
                does=self._give_up_many,
                summary="Let all runs that wait and match fail for good, for a second; go on with `next`",
                body=ManyRunsBody,
                answer=ManyRunsAnswer,
                refuses=(413,),
            ),
            Call(
                method="GET",
                path="/runs/{id}",
                does=self._show,
                summary="Show a run with its attempts",
                answer=RunAnswer,
                refuses=(404,),
            ),
            Call(
                method="POST",
                path="/runs/{id}/retry",
                does=self._retry,
                summary="Start a run again that has ended, or now that waits for its next attempt",
                answer=RunAnswer,
                refuses=(404, 409),
            ),
            Call(
                method="POST",
                path="/runs/{id}/give-up",
                does=self._give_up,
                summary="Let a run that waits fail for good",
                answer=RunAnswer,
                refuses=(404, 409),
            ),
        ]

    async def _list(self, said: Said) -> Any:
        meant = RunFilter(**said.query.model_dump(exclude={"cursor", "limit"}))
        page = await self._store.runs.page(meant, cursor=said.query.cursor, limit=said.query.limit)
        return {"runs": redact([_row(row) for row in page.rows]), "next": page.next}

    async def _show(self, said: Said) -> Any:
        return await self._run(said.id)

    async def _retry(self, said: Said) -> Any:
        if not await self._store.runs.retry(said.id):
            run = await self._run(said.id)
            raise Problem(409, f"the run is {run['state']}: only one that has ended, or waits for later, starts")
        return await self._run(said.id)

    async def _give_up(self, said: Said) -> Any:
        if not await self._store.runs.give_up(said.id):
            run = await self._run(said.id)
            raise Problem(409, f"the run is {run['state']}: only one that waits can be given up")
        return await self._run(said.id)

    async def _retry_many(self, said: Said) -> Any:
        return await self._many(said.body, "failed")

    async def _give_up_many(self, said: Said) -> Any:
        return await self._many(said.body, "waiting")

    async def _many(self, body: ManyRunsBody, state: Changed) -> Any:
        replays, meant = self._store.replays, Filter(**body.events.model_dump())
        if body.dry_run:
            counted = await replays.count(state, meant, handler=body.handler)
            return {"runs": counted.runs, "more": counted.more, "at": counted.at, "next": None}
        some = replays.retry_some if state == "failed" else replays.give_up_some
        piece = await some(meant, handler=body.handler, after=body.cursor or "", until=body.until, patience=AT_LENGTH)
        return {"runs": piece.runs, "more": False, "at": None, "next": piece.last}

    async def _run(self, id: str) -> dict[str, Any]:
        run = await self._store.runs.get(id)
        if run is None:
            raise Problem(404, "no run has this id")
        tries = attempts_told(await self._store.runs.attempts(id))
        return {**redact(_row(run)), "attempts": tries}


def _row(run: dict[str, Any]) -> dict[str, Any]:
    return {name: run[name] for name in RunRow.model_fields}
