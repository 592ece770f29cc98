"""The call that deletes what is old."""

import time
from pathlib import Path
from typing import Any

from ..config import read
from ..errors import ConfigError
from ..files import Files
from ..retention import Ages, remover
from ..store import Store
from ..store.retention import KINDS
from .call import AT_LENGTH, Call, Said
from .models.retention import PruneAnswer, PruneBody
from .problem import Problem


class RetentionCalls:
    """Pruning. `config` names the file whose ages count, `files` is where captured outputs are."""

    def __init__(self, store: Store, files: Files, config: Path | None) -> None:
        self._store = store
        self._remove = remover(files)
        self._config = config

    def calls(self) -> list[Call]:
        """Return what is answered."""
        return [
            Call(
                method="POST",
                path="/prune",
                does=self._prune,
                summary="Delete what is old, by kind, for a second; go on with `next`",
                body=PruneBody,
                answer=PruneAnswer,
                refuses=(409, 413),
            ),
        ]

    async def _prune(self, said: Said) -> Any:
        before = self._before(said.body.older_than)
        if said.body.dry_run:
            return {"deleted": await self._store.retention.old(before), "next": None}
        pruned = await self._store.retention.prune(
            before, remove=self._remove, after=said.body.cursor, patience=AT_LENGTH
        )
        return {"deleted": pruned.deleted, "next": pruned.last}

    def _before(self, age: float | None) -> dict[str, float]:
        now = time.time()
        if age is not None:
            # What was captured is what the receiver is for: nothing but its own age deletes it.
            return {kind.name: now - age for kind in KINDS if kind.name != "files"}
        try:
            # Read when it is needed: whoever looks at events is not stopped by a mistake in that file.
            return read(self._config).table("retention", Ages).before(now)
        except ConfigError as error:
            raise Problem(409, str(error)) from None
