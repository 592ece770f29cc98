"""Captured files, shown in pages and given away, never run."""

import asyncio
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response

from ..files import Gallery
from ..store import Store
from .pages import HEADERS, Missing, Views

#: What browsers show as it is, without running anything, and in which element.
SHOWN = {
    **dict.fromkeys(("image/avif", "image/gif", "image/jpeg", "image/png", "image/webp"), "image"),
    **dict.fromkeys(
        ("audio/aac", "audio/flac", "audio/mp4", "audio/mpeg", "audio/ogg", "audio/wav", "audio/webm"), "audio"
    ),
    **dict.fromkeys(("video/mp4", "video/quicktime", "video/webm"), "video"),
}

#: Whatever it is: opened by itself, it has no origin and loads nothing.
SANDBOX = "sandbox; default-src 'none'; media-src 'self'; img-src 'self'; frame-ancestors 'none'"


#: Seconds that a link into a bucket works.
LINKED = 60.0


class Media:
    """The files that handlers captured, as far as they are in our folder or our bucket.

    Those in the folder are shown in the pages; for one in the bucket there is a link that works for a minute.
    """

    def __init__(self, *, store: Store, gallery: Gallery) -> None:
        self._store = store
        self._gallery = gallery

    def views(self) -> Views:
        """Return everything that is answered."""
        yield "GET", "/files/{id}", self._give

    async def of(self, **which: str) -> list[dict[str, Any]]:
        """Return outputs, by `event_id`, or `source` and `job_id`, with how each is `shown` and if it is `here`."""
        found = await self._store.outputs.recent(limit=100, **which)
        for output in found:
            here = await asyncio.to_thread(self._path, output) is not None
            output["shown"] = SHOWN.get(output["media_type"] or "") if here else None
            output["here"] = here or self._in_bucket(output)
        return found

    async def _give(self, request: Request) -> Response:
        output = await self._store.outputs.get(request.path_params["id"])
        if output is not None and self._in_bucket(output):
            return RedirectResponse(await self._link(output["place"]), 303, HEADERS)
        path = await asyncio.to_thread(self._path, output) if output else None
        if output is None or path is None:
            raise Missing("There is no such file here.")
        shown = output["media_type"] in SHOWN and "download" not in request.query_params
        return FileResponse(
            path,
            media_type=output["media_type"] if shown else "application/octet-stream",
            filename=path.name,
            content_disposition_type="inline" if shown else "attachment",
            headers=HEADERS | {"content-security-policy": SANDBOX},
        )

    def _path(self, output: dict[str, Any]) -> Path | None:
        """Return where the file is: only if that is in our folder, whatever its handler said."""
        path = self._gallery.path(output["place"]) if output["place"] else None
        return path if path and path.is_file() else None

    def _in_bucket(self, output: dict[str, Any]) -> bool:
        return output["place"] is not None and self._gallery.is_remote(output["place"])

    async def _link(self, place: str) -> str:
        try:
            link = await self._gallery.presigned(place, seconds=LINKED)
        except OSError as error:
            raise Missing(f"There is no link to it: {error}.") from None
        if link is None:
            raise Missing("There is no such file here.")
        return link
