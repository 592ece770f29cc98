"""The storage behind the signed URLs. It asks for no key, and remembers who sent one."""

import re

from starlette.requests import Request
from starlette.responses import Response

from .api import ApiError, read_bytes
from .files import File, Library, Transfer
from .media import Media
from .uploads import Uploads

_LARGEST_UPLOAD = 64 * 2**20  #: bytes

_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")


def download(request: Request, library: Library) -> Response:
    """Answer GET and HEAD of one rendition."""
    file = library.files.get(request.path_params["file_id"])
    media = file.rendition(request.path_params["name"]) if file else None
    if media is None or not _allowed(request, library):
        response = Response("Forbidden", 403, media_type="text/plain")
    else:
        response = _content(media, request.headers.get("range"))
    return _remember(request, library, response)


async def upload(request: Request, library: Library, uploads: Uploads) -> Response:
    """Answer PUT of the bytes of a new file."""
    file = library.files.get(request.path_params["file_id"])
    if file is None or not _allowed(request, library):
        return _remember(request, library, Response("Forbidden", 403, media_type="text/plain"))
    return _remember(request, library, await _receive(request, file, uploads))


async def _receive(request: Request, file: File, uploads: Uploads) -> Response:
    try:
        content = await read_bytes(request, limit=_LARGEST_UPLOAD)
    except ApiError as error:
        return Response(str(error), error.status, media_type="text/plain")
    uploads.receive(file, content)
    return Response()


def _allowed(request: Request, library: Library) -> bool:
    query = request.query_params
    return library.allows(request.url.path, expires=query.get("expires", ""), signature=query.get("signature", ""))


def _remember(request: Request, library: Library, response: Response) -> Response:
    library.transfers.append(
        Transfer(
            method=request.method,
            file_id=request.path_params["file_id"],
            status=response.status_code,
            key_sent="authorization" in request.headers,
            range=request.headers.get("range"),
        )
    )
    return response


def _content(media: Media, range: str | None) -> Response:
    size = len(media.content)
    headers = {"accept-ranges": "bytes"}
    span = _span(range, size)
    if span is None:
        return Response(media.content, 200, headers, media_type=media.content_type)
    first, last = span
    if first > last:
        return Response(status_code=416, headers=headers | {"content-range": f"bytes */{size}"})
    headers["content-range"] = f"bytes {first}-{last}/{size}"
    return Response(media.content[first : last + 1], 206, headers, media_type=media.content_type)


def _span(range: str | None, size: int) -> tuple[int, int] | None:
    """Return the first and last byte wanted, None for all; the first is greater if there is no such part."""
    match = _RANGE.fullmatch(range or "")
    if not match or match[0] == "bytes=-":
        return None
    if not match[1]:
        return (size - min(int(match[2]), size), size - 1)
    last = min(int(match[2] or size), size - 1)
    # A range that ends before it begins is no range at all, says RFC 9110 14.1.1.
    return None if match[2] and int(match[2]) < int(match[1]) else (int(match[1]), last)
