"""What a file is, told from its first bytes. Its name and its URL are a stranger's, so they tell nothing."""

import re

#: File extensions of what these providers make.
_EXTENSIONS = {
    "application/json": "data.json",  # as `.json` alone is the description beside a file
    "application/zip": "zip",
    "audio/aac": "aac",
    "audio/flac": "flac",
    "audio/mp4": "m4a",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg",
    "audio/wav": "wav",
    "audio/webm": "weba",
    "image/avif": "avif",
    "image/gif": "gif",
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/svg+xml": "svg",
    "image/webp": "webp",
    "model/gltf-binary": "glb",
    "text/plain": "txt",
    "text/vtt": "vtt",
    "video/mp4": "mp4",
    "video/quicktime": "mov",
    "video/webm": "webm",
    "video/x-matroska": "mkv",
}
#: Tried in this order: a container's brand comes before the container.
_FIRST_BYTES = (
    (rb"\x89PNG\r\n\x1a\n", "image/png"),
    (rb"\xff\xd8\xff", "image/jpeg"),
    (rb"GIF8[79]a", "image/gif"),
    (rb"RIFF....WEBP", "image/webp"),
    (rb"RIFF....WAVE", "audio/wav"),
    (rb"....ftypavi[fs]", "image/avif"),
    (rb"....ftypM4A ", "audio/mp4"),
    (rb"....ftypqt  ", "video/quicktime"),
    (rb"....ftyp", "video/mp4"),
    (rb"\x1aE\xdf\xa3.{0,64}webm", "video/webm"),
    (rb"\x1aE\xdf\xa3", "video/x-matroska"),
    (rb"OggS", "audio/ogg"),
    (rb"fLaC", "audio/flac"),
    (rb"ID3|\xff[\xe2\xe3\xf2\xf3\xfa\xfb]", "audio/mpeg"),
    (rb"\xff[\xf0\xf1\xf8\xf9]", "audio/aac"),
    (rb"glTF", "model/gltf-binary"),
    (rb"PK\x03\x04", "application/zip"),
)
_TEXTS = ("application/json", "application/xml", "text/")
#: How much of a text may come before its `<svg>`, bytes.
_PROLOGUE = 4096


def media_type(head: bytes, *, declared: str, wanted: str | None) -> str | None:
    """Return what a file is by its first bytes, or as its server `declared` where these do not tell.

    None if it is a page or a message that came in place of media. `wanted` is the provider's word for
    what it should be, e.g. `"VIDEO"`.
    """
    declared = declared.partition(";")[0].strip().lower()
    found = next((name for pattern, name in _FIRST_BYTES if re.match(pattern, head, re.DOTALL)), None)
    if found:
        # One container for sound and for pictures: only the server knows which of them it holds.
        return declared if declared in _EXTENSIONS and _subtype(declared) == _subtype(found) else found
    text = head[:_PROLOGUE].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(b"<"):
        return "image/svg+xml" if b"<svg" in text and b"<html" not in text else None
    media = (wanted or "").lower().startswith(("audio", "image", "video"))
    if declared == "text/html" or (media and declared.startswith(_TEXTS)):
        return None
    return declared if declared in _EXTENSIONS else "application/octet-stream"


def extension(media_type: str) -> str:
    """Return the file extension for a media type, without a dot."""
    return _EXTENSIONS.get(media_type, "bin")


def _subtype(media_type: str) -> str:
    return media_type.rpartition("/")[2]
