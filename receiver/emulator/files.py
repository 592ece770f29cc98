"""Files of the emulated account: what they are, their JSON, and the signed URLs that lead to their bytes."""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlencode

from .media import Media

#: A rendition that is not there: on its way, left out on purpose, or broken.
Missing = Literal["pending", "skipped", "failed"]

_WEEK = 7 * 86_400
_NEVER = 253_402_300_799  #: the last second of the year 9999


@dataclass(slots=True, kw_only=True)
class File:
    """One file with its renditions."""

    id: str
    origin: str  #: scheme and host of the URLs that lead to it
    scope: str = "GLOBAL"
    type: str | None = None  #: None until the bytes were seen
    name: str | None = None
    description: str | None = None
    seconds: float | None = None
    thumbnail: Media | Missing = "pending"
    preview: Media | Missing = "pending"
    download: Media | Missing = "pending"
    expires_at: int = 0  #: when the URLs signed last stop working, Unix seconds
    tool_type: str | None = None
    execution_id: str | None = None
    analysis: str = "UNATTEMPTED"
    archived: bool = False
    public: bool = False  #: whether anybody may see it, by a URL that does not expire

    def rendition(self, name: str) -> Media | None:
        """Return what can be downloaded as `name`, e.g. `"thumbnail.png"`."""
        for stem, media in (
            ("thumbnail", self.thumbnail),
            ("preview", self.preview),
            ("original", self.download),
        ):
            if isinstance(media, Media) and name == f"{stem}.{media.extension}":
                return media
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """One request to the storage, as the storage saw it."""

    method: str
    file_id: str
    status: int
    key_sent: bool  #: whether an Authorization header came, which storage must never see
    range: str | None = None


class Library:
    """All files of the account, and the signatures of their URLs. Its key is new with each emulator."""

    def __init__(self, *, url_seconds: float, clock: Callable[[], float]) -> None:
        self.files: dict[str, File] = {}
        self.transfers: list[Transfer] = []
        self._url_seconds = url_seconds
        self._clock = clock
        self._key = secrets.token_bytes(32)

    def add(self, file: File) -> None:
        """Keep a file, with URLs as webhooks carry them: expired already, if that is their life."""
        file.expires_at = int(self._clock() + self._url_seconds)
        self.files[file.id] = file

    def renew(self, file: File, *, unless_left: float = float("inf")) -> None:
        """Sign the file's URLs anew, unless they are good for `unless_left` seconds more."""
        if file.expires_at - self._clock() < unless_left:
            life = self._url_seconds if self._url_seconds > 0 else _WEEK
            file.expires_at = int(self._clock() + life)

    def sign(self, origin: str, path: str, *, expires_at: int) -> str:
        """Return the URL of `path` on `origin` that is good until `expires_at`."""
        query = {"expires": expires_at, "signature": self._signature(path, str(expires_at))}
        return f"{origin}{path}?{urlencode(query)}"

    def allows(self, path: str, *, expires: str, signature: str) -> bool:
        """Whether this is a URL that was signed here and has not expired."""
        genuine = hmac.compare_digest(self._signature(path, expires).encode(), signature.encode())
        return genuine and self._clock() < int(expires)

    def describe(self, file: File, *, hydrated: bool = True) -> dict[str, Any]:
        """Return the file as JSON tells it, with signed URLs or without any source."""

        def source(stem: str, media: Media | Missing) -> dict[str, Any] | None:
            return self._source(file, stem, media) if hydrated else None

        thumbnail, download = source("thumbnail", file.thumbnail), source("original", file.download)
        made_by = {"sourceToolType": file.tool_type, "sourceToolExecutionId": file.execution_id}
        return {
            "fileId": file.id,
            "type": file.type,
            "scope": file.scope,
            "displayName": file.name,
            "description": file.description,
            "durationSeconds": file.seconds,
            "transcript": None,
            "transcriptText": None,
            "downloadUrl": download and download["url"],
            "downloadUrlExpiresAt": download and download["expiresAt"],
            "thumbnailUrl": thumbnail and thumbnail["url"],
            "thumbnailUrlExpiresAt": thumbnail and thumbnail["expiresAt"],
            "thumbnailSource": thumbnail,
            "previewSource": source("preview", file.preview),
            "downloadSource": download,
            # There is no streaming rendition here, and a stand-in would play nowhere.
            "hlsSource": source("hls", "skipped") if file.type in ("VIDEO", "AUDIO") else None,
            "isPublicPreviewEnabled": file.public,
            "staticPublicPreviewSource": self._public(file),
            "publicHlsUrl": None,
            "publicPlaybackId": f"vg_play_{file.id.removeprefix('vg_file_')}" if file.public else None,
            **(made_by if file.tool_type else {}),
        }

    def result(self, file: File) -> dict[str, Any]:
        """Return the file as one result of a tool execution."""
        described = self.describe(file)
        shortcuts = (
            "fileId",
            "type",
            "downloadUrl",
            "downloadUrlExpiresAt",
            "thumbnailUrl",
            "thumbnailUrlExpiresAt",
        )
        return {**{key: described[key] for key in shortcuts}, "file": described}

    def _public(self, file: File) -> dict[str, Any] | None:
        if not file.public or isinstance(file.preview, str):
            return None
        path = f"/storage/{file.id}/preview.{file.preview.extension}"
        url = self.sign(file.origin, path, expires_at=_NEVER)
        return {**self._source(file, "preview", file.preview), "url": url, "expiresAt": None}

    def _source(self, file: File, stem: str, media: Media | Missing) -> dict[str, Any]:
        if isinstance(media, str):
            return {
                "status": media,
                "url": None,
                "expiresAt": None,
                "width": None,
                "height": None,
                "fileBytes": None,
            }
        path = f"/storage/{file.id}/{stem}.{media.extension}"
        return {
            "status": "ready",
            "url": self.sign(file.origin, path, expires_at=file.expires_at),
            "expiresAt": file.expires_at,
            "width": media.width,
            "height": media.height,
            "fileBytes": len(media.content),
        }

    def _signature(self, path: str, expires: str) -> str:
        return hmac.new(self._key, f"{path}?{expires}".encode(), hashlib.sha256).hexdigest()


def new_file_id() -> str:
    """Return an id in VideoGen's form."""
    return f"vg_file_{secrets.token_urlsafe(16)}"
