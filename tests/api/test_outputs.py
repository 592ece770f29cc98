"""Outputs over the API: listed, linked, opened; nothing but what is captured, and nothing from elsewhere."""

import contextlib

import httpx
import pytest

from receiver.app import Door
from receiver.settings import Settings
from receiver.store import Store

from .conftest import TOKEN

MEDIA = bytes(range(256)) * 40


@contextlib.asynccontextmanager
async def gallery(tmp_path, **changes):
    """A client of an API whose files are in a folder, unless said otherwise; and its store."""
    url = f"sqlite:///{tmp_path / 'receiver.db'}"
    store = Store(url)
    await store.migrate()
    files = tmp_path / "files"
    files.mkdir()
    settings = Settings(**{"database_url": url, "admin_token": TOKEN, "files": str(files), **changes})
    door = Door(settings, dispatch=False)
    async with (
        door.open(),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(door.app),
            base_url="http://receiver/api/v1",
            headers={"authorization": f"Bearer {TOKEN}"},
        ) as client,
    ):
        yield client, store
    await store.close()


async def captured(store, place, *, media_type="video/mp4", number=1):
    facts = {"size": len(MEDIA), "sha256": "ab", "media_type": media_type}
    key = {"event_id": f"evt_{number}", "handler": "download", "output_id": "file_1"}
    await store.outputs.record(
        **key, **facts, source="videogen", job_id=f"job_{number}", type="VIDEO", state="captured", place=str(place)
    )
    [row] = await store.outputs.recent(event_id=key["event_id"])
    return row["id"]


async def missed(store):
    key = {"event_id": "evt_9", "handler": "download", "output_id": "file_1", "source": "videogen", "job_id": "job_9"}
    await store.outputs.record(**key, state="missed", error="it came empty")
    [row] = await store.outputs.recent(event_id="evt_9")
    return row["id"]


async def test_outputs_are_listed_in_pages_and_narrowed(tmp_path):
    async with gallery(tmp_path) as (client, store):
        ids = [await captured(store, tmp_path / "files" / f"{n}.mp4", number=n) for n in range(3)]
        ids.append(await missed(store))
        first = (await client.get("/outputs", params={"limit": 3})).json()
        second = (await client.get("/outputs", params={"limit": 3, "cursor": first["next"]})).json()
        assert [row["id"] for row in first["outputs"] + second["outputs"]] == ids[::-1]
        assert second["next"] is None
        [one] = (await client.get("/outputs", params={"state": "missed"})).json()["outputs"]
        assert (one["error"], one["place"]) == ("it came empty", None)
        assert (await client.get(f"/outputs/{ids[0]}")).json()["job_id"] == "job_0"
        assert (await client.get("/outputs/out_none")).status_code == 404


async def test_a_file_in_the_folder_is_sent_whole_or_in_part_and_is_inert(tmp_path):
    async with gallery(tmp_path) as (client, store):
        path = tmp_path / "files" / "clip.svg"
        path.write_bytes(MEDIA)
        id = await captured(store, path, media_type="image/svg+xml")
        whole = await client.get(f"/outputs/{id}/content")
        part = await client.get(f"/outputs/{id}/content", headers={"range": "bytes=10-19"})
    assert (whole.status_code, whole.content, part.status_code, part.content) == (200, MEDIA, 206, MEDIA[10:20])
    assert whole.headers["content-type"] == "image/svg+xml"
    assert whole.headers["content-disposition"].startswith("attachment")
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in whole.headers["content-security-policy"]


@pytest.mark.parametrize("place", ["/etc/hostname", "{files}/../receiver.db", "{files}x/clip.mp4", "s3://b/clip.mp4"])
async def test_nothing_is_sent_that_lies_elsewhere(tmp_path, place):
    async with gallery(tmp_path) as (client, store):
        id = await captured(store, place.format(files=tmp_path / "files"))
        answer = await client.get(f"/outputs/{id}/content")
    assert answer.status_code == 410
    assert "not where RECEIVER_FILES points" in answer.json()["detail"]


async def test_a_link_that_leads_out_of_the_folder_is_not_followed(tmp_path):
    async with gallery(tmp_path) as (client, store):
        (tmp_path / "secret").write_text("secret")
        (tmp_path / "files" / "clip.mp4").symlink_to(tmp_path / "secret")
        id = await captured(store, tmp_path / "files" / "clip.mp4")
        answer = await client.get(f"/outputs/{id}/content")
    assert (answer.status_code, "secret" in answer.text) == (410, False)


async def test_a_file_that_is_gone_and_an_output_that_was_missed_are_told_apart(tmp_path):
    async with gallery(tmp_path) as (client, store):
        gone = await client.get(f"/outputs/{await captured(store, tmp_path / 'files' / 'clip.mp4')}/content")
        never = await client.get(f"/outputs/{await missed(store)}/content")
    assert (gone.status_code, never.status_code) == (410, 409)
    assert "no longer at" in gone.json()["detail"]
    assert never.json()["detail"] == "it is not captured: it came empty"


async def test_without_the_token_no_output_is_told_or_sent(tmp_path):
    async with gallery(tmp_path) as (client, store):
        path = tmp_path / "files" / "clip.mp4"
        path.write_bytes(MEDIA)
        id = await captured(store, path)
        for call in ("", f"/{id}", f"/{id}/link", f"/{id}/content"):
            answer = await client.get(f"/outputs{call}", headers={"authorization": "Bearer wrong"})
            assert answer.status_code == 401


@pytest.mark.parametrize(
    ("shown", "link"),
    [
        ({"files_url": "https://cdn.example.com/"}, {"url": "https://cdn.example.com/clip.mp4", "token": False}),
        ({}, {"url": "https://hooks.example.com/api/v1/outputs/{id}/content", "token": True}),
    ],
)
async def test_a_link_leads_to_the_world_if_it_sees_the_folder_and_else_to_the_api(tmp_path, shown, link):
    async with gallery(tmp_path, public_url="https://hooks.example.com", **shown) as (client, store):
        id = await captured(store, tmp_path / "files" / "clip.mp4")
        told = (await client.get(f"/outputs/{id}/link")).json()
        moved = await client.get(f"/outputs/{await captured(store, '/elsewhere/clip.mp4', number=2)}/link")
    assert told == {**link, "url": link["url"].format(id=id), "expires_at": None}
    assert moved.status_code == 410


async def test_a_link_to_a_bucket_opens_the_file_for_as_long_as_asked(tmp_path, bucket):
    async with bucket.files.new("clip") as part:
        await part.write(MEDIA)
        place = await part.keep("clip.mp4", media_type="video/mp4")
    async with gallery(tmp_path, files="s3://captures/of/jobs") as (client, store):
        id = await captured(store, place)
        link = (await client.get(f"/outputs/{id}/link", params={"seconds": 90})).json()
        sent = await client.get(f"/outputs/{id}/content")
    async with httpx.AsyncClient() as anybody:
        answers = [await anybody.get(url) for url in (link["url"], sent.headers["location"])]
    assert [answer.content for answer in answers] == [MEDIA, MEDIA]
    assert (link["token"], sent.status_code, "X-Amz-Expires=90" in link["url"]) == (False, 307, True)
