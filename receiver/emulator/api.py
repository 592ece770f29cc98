"""How the emulated VideoGen API takes requests and answers them: keys, JSON, errors, pages."""

import base64
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

_LARGEST_JSON = 2**20  #: bytes

Item = TypeVar("Item")
Operation = Callable[[Request], Awaitable[Response]]


class ApiError(Exception):
    """An answer that says no, in VideoGen's words."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        requirement: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = error_json(message, code=code, requirement=requirement)


def error_json(
    message: str,
    *,
    code: str | None = None,
    requirement: Mapping[str, Any] | None = None,
    reference: str | None = None,
) -> dict[str, Any]:
    """Return the object that stands for an error, both in answers and in the `error` of a failed job."""
    return {"message": message, "code": code, "requirement": requirement, "internalErrorCode": reference}


def invalid(message: str) -> ApiError:
    """Return the error for a request that cannot be what its sender meant."""
    return ApiError(400, message, code="invalid_request")


def route(method: str, path: str, operation: Operation) -> Route:
    """Return a route that asks for an API key, turns ApiError into its answer and names every answer."""

    async def endpoint(request: Request) -> Response:
        fault: Response | None = request.app.state.videogen.faults.answer(_limited)
        if fault is not None:
            return fault
        try:
            _check_key(request)
            response = await operation(request)
        except ApiError as error:
            response = JSONResponse(error.body, error.status)
        response.headers["x-request-id"] = _request_id()
        return response

    return Route(path, endpoint, methods=[method])


async def refuse(_request: Request, error: Exception) -> Response:
    """Answer for the framework when no route fits (404, 405)."""
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for nothing else
    code = {404: "not_found"}.get(error.status_code)
    headers = {**(error.headers or {}), "x-request-id": _request_id()}
    return JSONResponse(error_json(error.detail, code=code), error.status_code, headers)


def _limited() -> Response:
    return JSONResponse(error_json("Too many requests.", code="rate_limited"), 429, {"retry-after": "1"})


def _check_key(request: Request) -> None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if not scheme:
        raise ApiError(401, "Unauthorized", code="missing_api_key")
    if scheme.lower() != "bearer" or not key.strip():
        raise ApiError(401, "API key is invalid or has been revoked.", code="invalid_api_key")


def _request_id() -> str:
    return f"req_{secrets.token_hex(12)}"


async def read_bytes(request: Request, *, limit: int) -> bytes:
    """Return the body, or raise ApiError 413 as soon as `limit` bytes are passed."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > limit:
            raise ApiError(413, f"The body is larger than {limit} bytes.")
    return bytes(body)


async def read_json(request: Request) -> dict[str, Any]:
    """Return the JSON object in the body."""
    body = await read_bytes(request, limit=_LARGEST_JSON)
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise invalid("the body is not JSON") from None
    if not isinstance(data, dict):
        raise invalid("the body must be a JSON object")
    return data


def page(request: Request, key: str, items: Mapping[str, Item], describe: Callable[[Item], Any]) -> JSONResponse:
    """Return one page of `items` under `key`, the newest first, each as `describe` tells it.

    `items` is by id, in order of creation; a cursor is good for its own listing only.
    """
    ids = list(items)[::-1]
    start = _start(request, key, ids)
    chosen = ids[start : start + _limit(request)]
    more = start + len(chosen) < len(ids)
    cursor = base64.urlsafe_b64encode(f"{key}:{chosen[-1]}".encode()).decode() if more else None
    return JSONResponse({key: [describe(items[one]) for one in chosen], "hasMore": more, "nextCursor": cursor})


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", "50")
    if not (text.isascii() and text.isdigit() and int(text[:9]) > 0):
        raise invalid("limit must be a number from 1 to 200")
    return min(int(text[:9]), 200)


def _start(request: Request, key: str, ids: list[str]) -> int:
    cursor = request.query_params.get("cursor")
    if cursor is None:
        return 0
    try:
        listing, _, last = base64.urlsafe_b64decode(cursor).decode().partition(":")
        if listing == key:
            return ids.index(last) + 1
    except ValueError:
        pass
    raise invalid("cursor is not one of this listing's")
