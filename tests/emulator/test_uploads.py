from typing import Any

import pytest

from receiver.emulator import media

from .conftest import NOW, Emulator

EVENTS = ["file.upload.completed", "file.upload.failed", "file.playback_ready", "file.download_ready"]
EVENTS += ["file.analysis_completed", "file.analysis_failed"]


async def create(emulator: Emulator, **request: Any) -> tuple[str, str]:
    answer = await emulator.client.post("/v1/files/upload", json={"displayName": "teaser"} | request)
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == {"fileId", "uploadUrl"}
    return answer.json()["fileId"], answer.json()["uploadUrl"]


async def send(emulator: Emulator, content: bytes, **request: Any) -> dict[str, Any]:
    await emulator.register(events=EVENTS)
    file_id, url = await create(emulator, **request)
    assert (await emulator.client.put(url, content=content, headers={"authorization": ""})).status_code == 200
    await emulator.videogen.settled()
    found: dict[str, Any] = (await emulator.client.post(f"/v1/files/{file_id}/hydrate")).json()
    return found


def events(emulator: Emulator) -> list[str]:
    return [body["event"] for body in emulator.inbox.bodies]


async def test_an_uploaded_video_becomes_ready_step_by_step(emulator: Emulator) -> None:
    video = media.video(width=256, height=144, seconds=1)
    file = await send(emulator, video.content)
    assert events(emulator) == [
        "file.upload.completed",
        "file.playback_ready",
        "file.download_ready",
        "file.analysis_completed",
    ]
    for body in emulator.inbox.bodies:
        assert (body["fileId"], body["occurredAt"]) == (file["fileId"], int(NOW))
    stages = [
        (body["file"]["previewSource"]["status"], body["file"]["downloadUrl"] is None) for body in emulator.inbox.bodies
    ]
    assert stages == [("pending", True), ("ready", True), ("ready", False), ("ready", False)]
    assert (file["type"], file["displayName"], file["scope"]) == ("VIDEO", "teaser", "GLOBAL")
    assert (await emulator.client.get(file["downloadUrl"])).content == video.content


@pytest.mark.parametrize(
    ("content", "type", "size", "seconds"),
    [
        (media.picture(width=7, height=3).content, "IMAGE", (7, 3), None),
        (media.picture(width=7, height=3).content[:20], "IMAGE", (None, None), None),
        (b"\xff\xd8\xff\xe0 photo", "IMAGE", (None, None), None),
        (media.sound(seconds=1.5).content, "AUDIO", (None, None), 1.5),
        (b"RIFF\x04\0\0\0WAVE", "AUDIO", (None, None), None),
        (b"ID3\x04 song", "AUDIO", (None, None), None),
        (b"%PDF-1.7", "PDF", (None, None), None),
    ],
)
async def test_what_is_uploaded_is_recognised_and_described_truly(
    emulator: Emulator, content: bytes, type: str, size: tuple[int, int], seconds: float | None
) -> None:
    file = await send(emulator, content)
    assert (file["type"], file["durationSeconds"]) == (type, seconds)
    source = file["downloadSource"]
    assert (source["width"], source["height"], source["fileBytes"]) == (*size, len(content))
    assert ("file.playback_ready" in events(emulator)) == (type in ("VIDEO", "AUDIO"))


async def test_a_declared_type_is_believed(emulator: Emulator) -> None:
    file = await send(emulator, b'{"v": "5.7"}', type="LOTTIE")
    assert (file["type"], file["downloadSource"]["status"]) == ("LOTTIE", "ready")


@pytest.mark.parametrize(("content", "type"), [(b"\0\1\2", None), (b"", "VIDEO")])
async def test_bytes_that_are_nothing_fail(emulator: Emulator, content: bytes, type: str | None) -> None:
    file = await send(emulator, content, type=type)
    assert events(emulator) == ["file.upload.failed"]
    assert set(emulator.inbox.bodies[0]["error"]) == {"message", "code", "requirement", "internalErrorCode"}
    assert file["downloadSource"]["status"] == "failed"


async def test_a_temporary_file_is_not_analysed(emulator: Emulator) -> None:
    file = await send(emulator, media.picture(width=7, height=3).content, isTemporary=True)
    assert file["scope"] == "TEMPORARY"
    assert events(emulator) == ["file.upload.completed", "file.download_ready"]


@pytest.mark.parametrize(
    "change",
    [{"displayName": None}, {"displayName": ""}, {"displayName": 5}, {"type": "FILM"}, {"type": ["IMAGE"]}],
)
async def test_an_upload_must_make_sense(emulator: Emulator, change: dict[str, Any]) -> None:
    answer = await emulator.client.post("/v1/files/upload", json={"displayName": "a"} | change)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert not emulator.videogen.library.files


async def test_a_file_without_bytes_is_pending(emulator: Emulator) -> None:
    file_id, _ = await create(emulator)
    file = (await emulator.client.post(f"/v1/files/{file_id}/hydrate")).json()
    assert (file["type"], file["downloadSource"]["status"], file["hlsSource"]) == (None, "pending", None)


async def test_an_upload_goes_to_its_own_url_only(emulator: Emulator) -> None:
    _, url = await create(emulator)
    other, _ = await create(emulator)
    path, _, query = url.partition("?")
    for wrong in (path, f"{path}?{query}0", f"{path.rpartition('/')[0]}/{other}?{query}", f"{path}x?{query}"):
        assert (await emulator.client.put(wrong, content=b"%PDF-")).status_code == 403
    await emulator.videogen.settled()
    assert {file.type for file in emulator.videogen.library.files.values()} == {None}


async def test_an_upload_that_is_too_large_is_refused(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("receiver.emulator.storage._LARGEST_UPLOAD", 10)
    _, url = await create(emulator)
    assert (await emulator.client.put(url, content=b"%PDF-" * 3)).status_code == 413
    assert (await emulator.client.put(url, content=b"%PDF-")).status_code == 200
