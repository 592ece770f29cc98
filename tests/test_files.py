"""Where captured outputs are kept: nothing has its name before it is whole, in a folder and in a bucket."""

import hashlib
from pathlib import Path

import httpx
import pytest

from receiver.errors import ConfigError
from receiver.files import PIECE, Bucket, Folder, Gallery, _discard, name_at, open_files

BODY = b"media" * 1000


@pytest.fixture(params=["folder", "bucket"])
def files(request, tmp_path):
    """A place of each kind in turn."""
    if request.param == "folder":
        return open_files(str(tmp_path / "files"))
    return request.getfixturevalue("bucket").files


def sha256(body):
    return hashlib.sha256(body).hexdigest()


async def keep(files, file, body=BODY):
    async with files.new(file.partition(".")[0]) as part:
        await part.write(body)
        return await part.keep(file, media_type="video/mp4")


async def test_what_was_kept_is_there_and_known_by_its_size(files):
    place = await keep(files, "clip.mp4")
    assert await files.read("clip.mp4") == BODY
    assert await files.holds("clip.mp4", size=len(BODY), sha256=sha256(BODY))
    assert not await files.holds("clip.mp4", size=len(BODY) + 1, sha256=sha256(BODY))
    assert not await files.holds("other.mp4", size=len(BODY), sha256=sha256(BODY))
    assert name_at(files, place) == "clip.mp4"


async def test_what_was_not_kept_is_never_seen(files):
    async with files.new("clip") as part:
        await part.write(BODY)
    with pytest.raises(FileNotFoundError):
        await files.read("clip")
    with pytest.raises(FileNotFoundError):
        await files.read("clip.mp4")


async def test_a_part_that_is_begun_anew_has_only_what_came_then(files):
    async with files.new("clip") as part:
        await part.write(b"something longer than what comes")
        await part.restart()
        await part.write(BODY[:7])
        await part.keep("clip.mp4", media_type="video/mp4")
        assert (part.size, part.sha256) == (7, sha256(BODY[:7]))
    assert await files.read("clip.mp4") == BODY[:7]


async def test_a_name_that_is_kept_again_has_the_newer_file(files):
    await keep(files, "clip.mp4", b"older")
    await keep(files, "clip.mp4", b"newer, and longer")
    assert await files.read("clip.mp4") == b"newer, and longer"


async def test_a_deleted_file_is_gone_and_may_be_deleted_again(files):
    await keep(files, "clip.mp4")
    await files.delete("clip.mp4")
    await files.delete("clip.mp4")
    assert not await files.holds("clip.mp4", size=len(BODY), sha256=sha256(BODY))


@pytest.mark.parametrize("place", ["{}", "{}/", "{}/a/b", "elsewhere/clip.mp4", "{}x/clip.mp4"])
def test_a_file_that_lies_elsewhere_has_no_name_here(files, place):
    assert name_at(files, place.format(files.place)) is None


async def test_a_presigned_link_opens_the_file_without_credentials_and_with_its_media_type(bucket):
    await keep(bucket.files, "clip.mp4")
    link = await bucket.files.link("clip.mp4", seconds=60)
    async with httpx.AsyncClient() as client:
        answer = await client.get(link)
    assert (answer.content, answer.headers["content-type"]) == (BODY, "video/mp4")
    assert "hush" not in link


async def test_a_folder_has_no_links_but_a_place_may_be_shown_to_the_world(tmp_path):
    assert await Folder(str(tmp_path)).link("clip.mp4", seconds=60) is None
    gallery = Gallery(Folder(str(tmp_path)), shown_at="https://cdn.example.com/of")
    assert gallery.public(f"{tmp_path}/clip 1.mp4") == "https://cdn.example.com/of/clip%201.mp4"
    assert gallery.path(f"{tmp_path}/clip.mp4") == tmp_path / "clip.mp4"
    for elsewhere in ("/etc/passwd", f"{tmp_path}/../passwd", f"{tmp_path}x/a", "s3://bucket/clip.mp4"):
        assert gallery.public(elsewhere) is gallery.path(elsewhere) is None


async def test_a_large_file_reaches_the_bucket_in_parts_and_whole(bucket, monkeypatch):
    monkeypatch.setattr("receiver.files.PART_SIZE", 5 * 2**20)  # S3 takes no smaller ones
    body = bytes(range(256)) * 2**16  # 16 MiB
    await keep(bucket.files, "long.mp4", body)
    assert sha256(await bucket.files.read("long.mp4")) == sha256(body)


async def test_a_large_file_comes_from_the_bucket_in_small_pieces(bucket):
    body = bytes(range(256)) * 2**14  # 4 MiB
    place = await keep(bucket.files, "long.mp4", body)
    pieces = await Gallery(bucket.files).pieces(place, range(5, len(body)), size=len(body))
    read = [piece async for piece in pieces]
    assert b"".join(read) == body[5:]
    assert max(map(len, read)) <= PIECE


async def test_what_a_bucket_refuses_is_told_without_keys_and_urls(bucket):
    with pytest.raises(OSError, match="not uploaded to s3://no-such-bucket: there is no such file") as told:
        await keep(Bucket("s3://no-such-bucket"), "clip.mp4")
    assert "hush" not in str(told.value)
    assert "http" not in str(told.value)


async def test_a_bucket_that_does_not_answer_is_told(bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:1")
    files = Bucket("s3://captures")
    files._store = type(files._store).from_url("s3://captures", retry_config={"max_retries": 0})
    with pytest.raises(OSError, match="not uploaded to s3://captures: ") as told:
        await keep(files, "clip.mp4")
    assert "127.0.0.1" not in str(told.value)


@pytest.mark.parametrize("place", ["s3://", "s3://buc ket", "az://account/container"])
def test_a_place_that_is_no_bucket_is_told_at_the_start(place, monkeypatch):
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(ConfigError, match=r"RECEIVER_FILES: .* is no bucket: "):
        open_files(place)


def test_without_the_extra_a_bucket_is_refused_by_its_name(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "obstore", None)
    with pytest.raises(ConfigError, match=r"needs the extra `storage`: pip install 'media-receiver\[storage\]'"):
        open_files("s3://captures")


async def test_of_two_writers_the_newer_one_wins_and_none_spoils_the_other(tmp_path):
    files = Folder(str(tmp_path))
    async with files.new("clip") as older:
        await older.write(b"older")
        async with files.new("clip") as newer:
            await newer.write(b"newer")
            with pytest.raises(FileNotFoundError):
                await older.keep("clip.mp4", media_type="video/mp4")
            await newer.keep("clip.mp4", media_type="video/mp4")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"clip.mp4": b"newer"}


def test_a_disk_that_stays_full_does_not_keep_the_part(tmp_path):
    hidden = tmp_path / ".clip.part"
    hidden.touch()
    full = Path("/dev/full").open("wb")  # noqa: SIM115 - closed below
    full.write(b"x")
    _discard(full, hidden)
    assert (full.closed, list(tmp_path.iterdir())) == (True, [])
