import json
import logging

import httpx
import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from receiver import GiveUp, Retry, logs
from receiver.app import Door
from receiver.settings import Settings, load

from .conftest import SECRET
from .store.conftest import arrival  # noqa: F401 - a fixture
from .test_dispatcher import dispatching, mark, until
from .test_inbox import signed


@pytest.fixture(autouse=True)
def restored():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("get https://s.example/f.mp4?X-Signature=hunter2 failed", "get https://s.example/f.mp4?[redacted] failed"),
        ("secret whsec_dmlkZW9nZW4tc2FtcGxl= here", "secret [redacted] here"),
        ("key sk_videogen_live_hunter2", "key [redacted]"),
        ("Authorization: Bearer hunter2.abc", "Authorization: [redacted]"),
        ("nothing to hide?", "nothing to hide?"),
    ],
)
def test_secrets_and_signed_urls_are_taken_out_of_text(text, left):
    assert logs.scrub(text) == left


def test_json_logs_are_one_object_a_line_without_secrets(capsys):
    logs.configure(format="json", level="info")
    structlog.get_logger("a").info("sent", url="https://s.example/f?sig=hunter2", number=3)
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["url"], line["number"], line["level"]) == (
        "sent",
        "https://s.example/f?[redacted]",
        3,
        "info",
    )


def test_what_libraries_log_is_scrubbed_and_formed_alike(capsys):
    logs.configure(format="json", level="info")
    logging.getLogger("some.library").warning("gave %s", "https://s.example/f?sig=hunter2")
    assert json.loads(capsys.readouterr().err)["event"] == "gave https://s.example/f?[redacted]"


def test_an_exception_is_logged_without_the_secret_in_its_message(capsys):
    logs.configure(format="json", level="info")
    try:
        raise ValueError("https://s.example/f?sig=hunter2")
    except ValueError:
        structlog.get_logger("a").exception("broken")
    shown = capsys.readouterr().err
    assert "hunter2" not in shown
    assert "ValueError" in shown


def test_requests_are_not_logged_with_their_urls(capsys):
    logs.configure(format="console", level="debug")
    logging.getLogger("httpx").info("HTTP Request: GET https://s.example/f?sig=hunter2")
    assert capsys.readouterr().err == ""


def test_console_logs_are_for_people(capsys):
    logs.configure(format="console", level="warning")
    structlog.get_logger("a").info("hidden")
    structlog.get_logger("a").warning("shown", reason="x")
    assert "shown" in capsys.readouterr().err


def test_what_strangers_wrote_moves_no_cursor_on_a_console(capsys):
    logs.configure(format="console", level="warning")
    structlog.get_logger("a").warning("refused", source="\x1b[2Jgone\x9b2J\u202e", more=["\x1b"])
    logging.getLogger("theirs").warning("told \x1b[2J")
    try:
        raise ValueError("\x1b[31m")
    except ValueError:
        structlog.get_logger("a").exception("broken")
    shown = capsys.readouterr().err
    assert all(char.isprintable() or char == "\n" for char in shown)
    assert "\N{REPLACEMENT CHARACTER}[2Jgone" in shown


GIVEN = ("an-admin-token-made-up", "postgres-pass word", "key/of+a=provider")

#: Secrets as they come: given by settings, or recognised by how they look.
secrets = st.one_of(
    st.sampled_from(GIVEN),
    st.from_regex(r"whsec_[A-Za-z0-9+/]{16,40}={0,2}", fullmatch=True),
    st.from_regex(r"sk_(live|test)_[A-Za-z0-9_-]{8,30}", fullmatch=True),
)
words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@st.composite
def told(draw):
    """A secret, and a text that has it: by itself, as a bearer, in a URL's user, query or fragment."""
    secret = draw(secrets)
    quoted = secret.replace(" ", "%20")
    form = draw(
        st.sampled_from(
            [
                secret,
                f"Authorization: Bearer {secret}",
                f"https://s.example/f.mp4?X-Signature={quoted}&x=1",
                f"HTTPS://s.example/f.mp4#access_token={quoted}",
                f"https://user:{quoted}@s.example/f",
                f"postgresql://user:{quoted}@db/receiver",
                f'{{"api_key": "{secret}"}}',
                f"b'{secret}'",
            ]
        )
    )
    return secret, quoted, f"{draw(words)} {form} {draw(words)}"


class Odd:
    """An object of some library, whose text has what it was made with."""

    def __init__(self, text):
        self._text = text

    def __repr__(self):
        return f"<Odd {self._text}>"


def ways(text):
    """Every way in which something gets into a log, each a function to call."""
    log = structlog.get_logger("a")
    library = logging.getLogger("some.library")

    def raised(tell):
        try:
            try:
                raise KeyError(text)
            except KeyError as error:
                raise ValueError(f"because of {text}") from error
        except ValueError:
            tell()

    def bound():
        with structlog.contextvars.bound_contextvars(event_id=text):
            log.info("bound")

    return [
        lambda: log.info(text),
        lambda: log.info("value", value=text),
        lambda: log.info("nested", value={"a": [{"b": (text, {text: text})}]}),
        lambda: log.info("bytes", value=text.encode()),
        lambda: log.info("object", value=Odd(text), error=ValueError(text), many={Odd(text)}),
        lambda: log.info("positional %s", text),
        lambda: log.bind(url=text).warning("bound to the logger"),
        bound,
        lambda: raised(lambda: log.exception("raised")),  # noqa: LOG004 - it is called in one
        lambda: raised(lambda: log.error("raised", exc_info=True)),  # noqa: LOG014
        lambda: raised(lambda: library.exception("raised %s", text)),
        lambda: library.warning(text.replace("%", "%%")),
        lambda: library.warning("args %s %r", text, {"a": text}),
        lambda: library.warning("extra", extra={"value": text}),
    ]


@pytest.mark.parametrize("format", ["json", "console"])
@given(told())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_secret_gets_through_in_any_way(capsys, format, found):
    secret, quoted, text = found
    logs.configure(format=format, level="debug", secrets=GIVEN)
    for number, way in enumerate(ways(text)):
        capsys.readouterr()
        way()
        shown = capsys.readouterr().err
        assert shown, number
        assert secret not in shown, number
        assert quoted not in shown, number
        assert json.dumps(secret)[1:-1] not in shown, number
        if format == "json":
            assert [json.loads(line)["level"] for line in shown.splitlines()], number
    logs.hide(())


def test_what_must_not_be_told_is_taken_from_every_setting(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    values = {
        "RECEIVER_ADMIN_TOKEN": "admin-token-of-this-test",
        "RECEIVER_SECRET_KEY": "key-one-of-this, key-two-of-this",
        "DATABASE_URL": "postgresql://user:pass%20word1@db/receiver",
        "VIDEOGEN_API_KEY": "api-key-of-this",
        "VIDEOGEN_WEBHOOK_SECRET": "secret-one-here, secret-two-here",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    told = {"admin-token-of-this-test", "key-one-of-this", "key-two-of-this", "pass%20word1", "pass word1"}
    assert set(load().secrets) >= told | {"api-key-of-this", "secret-one-here", "secret-two-here"}


async def test_what_the_receiver_itself_logs_has_no_secret_of_a_delivery_or_a_handler(
    tmp_path,
    monkeypatch,
    capsys,
    clock,
    store,
    arrival,  # noqa: F811
):
    """Secrets in every place of a delivery, and in every way in which a handler may fail."""
    logs.configure(format="json", level="debug", secrets=GIVEN)
    monkeypatch.setenv("VIDEOGEN_WEBHOOK_SECRET", SECRET)
    signed_url = "https://s.example/f.mp4?X-Signature=hunter2hunter2"
    hostile = f"{signed_url} {SECRET} {GIVEN[0]} Bearer {GIVEN[2]}"
    door = Door(Settings(database_url=f"sqlite:///{tmp_path}/r.db"), dispatch=False, clock=clock)
    transport = httpx.ASGITransport(door.app)
    async with door.open(), httpx.AsyncClient(transport=transport, base_url="http://receiver") as client:
        for source in ("videogen", GIVEN[0], SECRET.strip("=")):
            for body in (hostile.encode(), json.dumps({"event": hostile, "toolExecutionId": hostile}).encode()):
                good = signed(body, clock, id="msg_1")
                for headers in (good, good | {"authorization": hostile, "webhook-signature": f"v1,{GIVEN[2]}"}):
                    await client.post(f"/webhooks/{source}", content=body, headers=headers)

    async def raises(event, context):
        context.log.info("a handler says", url=signed_url, data=event.data, said=hostile)
        raise ValueError(hostile)

    async def retries(event, context):
        raise Retry(hostile, after=60)

    def gives_up(event, context):
        raise GiveUp(hostile)

    await store.events.add([arrival(1, body=json.dumps({"event": "x", "url": signed_url}).encode())])
    handlers = (mark(raises, retries=0), mark(retries), mark(gives_up))
    async with dispatching(store, clock, *handlers):
        await until(store, "failed", 2)
        await until(store, "waiting")
    shown = capsys.readouterr().err
    logs.hide(())
    lines = [json.loads(line) for line in shown.splitlines()]
    assert {"refused", "quarantined", "run_failed", "run_waits", "a handler says"} <= {line["event"] for line in lines}
    for secret in ("hunter2hunter2", SECRET, SECRET.strip("="), *GIVEN):
        assert secret not in shown
    about = [line for line in lines if line["event"] in ("run_failed", "run_waits", "a handler says")]
    assert all(line["event_id"].startswith("evt_") and line["run_id"] and line["job_id"] == "job_1" for line in about)
