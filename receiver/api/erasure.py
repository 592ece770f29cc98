"""Calls that erase."""

from typing import Any

from ..erasure import Erased, erase, erase_carrying
from ..files import Files
from ..store import Store
from .call import AT_LENGTH, Call, Said
from .models.erasure import EraseBody, ErasedAnswer, EraseManyBody
from .problem import Problem


class ErasureCalls:
    """Erasing: one job, or all that carry a value."""

    def __init__(self, store: Store, files: Files) -> None:
        self._store = store
        self._files = files

    def calls(self) -> list[Call]:
        """Return what is answered."""
        return [
            Call(
                method="POST",
                path="/jobs/{id}/erase",
                does=self._one,
                summary="Erase all that is known of a job, by our id or its provider's: captured files too",
                body=EraseBody,
                answer=ErasedAnswer,
                refuses=(404, 409, 413),
            ),
            Call(
                method="POST",
                path="/jobs/erase",
                does=self._many,
                summary="Erase all jobs whose metadata has a value, for a second; go on with `next`",
                body=EraseManyBody,
                answer=ErasedAnswer,
                refuses=(413,),
            ),
        ]

    async def _one(self, said: Said) -> Any:
        subjects = await self._store.erasures.called(said.id)
        if not subjects:
            raise Problem(404, "no job is known by this id")
        erased = await erase(self._store, subjects, files=self._files, dry_run=said.body.dry_run)
        if erased.busy and not erased.jobs:
            raise Problem(409, "; ".join(erased.busy))
        return _told(erased)

    async def _many(self, said: Said) -> Any:
        erased = await erase_carrying(
            self._store,
            said.body.metadata.name,
            said.body.metadata.value,
            files=self._files,
            dry_run=said.body.dry_run,
            after=said.body.cursor or "",
            patience=AT_LENGTH,
        )
        return _told(erased)


def _told(erased: Erased) -> dict[str, Any]:
    rows = {table: erased.rows[table] for table in ("events", "runs", "deliveries")}
    told = {name: getattr(erased, name) for name in ("jobs", "files", "left", "busy")}
    return {**told, **rows, "next": erased.last}
