"""The files that emulated jobs make: small, but real ones that play. Pure, no I/O."""

import array
import functools
import io
import math
import random
import struct
import sys
import wave
import zlib
from dataclasses import dataclass, field

from . import mp4

_SAMPLES = 16_000  #: per second of sound
_PICTURES = 10  #: per second of video
_LONGEST = {"sound": 10.0, "video": 3.0}  #: seconds; keeps every file below 500 kB


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """One file's bytes and what is true about them."""

    content: bytes = field(repr=False)
    content_type: str
    extension: str
    width: int | None = None  #: pixels
    height: int | None = None
    seconds: float | None = None


@functools.lru_cache(maxsize=64)
def sound(*, seconds: float, variant: int = 0) -> Media:
    """Return a WAV file: bursts of noise that die away over a low tone. At most 10 seconds long."""
    count = max(1, round(min(seconds, _LONGEST["sound"]) * _SAMPLES))
    noise = random.Random(variant)  # noqa: S311 - it is noise
    step = 2 * math.pi * 110 * 2 ** (variant % 12 / 12) / _SAMPLES
    burst = [math.exp(-6 * at / _SAMPLES) for at in range(_SAMPLES // 2)]
    samples = array.array(
        "h",
        (
            round(9000 * math.sin(step * at) + 14000 * burst[at % len(burst)] * noise.uniform(-1, 1))
            for at in range(count)
        ),
    )
    if sys.byteorder == "big":  # pragma: no cover - WAV is little-endian everywhere
        samples.byteswap()
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_SAMPLES)
        file.writeframes(samples.tobytes())
    return Media(content=buffer.getvalue(), content_type="audio/wav", extension="wav", seconds=count / _SAMPLES)


@functools.lru_cache(maxsize=64)
def picture(*, width: int, height: int, variant: int = 0, transparent: bool = False) -> Media:
    """Return a PNG file: a disc on a gradient, or on nothing."""
    hue = 40 * (variant % 6)
    rows = bytearray()
    for y in range(height):
        rows.append(0)  # no filter in this row
        for x in range(width):
            disc = (x - width / 2) ** 2 + (y - height / 2) ** 2 < (min(width, height) / 3) ** 2
            colour = (255 - hue, 200, hue) if disc else (hue, 255 * x // width, 255 * y // height)
            rows += bytes((*colour, 255 if disc or not transparent else 0))
    content = (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0))
        + _chunk(b"IDAT", zlib.compress(bytes(rows)))
        + _chunk(b"IEND", b"")
    )
    return Media(content=content, content_type="image/png", extension="png", width=width, height=height)


@functools.lru_cache(maxsize=64)
def drawing(*, width: int, height: int, variant: int = 0) -> Media:
    """Return an SVG file: a disc on a flat ground."""
    hue = 40 * (variant % 9)
    text = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">'
        f'<rect width="100%" height="100%" fill="hsl({hue},60%,30%)"/>'
        f'<circle cx="50%" cy="50%" r="{min(width, height) // 3}" fill="hsl({hue + 40},80%,70%)"/></svg>\n'
    )
    return Media(content=text.encode(), content_type="image/svg+xml", extension="svg", width=width, height=height)


@functools.lru_cache(maxsize=64)
def video(*, width: int, height: int, seconds: float, variant: int = 0) -> Media:
    """Return an MP4 file: a bright square that crosses a mosaic. At most 3 seconds long.

    `width` and `height` must be multiples of 16.
    """
    count = max(1, round(min(seconds, _LONGEST["video"]) * _PICTURES))
    columns, rows = width // 16, height // 16
    mosaics = [_mosaic(columns, rows, step=step, variant=variant) for step in range(count)]
    content = mp4.movie(mosaics, width=width, height=height, rate=_PICTURES)
    return Media(
        content=content,
        content_type="video/mp4",
        extension="mp4",
        width=width,
        height=height,
        seconds=count / _PICTURES,
    )


def _mosaic(columns: int, rows: int, *, step: int, variant: int) -> list[mp4.Colour]:
    left, top = step % columns, rows // 2 - 1
    return [
        (235, 128, 128)
        if (x - left) % columns < 2 and y - top in (0, 1)
        else (40 + 8 * ((x + y) % 12), 90 + 12 * (variant % 6), 60 + 120 * x // columns)
        for y in range(rows)
        for x in range(columns)
    ]


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
