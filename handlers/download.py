"""Keep the files that jobs made, before their URLs expire.

Every output ends as two files in `RECEIVER_FILES`: the media itself and, under the same name with
`.json`, where it came from, its size and its SHA-256. Either may be trusted as soon as it is there:
nothing is visible under its name before it is complete, checked and on the disk.
"""

import asyncio
import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx

from receiver import AddressRefused, Context, Event, GiveUp, Output, ProviderError, Retry, handler

#: Bytes that are written at once.
_CHUNK = 2**20
#: Statuses of storages whose URL has expired: 400 and 403 are S3's.
_STALE = {400, 401, 403, 404, 410}
#: Statuses that ask to come again later.
_LATER = {408, 425, 429}
#: Seconds to wait at first while the provider still prepares a file.
_PREPARING = 10.0
#: Longest wait that a server may ask for, seconds.
_LONGEST_WAIT = 3600.0

_EXTENSIONS = {
    "application/json": "data.json",  # `.json` is the description
    "application/octet-stream": "bin",
    "application/pdf": "pdf",
    "application/x-subrip": "srt",
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
_FIRST_BYTES = tuple(
    (re.compile(pattern, re.DOTALL), media_type)
    for pattern, media_type in (
        (rb"\x89PNG\r\n\x1a\n", "image/png"),
        (rb"\xff\xd8\xff", "image/jpeg"),
        (rb"GIF8[79]a", "image/gif"),
        (rb"RIFF....WEBP", "image/webp"),
        (rb"RIFF....WAVE", "audio/wav"),
        (rb"....ftypavi[fs]", "image/avif"),
        (rb"....ftypM4A ", "audio/mp4"),
        (rb"....ftypqt  ", "video/quicktime"),
        (rb"....ftyp", "video/mp4"),
        (rb"\x1a\x45\xdf\xa3.{0,64}webm", "video/webm"),
        (rb"\x1a\x45\xdf\xa3", "video/x-matroska"),
        (rb"OggS", "audio/ogg"),
        (rb"fLaC", "audio/flac"),
        (rb"ID3|\xff[\xe2\xe3\xf2\xf3\xfa\xfb]", "audio/mpeg"),
        (rb"\xff[\xf0\xf1\xf8\xf9]", "audio/aac"),
        (rb"glTF", "model/gltf-binary"),
        (rb"%PDF-", "application/pdf"),
        (rb"PK\x03\x04", "application/zip"),
        (rb"(\xef\xbb\xbf)?\s*(<\?xml.{0,1024}?)?<svg\b", "image/svg+xml"),
    )
)
_MARKUP = re.compile(rb"(\xef\xbb\xbf)?\s*<")


# The retries span about 20 hours: an output that its provider deletes is promised for 24.
@handler("job.succeeded", retries=50, timeout=3600, concurrency=4)
async def download(event: Event, context: Context) -> None:
    """Keep every output of a finished job in `context.files`. What is there already is not fetched again."""
    problems: list[tuple[Output, Retry | GiveUp]] = []
    for output in event.outputs:
        try:
            await _keep(event, output, context)
        except (Retry, GiveUp) as problem:
            problems.append((output, problem))
    if not event.outputs:
        context.log.info("nothing_to_download")
    if problems:
        raise _verdict(problems, outputs=len(event.outputs), attempt=context.attempt)
