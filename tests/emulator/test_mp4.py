import io
import struct

import av
import pytest

from receiver.emulator import mp4

GREY = (100, 128, 128)
WHITE = (235, 128, 128)
BLUE = (41, 240, 110)


def decode(content: bytes) -> list[list[bytes]]:
    """The three planes of every picture, without the padding of their rows."""
    pictures = []
    with av.open(io.BytesIO(content)) as file:
        for frame in file.decode(video=0):
            planes = []
            for plane in frame.planes:
                rows = memoryview(plane)
                planes.append(
                    b"".join(bytes(rows[at : at + plane.width]) for at in range(0, len(rows), plane.line_size))
                )
            pictures.append(planes)
    return pictures


def test_every_block_of_every_picture_comes_back_as_it_went_in() -> None:
    mosaics = [
        [GREY, BLUE, GREY, GREY],
        [GREY, WHITE, GREY, BLUE],
        [GREY, WHITE, GREY, BLUE],
        [WHITE, GREY, BLUE, GREY],
    ]
    pictures = decode(mp4.movie(mosaics, width=32, height=32, rate=4))
    assert len(pictures) == 4
    for mosaic, planes in zip(mosaics, pictures, strict=True):
        for block, colour in enumerate(mosaic):
            x, y = block % 2, block // 2
            assert {planes[0][(16 * y + row) * 32 + 16 * x + column] for row in range(16) for column in range(16)} == {
                colour[0]
            }
            for plane in (1, 2):
                chroma = {planes[plane][(8 * y + row) * 16 + 8 * x + column] for row in range(8) for column in range(8)}
                assert chroma == {colour[plane]}


def test_more_pictures_than_frame_numbers_still_decode() -> None:
    mosaics = [[GREY if number % 2 else WHITE] for number in range(40)]
    lumas = [planes[0][0] for planes in decode(mp4.movie(mosaics, width=16, height=16, rate=20))]
    assert lumas == [100 if number % 2 else 235 for number in range(40)]


@pytest.mark.parametrize(("width", "height", "rate", "count"), [(256, 144, 10, 25), (48, 80, 1, 3), (16, 16, 30, 1)])
def test_players_are_told_size_rate_and_length(width: int, height: int, rate: int, count: int) -> None:
    mosaic = [GREY] * (width * height // 256)
    with av.open(io.BytesIO(mp4.movie([mosaic] * count, width=width, height=height, rate=rate))) as file:
        stream = file.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", width, height)
        assert stream.duration is not None
        assert stream.time_base is not None
        assert stream.frames == count
        assert stream.duration * stream.time_base * rate == count


def test_a_still_picture_costs_little_after_the_first() -> None:
    still = [GREY] * 144
    one, many = (len(mp4.movie([still] * count, width=256, height=144, rate=10)) for count in (1, 30))
    assert many - one < 29 * 32


def test_no_start_code_hides_in_a_unit() -> None:
    zeros = mp4.movie([[(0, 0, 0)]], width=16, height=16, rate=1)
    data = zeros[zeros.index(b"mdat") + 4 :]
    length, unit = struct.unpack(">I", data[:4])[0], data[4:]
    assert length == len(unit)
    assert b"\0\0\0" not in unit
    assert b"\0\0\1" not in unit
    assert decode(zeros)[0] == [bytes(256), bytes(64), bytes(64)]
