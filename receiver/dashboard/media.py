"""Captured files, shown in pages and given away, never run."""

import asyncio
import re
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response, StreamingResponse

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
INERT = {"content-security-policy": SANDBOX}


#: Seconds that a link into a bucket works.
LINKED = 60.0

#: What a player asks for: one part, from a byte or of the last ones.
_RANGE = re.compile("bytes=([0-9]{0,18})-([0-9]{0,18})")


class Media:
    """The files that handlers captured, as far as they are in our folder or our bucket.

    They are shown in the pages, wherever they are, through this receiver: no page asks anybody else. To save one
    from the bucket there is a link that works for a minute.
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
            output["here"] = here or self._in_bucket(output)
            output["shown"] = SHOWN.get(output["media_type"] or "") if output["here"] else None
        return found

    async def _give(self, request: Request) -> Response:
        output = await self._store.outputs.get(request.path_params["id"])
        if output is None:
            raise Missing("There is no such file here.")
        shown = output["media_type"] in SHOWN and "download" not in request.query_params
        if self._in_bucket(output):
            return await (self._stream(request, output) if shown else self._link(output["place"]))
        path = await asyncio.to_thread(self._path, output)
        if path is None:
            raise Missing("There is no such file here.")
        return FileResponse(
            path,
            media_type=output["media_type"] if shown else "application/octet-stream",
            filename=path.name,
            content_disposition_type="inline" if shown else "attachment",
            headers=HEADERS | INERT,
        )

    async def _stream(self, request: Request, output: dict[str, Any]) -> Response:
        size, tag = output["size"], f'"{output["sha256"]}"'
        asked = request.headers.get("range", "") if request.headers.get("if-range", tag) == tag else ""
        found = _RANGE.fullmatch(asked)
        part = _part(*found.groups(), size=size) if found else range(size)
        headers = HEADERS | INERT | {"accept-ranges": "bytes", "etag": tag}
        if not part:
            return Response(status_code=416, headers=headers | {"content-range": f"bytes */{size}"})
        headers["content-length"] = str(len(part))
        if found:
            headers["content-range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
        status, kind = 206 if found else 200, output["media_type"]
        if request.method == "HEAD":
            return Response(status_code=status, headers=headers, media_type=kind)
        try:
            pieces = await self._gallery.pieces(output["place"], part, size=size)
        except OSError as error:
            raise Missing(f"It cannot be shown: {error.strerror}.") from None
        return StreamingResponse(pieces, status, headers, media_type=kind)

    def _path(self, output: dict[str, Any]) -> Path | None:
        """Return where the file is: only if that is in our folder, whatever its handler said."""
        path = self._gallery.path(output["place"]) if output["place"] else None
        return path if path and path.is_file() else None

    def _in_bucket(self, output: dict[str, Any]) -> bool:
        return output["place"] is not None and self._gallery.is_remote(output["place"])

    async def _link(self, place: str) -> Response:
        try:
            link = await self._gallery.presigned(place, seconds=LINKED)
        except OSError as error:
            raise Missing(f"There is no link to it: {error}.") from None
        if link is None:
            raise Missing("There is no such file here.")
        return RedirectResponse(link, 303, HEADERS)


def _part(first: str, last: str, *, size: int) -> range:
    """Return which bytes of so many are meant by `first-last`, of which one may be left out; none if there are none."""
    if not first:
        return range(max(0, size - int(last or "0")), size)
    return range(int(first), min(int(last) + 1, size) if last else size)
