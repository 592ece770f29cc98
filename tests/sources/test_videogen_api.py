import asyncio
import json
import traceback
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from receiver.errors import ConfigError, ProviderError
from receiver.events import Output
from receiver.settings import Provider
from receiver.sources import Registered
from receiver.sources.videogen import VideoGen, VideoGenApi, connection

SAMPLES = Path(__file__).parent.parent / "samples" / "videogen" / "rest"
KEY = "sk_videogen_live_abcdefgh12345678"
BASE = "https://api.videogen.io"
TOOL = "vg_tool_cmh3k9q2x0001l508ab12cd34"
FILE = "vg_file_Zx81qLr0TKe-5s_Wn2mYAg"
FRESH = f"https://storage.example.invalid/{FILE}/original.mp4?X-Signature=made-up"
T0 = 1793232000.0
EXPIRES = T0 + 7 * 86400
STALE = Output(id=FILE, type="VIDEO", url="https://storage.example.invalid/old?sig=1", expires_at=T0, size=7)


def sample(name: str) -> httpx.Response:
    said = json.loads((SAMPLES / f"{name}.json").read_bytes())
    body = said["body"]
    content = b"" if body is None else body if isinstance(body, str) else json.dumps(body)
    return httpx.Response(said["_status"], headers=said["_headers"], content=content)


class Server:
    """Gives the answers it was told to, in order, and keeps what was asked."""

    def __init__(self) -> None:
        self.answers: list[httpx.Response | Exception] = []
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def will(self, *answers: httpx.Response | Exception | str) -> None:
        self.answers += [sample(answer) if isinstance(answer, str) else answer for answer in answers]

    @property
    def asked(self) -> list[str]:
        return [f"{request.method} {request.url.raw_path.decode()}" for request in self.requests]

    def body(self) -> Any:
        return json.loads(self.requests[-1].content)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def api(server: Server):
    # This client would follow redirects; ours must not, with a key in the header.
    async with httpx.AsyncClient(transport=httpx.MockTransport(server), follow_redirects=True) as http:
        yield VideoGenApi(http, Provider(api_key=SecretStr(KEY)), clock=lambda: T0)


async def refused(call: Any) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await call
    shown = "".join(traceback.format_exception(caught.value))
    assert KEY not in shown
    assert "sig=" not in shown
    return caught.value


async def test_every_request_says_who_asks(api, server):
    server.will("get-me.200")
    assert (await api.me())["teamId"] == "vg_team_made_up"
    (request,) = server.requests
    assert str(request.url) == f"{BASE}/v1/me"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["accept"] == "application/json"
    assert request.headers["x-videogen-client"] == "media-receiver"


async def test_an_endpoint_is_created_and_its_secret_is_in_no_repr(api, server):
    server.will("create-webhook-endpoint.201")
    events = ["tool_execution.succeeded", "tool_execution.failed"]
    made = await api.create_endpoint("https://hooks.example.com/webhooks/videogen", events, "media-receiver:x")
    assert server.asked == ["POST /v1/webhooks/endpoints"]
    assert server.requests[0].headers["content-type"] == "application/json"
    assert server.body() == {
        "url": "https://hooks.example.com/webhooks/videogen",
        "events": events,
        "description": "media-receiver:x",
    }
    assert made == Registered(
        id="ep_2abcDEFghiJKLmnoPQRstuVWXyz",
        url="https://hooks.example.com/webhooks/videogen",
        events=VideoGen.events[:6],
        description="prod receiver",
        created_at=1793145600.0,
        secret="whsec_dmlkZW9nZW4tc2FtcGxlLXNlY3JldC0wMQ==",
        last4="MQ==",
    )  # fmt: skip
    assert "whsec_" not in repr(made)


async def test_a_created_endpoint_without_an_id_is_an_error(api, server):
    server.will(httpx.Response(201, json={"url": "https://a"}))
    error = await refused(api.create_endpoint("https://a", ["x"], "d"))
    assert error.status == 201


async def test_all_pages_of_endpoints_are_walked(api, server):
    server.will("list-webhook-endpoints.200", "list-webhook-endpoints.last-page.200")
    found = await api.endpoints()
    assert server.asked == [
        "GET /v1/webhooks/endpoints?limit=100",
        "GET /v1/webhooks/endpoints?limit=100&cursor=b3BhcXVlLWN1cnNvcg",
    ]
    assert [(item.id, item.description, item.secret, item.last4) for item in found] == [
        ("ep_2abcDEFghiJKLmnoPQRstuVWXyz", "prod receiver", None, "MQ=="),
        ("ep_2zyxWVUtsrQPOnmlKJIhgfEDCba", None, None, "9fQ="),
    ]


async def test_a_list_of_the_old_form_or_with_broken_entries_is_read(api, server):
    entries = [
        {"endpointId": 7},
        "x",
        {"endpointId": "ep_1", "url": 7},
        {"endpointId": "wh_endpoint_1", "url": "u"},
    ]
    server.will(httpx.Response(200, json={"endpoints": entries}), httpx.Response(200, json={"hasMore": True}))
    assert await api.endpoints() == [Registered(id="wh_endpoint_1", url="u", events=())]
    assert await api.endpoints() == []


async def test_a_list_that_never_ends_is_given_up(api, server, monkeypatch):
    monkeypatch.setattr(connection, "PAGES", 3)
    page = {"endpoints": [], "hasMore": True, "nextCursor": "again"}
    server.will(*[httpx.Response(200, json=page) for _ in range(3)])
    assert "does not end" in str(await refused(api.endpoints()))
    assert len(server.requests) == 3


@pytest.mark.parametrize("answer", ["delete-webhook-endpoint.204", "error.404-not-found"])
async def test_deleting_an_endpoint_is_fine_also_if_it_is_gone(api, server, answer):
    server.will(answer)
    await api.delete_endpoint("ep_1")
    assert server.asked == ["DELETE /v1/webhooks/endpoints/ep_1"]


async def test_deleting_an_endpoint_may_be_refused(api, server):
    server.will("error.403-requirement")
    assert (await refused(api.delete_endpoint("ep_1"))).status == 403


@pytest.mark.parametrize(
    ("id", "path"),
    [
        ("../../me?x=", "..%2F..%2Fme%3Fx%3D"),
        ("a b#c%2e", "a%20b%23c%252e"),
        ("é", "%C3%A9"),
        ("\ud800", "%3F"),
    ],
)
async def test_no_id_can_climb_to_another_path(api, server, id, path):
    server.will(*["delete-webhook-endpoint.204"] * 5)
    await api.delete_endpoint(id)
    await api.execution(id)
    await api.hydrate(id)
    await api.cancel(id)
    assert server.asked == [
        f"DELETE /v1/webhooks/endpoints/{path}",
        f"GET /v1/tools/executions/{path}",
        f"POST /v1/files/{path}/hydrate",
        f"POST /v1/tools/executions/{path}/cancel",
    ]


@pytest.mark.parametrize("id", ["", ".", ".."])
async def test_what_cannot_be_an_id_is_not_even_asked(api, server, id):
    assert (await refused(api.execution(id))).status == 0
    assert server.requests == []


async def test_a_tool_is_started_with_the_parameters_as_they_are(api, server):
    server.will("tool-accepted.202")
    parameters = {"prompt": "rain", "durationSeconds": 4.5, "snake_case": {"kept_too": None}}
    assert await api.submit("generate-sound-effect", parameters) == TOOL
    assert server.asked == ["POST /v1/tools/generate-sound-effect"]
    assert server.body() == parameters


async def test_a_started_tool_without_an_id_is_an_error(api, server):
    server.will(httpx.Response(202, json={}))
    assert (await refused(api.submit("generate-music", {}))).status == 202


@pytest.mark.parametrize("outcome", [httpx.ConnectError("no"), httpx.ReadTimeout("slow"), "error.500"])
async def test_starting_a_tool_is_never_tried_twice(api, server, outcome):
    server.will(outcome)
    await refused(api.submit("generate-music", {}))
    assert len(server.requests) == 1


async def test_a_tool_is_cancelled(api, server):
    server.will("cancel-tool-execution.202")
    await api.cancel(TOOL)
    assert server.asked == [f"POST /v1/tools/executions/{TOOL}/cancel"]
    assert server.requests[0].content == b""


async def test_an_execution_and_a_file_are_returned_as_they_came(api, server):
    server.will("get-tool-execution.awaiting_approval.200", "hydrate-file.200")
    assert (await api.execution(TOOL))["status"] == "awaiting_approval"
    assert (await api.hydrate(FILE))["downloadUrl"] == FRESH
    assert server.asked == [f"GET /v1/tools/executions/{TOOL}", f"POST /v1/files/{FILE}/hydrate"]


async def test_voices_and_actors_are_listed(api, server):
    server.will(
        httpx.Response(200, json={"ttsVoices": [{"voiceId": "vg_voic_1"}], "hasMore": True, "nextCursor": "c"}),
        httpx.Response(200, json={"ttsVoices": [{"voiceId": "vg_voic_2"}], "hasMore": False, "nextCursor": None}),
        httpx.Response(200, json={"entities": [{"entityId": "vg_enti_1"}], "hasMore": False}),
    )
    assert await api.voices() == [{"voiceId": "vg_voic_1"}, {"voiceId": "vg_voic_2"}]
    assert await api.actors() == [{"entityId": "vg_enti_1"}]
    assert server.asked == [
        "GET /v1/resources/tts-voices?limit=100",
        "GET /v1/resources/tts-voices?limit=100&cursor=c",
        "GET /v1/entities?limit=100&entityType=ACTOR",
    ]


REFRESHED = Output(id=FILE, type="VIDEO", url=FRESH, expires_at=EXPIRES, size=18234511)


async def test_an_output_of_a_tool_is_refreshed_through_its_execution(api, server):
    server.will("get-tool-execution.succeeded.200")
    assert await api.refresh(STALE, job_id=TOOL) == REFRESHED
    assert server.asked == [f"GET /v1/tools/executions/{TOOL}"]


async def test_a_url_that_the_execution_keeps_is_signed_anew_through_the_file(api, server):
    server.will("get-tool-execution.succeeded.200", "hydrate-file.200")
    assert await api.refresh(REFRESHED, job_id=TOOL) == REFRESHED
    assert server.asked == [f"GET /v1/tools/executions/{TOOL}", f"POST /v1/files/{FILE}/hydrate"]


@pytest.mark.parametrize(
    "answer",
    [
        "error.404-not-found", "error.400-invalid-id", "error.403-requirement", "error.429-rate-limited",
        "get-tool-execution.running.200",
    ],
)  # fmt: skip
async def test_an_execution_that_cannot_help_leads_to_the_file(api, server, answer):
    server.will(answer, "hydrate-file.200")
    assert await api.refresh(STALE, job_id="some-id-of-the-future") == REFRESHED
    assert server.asked[1] == f"POST /v1/files/{FILE}/hydrate"


@pytest.mark.parametrize("job_id", [None, "vg_expo_5cJm9qS3tZ6yN2wM4uD8xe", "vg_work_1"])
async def test_a_file_of_no_tool_is_asked_for_at_once(api, server, job_id):
    server.will("hydrate-file.200")
    assert await api.refresh(Output(id=FILE, temporary=True), job_id=job_id) == Output(
        id=FILE, type="VIDEO", url=FRESH, expires_at=EXPIRES, size=18234511, temporary=True
    )
    assert server.asked == [f"POST /v1/files/{FILE}/hydrate"]


async def test_an_output_that_is_not_ready_has_no_url_and_keeps_what_was_known(api, server):
    server.will("get-file.unhydrated.200")
    refreshed = await api.refresh(STALE, job_id=None)
    assert refreshed == Output(id=FILE, type="VIDEO", url=None, expires_at=None, size=7)


@pytest.mark.parametrize("answer", ["error.401-invalid-api-key", "error.500"])
async def test_trouble_that_asking_elsewhere_cannot_help_is_told(api, server, answer):
    server.will(answer)
    await refused(api.refresh(STALE, job_id=TOOL))
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("answer", "status", "code", "request_id", "words"),
    [
        ("error.400-invalid-id", 400, "invalid_id", "req_made_up_0001", "toolExecutionId is malformed"),
        ("error.400-invalid-parameters", 400, "invalid_parameters", "req_made_up_0001", "prompt is required"),
        (
            "error.401-invalid-api-key",
            401,
            "invalid_api_key",
            "req_made_up_0001",
            "invalid or has been revoked",
        ),
        ("error.401-no-code", 401, None, "req_made_up_0001", "VideoGen answered 401: Unauthorized"),
        ("error.403-requirement", 403, "not_authorized", "req_made_up_0001", "(it asks for purchase_add_on)"),
        ("error.404-not-found", 404, "not_found", "req_made_up_0001", "Tool execution not found."),
        ("error.429-rate-limited", 429, "rate_limited", "req_made_up_0003", "Rate limit exceeded."),
        (
            "error.429-insufficient-credits",
            429,
            "insufficient_credits",
            "req_made_up_0001",
            "Out of credits.",
        ),
        ("error.500", 500, None, "req_made_up_0001", "(its reference: VG-000500)"),
        ("error.502-non-json", 502, None, None, "VideoGen answered 502"),
    ],
)
async def test_a_refusal_keeps_what_the_provider_said(api, server, answer, status, code, request_id, words):
    server.will(answer)
    error = await refused(api.me())
    assert (error.status, error.code, error.request_id, error.retry_after) == (status, code, request_id, None)
    assert words in str(error)
    assert "<html>" not in str(error)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        ("1.5", 1.5),
        ("Thu, 29 Oct 2026 00:01:00 GMT", 60.0),
        ("Thu, 29 Oct 2026 00:01:00 -0000", 60.0),
        ("Wed, 28 Oct 2026 00:00:00 GMT", 0.0),
        ("Thu, 29 Oct 99999999999999999999 00:01:00 GMT", None),
        ("nan", None),
        ("-5", None),
        ("soon", None),
        ("", None),
    ],
)
async def test_the_time_to_come_back_is_understood_in_both_forms(api, server, header, seconds):
    server.will(httpx.Response(429, headers={"retry-after": header}, json={"message": "slow down"}))
    assert (await refused(api.me())).retry_after == seconds


async def test_a_refusal_that_repeats_secrets_is_told_without_them(api, server):
    message = f"key {KEY} may not read https://a.example/x?sig=1 with whsec_AAAA"
    server.will(httpx.Response(403, json={"message": message, "code": "x" * 600}))
    error = await refused(api.me())
    assert "whsec_" not in str(error)
    assert error.code is None


async def test_the_very_key_is_cut_out_whatever_it_looks_like(server):
    async with httpx.AsyncClient(transport=httpx.MockTransport(server)) as http:
        plain = VideoGenApi(http, Provider(api_key=SecretStr("hunter2!")))
        server.will(httpx.Response(401, json={"message": "hunter2! is no key"}))
        with pytest.raises(ProviderError) as caught:
            await plain.me()
    assert str(caught.value) == "VideoGen answered 401: [redacted] is no key"


async def test_a_redirect_is_not_followed(api, server):
    server.will(httpx.Response(302, headers={"location": "https://elsewhere.example/?sig=1"}))
    assert (await refused(api.me())).status == 302
    assert len(server.requests) == 1


@pytest.mark.parametrize("content", [b"<html>", b"[]", b"\xff", b'{"n":NaN}'])
async def test_a_success_that_makes_no_sense_is_an_error(api, server, content):
    server.will(httpx.Response(200, content=content))
    error = await refused(api.me())
    assert error.status == 200
    assert "makes no sense" in str(error)


async def test_an_answer_without_end_is_cut(api, server, monkeypatch):
    monkeypatch.setattr(connection, "LARGEST", 10)
    server.will(httpx.Response(200, content=b'{"a":"' + b"x" * 100))
    assert "too large" in str(await refused(api.me()))


async def test_a_compressed_answer_is_measured_by_what_it_unpacks_to(api, server, monkeypatch):
    import gzip

    monkeypatch.setattr(connection, "LARGEST", 1000)
    packed = gzip.compress(json.dumps({"a": "x" * 2000}).encode())
    assert len(packed) < 1000
    server.will(httpx.Response(200, headers={"content-encoding": "gzip"}, content=packed))
    assert "too large" in str(await refused(api.me()))


@pytest.mark.parametrize(
    "trouble",
    [
        httpx.ConnectError("[Errno 111] Connection refused"),
        httpx.ReadTimeout(""),
        httpx.RemoteProtocolError("bad answer for https://api.videogen.io/v1/x?sig=1"),
        httpx.DecodingError("broken gzip"),
    ],
)
async def test_no_answer_is_an_error_without_a_status_and_without_a_query(api, server, trouble):
    server.will(trouble)
    error = await refused(api.me())
    assert (error.status, error.code, error.request_id) == (0, None, None)
    assert str(error).startswith(f"no answer from api.videogen.io: {type(trouble).__name__}")


async def test_a_server_that_hangs_is_left(monkeypatch):
    monkeypatch.setattr(connection, "TIMEOUT", 0.01)
    hanging = asyncio.Event()

    async def never(request: httpx.Request) -> httpx.Response:
        await hanging.wait()
        raise AssertionError

    async with httpx.AsyncClient(transport=httpx.MockTransport(never)) as http:
        error = await refused(VideoGenApi(http, Provider(api_key=SecretStr(KEY))).me())
    assert error.status == 0
    assert "TimeoutError" in str(error)


async def test_a_client_without_a_key_names_the_variable_to_set():
    async with httpx.AsyncClient() as http:
        with pytest.raises(ConfigError, match="VIDEOGEN_API_KEY is not set"):
            VideoGen().client(http, Provider())


@pytest.mark.parametrize("key", ["sk_ü", "two words", "line\nbreak", "\t\t"])
async def test_a_key_that_no_header_can_carry_is_refused_without_being_named(key):
    async with httpx.AsyncClient() as http:
        with pytest.raises(ConfigError) as caught:
            VideoGen().client(http, Provider(api_key=SecretStr(key)))
    assert key not in str(caught.value)


async def test_no_repr_holds_the_key(api):
    inside = api._connection
    assert KEY not in repr(api) + repr(vars(api)) + repr(inside) + repr(vars(inside))


@pytest.mark.parametrize(
    ("base_url", "asked"),
    [
        (None, f"{BASE}/v1/me"),
        ("http://127.0.0.1:4010/", "http://127.0.0.1:4010/v1/me"),
        ("https://proxy.example/videogen", "https://proxy.example/videogen/v1/me"),
    ],
)
async def test_the_address_of_the_api_can_be_set(server, base_url, asked):
    async with httpx.AsyncClient(transport=httpx.MockTransport(server)) as http:
        server.will("get-me.200")
        await VideoGen().client(http, Provider(api_key=SecretStr(KEY), base_url=base_url)).me()
    assert str(server.requests[0].url) == asked


@pytest.mark.parametrize("base_url", ["api.videogen.io", "ftp://a", "https://", "https://a:b@c", "https://a?b", "x:\0"])
async def test_an_address_that_cannot_work_is_refused_at_the_start(base_url):
    async with httpx.AsyncClient() as http:
        with pytest.raises(ConfigError, match="VIDEOGEN_BASE_URL"):
            VideoGen().client(http, Provider(api_key=SecretStr(KEY), base_url=base_url))
