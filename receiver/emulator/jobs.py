"""Tool executions of the emulated account: pending, running, then an end that is announced once."""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from . import media
from .api import error_json
from .background import Background
from .deliveries import Webhooks
from .files import File, Library, new_file_id
from .knobs import Knobs
from .media import Media
from .tools import Tool

Status = Literal["pending", "running", "succeeded", "failed", "cancelled"]

#: What `progressPercentage` says in each fifth of a job's time.
_PROGRESS = (0, 5, 30, 60, 85)

_THUMBNAIL = (128, 72)


@dataclass(slots=True, kw_only=True)
class Execution:
    """One run of a tool."""

    id: str
    tool: Tool
    parameters: Mapping[str, Any]
    origin: str  #: scheme and host of the URLs of its files
    status: Status = "pending"
    progress: float = 0
    files: list[File] = field(default_factory=list)
    error: dict[str, Any] | None = None
    cancelled: asyncio.Future[None] = field(default_factory=asyncio.Future)  #: done when somebody asks for it


class Jobs:
    """All executions."""

    def __init__(
        self,
        *,
        knobs: Knobs,
        library: Library,
        webhooks: Webhooks,
        background: Background,
        clock: Callable[[], float],
    ) -> None:
        self.executions: dict[str, Execution] = {}
        self._knobs = knobs
        self._library = library
        self._webhooks = webhooks
        self._background = background
        self._clock = clock

    def submit(self, tool: Tool, parameters: Mapping[str, Any], *, origin: str) -> Execution:
        """Start a tool. Raises ApiError if VideoGen would not."""
        tool.check(parameters)
        execution = Execution(
            id=f"vg_tool_{secrets.token_hex(13)}", tool=tool, parameters=dict(parameters), origin=origin
        )
        number = len(self.executions)
        self.executions[execution.id] = execution
        self._background.start(self._live(execution, number))
        return execution

    def cancel(self, execution: Execution) -> None:
        """Ask it to stop. One that is over, or all but, ends as it would have."""
        if not execution.cancelled.done():
            execution.cancelled.set_result(None)

    def describe(self, execution: Execution) -> dict[str, Any]:
        """Return the execution as JSON tells it."""
        return {
            "toolExecutionId": execution.id,
            "status": execution.status,
            "toolType": execution.tool.type,
            "progressPercentage": execution.progress,
            "attemptIndex": 0,
            "results": [self._library.result(file) for file in execution.files],
            "error": execution.error,
        }

    async def _live(self, execution: Execution, number: int) -> None:
        for progress in _PROGRESS:
            execution.progress = progress
            cancelled, _ = await asyncio.wait([execution.cancelled], timeout=self._knobs.seconds / len(_PROGRESS))
            if cancelled:
                self._end(execution, "cancelled")
                return
            execution.status = "running"
        dice = self._knobs.dice("job", number)
        if dice.random() < self._knobs.fail:
            execution.error = error_json(
                "The emulator let this job fail.",
                code="invalid_request",
                reference=f"VG-{dice.randrange(16**6):06X}",
            )
            self._end(execution, "failed", error=execution.error)
            return
        execution.files = await asyncio.to_thread(_make_files, execution, number)
        for file in execution.files:
            self._library.add(file)
        execution.progress = 100
        self._end(execution, "succeeded", results=[self._library.result(file) for file in execution.files])

    def _end(self, execution: Execution, status: Status, **more: Any) -> None:
        execution.status = status
        self._webhooks.announce(
            f"tool_execution.{status}",
            {
                "toolExecutionId": execution.id,
                "occurredAt": int(self._clock()),
                "toolType": execution.tool.type,
                **more,
            },
        )


def _make_files(execution: Execution, number: int) -> list[File]:
    count = execution.parameters.get("numResults") or 1
    return [_make_file(execution, index, variant=(number + index) % 12) for index in range(count)]


def _make_file(execution: Execution, index: int, *, variant: int) -> File:
    made = _make_media(execution.tool, execution.parameters, variant)
    return File(
        id=new_file_id(),
        origin=execution.origin,
        scope="TEMPORARY" if execution.parameters.get("isOutputTemporary") else "GLOBAL",
        type=execution.tool.makes,
        name=f"{execution.tool.title} {index + 1}" if index else execution.tool.title,
        seconds=made.seconds,
        thumbnail=_thumbnail(variant) if execution.tool.makes != "AUDIO" else "skipped",
        preview=made,
        download=made,
        tool_type=execution.tool.type,
        execution_id=execution.id,
    )


def _make_media(tool: Tool, parameters: Mapping[str, Any], variant: int) -> Media:
    seconds = parameters.get("durationSeconds")
    width, height = _size(parameters.get("aspectRatio"))
    if tool.makes == "VIDEO":
        return media.video(width=width, height=height, seconds=seconds or 2, variant=variant)
    if tool.makes == "AUDIO":
        spoken = len(parameters.get("ttsText") or "") / 15 / (parameters.get("voiceSpeed") or 1)
        return media.sound(seconds=seconds or spoken or 3, variant=variant)
    if tool.path == "vectorize-image":
        return media.drawing(width=width, height=height, variant=variant)
    transparent = tool.path == "remove-image-background"
    return media.picture(width=width, height=height, variant=variant, transparent=transparent)


def _thumbnail(variant: int) -> Media:
    width, height = _THUMBNAIL
    return media.picture(width=width, height=height, variant=variant)


def _size(ratio: Mapping[str, Any] | None) -> tuple[int, int]:
    if ratio is None or ratio["width"] > ratio["height"]:
        return 256, 144
    return (192, 192) if ratio["width"] == ratio["height"] else (144, 256)
