"""`forward`, against a real service on a socket that checks what it gets, and against some that misbehave."""

import asyncio
import base64
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks
import svix
import uvicorn
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from handlers import forward as module
from receiver import Event, GiveUp, JobError, Output, Retry
from receiver.attempt import Calls
from receiver.config import Config
from receiver.errors import ConfigError
from receiver.outbound import create_client
from receiver.registry import Handler, find_handlers
from receiver.signatures import new_pair, new_secret

from .conftest import Storage

Make = Callable[..., Any]
OLD, NEW = new_secret(), new_secret()
URL = "https://storage.example/a.mp4?X-Signature=hush"


@dataclass
class Service:
    """What a user would have: it takes what `check` lets pass, once per id, and answers everything else with 401."""

    check: Callable[[bytes, dict[str, str]], Any]
    port: int = 0
    taken: dict[str, bytes] = field(default_factory=dict)
    requests: list[dict[str, str]] = field(default_factory=list)

    async def take(self, request: Request) -> Response:
        body, headers = await request.body(), dict(request.headers)
        self.requests.append(headers)
        try:
            self.check(body, headers)
        except (standardwebhooks.WebhookVerificationError, svix.WebhookVerificationError, InvalidSignature):
            return Response(status_code=401)
        self.taken.setdefault(headers["webhook-id"], body)
        return Response("thank you")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks"


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """It has the newer secret."""
    made = Service(standardwebhooks.Webhook(NEW).verify)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        made.port = listening.getsockname()[1]
        app = Starlette(routes=[Route("/hooks", made.take, methods=["POST"])])
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", ws="none"))
        task = asyncio.create_task(server.serve(sockets=[listening]))
        yield made
        server.should_exit = True
        await task


@pytest.fixture
def handler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Handler]:
    """The handler that `receiver.toml` makes, where the user has a folder of handlers and nothing of ours in it."""

    def make(url: str, *, secret: str = NEW, **options: Any) -> Handler:
        monkeypatch.setenv("FORWARD_SECRET", secret)
        (tmp_path / "own").mkdir(exist_ok=True)
        lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in ({"url": url} | options).items())
        text = f'[[handlers]]\nuse = "forward"\non = "job.*"\nsecret = {{ env = "FORWARD_SECRET" }}\n{lines}'
        (made,) = (
            one for one in find_handlers([str(tmp_path / "own")], Config(Path("receiver.toml"), text)) if one.configured
        )
        return made

    return make


@pytest.fixture
def finished(event: Make) -> Event:
    made: Event = event(
        Output(id="file_1", type="VIDEO", url=URL, expires_at=1793318400.0),
        data={"event": "tool_execution.succeeded", "url": URL},
        body=b'{ "event":"tool_execution.succeeded",\n "n": 1.10 }',
        metadata={"order": "42"},
    )
    return made


# A service that checks


async def test_a_service_verifies_what_it_gets_with_the_package_as_it_is(
    service: Service, handler: Make, context: Make, finished: Event
) -> None:
    await handler(service.url).function(finished, context())
    assert json.loads(service.taken["evt_1"]) == {
        "id": "evt_1",
        "source": "videogen",
        "type": "tool_execution.succeeded",
        "kind": "job.succeeded",
        "job_id": "vg_tool_1",
        "tool": "GENERATE_VIDEO_CLIP",
        "outputs": [
            {
                "id": "file_1",
                "type": "VIDEO",
                "url": URL,
                "expires_at": 1793318400.0,
                "size": None,
                "temporary": False,
            }
        ],
        "error": None,
        "occurred_at": 1793232000.0,
        "received_at": 1793232001.0,
        "road": "webhook",
        "data": {"event": "tool_execution.succeeded", "url": URL},
        "metadata": {"order": "42"},
    }
    assert service.requests[0]["content-type"] == "application/json"


async def test_while_a_secret_is_replaced_a_service_with_either_of_them_takes_it(
    service: Service, handler: Make, context: Make, finished: Event
) -> None:
    both = handler(service.url, secret=f"{NEW}, {OLD}")
    for secret in (NEW, OLD):
        service.check = standardwebhooks.Webhook(secret).verify
        await both.function(finished, context())
        service.check = svix.Webhook(secret).verify
        await both.function(finished, context())
    assert len(service.requests[0]["webhook-signature"].split()) == 2
    with pytest.raises(Retry, match="answered 401"):
        await handler(service.url, secret=NEW).function(finished, context())


async def test_a_service_with_only_the_public_key_verifies_v1a(
    service: Service, handler: Make, context: Make, finished: Event
) -> None:
    private, public = new_pair()

    def check(body: bytes, headers: dict[str, str]) -> None:
        (label, signature) = headers["webhook-signature"].split(",")
        assert label == "v1a"
        content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public.removeprefix("whpk_")))
        key.verify(base64.b64decode(signature), content)

    service.check = check
    await handler(service.url, secret=private).function(finished, context())
    with pytest.raises(Retry, match="answered 401"):
        await handler(service.url, secret=new_pair()[0]).function(finished, context())
    assert list(service.taken) == ["evt_1"]


async def test_every_attempt_has_the_same_id_and_its_own_time(
    service: Service, handler: Make, context: Make, finished: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, now = handler(service.url), time.time()
    for moment in (now - 100, now):
        monkeypatch.setattr(module.time, "time", lambda moment=moment: moment)
        await made.function(finished, context())
    assert [headers["webhook-id"] for headers in service.requests] == ["evt_1", "evt_1"]
    assert [int(headers["webhook-timestamp"]) for headers in service.requests] == [int(now - 100), int(now)]


# Bodies


async def test_a_cloudevent_is_one_to_the_letter(service: Service, handler: Make, context: Make, event: Make) -> None:
    made = handler(service.url, body="cloudevent")
    failed = event(kind="job.failed", error=JobError(message="no credits"), occurred_at=1793232000.25)
    await made.function(failed, context())
    assert json.loads(service.taken["evt_1"]) == {
        "specversion": "1.0",
        "id": "evt_1",
        "source": "/sources/videogen",
        "type": "job.failed",
        "subject": "vg_tool_1",
        "time": "2026-10-29T00:00:00.250Z",
        "datacontenttype": "application/json",
        "data": failed.as_json(),
    }
    assert service.requests[0]["content-type"] == "application/cloudevents+json; charset=UTF-8"


async def test_a_cloudevent_of_a_providers_own_kind_is_told_apart_and_has_no_empty_attributes(
    service: Service, handler: Make, context: Make, event: Make
) -> None:
    await handler(service.url, body="cloudevent").function(
        event(type="file.playback_ready", kind=None, job_id=None), context()
    )
    envelope = json.loads(service.taken["evt_1"])
    assert envelope["type"] == "videogen.file.playback_ready"
    assert "subject" not in envelope


async def test_the_providers_own_body_goes_out_byte_for_byte(
    service: Service, handler: Make, context: Make, finished: Event
) -> None:
    await handler(service.url, body="provider").function(finished, context())
    assert service.taken["evt_1"] == finished.body


@pytest.mark.parametrize("body", ["event", "cloudevent"])
async def test_without_urls_nothing_that_opens_a_file_leaves(
    service: Service, handler: Make, context: Make, finished: Event, body: str
) -> None:
    await handler(service.url, body=body, urls=False).function(finished, context())
    assert b"hush" not in service.taken["evt_1"]


# Answers


async def ended(handler: Handler, event: Event, context: Any) -> BaseException | None:
    try:
        await handler.function(event, context)
    except (Retry, GiveUp) as problem:
        return problem
    return None


@pytest.mark.parametrize("status", ["200 OK", "202 Accepted", "204 No Content"])
async def test_any_2xx_ends_it_well(
    storage: Storage, handler: Make, context: Make, finished: Event, status: str
) -> None:
    storage.put("/hooks", b"", status=status)
    assert await ended(handler(storage.url("/hooks")), finished, context()) is None


@pytest.mark.parametrize("status", ["400 Bad", "401 No", "404 No", "413 Big", "429 Busy", "500 Bug", "503 Down"])
async def test_every_other_answer_is_tried_again(
    storage: Storage, handler: Make, context: Make, finished: Event, status: str
) -> None:
    storage.put("/hooks", b"no  such\nthing \x00", status=status)
    problem = await ended(handler(storage.url("/hooks")), finished, context())
    assert isinstance(problem, Retry)
    assert str(problem) == f"127.0.0.1 answered {status[:3]}: no such thing \x00"
    assert problem.after is None


async def test_410_ends_it_at_once(storage: Storage, handler: Make, context: Make, finished: Event) -> None:
    storage.put("/hooks", b"", status="410 Gone")
    problem = await ended(handler(storage.url("/hooks")), finished, context())
    assert isinstance(problem, GiveUp)
    assert "nothing any more" in str(problem)


@pytest.mark.parametrize("status", ["302 Found", "307 Temporary", "308 Permanent"])
async def test_a_redirect_is_not_followed_with_a_signed_body(
    storage: Storage, handler: Make, context: Make, finished: Event, status: str
) -> None:
    storage.put("/hooks", b"", status=status, Location=storage.url("/elsewhere"))
    problem = await ended(handler(storage.url("/hooks")), finished, context())
    assert "not followed" in str(problem)
    assert storage.paths == ["/hooks"]


@pytest.mark.parametrize(
    ("header", "attempt", "wait"),
    [
        ("120", 1, 120),
        ("0", 3, 8),  # it must not use up the attempts
        ("999999999", 1, 3600),
        ("Thu, 29 Oct 2026 00:10:00 GMT", 1, 600),
        ("Wed, 28 Oct 2026 23:50:00 GMT", 2, 4),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 1, 3600),
        ("soon", 1, None),
        ("-5", 1, None),
    ],
)
async def test_retry_after_is_honoured_within_reason(
    storage: Storage,
    handler: Make,
    context: Make,
    finished: Event,
    monkeypatch: pytest.MonkeyPatch,
    header: str,
    attempt: int,
    wait: float | None,
) -> None:
    monkeypatch.setattr(module.time, "time", lambda: 1793232000.0)
    storage.put("/hooks", b"", status="503 Down", Retry_After=header)
    problem = await ended(handler(storage.url("/hooks")), finished, context(attempt=attempt))
    assert isinstance(problem, Retry)
    assert problem.after == wait


async def test_an_error_page_that_shows_secrets_is_told_without_them(
    storage: Storage, handler: Make, context: Make, finished: Event
) -> None:
    page = json.dumps({"SECRET": NEW, "bare": NEW.removeprefix("whsec_"), "old": OLD, "url": URL}).replace("/", "\\/")
    storage.put("/hooks", page.encode(), status="500 Bug")
    made = handler(storage.url("/hooks"), secret=f"{NEW},{OLD}")
    told = await Calls().attempt(made, finished, context(), last=False)
    assert told.outcome == "retry"
    assert "answered 500" in str(told.error)
    assert not any(word in str(told.error) for word in (NEW[6:], OLD[6:], "hush"))


# What misbehaves


@pytest.mark.parametrize(("status", "outcome"), [("200 OK", "done"), ("500 Bug", "retry")])
async def test_an_endless_answer_is_read_no_further_than_its_beginning(
    storage: Storage, handler: Make, context: Make, finished: Event, status: str, outcome: str
) -> None:
    storage.answer("/hooks", status, {"Transfer-Encoding": "chunked"}, b"")
    storage.endless.add("/hooks")
    told = await Calls().attempt(handler(storage.url("/hooks")), finished, context(), last=False)
    assert told.outcome == outcome
    assert len(told.error or "") < 400


async def test_an_answer_whose_body_never_comes_counts_by_its_status(
    storage: Storage, handler: Make, context: Make, finished: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.05)
    storage.put("/hooks", b"", length=10)
    storage.silent.add("/hooks")
    assert await ended(handler(storage.url("/hooks")), finished, context()) is None


async def test_a_hanging_target_is_cut_off_at_its_time_and_tried_again(
    storage: Storage, handler: Make, context: Make, finished: Event
) -> None:
    storage.answers["/hooks"] = b""
    storage.silent.add("/hooks")
    told = await Calls().attempt(handler(storage.url("/hooks"), timeout=0.2), finished, context(), last=False)
    assert (told.outcome, told.error) == ("retry", "took longer than 0.2 s")


async def test_a_target_that_hangs_up_is_tried_again(
    storage: Storage, handler: Make, context: Make, finished: Event
) -> None:
    storage.answers["/hooks"] = b""
    problem = await ended(handler(storage.url("/hooks")), finished, context())
    assert isinstance(problem, Retry)
    assert str(problem) == "no answer: RemoteProtocolError"


async def test_a_target_where_nothing_listens_is_tried_again(handler: Make, context: Make, finished: Event) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        problem = await ended(handler(f"http://127.0.0.1:{closed.getsockname()[1]}/"), finished, context())
    assert isinstance(problem, Retry)
    assert str(problem).startswith("not reached: ")


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "169.254.169.254", "10.0.0.1", "localhost"]
)
async def test_a_target_inside_that_was_not_allowed_is_never_connected_to_and_the_error_says_what_to_do(
    storage: Storage, handler: Make, context: Make, finished: Event, address: str, tls: Any
) -> None:
    async with create_client(tls=tls) as http:
        for scheme in ("http", "https"):
            made = handler(f"{scheme}://{address}:{storage.port}/hooks")
            problem = await ended(made, finished, context(http=http))
            assert isinstance(problem, Retry)
            assert "RECEIVER_OUTBOUND_ALLOW" in str(problem)
    assert storage.paths == []


# Options


@pytest.mark.parametrize(
    "url",
    ["", "app.example.com", "ftp://app.example.com", "https://", "file:///etc/passwd", "https://me:pw@app.example.com"],
)
def test_a_url_that_cannot_be_meant_is_told_with_its_line(handler: Make, url: str) -> None:
    with pytest.raises(ConfigError, match=r"receiver\.toml:5: handlers\[1\]\.url: must be a URL"):
        handler(url)


@pytest.mark.parametrize(
    "secret", ["whsec_c2hvcnQ=", "whsk_c2hvcnQ=", "not base64!", "changeme-changeme-changeme", ","]
)
def test_a_secret_that_cannot_sign_is_told_with_what_to_do_and_not_shown(handler: Make, secret: str) -> None:
    with pytest.raises(ConfigError, match=r"receiver\.toml:1: forward: .*receiver secrets signing") as error:
        handler("https://app.example.com", secret=secret)
    assert secret == "," or secret not in str(error.value)


def test_the_providers_own_body_without_urls_is_refused(handler: Make) -> None:
    with pytest.raises(ConfigError, match="choose another"):
        handler("https://app.example.com", body="provider", urls=False)


def test_each_target_has_filters_and_limits_of_its_own(handler: Make, finished: Event) -> None:
    made = handler("https://app.example.com", source="finevoice", concurrency=1, retries=2)
    assert (made.concurrency, made.retries, made.timeout, made.wants(finished)) == (1, 2, 30, False)
