import io
import struct
import wave
import zlib
from xml.etree import ElementTree as ET

import av
import pytest

from receiver.emulator import media
from receiver.emulator.media import Media


@pytest.mark.parametrize(("asked", "given"), [(1, 1.0), (2.5, 2.5), (30, 10.0), (0.0001, 2 / 16000)])
def test_a_sound_is_as_long_as_it_says(asked: float, given: float) -> None:
    made = media.sound(seconds=asked)
    with wave.open(io.BytesIO(made.content)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16_000)
        assert file.getnframes() / 16_000 == made.seconds == given
    assert (made.content_type, made.extension, made.width) == ("audio/wav", "wav", None)


def test_a_sound_can_be_heard() -> None:
    with wave.open(io.BytesIO(media.sound(seconds=1).content)) as file:
        samples = struct.unpack("<16000h", file.readframes(16_000))
    assert max(samples) > 8000
    assert min(samples) < -8000


@pytest.mark.parametrize(("width", "height"), [(256, 144), (144, 256), (7, 3)])
def test_a_picture_is_a_whole_png_of_its_size(width: int, height: int) -> None:
    made = media.picture(width=width, height=height)
    with av.open(io.BytesIO(made.content)) as file:
        frame = next(file.decode(video=0))
        assert (frame.width, frame.height) == (made.width, made.height) == (width, height)
        assert frame.format.name == "rgba"


def test_a_picture_without_ground_shows_only_its_disc() -> None:
    def alphas(made: Media) -> set[int]:
        data = made.content[made.content.index(b"IDAT") + 4 :]
        rows = zlib.decompressobj().decompress(data)
        return {rows[y * 129 + 1 + 4 * x + 3] for y in range(32) for x in range(32)}

    assert alphas(media.picture(width=32, height=32)) == {255}
    assert alphas(media.picture(width=32, height=32, transparent=True)) == {0, 255}


def test_a_drawing_is_svg() -> None:
    made = media.drawing(width=256, height=144)
    root = ET.fromstring(made.content)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert (root.get("width"), root.get("height")) == (str(made.width), str(made.height)) == ("256", "144")


@pytest.mark.parametrize(("asked", "given"), [(1, 1.0), (2.5, 2.5), (30, 3.0), (0, 0.1)])
def test_a_video_plays_as_long_as_it_says_and_moves(asked: float, given: float) -> None:
    made = media.video(width=256, height=144, seconds=asked)
    with av.open(io.BytesIO(made.content)) as file:
        frames = [bytes(frame.planes[0]) for frame in file.decode(video=0)]
    assert len(frames) / 10 == made.seconds == given
    assert len(set(frames)) == min(len(frames), 16)


@pytest.mark.parametrize("variant", range(12))
def test_every_variant_is_its_own_file_and_small(variant: int) -> None:
    makers = (
        lambda number: media.sound(seconds=1, variant=number),
        lambda number: media.picture(width=32, height=32, variant=number),
        lambda number: media.drawing(width=32, height=32, variant=number),
        lambda number: media.video(width=192, height=192, seconds=30, variant=number),
    )
    for make in makers:
        assert make(variant).content != make(variant + 1).content
        assert len(make(variant).content) < 500_000


def test_the_longest_sound_is_below_500_kb() -> None:
    assert len(media.sound(seconds=30).content) < 500_000
