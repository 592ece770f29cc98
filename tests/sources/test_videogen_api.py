import asyncio
import json
import traceback
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from receiver.errors import BadParameters, ConfigError, ProviderError
from receiver.events import Output
from receiver.settings import Provider
from receiver.sources import Registered, Submission, Tool, connection, find_tool
from receiver.sources.videogen import Api, VideoGen
from receiver.sources.videogen.reading import read

SAMPLES = Path(__file__).parent.parent / "samples" / "videogen" / "rest"
KEY = "sk_videogen_live_abcdefgh12345678"
BASE = "https://api.videogen.io"


def tool(name: str) -> Tool:
    found = find_tool(VideoGen(), name)
    assert found is not None
    return found


MUSIC = tool("generate-music")
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
        yield Api(http, Provider(api_key=SecretStr(KEY)), clock=lambda: T0)


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
    monkeypatch.setattr("receiver.sources.videogen.api.PAGES", 3)
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
    await api.cancel(id, MUSIC)
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
    assert await api.submit(tool("generate-sound-effect"), parameters) == Submission(job_id=TOOL)
    assert server.asked == ["POST /v1/tools/generate-sound-effect"]
    assert server.body() == parameters


async def test_a_started_tool_without_an_id_is_an_error(api, server):
    server.will(httpx.Response(202, json={}))
    assert (await refused(api.submit(MUSIC, {}))).status == 202


@pytest.mark.parametrize("outcome", [httpx.ConnectError("no"), httpx.ReadTimeout("slow"), "error.500"])
async def test_starting_a_tool_is_never_tried_twice(api, server, outcome):
    server.will(outcome)
    await refused(api.submit(MUSIC, {}))
    assert len(server.requests) == 1


async def test_a_tool_is_cancelled(api, server):
    server.will("cancel-tool-execution.202")
    await api.cancel(TOOL, None)
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
        plain = Api(http, Provider(api_key=SecretStr("hunter2!")))
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
        error = await refused(Api(http, Provider(api_key=SecretStr(KEY))).me())
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


RUN = "vg_work_cmh3kb7yt0004l508ef56gh78"
EXPORT = "vg_expo_5cJm9qS3tZ6yN2wM4uD8xe"
PROJECT = "vg_proj_9tRk4nQ2sZ8yP5vM3xB7wd"


@pytest.mark.parametrize(
    ("name", "parameters", "answer", "path", "job_id"),
    [
        ("script-to-video", {"script": "hi"}, "workflow-accepted.202", "/v1/workflows/script-to-video", RUN),
        ("export-project", {"projectId": PROJECT}, "export-accepted.202", f"/v1/projects/{PROJECT}/export", EXPORT),
        (
            "remix-project",
            {"projectId": PROJECT},
            {"remixActionIds": ["r1", "r2"]},
            f"/v1/projects/{PROJECT}/remix",
            f"{PROJECT}:r1,r2",
        ),
        (
            "timeline-interchange",
            {"projectId": "p"},
            {"interchangeJobId": "i"},
            "/v1/projects/p/timeline-interchange",
            "i",
        ),
        ("import-file", {"url": "https://x.example"}, {"fileImportId": "f"}, "/v1/files/import-url", "f"),
        ("assistant-message", {"message": "hi"}, {"messageId": "m"}, "/v1/assistants", "m"),
        (
            "assistant-message",
            {"assistantId": "a", "message": "hi"},
            {"messageId": "m"},
            "/v1/assistants/a/messages",
            "m",
        ),
    ],
)
async def test_every_sort_of_work_is_started_at_its_path(api, server, name, parameters, answer, path, job_id):
    server.will(answer if isinstance(answer, str) else httpx.Response(202, json=answer))
    assert await api.submit(tool(name), parameters) == Submission(job_id=job_id)
    assert server.asked == [f"POST {path}"]
    assert server.body() == {key: value for key, value in parameters.items() if key not in ("projectId", "assistantId")}


@pytest.mark.parametrize(
    ("name", "rest", "webhook", "path"),
    [
        ("generate-avatar", "get-tool-execution.succeeded", "tool_execution.succeeded", "tools/executions/{}"),
        ("generate-avatar", "get-tool-execution.failed", "tool_execution.failed", "tools/executions/{}"),
        ("script-to-video", "get-workflow-run.failed", "workflow_run.failed", "workflows/runs/{}"),
        (
            "export-project",
            "get-project-export.succeeded",
            "project_export.succeeded",
            f"projects/{PROJECT}/exports/{{}}",
        ),
    ],
)
async def test_an_end_that_was_asked_for_reads_like_its_webhook(api, server, name, rest, webhook, path):
    told = read((SAMPLES.parent / "webhooks" / f"{webhook}.json").read_bytes())
    server.will(f"{rest}.200")
    answer = await api.ask(told.job_id, tool(name), {"projectId": PROJECT})
    asked = read(answer.body)
    assert (asked.type, asked.kind, asked.job_id, asked.tool, asked.fact) == (
        told.type,
        told.kind,
        told.job_id,
        told.tool,
        told.fact,
    )
    assert [output.id for output in asked.outputs] == [output.id for output in told.outputs]
    assert (asked.error and asked.error.message) == (told.error and told.error.message)
    assert server.asked == [f"GET /v1/{path.format(told.job_id)}"]


@pytest.mark.parametrize(
    ("rest", "standing"),
    [
        ("get-tool-execution.pending", "submitted"),
        ("get-tool-execution.running", "running"),
        ("get-tool-execution.awaiting_approval", "awaiting_approval"),
    ],
)
async def test_a_job_that_goes_on_is_told_with_its_progress_and_without_an_event(api, server, rest, standing):
    server.will(f"{rest}.200")
    answer = await api.ask(TOOL, None, {})
    assert (answer.standing, answer.body) == (standing, None)
    assert answer.progress is not None


async def test_a_status_that_nobody_knows_is_no_end(api, server):
    server.will(httpx.Response(200, json={"status": "dreaming", "progressPercentage": "much"}))
    answer = await api.ask(TOOL, MUSIC, {})
    assert (answer.standing, answer.status, answer.progress, answer.body) == ("running", "dreaming", None, None)


async def test_an_answer_without_a_status_is_an_error(api, server):
    server.will(httpx.Response(200, json={}))
    assert (await refused(api.ask(TOOL, MUSIC, {}))).status == 200


@pytest.mark.parametrize(
    ("statuses", "standing"),
    [
        (["succeeded", "succeeded"], "succeeded"),
        (["succeeded", "running"], "running"),
        (["failed", "running"], "running"),
        (["failed", "cancelled"], "failed"),
        (["succeeded", "cancelled"], "cancelled"),
    ],
)
async def test_a_remix_ends_when_all_its_actions_have(api, server, statuses, standing):
    actions = [{"remixActionId": f"r{at}", "status": status} for at, status in enumerate(statuses)]
    server.will(httpx.Response(200, json={"remixActions": [*actions, {"remixActionId": "other", "status": "running"}]}))
    answer = await api.ask("p:r0,r1", tool("remix-project"), {})
    assert answer.standing == standing
    if answer.body:
        reading = read(answer.body)
        assert (reading.kind, reading.job_id, reading.tool) == (f"job.{standing}", "p:r0,r1", "PROJECT_REMIX")


async def test_a_remix_that_makes_a_new_project_is_asked_about_there(api, server):
    server.will(httpx.Response(202, json={"projectId": "new", "remixActionIds": ["r1"]}))
    parameters = {"projectId": "old", "remixActions": [{}], "saveAsNewProject": True}
    taken = await api.submit(tool("remix-project"), parameters)
    server.will(httpx.Response(200, json={"remixActions": [{"remixActionId": "r1", "status": "succeeded"}]}))
    assert (await api.ask(taken.job_id, tool("remix-project"), parameters)).standing == "succeeded"
    assert server.asked[-1] == "GET /v1/projects/new/remix-actions"


async def test_an_imported_file_is_an_output(api, server):
    file = {"fileId": "f1", "type": "IMAGE", "downloadUrl": "https://x.example/a.png"}
    server.will(httpx.Response(200, json={"fileImportId": "i1", "status": "succeeded", "file": file}))
    answer = await api.ask("i1", tool("import-file"), {})
    [output] = read(answer.body).outputs
    assert (output.id, output.url) == ("f1", "https://x.example/a.png")


async def test_what_is_asked_by_its_project_needs_one(api, server):
    assert (await refused(api.ask(EXPORT, None, {}))).status == 404
    server.will(httpx.Response(200, json={"remixActions": []}))
    assert (await refused(api.ask("p:r1", tool("remix-project"), {}))).status == 404


async def test_the_newest_jobs_of_a_tool_are_told_apart_by_type(api, server):
    page = [{"toolExecutionId": "b", "toolType": "GENERATE_MUSIC"}, {"toolExecutionId": "a", "toolType": "OTHER"}, {}]
    server.will(httpx.Response(200, json={"toolExecutions": page}))
    assert await api.recent(MUSIC) == ["b"]
    assert server.asked == ["GET /v1/tools/executions?limit=100&selfOnly=true"]
    assert await api.recent(tool("export-project")) is None


async def test_no_credits_are_told_apart_from_too_many_questions(api, server):
    server.will("error.429-insufficient-credits", "error.429-rate-limited")
    assert (await refused(api.submit(MUSIC, {}))).exhausted
    assert not (await refused(api.submit(MUSIC, {}))).exhausted


async def test_a_request_that_never_left_is_told_from_one_without_an_answer(api, server):
    server.will(httpx.ConnectError("no"), httpx.ReadTimeout("slow"))
    assert not (await refused(api.submit(MUSIC, {}))).reached
    assert (await refused(api.submit(MUSIC, {}))).reached


async def test_what_cannot_be_cancelled_says_so(api, server):
    assert (await refused(api.cancel(EXPORT, tool("export-project")))).status == 405
    assert server.requests == []


@pytest.mark.parametrize(
    ("name", "parameters", "rule"),
    [
        ("generate-sound-effect", {}, "prompt: Field required"),
        (
            "generate-sound-effect",
            {"prompt": "rain", "durationSeconds": 31},
            "durationSeconds: Input should be less than or",
        ),
        ("generate-sound-effect", {"prompt": 7}, "prompt: Input should be a valid string"),
        ("generate-video-clip", {"durationSeconds": 5}, "prompt or startFrameFileId or"),
        ("generate-avatar", {"actorEntityId": "e"}, "audioFileId or audioStorageFileId is required"),
        ("text-to-speech", {"ttsText": "hi"}, "voiceId: Field required"),
        ("generate-image", {"prompt": "x", "numResults": 101}, "numResults"),
        ("remix-project", {"projectId": "p", "remixActions": []}, "remixActions"),
        ("upscale-image", {"watermarkMode": "SOME", "imageFileId": "f"}, "watermarkMode"),
    ],
)
def test_what_is_certainly_wrong_is_refused_with_its_rule(name, parameters, rule):
    with pytest.raises(BadParameters, match=f"^{name}: {rule}.*docs.videogen.io"):
        tool(name).check(parameters)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("generate-avatar", {"avatarPresenterId": "p", "audioStorageFileId": "f"}),
        ("generate-avatar", {"actorEntityId": "e", "audioFileId": "f", "avatarQuality": "MAX"}),
        ("generate-sound-effect", {"prompt": "rain", "durationSeconds": None, "brandNew": {"a": 1}}),
        ("generate-video-clip", {"videoFileId": "f"}),
        ("upscale-video", {"videoStorageFileId": "f"}),
        ("script-to-video", {"anything": [1]}),
    ],
)
def test_old_names_nulls_and_what_is_not_known_pass_as_they_are(name, parameters):
    assert tool(name).check(parameters) == parameters


def test_no_two_tools_share_a_name_or_a_type():
    words = [word for one in VideoGen.tools for word in {one.name, one.type}]
    assert len(words) == len(set(words))
