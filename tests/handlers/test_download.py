"""The handler that keeps outputs: whole, once, under a name of ours, or not at all."""

import asyncio
import errno
import gzip
import hashlib
import json
import os
import re
import ssl
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from handlers import download as module
from handlers.download import download
from receiver import Context, Event, GiveUp, Output, Part, ProviderError, Retry
from receiver import files as files_module
from receiver.files import open_files
from receiver.outbound import create_client
from receiver.registry import find_handlers

from .conftest import Resumable

MP4 = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(range(256)) * 512
LATER = 4e9  #: Unix seconds, when today's URLs have not expired

Make = Callable[..., Any]


def folder(context: Context) -> Path:
    return Path(context.files.place)


def files(context: Context) -> list[str]:
    """Every name in the folder for outputs, hidden ones too."""
    return sorted(path.name for path in folder(context).iterdir()) if folder(context).exists() else []


def media(context: Context) -> Path:
    """The one file that was kept."""
    (found,) = (path for path in folder(context).iterdir() if not re.search(r"_[0-9a-f]{16}\.json$", path.name))
    return found


def description(context: Context) -> dict[str, Any]:
    (found,) = (path for path in folder(context).iterdir() if re.search(r"_[0-9a-f]{16}\.json$", path.name))
    read: dict[str, Any] = json.loads(found.read_text())
    return read


async def test_an_output_is_kept_with_a_description_of_it(storage: Any, event: Make, context: Make) -> None:
    storage.put("/clip", MP4, Content_Type="video/mp4")
    given, before = context(), time.time()
    await download(event(Output(id="vg_file_1", url=storage.url("/clip"), expires_at=LATER, size=len(MP4))), given)
    assert media(given).read_bytes() == MP4
    told = description(given)
    assert before - 1 <= told.pop("captured_at") <= time.time() + 1
    assert told == {
        "file": media(given).name,
        "event_id": "evt_1",
        "source": "videogen",
        "job_id": "vg_tool_1",
        "file_id": "vg_file_1",
        "size": len(MP4),
        "sha256": hashlib.sha256(MP4).hexdigest(),
        "media_type": "video/mp4",
    }
    assert re.fullmatch(r"videogen_vg_tool_1_vg_file_1_[0-9a-f]{16}\.mp4", media(given).name)
    assert files(given) == sorted([media(given).name, media(given).stem + ".json"])


async def test_what_was_captured_is_recorded_with_its_place_and_what_was_missed_with_the_reason(
    storage: Any, event: Make, context: Make, records: Any
) -> None:
    storage.put("/clip", MP4)
    storage.put("/other", b"", status="500 Internal Server Error")
    given = context()
    with pytest.raises(Retry):
        await download(event(*(Output(id=path, url=storage.url(path)) for path in ("/clip", "/other"))), given)
    assert records.told == {
        "/clip": {
            "state": "captured",
            "place": str(media(given)),
            "size": len(MP4),
            "sha256": hashlib.sha256(MP4).hexdigest(),
            "media_type": "video/mp4",
        },
        "/other": {"state": "missed", "error": "127.0.0.1 answered 500"},
    }


async def test_the_output_that_expires_first_is_fetched_first(storage: Any, event: Make, context: Make) -> None:
    moments = {"/never": None, "/late": LATER + 2, "/soon": LATER}
    for path in moments:
        storage.put(path, MP4)
    given = context()
    await download(
        event(*(Output(id=path, url=storage.url(path), expires_at=at) for path, at in moments.items())), given
    )
    assert storage.paths == ["/soon", "/late", "/never"]


async def test_a_replay_records_what_is_there_already(storage: Any, event: Make, context: Make, records: Any) -> None:
    storage.put("/clip", MP4)
    told, given = event(Output(id="1", url=storage.url("/clip"))), context()
    await download(told, given)
    first = records.told.pop("1")
    await download(told, given)
    assert records.told == {"1": first}


async def test_the_storage_is_sent_no_key(storage: Any, event: Make, context: Make) -> None:
    storage.put("/clip", MP4)
    await download(event(Output(id="1", url=storage.url("/clip"))), context())
    (sent,) = storage.requests
    assert not {"authorization", "cookie", "x-api-key"} & sent.keys()
    assert sent["accept-encoding"] == "identity"


async def test_a_replay_fetches_nothing_again(storage: Any, event: Make, context: Make, provider: Any) -> None:
    storage.put("/clip", MP4)
    told, given = event(Output(id="1", url=storage.url("/clip"))), context()
    await download(told, given)
    before = {name: (folder(given) / name).stat().st_mtime_ns for name in files(given)}
    await download(told, given)
    await download(event(Output(id="1", url=storage.url("/clip"), expires_at=1.0)), given)
    assert {name: (folder(given) / name).stat().st_mtime_ns for name in files(given)} == before
    assert (storage.paths, provider.asked) == (["/clip"], [])


@pytest.mark.parametrize(
    "damage",
    [
        lambda kept, told: kept.unlink(),
        lambda kept, told: kept.write_bytes(MP4[:-1]),
        lambda kept, told: kept.write_bytes(MP4[:-1] + b"x"),
        lambda kept, told: told.unlink(),
        lambda kept, told: told.write_text(""),
        lambda kept, told: told.write_text("[]"),
        lambda kept, told: told.write_text("{}"),
        lambda kept, told: [
            kept.rename(kept.parent.parent / "outside.mp4"),
            told.write_text(json.dumps(json.loads(told.read_text()) | {"file": "../outside.mp4"})),
        ],
    ],
)
async def test_what_is_not_there_as_described_is_fetched_again(
    damage: Callable[[Path, Path], Any], storage: Any, event: Make, context: Make
) -> None:
    storage.put("/clip", MP4)
    told, given = event(Output(id="1", url=storage.url("/clip"))), context()
    await download(told, given)
    damage(media(given), media(given).with_suffix(".json"))
    await download(told, given)
    assert storage.paths == ["/clip", "/clip"]
    assert media(given).read_bytes() == MP4
    assert description(given)["sha256"] == hashlib.sha256(MP4).hexdigest()


async def test_all_outputs_of_a_job_are_kept_whatever_happens_to_one(storage: Any, event: Make, context: Make) -> None:
    bodies = {f"/{number}": MP4 + bytes([number]) for number in range(4)}
    for path, body in bodies.items():
        storage.put(path, body)
    storage.put("/1", b"oops", status="500 Internal Server Error")
    outputs = [Output(id=f"file/{path[1:]}", url=storage.url(path)) for path in bodies]
    given = context()
    with pytest.raises(Retry) as retry:
        await download(event(*outputs), given)
    assert str(retry.value) == "1 of 4 outputs not captured: file-1: 127.0.0.1 answered 500"
    kept = {path.read_bytes() for path in folder(given).glob("*.mp4")}
    assert kept == {bodies["/0"], bodies["/2"], bodies["/3"]}
    storage.put("/1", bodies["/1"])
    await download(event(*outputs), given)
    assert {path.read_bytes() for path in folder(given).glob("*.mp4")} == set(bodies.values())
    assert storage.paths == ["/0", "/1", "/2", "/3", "/1"]


async def test_the_problems_of_many_outputs_are_told_shortly(event: Make, context: Make) -> None:
    with pytest.raises(Retry) as retry:
        await download(
            event(*(Output(id=str(n), url="https://0177.0.0.1/?hush") for n in range(100))), refusing(context)
        )
    assert str(retry.value).startswith("100 of 100 outputs not captured: 0: ")
    assert len(str(retry.value)) < 1000


def refusing(context: Make) -> Context:
    async def refresh(_output: Output) -> Output:
        raise ProviderError("no")

    made: Context = context(refresh=refresh)
    return made


async def test_a_job_without_outputs_needs_nothing(event: Make, context: Make) -> None:
    given = context(log=structlog.get_logger())
    with capture_logs() as lines:
        await download(event(), given)
    assert [line["event"] for line in lines] == ["no_outputs"]
    assert files(given) == []


@pytest.mark.parametrize("expires_at", [1.0, LATER, None])
@pytest.mark.parametrize(
    "status", ["400 Bad Request", "401 Unauthorized", "403 Forbidden", "404 Not Found", "410 Gone"]
)
async def test_an_expired_url_is_renewed_once(
    expires_at: float | None, status: str, storage: Any, event: Make, context: Make, provider: Any
) -> None:
    storage.put("/old", b"expired", status=status)
    storage.put("/new", MP4)
    provider.answers = [Output(id="1", url=storage.url("/new"))]
    given = context()
    await download(event(Output(id="1", url=storage.url("/old"), expires_at=expires_at)), given)
    assert media(given).read_bytes() == MP4
    assert storage.paths == (["/new"] if expires_at == 1.0 else ["/old", "/new"])
    assert provider.asked == ["1"]


async def test_a_malformed_url_is_renewed(storage: Any, event: Make, context: Make, provider: Any) -> None:
    storage.put("/new", MP4)
    provider.answers = [Output(id="1", url=storage.url("/new"))]
    given = context()
    await download(event(Output(id="1", url="https://0177.0.0.1/")), given)
    assert media(given).read_bytes() == MP4


async def test_a_renewed_output_keeps_its_name(storage: Any, event: Make, context: Make, provider: Any) -> None:
    storage.put("/new", MP4)
    provider.answers = [Output(id="another", url=storage.url("/new"))]
    given = context()
    await download(event(Output(id="vg_file_1", expires_at=1.0)), given)
    assert "_vg_file_1_" in media(given).name
    assert description(given)["file_id"] == "vg_file_1"


async def test_a_new_url_that_is_refused_too_is_tried_another_time(
    storage: Any, event: Make, context: Make, provider: Any
) -> None:
    storage.put("/clip", b"", status="403 Forbidden")
    provider.answers = [Output(id="1", url=storage.url("/clip"))]
    with pytest.raises(Retry, match="answered 403, though the URL is new") as retry:
        await download(event(Output(id="1", url=storage.url("/clip"))), context())
    assert retry.value.after is None
    assert provider.asked == ["1"]


async def test_an_output_without_a_url_is_asked_for(storage: Any, event: Make, context: Make, provider: Any) -> None:
    storage.put("/clip", MP4)
    provider.answers = [Output(id="1", url=storage.url("/clip"), size=len(MP4))]
    given = context()
    await download(event(Output(id="1")), given)
    assert media(given).read_bytes() == MP4


@pytest.mark.parametrize(("attempt", "after"), [(1, 10), (3, 10), (6, 64), (50, 1024)])
async def test_a_file_that_is_still_prepared_is_waited_for(
    attempt: int, after: float, event: Make, context: Make, provider: Any
) -> None:
    provider.answers = [Output(id="1")]
    with pytest.raises(Retry, match="still prepares") as retry:
        await download(event(Output(id="1")), context(attempt=attempt))
    assert retry.value.after == after


async def test_a_provider_that_gives_no_url_is_asked_again_when_it_says(
    event: Make, context: Make, provider: Any
) -> None:
    provider.answers = [ProviderError("VideoGen answered 429: slow down", status=429, retry_after=77)]
    with pytest.raises(Retry, match="no new URL: VideoGen answered 429") as retry:
        await download(event(Output(id="1")), context())
    assert retry.value.after == 77


@pytest.mark.parametrize(
    ("asked", "attempt", "after"),
    [
        ("30", 1, 30),
        ("0", 5, 32),
        ("999999", 1, 3600),
        ("soon", 1, None),
        ("-5", 1, None),
        ("Thu, 01 Jan 2026 00:00:00 GMT", 2, 4),
        ("Fri, 01 Jan 2100 00:00:00 GMT", 1, 3600),
        (None, 1, None),
    ],
)
@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
async def test_a_busy_storage_is_left_alone_for_as_long_as_it_asks(
    status: str, asked: str | None, attempt: int, after: float | None, storage: Any, event: Make, context: Make
) -> None:
    storage.put("/clip", b"later", status=status, **({"Retry_After": asked} if asked else {}))
    given = context(attempt=attempt)
    with pytest.raises(Retry, match=r"127\.0\.0\.1 answered (429|503)") as retry:
        await download(event(Output(id="1", url=storage.url("/clip"))), given)
    assert retry.value.after == after
    assert files(given) == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"body": b"<!doctype html><title>Sign in</title>"}, "a page or a message came"),
        ({"body": b'{"error": "x"}', "Content_Type": "application/json"}, "a page or a message came"),
        ({"body": b""}, "it came empty"),
        ({"body": b"", "status": "204 No Content"}, "answered 204"),
        ({"body": MP4, "status": "206 Partial Content"}, "answered 206"),
        ({"body": MP4[:500], "length": len(MP4)}, "broken off: RemoteProtocolError"),
        ({"body": MP4[:500]}, f"500 bytes came, the provider spoke of {len(MP4)}"),
        ({"body": MP4 + b"more"}, f"{len(MP4) + 4} bytes came, the provider spoke of {len(MP4)}"),
        ({"body": MP4 + b"more", "length": len(MP4) - 4}, f"{len(MP4) - 4} bytes came"),
        ({"body": MP4, "Content_Encoding": "br"}, "an encoding that was not asked for"),
        ({"body": MP4, "Content_Encoding": "gzip"}, "broken off: DecodingError"),
        ({"body": gzip.compress(MP4)[:-20], "Content_Encoding": "gzip"}, "bytes came"),
    ],
)
async def test_an_answer_that_is_not_the_file_is_refused_and_leaves_nothing(
    answer: dict[str, Any], reason: str, storage: Any, event: Make, context: Make
) -> None:
    storage.put("/clip", **answer)
    given = context()
    with pytest.raises(Retry, match=re.escape(reason)) as retry:
        await download(event(Output(id="1", type="VIDEO", url=storage.url("/clip"), size=len(MP4))), given)
    assert files(given) == []
    assert "hush" not in str(retry.value)


async def test_bytes_that_do_not_match_the_announced_length_are_refused_whatever_the_transport(
    event: Make, context: Make
) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield MP4

    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-length": "7"}, content=body())

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        given = context(http=http)
        with pytest.raises(Retry, match=f"{len(MP4)} bytes came, 7 were announced"):
            await download(event(Output(id="1", url="https://storage.example/")), given)
    assert files(given) == []


async def test_a_connection_whose_encryption_breaks_is_tried_again(event: Make, context: Make) -> None:
    def answer(_request: httpx.Request) -> httpx.Response:
        raise ssl.SSLError(1, "[SSL: DECRYPTION_FAILED_OR_BAD_RECORD_MAC]")

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        with pytest.raises(Retry, match="broken off: SSLError"):
            await download(event(Output(id="1", url="https://storage.example/")), context(http=http))


async def test_a_compressed_answer_is_kept_as_the_file_it_is(storage: Any, event: Make, context: Make) -> None:
    svg = b"<svg xmlns='http://www.w3.org/2000/svg'/>" * 100
    storage.put("/drawing", gzip.compress(svg), Content_Encoding="gzip", Content_Type="image/svg+xml")
    given = context()
    await download(event(Output(id="1", url=storage.url("/drawing"), size=len(svg))), given)
    assert media(given).read_bytes() == svg
    assert description(given)["size"] == len(svg)


@pytest.mark.parametrize("size", [None, len(MP4)])
@pytest.mark.parametrize("answered", ["announced", "streamed"])
async def test_a_file_above_the_limit_is_given_up(
    size: int | None, answered: str, storage: Any, event: Make, context: Make
) -> None:
    storage.put("/clip", MP4)
    if answered == "streamed":
        storage.answer("/clip", "200 OK", {"Connection": "close"}, MP4)
    given = context(max_file=len(MP4) - 1)
    with pytest.raises(GiveUp, match=f"larger than {len(MP4) - 1} bytes"):
        await download(event(Output(id="1", url=storage.url("/clip"), size=size)), given)
    assert files(given) == []


@pytest.mark.parametrize(
    ("headers", "size"), [({"Content-Length": str(10**12)}, None), ({"Transfer-Encoding": "chunked"}, 10**12)]
)
async def test_a_file_that_is_said_to_be_above_the_limit_is_not_waited_for(
    headers: dict[str, str], size: int | None, storage: Any, event: Make, context: Make
) -> None:
    storage.answer("/clip", "200 OK", headers, b"")
    storage.silent.add("/clip")
    async with asyncio.timeout(5):
        with pytest.raises(GiveUp, match="larger than"):
            await download(event(Output(id="1", url=storage.url("/clip"), size=size)), context())


async def test_a_file_as_large_as_the_limit_is_kept(storage: Any, event: Make, context: Make) -> None:
    storage.answer("/clip", "200 OK", {"Connection": "close"}, MP4)
    given = context(max_file=len(MP4))
    await download(event(Output(id="1", url=storage.url("/clip"))), given)
    assert media(given).read_bytes() == MP4


async def test_an_endless_file_is_given_up(storage: Any, event: Make, context: Make) -> None:
    storage.answer("/clip", "200 OK", {"Transfer-Encoding": "chunked"}, b"")
    storage.endless.add("/clip")
    given = context(max_file=3 * 2**20)
    async with asyncio.timeout(5):
        with pytest.raises(GiveUp, match="larger than"):
            await download(event(Output(id="1", url=storage.url("/clip"))), given)
    assert files(given) == []


async def test_one_output_too_large_does_not_end_the_retries_for_another(
    storage: Any, event: Make, context: Make
) -> None:
    storage.put("/large", MP4)
    storage.put("/busy", b"", status="503 Service Unavailable")
    outputs = [Output(id=name, url=storage.url(f"/{name}")) for name in ("large", "busy")]
    with pytest.raises(Retry, match="2 of 2 outputs"):
        await download(event(*outputs), context(max_file=100))


async def test_a_redirect_is_followed(storage: Any, event: Make, context: Make) -> None:
    storage.put("/clip", b"", status="302 Found", Location="/moved")
    storage.put("/moved", MP4)
    given = context()
    await download(event(Output(id="1", url=storage.url("/clip"))), given)
    assert media(given).read_bytes() == MP4


@pytest.mark.parametrize("inside", ["https://169.254.169.254/latest?hush", "http://[::1]/?hush", "file:///etc/passwd"])
@pytest.mark.parametrize("redirected", [True, False])
async def test_nothing_is_fetched_from_inside(
    inside: str, redirected: bool, storage: Any, event: Make, context: Make
) -> None:
    storage.put("/clip", b"", status="302 Found", Location=inside)
    given = context()
    with pytest.raises(Retry, match="not reached") as retry:
        await download(event(Output(id="1", url=storage.url("/clip") if redirected else inside)), given)
    assert "hush" not in str(retry.value)
    assert files(given) == []


async def test_a_storage_that_does_not_listen_is_tried_again(event: Make, context: Make) -> None:
    with pytest.raises(Retry, match="not reached"):
        await download(event(Output(id="1", url="http://127.0.0.1:1/?hush")), context())


async def test_a_storage_that_stops_sending_is_left(storage: Any, event: Make, context: Make) -> None:
    storage.put("/clip", MP4[:1000], length=len(MP4))
    storage.silent.add("/clip")
    async with create_client(allow=["127.0.0.1"], timeout=0.05) as http:
        given = context(http=http)
        with pytest.raises(Retry, match="broken off: ReadTimeout"):
            await download(event(Output(id="1", url=storage.url("/clip"))), given)
    assert files(given) == []


async def test_a_download_that_is_cancelled_showed_and_leaves_nothing(
    storage: Any, event: Make, context: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.put("/clip", MP4 * 10, length=len(MP4) * 20)
    storage.silent.add("/clip")
    written, loop, write = asyncio.Event(), asyncio.get_running_loop(), Part._append

    def announce(part: Part, chunk: bytes) -> None:
        write(part, chunk)
        loop.call_soon_threadsafe(written.set)

    monkeypatch.setattr(Part, "_append", announce)
    given = context()
    task = asyncio.create_task(download(event(Output(id="1", url=storage.url("/clip"))), given))
    async with asyncio.timeout(5):
        await written.wait()
    (hidden,) = files(given)
    assert hidden.startswith(".")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert files(given) == []


async def test_what_a_killed_attempt_left_is_removed(storage: Any, event: Make, context: Make) -> None:
    storage.put("/clip", MP4)
    told, given = event(Output(id="1", url=storage.url("/clip"))), context()
    folder(given).mkdir()
    name = module._Wanted(told, told.outputs[0], given).name
    (folder(given) / f".{name}.0123456789abcdef.part").write_bytes(MP4[:100])
    (folder(given) / ".another.0123456789abcdef.part").write_bytes(b"")
    await download(told, given)
    assert [name for name in files(given) if name.endswith(".part")] == [".another.0123456789abcdef.part"]


async def test_two_attempts_at_once_end_with_one_whole_file(storage: Any, event: Make, context: Make) -> None:
    storage.put("/clip", MP4)
    told, given = event(Output(id="1", url=storage.url("/clip"))), context()
    ends = await asyncio.gather(*(download(told, given) for _ in range(4)), return_exceptions=True)
    assert None in ends
    assert all(end is None or isinstance(end, Retry) for end in ends)
    assert media(given).read_bytes() == MP4
    assert len(files(given)) == 2


@pytest.mark.parametrize("step", ["_append", "fsync", "replace"])
async def test_a_full_disk_is_told_and_nothing_is_left(
    step: str, storage: Any, event: Make, context: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/a/path/of/this/machine")

    owner: Any = {"_append": Part, "fsync": files_module.os, "replace": files_module.Path}[step]
    monkeypatch.setattr(owner, step, full)
    storage.put("/clip", MP4)
    given = context()
    with pytest.raises(Retry) as retry:
        await download(event(Output(id="1", url=storage.url("/clip"))), given)
    assert "cannot write to the place for files: No space left on device" in str(retry.value)
    assert "/a/path" not in str(retry.value)
    assert files(given) == []


async def test_a_folder_that_cannot_be_made_is_told(storage: Any, event: Make, context: Make, tmp_path: Path) -> None:
    storage.put("/clip", MP4)
    (tmp_path / "occupied").write_text("")
    with pytest.raises(Retry, match="cannot write to the place for files"):
        await download(
            event(Output(id="1", url=storage.url("/clip"))), context(files=open_files(str(tmp_path / "occupied")))
        )


async def test_a_stranger_chooses_no_part_of_a_path(storage: Any, event: Make, context: Make, tmp_path: Path) -> None:
    storage.put("/../../run.sh", MP4)
    hostile = "../../../etc/cron.d/\x00\u202e" + "x" * 500
    told = event(Output(id=hostile, url=storage.url("/../../run.sh")), job_id=hostile, data={"displayName": "run.sh"})
    storage.put("/run.sh", MP4)
    given = context()
    await download(told, given)
    assert media(given).parent == tmp_path / "files"
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,200}\.mp4", media(given).name)
    assert description(given)["file_id"] == hostile


async def test_json_that_a_job_made_is_not_taken_for_a_description(storage: Any, event: Make, context: Make) -> None:
    storage.put("/lottie", b'{"v": "5.7.4"}', Content_Type="application/json")
    given = context()
    await download(event(Output(id="1", type="LOTTIE", url=storage.url("/lottie"))), given)
    assert media(given).name.endswith(".data.json")
    assert media(given).read_bytes() == b'{"v": "5.7.4"}'
    assert description(given)["file"] == media(given).name


IDS = st.tuples(st.text(max_size=80), st.none() | st.text(max_size=80), st.text(max_size=80))


@given(IDS, IDS)
def test_names_are_harmless_and_as_different_as_the_ids(
    one: tuple[str, str | None, str], other: tuple[str, str | None, str]
) -> None:
    first, second = name(*one), name(*other)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,170}", first)
    assert (first.lower() == second.lower()) == ((one[0], one[1] or "", one[2]) == (other[0], other[1] or "", other[2]))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", "b", "aB"), ("a", "b", "Ab")),
        (("a", "b_c", "d"), ("a", "b", "c_d")),
        (("a", "b", "c/d"), ("a", "b", "c-d")),
        (("a", "b", "x" * 49), ("a", "b", "x" * 50)),
    ],
)
def test_ids_that_look_alike_get_names_of_their_own(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    assert name(*one).lower() != name(*other).lower()


def name(source: str, job_id: str | None, file_id: str) -> str:
    told = Event(id="e", source=source, type="t", job_id=job_id, occurred_at=0, received_at=0)
    return module._Wanted(told, Output(id=file_id), None).name  # type: ignore[arg-type]


async def test_no_signed_url_is_logged_or_kept(storage: Any, event: Make, context: Make) -> None:
    storage.put("/clip", MP4)
    given = context(log=structlog.get_logger())
    with capture_logs() as lines:
        for _ in range(2):
            await download(event(Output(id="1", url=storage.url("/clip"))), given)
    assert [line["event"] for line in lines] == ["output_captured", "output_already_captured"]
    assert "hush" not in str(lines)
    assert "hush" not in json.dumps(description(given))


LONG = MP4[:40] + bytes(range(251)) * 9000


@pytest.mark.parametrize("validator", [{"ETag": '"one"'}, {"Last-Modified": "Fri, 27 Nov 2026 10:00:00 GMT"}])
async def test_a_broken_connection_is_gone_on_with_where_it_broke(
    validator: dict[str, str], storage: Any, event: Make, context: Make
) -> None:
    storage.resumable["/clip"] = Resumable(LONG, validator, breaks=[300_000, 1_000_000])
    given = context()
    await download(event(Output(id="1", url=storage.url("/clip"), size=len(LONG))), given)
    assert media(given).read_bytes() == LONG
    assert description(given)["sha256"] == hashlib.sha256(LONG).hexdigest()
    first, *others = storage.requests
    assert "range" not in first
    assert all(int(sent["range"].removeprefix("bytes=").removesuffix("-")) > 0 for sent in others)
    assert {sent["if-range"] for sent in others} == {value.lower() for value in validator.values()}
    assert len(others) == 2


async def test_a_url_that_expires_in_the_middle_is_gone_on_with_by_a_new_one(
    storage: Any, event: Make, context: Make, provider: Any
) -> None:
    storage.resumable["/old"] = Resumable(LONG, {"ETag": '"one"'}, breaks=[700_000], then="403 Forbidden")
    storage.resumable["/new"] = Resumable(LONG, {"ETag": '"one"'})
    provider.answers = [Output(id="1", url=storage.url("/new"))]
    given = context()
    await download(event(Output(id="1", url=storage.url("/old"), expires_at=LATER)), given)
    assert media(given).read_bytes() == LONG
    assert storage.paths == ["/old", "/old", "/new"]
    assert "range" in storage.requests[-1]


async def test_a_file_that_changed_meanwhile_is_begun_anew(storage: Any, event: Make, context: Make) -> None:
    other = MP4[:40] + bytes(reversed(range(251))) * 8000
    storage.resumable["/clip"] = Resumable(LONG, {"ETag": '"one"'}, breaks=[700_000], after=(other, {"ETag": '"two"'}))
    given = context()
    await download(event(Output(id="1", url=storage.url("/clip"))), given)
    assert media(given).read_bytes() == other


@pytest.mark.parametrize("validator", [{}, {"ETag": 'W/"weak"'}])
async def test_without_a_strong_validator_nothing_is_pieced_together(
    validator: dict[str, str], storage: Any, event: Make, context: Make
) -> None:
    storage.resumable["/clip"] = Resumable(LONG, validator, breaks=[700_000])
    given = context()
    with pytest.raises(Retry, match="broken off"):
        await download(event(Output(id="1", url=storage.url("/clip"))), given)
    assert (len(storage.paths), files(given)) == (1, [])


async def test_a_storage_that_breaks_off_again_and_again_is_left_for_later(
    storage: Any, event: Make, context: Make
) -> None:
    storage.resumable["/clip"] = Resumable(LONG, {"ETag": '"one"'}, breaks=[100_000] * 99)
    given = context()
    with pytest.raises(Retry, match="broken off"):
        await download(event(Output(id="1", url=storage.url("/clip"))), given)
    assert (len(storage.paths) <= 9, files(given)) == (True, [])


@pytest.mark.parametrize(
    "lie", ["bytes 5-99/100", "bytes 0-99/100", "bytes */100", "", "bytes 700000-800000/900000", "bytes x"]
)
async def test_a_partial_answer_that_is_not_what_was_asked_for_is_not_taken(
    lie: str, storage: Any, event: Make, context: Make
) -> None:
    storage.resumable["/clip"] = Resumable(LONG, {"ETag": '"one"'}, breaks=[700_000], lie=lie)
    given = context()
    with pytest.raises(Retry, match="answered 206"):
        await download(event(Output(id="1", url=storage.url("/clip"))), given)
    assert files(given) == []


async def test_outputs_are_captured_in_a_bucket_with_their_description(
    storage: Any, event: Make, context: Make, records: Any, bucket: Any
) -> None:
    storage.put("/clip", MP4, Content_Type="video/mp4")
    told, given = event(Output(id="1", url=storage.url("/clip"))), context(files=bucket.files)
    await download(told, given)
    await download(told, given)  # it is there: nothing is fetched again
    place = records.told["1"]["place"]
    kept = await bucket.files.read(place.rpartition("/")[2])
    beside = json.loads(await bucket.files.read(f"{module._Wanted(told, told.outputs[0], given).name}.json"))
    assert (kept, beside["sha256"], storage.paths) == (MP4, hashlib.sha256(MP4).hexdigest(), ["/clip"])
    assert place.startswith("s3://captures/of/jobs/videogen_vg_tool_1_1_")


async def test_a_bucket_that_is_down_is_tried_again_with_the_reason(
    storage: Any, event: Make, context: Make, bucket: Any
) -> None:
    storage.put("/clip", MP4)
    given = context(files=open_files("s3://there-is-none"))
    with pytest.raises(Retry, match="cannot write to the place for files: not uploaded to s3://there-is-none"):
        await download(event(Output(id="1", url=storage.url("/clip"))), given)


@pytest.mark.parametrize("place", [str(Path(module.__file__).parent), "handlers"])
def test_it_is_found_in_its_folder_and_in_its_package(
    place: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, event: Make
) -> None:
    monkeypatch.chdir(tmp_path)  # else the name of the package is the name of a folder here
    found = {handler.name: handler for handler in find_handlers([place])}
    assert {"download", "log"} <= found.keys()
    assert found["download"].wants(event())
    assert not found["download"].wants(event(kind="job.failed", type="tool_execution.failed"))
