"""Short moving pictures: H.264 in MP4, small enough to be written by hand. Pure, no I/O.

A picture is a mosaic of flat 16×16 blocks. A block is coded raw (I_PCM); in every picture after the first,
blocks that did not change are skipped (P_Skip). No transform, no prediction, no loss.

Source: ITU-T H.264 (7.3 syntax, 9.1 Exp-Golomb codes), ISO/IEC 14496-12 (boxes), 14496-15 (avcC).
"""

import re
import struct
from collections.abc import Sequence

Colour = tuple[int, int, int]  #: luma, blue and red difference of one block; 16 to 240
Mosaic = Sequence[Colour]  #: the blocks of one picture, row by row

_BLOCK = 16
_I_PCM = 25  #: mb_type in an I slice; five more in a P slice
_SKIPPABLE = re.compile(rb"\x00\x00(?=[\x00-\x03])")


def movie(mosaics: Sequence[Mosaic], *, width: int, height: int, rate: int) -> bytes:
    """Return an MP4 file that shows each of `mosaics` for one `rate`th of a second.

    `width` and `height` are in pixels and multiples of 16.
    """
    columns, rows = width // _BLOCK, height // _BLOCK
    sequence, picture = _sequence_parameters(columns, rows), _picture_parameters()
    later = [_next_picture(mosaics[number], mosaics[number - 1], number) for number in range(1, len(mosaics))]
    samples = [_sized(unit) for unit in (_first_picture(mosaics[0]), *later)]
    entry = _sample_entry(width, height, sequence, picture)
    kind = _box("ftyp", b"isom", struct.pack(">I", 512), b"isomavc1mp41")
    # The table of contents comes first, so that players can start early; it needs to know its own length.
    length = len(_contents(samples, entry, width, height, rate, start=0))
    contents = _contents(samples, entry, width, height, rate, start=len(kind) + length + 8)
    return kind + contents + _box("mdat", *samples)


# --- H.264 ----------------------------------------------------------------------------------------


class _Bits:
    """A bit string under construction."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._open = ""

    def put(self, value: int, width: int) -> None:
        self._open += f"{value:0{width}b}"

    def golomb(self, *values: int) -> None:
        for value in values:
            code = f"{value + 1:b}"
            self._open += code.zfill(2 * len(code) - 1)

    def raw(self, content: bytes) -> None:
        self._align()
        self._bytes += content

    def unit(self, header: int) -> bytes:
        """Return the NAL unit: closed with a stop bit, and no start code inside."""
        self._open += "1"
        self._align()
        return bytes([header]) + _SKIPPABLE.sub(b"\x00\x00\x03", bytes(self._bytes))

    def _align(self) -> None:
        padded = self._open.ljust(-(-len(self._open) // 8) * 8, "0")
        self._bytes += bytes(int(padded[at : at + 8], 2) for at in range(0, len(padded), 8))
        self._open = ""


def _sequence_parameters(columns: int, rows: int) -> bytes:
    bits = _Bits()
    bits.raw(bytes([66, 0xC0, 30]))  # constrained baseline, level 3
    bits.golomb(0, 0, 2, 1)  # id 0, frame numbers modulo 16, shown as decoded, one reference
    bits.put(0, 1)
    bits.golomb(columns - 1, rows - 1)
    bits.put(0b11000, 5)  # progressive, no cropping, no usability information
    return bits.unit(0x67)


def _picture_parameters() -> bytes:
    bits = _Bits()
    bits.golomb(0, 0)
    bits.put(0, 2)  # variable-length codes
    bits.golomb(0, 0, 0)
    bits.put(0, 3)
    bits.golomb(0, 0, 0)
    bits.put(0b100, 3)  # slices say whether they want the deblocking filter
    return bits.unit(0x68)


def _first_picture(mosaic: Mosaic) -> bytes:
    bits = _Bits()
    bits.golomb(0, 7, 0)  # from block 0, all slices I, parameter set 0
    bits.put(0, 4)  # frame number
    bits.golomb(0)
    bits.put(0, 2)
    bits.golomb(0, 1)  # no change of quantiser, no deblocking
    for colour in mosaic:
        bits.golomb(_I_PCM)
        bits.raw(_block(colour))
    return bits.unit(0x65)


def _next_picture(mosaic: Mosaic, before: Mosaic, number: int) -> bytes:
    bits = _Bits()
    bits.golomb(0, 5, 0)  # from block 0, all slices P, parameter set 0
    bits.put(number % 16, 4)
    bits.put(0, 3)
    bits.golomb(0, 1)
    skipped = 0
    for colour, old in zip(mosaic, before, strict=True):
        if colour == old:
            skipped += 1
            continue
        bits.golomb(skipped, _I_PCM + 5)
        bits.raw(_block(colour))
        skipped = 0
    if skipped:
        bits.golomb(skipped)
    return bits.unit(0x61)


def _block(colour: Colour) -> bytes:
    luma, blue, red = colour
    return bytes([luma]) * 256 + bytes([blue]) * 64 + bytes([red]) * 64


# --- MP4 ------------------------------------------------------------------------------------------


def _box(name: str, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I4s", len(content) + 8, name.encode()) + content


def _table(name: str, *parts: bytes, flags: int = 0) -> bytes:
    return _box(name, struct.pack(">I", flags), *parts)


def _sized(unit: bytes) -> bytes:
    return struct.pack(">I", len(unit)) + unit


def _sample_entry(width: int, height: int, sequence: bytes, picture: bytes) -> bytes:
    configuration = _box(
        "avcC",
        bytes([1, *sequence[1:4], 0xFF, 0xE1]),
        struct.pack(">H", len(sequence)) + sequence,
        struct.pack(">BH", 1, len(picture)) + picture,
    )
    looks = struct.pack(">6xH16xHHIIIH32xHh", 1, width, height, 0x480000, 0x480000, 0, 1, 24, -1)
    return _box("avc1", looks, configuration)


def _contents(samples: Sequence[bytes], entry: bytes, width: int, height: int, rate: int, *, start: int) -> bytes:
    count = len(samples)
    tables = _box(
        "stbl",
        _table("stsd", struct.pack(">I", 1), entry),
        _table("stts", struct.pack(">III", 1, count, 1)),
        _table("stss", struct.pack(">II", 1, 1)),
        _table("stsc", struct.pack(">IIII", 1, 1, count, 1)),
        _table("stsz", struct.pack(f">II{count}I", 0, count, *map(len, samples))),
        _table("stco", struct.pack(">II", 1, start)),
    )
    place = _box("dinf", _table("dref", struct.pack(">I", 1), _table("url ", flags=1)))
    media = _box(
        "mdia",
        _table("mdhd", struct.pack(">IIIIHH", 0, 0, rate, count, 0x55C4, 0)),
        _table("hdlr", struct.pack(">I4s12x", 0, b"vide"), b"\0"),
        _box("minf", _table("vmhd", bytes(8), flags=1), place, tables),
    )
    straight = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    track = _table(
        "tkhd",
        struct.pack(">IIIII16x", 0, 0, 1, 0, count),
        straight,
        struct.pack(">II", width << 16, height << 16),
        flags=3,
    )
    film = struct.pack(">IIIIIH10x", 0, 0, rate, count, 0x10000, 0x100) + straight + bytes(24) + struct.pack(">I", 2)
    return _box("moov", _table("mvhd", film), _box("trak", track, media))
