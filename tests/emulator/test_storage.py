import pytest

from .conftest import NOW, Emulator, Start


async def output(emulator: Emulator) -> tuple[str, bytes]:
    url = (await emulator.run(durationSeconds=1))["results"][0]["downloadUrl"]
    return url, (await emulator.client.get(url)).content


async def test_a_download_needs_no_key_and_says_what_it_is(emulator: Emulator) -> None:
    url, content = await output(emulator)
    del emulator.client.headers["authorization"]
    answer = await emulator.client.get(url)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "audio/wav"
    assert int(answer.headers["content-length"]) == len(content) == len(answer.content)
    assert answer.headers["accept-ranges"] == "bytes"
    head = await emulator.client.head(url)
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(content)))


async def test_the_storage_remembers_whether_a_key_was_sent(emulator: Emulator) -> None:
    url, _ = await output(emulator)
    del emulator.client.headers["authorization"]
    await emulator.client.get(url, headers={"range": "bytes=0-1"})
    await emulator.client.get(url + "x")
    seen = emulator.videogen.library.transfers
    assert [(each.method, each.status, each.key_sent, each.range) for each in seen] == [
        ("GET", 200, True, None),
        ("GET", 206, False, "bytes=0-1"),
        ("GET", 403, False, None),
    ]
    assert {each.file_id for each in seen} == set(emulator.videogen.library.files)


async def test_a_url_that_was_touched_opens_nothing(emulator: Emulator) -> None:
    url, _ = await output(emulator)
    other, _ = await output(emulator)
    path, _, query = url.partition("?")
    expires, signature = query.split("&")
    later = f"expires={int(expires.partition('=')[2]) + 1}"
    for wrong in (
        path,
        f"{path}?{expires}",
        f"{path}?{signature}",
        f"{path}?{later}&{signature}",
        f"{path}?expires=never&{signature}",
        f"{path}?{expires}&signature=é",
        f"{path.replace('original', 'preview')}?{query}",
        f"{path.replace('.wav', '.mp4')}?{query}",
        f"{path.replace('original.wav', 'original')}?{query}",
        f"{path}?{other.partition('?')[2]}",
    ):
        answer = await emulator.client.get(wrong)
        assert answer.status_code == 403, wrong


async def test_a_url_expires(start: Start) -> None:
    now = [NOW]
    async with start(clock=lambda: now[0], url_seconds=100) as emulator:
        url, _ = await output(emulator)
        now[0] += 99
        assert (await emulator.client.get(url)).status_code == 200
        now[0] += 1
        assert (await emulator.client.get(url)).status_code == 403


@pytest.mark.parametrize(
    ("asked", "span"),
    [
        ("bytes=0-9", (0, 9)),
        ("bytes=10-", (10, 32043)),
        ("bytes=-10", (32034, 32043)),
        ("bytes=32000-99999", (32000, 32043)),
        ("bytes=-99999", (0, 32043)),
    ],
)
async def test_a_part_can_be_asked_for(emulator: Emulator, asked: str, span: tuple[int, int]) -> None:
    url, content = await output(emulator)
    assert len(content) == 32044
    answer = await emulator.client.get(url, headers={"range": asked})
    assert answer.status_code == 206
    assert answer.headers["content-range"] == f"bytes {span[0]}-{span[1]}/32044"
    assert answer.content == content[span[0] : span[1] + 1]


@pytest.mark.parametrize("asked", ["bytes=32044-", "bytes=99999-100000", "bytes=-0"])
async def test_a_part_behind_the_end_is_refused(emulator: Emulator, asked: str) -> None:
    url, _ = await output(emulator)
    answer = await emulator.client.get(url, headers={"range": asked})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == "bytes */32044"


@pytest.mark.parametrize("asked", ["bytes=-", "bytes=9-3", "bytes=0-1,4-5", "lines=1-2", "bytes=a-b", "bytes 0-1"])
async def test_a_range_that_makes_no_sense_is_ignored(emulator: Emulator, asked: str) -> None:
    url, content = await output(emulator)
    answer = await emulator.client.get(url, headers={"range": asked})
    assert (answer.status_code, answer.content) == (200, content)
