"""Answers: JSON, and `application/problem+json` for whatever went wrong."""

import json
import math
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from starlette.responses import Response


class Problem(Exception):
    """An answer that says no: HTTP status and why."""

    def __init__(self, status: int, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers


class Answer(Response):
    """JSON in ASCII: whatever text a provider sent, this can be sent on. No browser keeps it or takes it for a page."""

    media_type = "application/json"

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        """Add what is said with every answer."""
        super().init_headers({**HEADERS, **(headers or {})})

    def render(self, content: Any) -> bytes:
        """Return the content as JSON."""
        try:
            text = json.dumps(content, allow_nan=False, separators=(",", ":"))
        except ValueError:
            text = json.dumps(_finite(content), separators=(",", ":"))
        return text.encode("ascii")


def problem(status: int, detail: str, *, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer that says what is wrong."""
    content = {"type": "about:blank", "title": TITLES.get(status, "Error"), "status": status, "detail": detail}
    return Answer(content, status, dict(headers or {}), media_type="application/problem+json")


def told(error: ValidationError) -> str:
    """Return what is wrong with a query or a body, each mistake with its place, and no value."""
    found = ((".".join(map(str, one["loc"])), one["msg"]) for one in error.errors(include_url=False))
    return "; ".join(": ".join(filter(None, one)) for one in found)


#: Said with every answer.
HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}

TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    410: "Gone",
    413: "Content Too Large",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
}


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    return str(data) if isinstance(data, float) and not math.isfinite(data) else data
