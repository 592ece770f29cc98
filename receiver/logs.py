"""Logs: structured, readable on a console or as JSON lines, and never with a secret or a signed URL."""

import logging
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import structlog
from structlog.typing import EventDict, WrappedLogger

#: Signing secrets, API keys, and what headers open doors with.
_SECRETS = re.compile(r"wh(?:sec|sk)_[\w+/=-]+|sk_[a-z]+_[\w-]+|\b(?:bearer|basic)\s+[\w.~+/=-]+", re.IGNORECASE)

#: URLs: the user, and the query or fragment, may open what they lead to.
_URLS = re.compile(
    r"(?P<scheme>\b[a-z][a-z0-9+.-]{0,20}://)(?P<user>[^\s/?#'\"@]*@)?(?P<rest>[^\s?#'\"]*)(?P<more>[?#][^\s'\"]*)?",
    re.IGNORECASE,
)

#: Libraries that log a line per request, message or statement, many with whole URLs and what is secret in them.
_CHATTY = (
    *("httpx", "httpcore", "urllib3", "apprise"),
    *("aio_pika", "aiormq", "aiokafka", "nats", "faststream"),
    *("alembic", "aiosqlite", "sqlalchemy"),
)

#: The secrets that this process was given, longest first; a shorter text than this may be a word like any other.
_SHORTEST = 8
_given: re.Pattern[str] | None = None


def hide(secrets: Iterable[str]) -> None:
    """Know these as secrets from now on, in addition to what looks like one."""
    global _given  # noqa: PLW0603 - the logs are the process's own
    known = sorted({secret for secret in secrets if len(secret) >= _SHORTEST}, key=len, reverse=True)
    _given = re.compile("|".join(map(re.escape, known))) if known else None


def scrub(text: str) -> str:
    """Return `text` without what must not be told: secrets, and what opens what a URL leads to."""
    if _given is not None:
        text = _given.sub("[redacted]", text)
    return _URLS.sub(_closed, _SECRETS.sub("[redacted]", text))


def _closed(found: re.Match[str]) -> str:
    user = "[redacted]@" if found["user"] else ""
    more = f"{found['more'][0]}[redacted]" if found["more"] else ""
    return f"{found['scheme']}{user}{found['rest']}{more}"


def printable(text: str) -> str:
    """Return `text` as a terminal can be given it: what would be obeyed, or turn the text around it, is replaced."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in text)


def configure(*, format: Literal["console", "json"], level: str, secrets: Iterable[str] = ()) -> None:
    """Send everything this process logs to standard error, one line each, libraries' records included.

    `secrets` are those of the settings: no line has them, wherever they come from.
    """
    hide(secrets)
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        _scrub_values,
    ]
    rendering: list[Any] = (
        [structlog.processors.JSONRenderer(default=str)]
        if format == "json"
        else [_print_values, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    output = logging.StreamHandler(sys.stderr)
    output.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [output]
    root.setLevel(level.upper())
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _scrub_values(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    # What begins with an underscore is structlog's own, for its last steps.
    return {key: value if key.startswith("_") else _scrubbed(value) for key, value in event.items()}


def _print_values(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    # Of what is no text, the renderer shows the `repr`.
    return {key: printable(value) if isinstance(value, str) else value for key, value in event.items()}


def _scrubbed(value: Any) -> Any:
    """Return a value that can be shown: of anything but numbers and text, its parts or its text are looked through."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {scrub(str(key)): _scrubbed(part) for key, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_scrubbed(part) for part in value]
    return scrub(value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value))
