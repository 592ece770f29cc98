"""Actors and the like of the emulated account, which avatars and images are made with."""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .api import ApiError, invalid, page, read_json, route


def _all(request: Request) -> dict[str, dict[str, Any]]:
    entities: dict[str, dict[str, Any]] = request.app.state.videogen.entities
    return entities


def _one(request: Request) -> dict[str, Any]:
    try:
        return _all(request)[request.path_params["id"]]
    except KeyError:
        raise ApiError(404, "Entity not found.", code="not_found") from None


def _now(request: Request) -> str:
    return datetime.fromtimestamp(request.app.state.videogen.clock(), UTC).isoformat()


async def _list(request: Request) -> Response:
    wanted = request.query_params.get("entityType")
    found = {key: entity for key, entity in _all(request).items() if wanted in (None, entity["entityType"])}
    return page(request, "entities", found, dict)


async def _create(request: Request) -> Response:
    asked = await read_json(request)
    if not isinstance(asked.get("name"), str):
        raise invalid("name is required")
    now = _now(request)
    entity = {
        "entityId": f"vg_enti_{secrets.token_hex(11)}",
        "entityType": asked.get("entityType") or "ACTOR",
        "name": asked["name"],
        "description": asked.get("description") or "",
        "references": [],
        "createdAt": now,
        "updatedAt": now,
    }
    _all(request)[entity["entityId"]] = entity
    return JSONResponse(entity, 201)


async def _get(request: Request) -> Response:
    return JSONResponse(_one(request))


async def _update(request: Request) -> Response:
    entity, asked = _one(request), await read_json(request)
    entity |= {key: asked[key] for key in ("name", "description") if key in asked} | {"updatedAt": _now(request)}
    return JSONResponse(entity)


async def _archive(request: Request) -> Response:
    entity = _one(request)
    del _all(request)[entity["entityId"]]
    return JSONResponse(entity)


async def _add(request: Request) -> Response:
    entity, asked = _one(request), await read_json(request)
    if not isinstance(asked.get("fileId"), str):
        raise invalid("fileId is required")
    entity["references"].append({"fileId": asked["fileId"]})
    return JSONResponse(entity)


async def _remove(request: Request) -> Response:
    entity, asked = _one(request), await read_json(request)
    entity["references"] = [each for each in entity["references"] if each["fileId"] != asked.get("fileId")]
    return JSONResponse(entity)


def routes() -> Sequence[Route]:
    """Return what they answer to."""
    one = "/v1/entities/{id}"
    return [
        route("GET", "/v1/entities", _list),
        route("POST", "/v1/entities", _create),
        route("GET", one, _get),
        route("POST", f"{one}/update", _update),
        route("POST", f"{one}/archive", _archive),
        route("POST", f"{one}/references", _add),
        route("POST", f"{one}/references/remove", _remove),
    ]
