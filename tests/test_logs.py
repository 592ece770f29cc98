import json
import logging

import pytest
import structlog

from receiver import logs


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
