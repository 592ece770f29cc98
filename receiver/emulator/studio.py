"""VideoGen's workflows, projects, imports and assistants: their routes.

What an interchange, an import, a project or a text says beside its id and status, no stored documentation tells: the
rest is this emulator's own.
"""

import functools
import secrets
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .api import ApiError, invalid, page, read_json, route
from .works import EXPORT, IMPORT, INTERCHANGE, MESSAGE, REMIX, RUN, Sort, Works

_WORKFLOWS = (
    "script-to-video",
    "voiceover-to-video",
    "slideshow-to-video",
    "prompt-to-video-clip",
    "video-to-video",
    "creative-brief-to-video",
)


def _works(request: Request) -> Works:
    works: Works = request.app.state.videogen.works
    return works


def _projects(request: Request) -> dict[str, dict[str, Any]]:
    projects: dict[str, dict[str, Any]] = request.app.state.videogen.projects
    return projects


def _origin(request: Request) -> str:
    return str(request.base_url).rstrip("/")


def _new_project(request: Request) -> dict[str, Any]:
    project_id = f"vg_proj_{secrets.token_hex(11)}"
    project = _described(project_id)
    _projects(request)[project_id] = project
    return project


def _project(request: Request) -> dict[str, Any]:
    """Return the project that the path names. Those of a real account are taken as well."""
    project_id = request.path_params["project"]
    return _projects(request).get(project_id) or _described(project_id)


def _described(project_id: str) -> dict[str, Any]:
    return {"projectId": project_id, "projectUrl": f"https://app.videogen.io/project/{project_id}"}


async def _run(name: str, request: Request) -> Response:
    await read_json(request)
    project = _new_project(request)
    kind = name.upper().replace("-", "_")
    run = _works(request).start(RUN, origin=_origin(request), workflowType=kind, **project)
    return JSONResponse({"workflowRunId": run.id, **project, "remixActionIds": []}, 202)


async def _export(request: Request) -> Response:
    await read_json(request)
    export = _works(request).start(EXPORT, origin=_origin(request), projectId=_project(request)["projectId"])
    return JSONResponse({"exportId": export.id}, 202)


async def _remix(request: Request) -> Response:
    asked = await read_json(request)
    actions = asked.get("remixActions")
    if not isinstance(actions, list) or not actions:
        raise invalid("remixActions must be a list of at least one action")
    project = _new_project(request) if asked.get("saveAsNewProject") else _project(request)
    kinds = [action.get("type") if isinstance(action, dict) else action for action in actions]
    started = [_works(request).start(REMIX, origin=_origin(request), type=kind, **project) for kind in kinds]
    return JSONResponse({**project, "remixActionIds": [work.id for work in started]}, 202)


async def _interchange(request: Request) -> Response:
    await read_json(request)
    project = _project(request)["projectId"]
    work = _works(request).start(INTERCHANGE, origin=_origin(request), projectId=project)
    return JSONResponse({"interchangeJobId": work.id}, 202)


async def _import(request: Request) -> Response:
    asked = await read_json(request)
    if not isinstance(asked.get("url"), str):
        raise invalid("url is required")
    return JSONResponse({"fileImportId": _works(request).start(IMPORT, origin=_origin(request)).id}, 202)


async def _chat(request: Request) -> Response:
    await read_json(request)
    assistant = request.path_params.get("assistant") or f"vg_asst_{secrets.token_hex(11)}"
    said: dict[str, Any] = {"assistantId": assistant, "role": "assistant", "content": None, "attachments": []}
    work = _works(request).start(MESSAGE, origin=_origin(request), workflowSuggestions=[], actions=[], **said)
    return JSONResponse({"assistantId": assistant, "messageId": work.id}, 202)


async def _assistant(request: Request) -> Response:
    works, assistant = _works(request), request.path_params["assistant"]
    messages = [works.describe(work) for work in works.of(MESSAGE, assistantId=assistant).values()]
    if not messages:
        raise ApiError(404, "Assistant not found.", code="not_found")
    return JSONResponse({"assistantId": assistant, "messages": messages})


async def _get(sort: Sort, request: Request) -> Response:
    project = request.path_params.get("project")
    where = {"projectId": project} if project else {}
    works = _works(request)
    return JSONResponse(works.describe(works.find(sort, request.path_params["id"], **where)))


async def _list(sort: Sort, key: str, request: Request) -> Response:
    project = request.path_params.get("project")
    works = _works(request)
    return page(request, key, works.of(sort, **({"projectId": project} if project else {})), works.describe)


async def _cancel(request: Request) -> Response:
    works = _works(request)
    run = works.find(RUN, request.path_params["id"])
    works.cancel(run)
    return JSONResponse({"workflowRunId": run.id}, 202)


async def _list_projects(request: Request) -> Response:
    return page(request, "projects", _projects(request), dict)


async def _get_project(request: Request) -> Response:
    if request.path_params["project"] not in _projects(request):
        raise ApiError(404, "Project not found.", code="not_found")
    return JSONResponse(_project(request))


async def _text(request: Request) -> Response:
    await read_json(request)
    return JSONResponse({"text": "This is what the emulator has to say."})


def routes() -> Sequence[Route]:
    """Return what they answer to."""
    get, listed = functools.partial(functools.partial, _get), functools.partial(functools.partial, _list)
    project = "/v1/projects/{project}"
    return [
        *(route("POST", f"/v1/workflows/{name}", functools.partial(_run, name)) for name in _WORKFLOWS),
        route("GET", "/v1/workflows/runs", listed(RUN, "workflowRuns")),
        route("GET", "/v1/workflows/runs/{id}", get(RUN)),
        route("POST", "/v1/workflows/runs/{id}/cancel", _cancel),
        route("GET", "/v1/projects", _list_projects),
        route("GET", project, _get_project),
        route("POST", f"{project}/export", _export),
        route("GET", f"{project}/exports", listed(EXPORT, "exports")),
        route("GET", f"{project}/exports/{{id}}", get(EXPORT)),
        route("POST", f"{project}/remix", _remix),
        route("GET", f"{project}/remix-actions", listed(REMIX, "remixActions")),
        route("POST", f"{project}/timeline-interchange", _interchange),
        route("GET", "/v1/timeline-interchange/{id}", get(INTERCHANGE)),
        route("POST", "/v1/files/import-url", _import),
        route("GET", "/v1/files/imports/{id}", get(IMPORT)),
        route("POST", "/v1/assistants", _chat),
        route("GET", "/v1/assistants/{assistant}", _assistant),
        route("POST", "/v1/assistants/{assistant}/messages", _chat),
        route("POST", "/v1/assistants/{assistant}/actions/{action}", _chat),
        route("GET", "/v1/assistant-messages/{id}", get(MESSAGE)),
        route("POST", "/v1/text/generate", _text),
    ]
