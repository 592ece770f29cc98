"""What a call of the API is made of: the route table, its checks and its document have the same source."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from .problem import Answer, Problem

#: Bytes of a body.
LARGEST = 2**20

#: Seconds that a request about many works before it says where to go on.
AT_LENGTH = 1.0

M = TypeVar("M", bound=BaseModel)


@dataclass(slots=True, kw_only=True)
class Said:
    """What a request said, checked."""

    request: Request
    query: Any  #: of the call's model
    body: Any

    @property
    def id(self) -> str:
        """The id in the path."""
        return str(self.request.path_params["id"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One method on one path."""

    method: str
    path: str
    does: Callable[[Said], Awaitable[Response | Any]]  #: returns an answer, or the data of one
    summary: str
    answer: type[BaseModel] | str  #: a media type where it is no JSON
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    status: int = 200
    refuses: tuple[int, ...] = ()  #: besides 401, 403, 405, 422, 429, 500 and 503, which any call may answer

    async def __call__(self, request: Request) -> Response:
        """Answer a request. Raises ValidationError, Problem and errors of the store."""
        query = (self.query or _Nothing).model_validate(dict(request.query_params))
        body = await _read(request, self.body) if self.body else None
        found = await self.does(Said(request=request, query=query, body=body))
        return found if isinstance(found, Response) else Answer(found, self.status)


class _Nothing(BaseModel, extra="forbid"):
    """No query at all."""


async def _read(request: Request, model: type[M]) -> M:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > LARGEST:
            raise Problem(413, f"a body has at most {LARGEST} bytes")
    return model.model_validate_json(bytes(body), strict=True)
