"""Files that come from outside: an upload URL, the bytes, and the events that follow."""

import asyncio
import io
import struct
import wave
from collections.abc import Callable, Mapping
from typing import Any

from .api import error_json, invalid
from .background import Background
from .deliveries import Webhooks
from .files import File, Library, new_file_id
from .knobs import Knobs
from .media import Media

#: Seconds an upload URL is good for; how long it really is, VideoGen does not say.
_UPLOAD_SECONDS = 900

_TYPES = ("IMAGE", "VIDEO", "AUDIO", "PDF", "SLIDESHOW", "TEXT", "LOTTIE")

#: How files begin: type, media type, extension.
_BEGINNINGS = (
    (0, b"\x89PNG\r\n\x1a\n", "IMAGE", "image/png", "png"),
    (0, b"\xff\xd8\xff", "IMAGE", "image/jpeg", "jpg"),
    (0, b"GIF8", "IMAGE", "image/gif", "gif"),
    (8, b"WEBP", "IMAGE", "image/webp", "webp"),
    (8, b"WAVE", "AUDIO", "audio/wav", "wav"),
    (0, b"ID3", "AUDIO", "audio/mpeg", "mp3"),
    (0, b"\xff\xfb", "AUDIO", "audio/mpeg", "mp3"),
    (0, b"OggS", "AUDIO", "audio/ogg", "ogg"),
    (4, b"ftyp", "VIDEO", "video/mp4", "mp4"),
    (0, b"\x1aE\xdf\xa3", "VIDEO", "video/webm", "webm"),
    (0, b"%PDF-", "PDF", "application/pdf", "pdf"),
)


class Uploads:
    """Takes files in."""

    def __init__(
        self,
        *,
        knobs: Knobs,
        library: Library,
        webhooks: Webhooks,
        background: Background,
        clock: Callable[[], float],
    ) -> None:
        self._knobs = knobs
        self._library = library
        self._webhooks = webhooks
        self._background = background
        self._clock = clock

    def create(self, request: Mapping[str, Any], *, origin: str) -> tuple[File, str]:
        """Return a file that has no bytes yet, and the URL to put them to. Raises ApiError."""
        name, declared = request.get("displayName"), request.get("type")
        if not isinstance(name, str) or not name:
            raise invalid("displayName is required")
        if declared is not None and declared not in _TYPES:
            raise invalid(f"type must be one of {', '.join(_TYPES)}")
        scope = "TEMPORARY" if request.get("isTemporary") is True else "GLOBAL"
        file = File(id=new_file_id(), origin=origin, scope=scope, type=declared, name=name)
        self._library.add(file)
        expires_at = int(self._clock()) + _UPLOAD_SECONDS
        return file, self._library.sign(origin, f"/storage/uploads/{file.id}", expires_at=expires_at)

    def receive(self, file: File, content: bytes) -> None:
        """Take the bytes of a file; what follows happens in the background."""
        self._background.start(self._process(file, content))

    async def _process(self, file: File, content: bytes) -> None:
        media, found = _recognise(content)
        file.type = file.type or found
        if not content or file.type is None:
            file.thumbnail = file.preview = file.download = "failed"
            self._announce(
                file,
                "upload.failed",
                error=error_json("The uploaded bytes are not a supported media file.", code="invalid_request"),
            )
            return
        self._announce(file, "upload.completed")
        await self._step()
        file.thumbnail, file.preview, file.seconds = "skipped", media, media.seconds
        if file.type in ("VIDEO", "AUDIO"):
            self._announce(file, "playback_ready")
            await self._step()
        file.download = media
        self._announce(file, "download_ready")
        if file.scope != "TEMPORARY":
            file.analysis = "LOADING"
            await self._step()
            file.analysis = "FULFILLED"
            file.description = f"An uploaded file of {len(content)} bytes."
            self._announce(file, "analysis_completed")

    async def _step(self) -> None:
        await asyncio.sleep(self._knobs.seconds / 5)

    def _announce(self, file: File, event: str, **more: Any) -> None:
        body = {
            "fileId": file.id,
            "occurredAt": int(self._clock()),
            "file": self._library.describe(file),
            **more,
        }
        self._webhooks.announce(f"file.{event}", body)


def _recognise(content: bytes) -> tuple[Media, str | None]:
    for offset, beginning, kind, content_type, extension in _BEGINNINGS:
        if content.startswith(beginning, offset):
            width, height = _png_size(content) if extension == "png" else (None, None)
            seconds = _wave_seconds(content) if extension == "wav" else None
            media = Media(
                content=content,
                content_type=content_type,
                extension=extension,
                width=width,
                height=height,
                seconds=seconds,
            )
            return media, kind
    return Media(content=content, content_type="application/octet-stream", extension="bin"), None


def _png_size(content: bytes) -> tuple[int, int] | tuple[None, None]:
    return struct.unpack(">II", content[16:24]) if len(content) >= 24 else (None, None)


def _wave_seconds(content: bytes) -> float | None:
    try:
        with wave.open(io.BytesIO(content)) as file:
            return float(file.getnframes() / file.getframerate())
    except (wave.Error, EOFError, ZeroDivisionError):
        return None
