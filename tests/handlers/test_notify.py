"""People are told once per burst, by real services on loopback."""

import asyncio
import email.policy
import json
import logging
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import structlog
from aiosmtpd.smtp import SMTP
from pydantic import SecretStr, ValidationError

from handlers import notify as module
from handlers.notify import Notify, notifier, notify, quiet_left, words
from receiver import JobError, Retry, logs
from receiver.config import Config
from receiver.errors import ConfigError
from receiver.registry import _options, find_handlers

Make = Callable[..., Any]


@pytest.fixture(autouse=True, scope="module")
def apprise() -> None:
    """Apprise, with all of its services; one of them imports what Python is about to drop."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert module._target(SecretStr("json://127.0.0.1"))


@dataclass
class Service:
    """Takes what Apprise sends as JSON, and answers as it is told."""

    port: int = 0
    status: int = 200
    headers: str = ""
    messages: list[dict[str, Any]] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self) -> str:
        return f"json://127.0.0.1:{self.port}/hooks/hush"

    @property
    def bodies(self) -> list[str]:
        return [message["message"] for message in self.messages]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(next(line for line in head.split("\r\n") if line.startswith("content-length:")).split(":")[1])
        self.messages.append(json.loads(await reader.readexactly(length)))
        writer.write(
            f"HTTP/1.1 {self.status} X\r\n{self.headers}Content-Length: 0\r\nConnection: close\r\n\r\n".encode()
        )
        await writer.drain()
        writer.close()
        self.came.set()


@asynccontextmanager
async def serving() -> AsyncIterator[Service]:
    service = Service()
    server = await asyncio.start_server(service.serve, "127.0.0.1", 0)
    service.port = server.sockets[0].getsockname()[1]
    yield service
    server.close()


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with serving() as made:
        yield made


@pytest.fixture
async def other() -> AsyncIterator[Service]:
    async with serving() as made:
        yield made


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Notify]:
    def make(*services: Service, **changes: Any) -> Notify:
        for number, one in enumerate(services):
            monkeypatch.setenv(f"TARGET_{number}", one.url())
        return Notify(to=[{"env": f"TARGET_{number}"} for number in range(len(services))], **changes)

    return make


class Gate:
    """A burst lasts until the test says that its time is over."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.over = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        await self.over.wait()


@pytest.fixture
def gate() -> Gate:
    return Gate()


class Steps:
    """The steps of one run, as the store keeps them."""

    def __init__(self) -> None:
        self.made: set[str] = set()

    @asynccontextmanager
    async def once(self, key: str) -> AsyncIterator[bool]:
        yield key not in self.made
        self.made.add(key)


async def started(*handling: Any) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(one) for one in handling]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


async def test_a_burst_is_one_message_that_counts_and_lists_and_then_all_its_runs_are_done(
    service: Service, event: Make, context: Make, options: Make, gate: Gate
) -> None:
    handle = notifier(options(service, text="{job_id}"), sleep=gate)
    tasks = await started(*(handle(event(id=f"evt_{n}", job_id=f"job_{n}"), context()) for n in range(25)))
    assert not any(task.done() for task in tasks)
    assert service.messages == []
    gate.over.set()
    await asyncio.gather(*tasks)
    [message] = service.messages
    assert message["title"] == "media-receiver: 25 events"
    assert message["message"].splitlines() == [*(f"job_{n}" for n in range(20)), "… and 5 more"]
    assert gate.asked == [10]


async def test_a_message_is_in_the_trace_of_the_run_that_began_it_and_names_no_more_than_the_service(
    service: Service, event: Make, context: Make, options: Make, spans: Any
) -> None:
    handle = notifier(options(service, burst=0))
    with spans.tracing.run(None, handler="notify"):
        await handle(event(), context(traced=spans.tracing.outgoing))
        service.status = 503
        with pytest.raises(Retry):
            await handle(event(), context(traced=spans.tracing.outgoing))
    [run], [taken, refused] = spans.named("run"), spans.named("json")
    assert {span.parent.span_id for span in (taken, refused)} == {run.context.span_id}
    assert [span.status.description for span in (taken, refused)] == [None, "NotTaken"]
    assert "hush" not in "".join(span.to_json() for span in spans)


async def test_what_comes_after_a_message_is_another_one(
    service: Service, event: Make, context: Make, options: Make
) -> None:
    handle = notifier(options(service, burst=0))
    await handle(event(id="evt_1"), context())
    await handle(event(id="evt_2", kind="job.failed", error=JobError(message="no credits")), context())
    assert [message["title"] for message in service.messages] == ["media-receiver"] * 2
    assert service.bodies == [
        "videogen GENERATE_VIDEO_CLIP succeeded (job vg_tool_1)",
        "videogen GENERATE_VIDEO_CLIP failed (job vg_tool_1): no credits",
    ]


async def test_a_message_that_is_refused_leaves_every_run_of_its_burst_to_be_tried_again(
    service: Service, event: Make, context: Make, options: Make, gate: Gate
) -> None:
    handle = notifier(options(service), sleep=gate)
    service.status = 503
    tasks = await started(*(handle(event(id=f"evt_{n}"), context()) for n in range(3)))
    gate.over.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(one) for one in found] == [Retry] * 3
    service.status = 200
    gate.over.clear()
    again = (context(attempt=2, once=Steps().once) for _ in range(3))
    tasks = await started(*(handle(event(id=f"evt_{n}"), one) for n, one in enumerate(again)))
    gate.over.set()
    await asyncio.gather(*tasks)
    assert [message["title"] for message in service.messages] == ["media-receiver: 3 events"] * 2


async def test_a_target_that_fails_is_tried_again_and_the_others_are_not_told_twice(
    service: Service, other: Service, event: Make, context: Make, options: Make
) -> None:
    handle = notifier(options(service, other, burst=0))
    other.status, steps = 500, Steps()
    for attempt in (1, 2):
        with pytest.raises(Retry, match="not taken by target 2"):
            await handle(event(), context(attempt=attempt, once=steps.once))
    other.status = 200
    await handle(event(), context(attempt=3, once=steps.once))
    await handle(event(), context(attempt=4, once=steps.once))  # as if the worker had died before it was kept
    assert (len(service.messages), len(other.messages)) == (1, 4)


async def test_a_worker_that_stops_leaves_the_burst_to_another_and_sends_nothing(
    service: Service, event: Make, context: Make, options: Make, gate: Gate
) -> None:
    handle = notifier(options(service), sleep=gate)
    leader, follower = await started(handle(event(id="evt_1"), context()), handle(event(id="evt_2"), context()))
    for task in (leader, follower):
        task.cancel()
    await asyncio.wait([leader, follower])
    assert leader.cancelled()
    assert follower.cancelled()
    gate.over.set()
    await handle(event(id="evt_3"), context())
    assert [message["title"] for message in service.messages] == ["media-receiver"]


async def test_a_run_that_is_cut_off_is_not_in_the_message_that_others_wait_for(
    service: Service, event: Make, context: Make, options: Make, gate: Gate
) -> None:
    handle = notifier(options(service, text="{id}"), sleep=gate)
    leader, follower = await started(handle(event(id="evt_1"), context()), handle(event(id="evt_2"), context()))
    follower.cancel()
    await asyncio.wait([follower])
    gate.over.set()
    await leader
    assert service.bodies == ["evt_1"]


async def test_a_burst_whose_first_run_is_cut_off_is_tried_again_by_the_others(
    service: Service, event: Make, context: Make, options: Make, gate: Gate
) -> None:
    handle = notifier(options(service), sleep=gate)
    leader, follower = await started(handle(event(id="evt_1"), context()), handle(event(id="evt_2"), context()))
    leader.cancel()
    with pytest.raises(Retry):
        await follower
    assert service.messages == []


async def test_mail_is_plain_text_and_a_stranger_adds_no_header_to_it(
    event: Make, context: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    mails = []

    class Post:
        async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
            mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
            return "250 OK"

    server = await asyncio.get_running_loop().create_server(lambda: SMTP(Post()), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    monkeypatch.setenv("MAIL", f"mailto://127.0.0.1:{port}/?from=receiver@example.com&to=ops@example.com")
    hostile = JobError(message="<script>x()</script>\r\nBcc: a@example.com https://x.example/f?sig=hush")
    handle = notifier(Notify(to={"env": "MAIL"}, burst=0))
    await handle(event(kind="job.failed", error=hostile), context())
    server.close()
    [mail] = mails
    assert (mail["subject"], mail["bcc"]) == ("media-receiver", None)
    assert "ops@example.com" in mail["to"]
    assert mail.get_content_type() == "text/plain"
    assert "hush" not in mail.get_content()
    assert "failed (job vg_tool_1): <script>" in mail.get_content()


async def test_apprise_is_not_led_elsewhere_by_a_redirect(
    service: Service, other: Service, event: Make, context: Make, options: Make
) -> None:
    service.status, service.headers = 307, f"Location: http://127.0.0.1:{other.port}/\r\n"
    with pytest.raises(Retry):
        await notifier(options(service, burst=0))(event(), context())
    assert other.messages == []


async def test_a_service_that_is_not_there_is_tried_again_and_its_url_is_not_told(
    event: Make, context: Make, options: Make, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as gone:
        pass
    with pytest.raises(Retry) as told:
        await notifier(options(gone, burst=0))(event(), context())
    assert "hush" not in str(told.value) + caplog.text


async def test_the_token_in_a_target_s_url_is_not_logged_however_much_is(
    service: Service, event: Make, context: Make, options: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    kept = root.handlers[:], root.level
    logs.configure(format="json", level="debug")
    try:
        handle = notifier(options(service, burst=0))
        await handle(event(), context())
        service.status = 500
        with pytest.raises(Retry):
            await handle(event(), context())
    finally:
        root.handlers[:], root.level = kept
        structlog.reset_defaults()
    told = capsys.readouterr().err
    assert "500" in told  # why it failed
    assert "hush" not in told


# Quiet hours

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("here", "quiet", "hours"),
    [
        ("2026-11-27 21:59", "22:00-07:00", 0),
        ("2026-11-27 22:00", "22:00-07:00", 9),
        ("2026-11-28 06:30", "22:00-07:00", 0.5),
        ("2026-11-28 07:00", "22:00-07:00", 0),
        ("2026-11-28 12:30", "12:00-13:00", 0.5),
        ("2026-11-28 13:30", "12:00-13:00", 0),
        ("2026-10-24 22:00", "22:00-07:00", 10),  # the clocks go back in this night
        ("2026-03-28 22:00", "22:00-07:00", 8),  # and forward in this one
        ("2026-11-27 12:00", "07:00-07:00", 0),
    ],
)
def test_quiet_hours_end_by_the_clock_on_the_wall(here: str, quiet: str, hours: float) -> None:
    now = datetime.fromisoformat(here).replace(tzinfo=BERLIN).timestamp()
    assert quiet_left(now, quiet, "Europe/Berlin") == hours * 3600


async def test_in_quiet_hours_nothing_is_sent_and_the_run_comes_again_when_they_end(
    service: Service, event: Make, context: Make, options: Make
) -> None:
    now = datetime(2026, 11, 27, 23, tzinfo=BERLIN).timestamp()
    quiet = options(service, quiet="22:00-07:00", zone="Europe/Berlin", burst=0)
    with pytest.raises(Retry, match="quiet hours, 22:00-07:00 in Europe/Berlin") as told:
        await notifier(quiet, now=lambda: now)(event(), context())
    assert told.value.after == 8 * 3600
    assert service.messages == []
    await notifier(quiet, now=lambda: now + 8 * 3600)(event(), context(attempt=2, once=Steps().once))
    assert len(service.messages) == 1


# Texts and options


def test_a_text_names_what_the_application_said_and_nothing_of_ours_is_hidden_by_it(event: Make) -> None:
    said = words(event(metadata={"order": 42, "source": "me", "deep": {"a": 1}}))
    assert (said["order"], said["source"]) == ("42", "videogen")
    assert "deep" not in said


def test_an_alarm_is_told_in_its_own_words(event: Make) -> None:
    assert words(event(type="alarm.raised", data={"text": "the backlog is 9 minutes old"}))["summary"] == (
        "the backlog is 9 minutes old"
    )


async def test_what_is_missing_is_empty_and_a_long_line_is_cut(
    service: Service, event: Make, context: Make, options: Make
) -> None:
    handle = notifier(options(service, text="{{{nothing}}} {error}", burst=0))
    await handle(event(error=JobError(message="x" * 5000)), context())
    assert service.bodies == ["{} " + "x" * 157]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"to": []}, "at least 1 item"),
        ({"to": "json://x"}, "valid list"),
        ({"to": ["json://x"]}, "a secret does not belong into this file"),
        ({"to": [{"env": "NOWHERE"}]}, "the variable NOWHERE is not set"),
        ({"to": {"env": "BAD"}}, "target 1 is no URL that Apprise knows"),
        ({"text": "{error.__class__}"}, "stands a name, and nothing else"),
        ({"text": "{"}, "Single '{'"),
        ({"zone": "Europe/Nowhere"}, "there is no time zone Europe/Nowhere"),
        ({"zone": "../etc"}, "there is no time zone"),
        ({"quiet": "10-12"}, "should match pattern"),
        ({"burst": 100}, "less than or equal to 60"),
    ],
)
def test_options_that_cannot_work_are_refused_without_telling_a_url(
    options: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOD", "json://127.0.0.1")
    monkeypatch.setenv("BAD", "nonsense://hush")
    with pytest.raises(ValidationError, match=told) as problem:
        _options(notify, "notify").model_validate({"to": [{"env": "GOOD"}]} | options)
    assert "hush" not in str(problem.value)


def test_a_missing_extra_is_named_with_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOD", "json://127.0.0.1")
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda _name: None)
    file = Config(Path("receiver.toml"), '[[handlers]]\nuse = "notify"\non = "*"\nto = { env = "GOOD" }\n')
    with pytest.raises(ConfigError, match=r"receiver.toml:4: handlers\[1\].to: notify needs the extra notify: pip "):
        find_handlers(["handlers.notify"], file)
