"""Logs: structured, readable on a console or as JSON lines, and never with a secret or a signed URL."""

import logging
import re
import sys
from typing import Any, Literal

import structlog
from structlog.typing import EventDict, WrappedLogger

#: The query of a URL (signatures), signing secrets, API keys, bearer tokens.
_SECRETS = re.compile(
    r"(?P<url>https?://[^\s?'\"]+)\?[^\s'\"]*|wh(?:sec|sk)_[\w+/=-]+|sk_[a-z]+_[\w-]+|(?i:bearer)\s+[\w.~+/=-]+"
)

#: Libraries that log a line per request, message or statement, many with whole URLs and what is secret in them.
_CHATTY = (
    *("httpx", "httpcore", "urllib3", "apprise"),
    *("aio_pika", "aiormq", "aiokafka", "nats", "faststream"),
    *("alembic", "aiosqlite", "sqlalchemy"),
)


def scrub(text: str) -> str:
    """Return `text` without what must not be logged."""
    return _SECRETS.sub(lambda found: f"{found['url']}?[redacted]" if found["url"] else "[redacted]", text)


def configure(*, format: Literal["console", "json"], level: str) -> None:
    """Send everything this process logs to standard error, one line each, libraries' records included."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        _scrub_values,
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer(default=str)
        if format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
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
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [output]
    root.setLevel(level.upper())
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _scrub_values(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {key: scrub(value) if isinstance(value, str) else value for key, value in event.items()}
