"""The OpenAPI document, made of the route table and its models."""

import re
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from .call import Call
from .models.problem import ProblemAnswer
from .problem import TITLES

#: What any call may answer.
ALWAYS = (401, 403, 422, 429, 500, 503)

_MODE: Literal["validation"] = "validation"
_REFS = "#/components/schemas/{model}"


def document(calls: Sequence[Call], *, prefix: str, version: str) -> dict[str, Any]:
    """Return the document, OpenAPI 3.1."""
    said = [model for call in calls for model in (call.body, call.answer, ProblemAnswer)]
    models = {model.__name__: model for model in said if model and not isinstance(model, str)}
    named = [(models[name], _MODE) for name in sorted(models)]
    _, schemas = models_json_schema(named, ref_template=_REFS)
    paths: dict[str, dict[str, Any]] = {}
    for call in calls:
        paths.setdefault(prefix + call.path, {})[call.method.lower()] = _operation(call)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "media-receiver",
            "version": version,
            "description": "Everything that the pages and the commands do. Errors are `application/problem+json`.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "The RECEIVER_ADMIN_TOKEN."}
            },
        },
        "security": [{"token": []}],
    }


def _operation(call: Call) -> dict[str, Any]:
    refusals = sorted({*ALWAYS, *call.refuses})
    found: dict[str, Any] = {
        "operationId": _id(call),
        "summary": call.summary,
        "tags": [call.path.split("/")[1]],
        "parameters": [*_in_path(call), *(_in_query(call.query) if call.query else ())],
        "responses": {
            str(call.status): {"description": "Done.", "content": _content(call.answer)},
            **{str(status): _refusal(status) for status in refusals},
        },
    }
    if call.body:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(call.body)}}}
    return found


def _id(call: Call) -> str:
    words = re.findall(r"[a-z]+", call.path)
    return "_".join([call.method.lower(), *words])


def _in_path(call: Call) -> list[dict[str, Any]]:
    names = re.findall(r"\{(\w+)\}", call.path)
    schema = {"type": "string", "minLength": 1}
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name in names]


def _in_query(model: type[BaseModel]) -> list[dict[str, Any]]:
    schema = model.model_json_schema(ref_template=_REFS)
    return [{"name": name, "in": "query", "schema": _said(one)} for name, one in schema["properties"].items()]


def _said(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a parameter that may be left out: a query cannot say null."""
    options = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    rest = {name: value for name, value in schema.items() if name not in ("anyOf", "title")}
    if rest.get("default", ...) is None:
        del rest["default"]
    return {**options[0], **rest} if options else rest


def _content(answer: type[BaseModel] | str) -> dict[str, Any]:
    if isinstance(answer, str):
        return {answer: {"schema": _CHANGE if answer == "text/event-stream" else {"type": "string"}}}
    return {"application/json": {"schema": _ref(answer)}}


_TEXT = {"type": "string", "contentMediaType": "application/json"}
_CHANGE = {"type": "object", "properties": {"event": {"const": "job"}, "data": _TEXT}, "required": ["event", "data"]}


def _refusal(status: int) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": _ref(ProblemAnswer)}}
    return {"description": TITLES[status], "content": content}


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REFS.format(model=model.__name__)}
