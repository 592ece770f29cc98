"""Calls about outputs: which are captured, and how to open them."""

import time
from typing import Any

from starlette.responses import FileResponse, RedirectResponse, Response

from ..events import redact
from ..files import Gallery
from ..store import Store
from .call import Call, Said
from .models.outputs import ExpiringAnswer, ExpiringQuery, LinkAnswer, LinkQuery, OutputRow, OutputsAnswer, OutputsQuery
from .problem import Problem

#: What is sent along with a file that a stranger's job made.
INERT = {"x-content-type-options": "nosniff", "content-security-policy": "sandbox; default-src 'none'"}


class OutputCalls:
    """Outputs: find, show, open."""

    def __init__(self, store: Store, gallery: Gallery) -> None:
        self._store = store
        self._gallery = gallery

    def calls(self) -> list[Call]:
        """Return what is answered."""
        return [
            Call(
                method="GET",
                path="/outputs",
                does=self._list,
                summary="List outputs, newest first",
                query=OutputsQuery,
                answer=OutputsAnswer,
            ),
            Call(
                method="GET",
                path="/expiring",
                does=self._expiring,
                summary="List runs that have not captured outputs whose URLs expire soon",
                query=ExpiringQuery,
                answer=ExpiringAnswer,
            ),
            Call(
                method="GET",
                path="/outputs/{id}",
                does=self._show,
                summary="Show an output",
                answer=OutputRow,
                refuses=(404,),
            ),
            Call(
                method="GET",
                path="/outputs/{id}/link",
                does=self._link,
                summary="Make a URL that opens a captured output, for applications",
                query=LinkQuery,
                answer=LinkAnswer,
                refuses=(404, 409, 410),
            ),
            Call(
                method="GET",
                path="/outputs/{id}/content",
                does=self._content,
                summary="Get a captured output itself, or be sent where it is",
                answer="*/*",  # of the file's own media type
                refuses=(404, 409, 410),
            ),
        ]

    async def _list(self, said: Said) -> Any:
        meant = said.query.model_dump(exclude={"cursor", "limit"})
        rows = await self._store.outputs.recent(before=said.query.cursor, limit=said.query.limit + 1, **meant)
        more = len(rows) > said.query.limit
        rows = rows[: said.query.limit]
        return {"outputs": [_row(row) for row in rows], "next": rows[-1]["id"] if more else None}

    async def _expiring(self, said: Said) -> Any:
        rows = await self._store.outputs.expiring(within=said.query.within, limit=said.query.limit)
        return {"expiring": redact(rows), "next": None}

    async def _show(self, said: Said) -> Any:
        return _row(await self._output(said.id))

    async def _link(self, said: Said) -> Any:
        output = await self._captured(said.id)
        made_at = time.time()
        if url := self._gallery.public(output["place"]):
            return {"url": url, "expires_at": None, "token": False}
        if url := await self._presigned(output["place"], seconds=said.query.seconds):
            return {"url": url, "expires_at": made_at + said.query.seconds, "token": False}
        if self._gallery.path(output["place"]) is None:
            raise _moved(output)
        return {"url": f"{self._gallery.api}/outputs/{output['id']}/content", "expires_at": None, "token": True}

    async def _content(self, said: Said) -> Response:
        output = await self._captured(said.id)
        if path := self._gallery.path(output["place"]):
            if not path.is_file():
                raise Problem(410, f"the file is no longer at {output['place']}")
            return FileResponse(path, media_type=output["media_type"], filename=path.name, headers=INERT)
        url = await self._presigned(output["place"], seconds=LinkQuery().seconds)
        if url is None:
            raise _moved(output)
        return RedirectResponse(url, 307, headers={"cache-control": "no-store"})

    async def _presigned(self, place: str, *, seconds: float) -> str | None:
        try:
            return await self._gallery.presigned(place, seconds=seconds)
        except OSError as error:
            raise Problem(503, error.strerror or "no link could be made", headers={"retry-after": "5"}) from None

    async def _captured(self, id: str) -> dict[str, Any]:
        output = await self._output(id)
        if output["place"] is None:
            raise Problem(409, f"it is not captured: {output['error']}")
        return output

    async def _output(self, id: str) -> dict[str, Any]:
        output = await self._store.outputs.get(id)
        if output is None:
            raise Problem(404, "no output has this id")
        return output


def _moved(output: dict[str, Any]) -> Problem:
    return Problem(410, f"the file is at {output['place']}, which is not where RECEIVER_FILES points now")


def _row(output: dict[str, Any]) -> dict[str, Any]:
    return {name: output[name] for name in OutputRow.model_fields}
