"""What is asynchronous at VideoGen beside tools: runs, exports, remix actions, interchanges, imports, messages."""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import media
from .api import ApiError, error_json
from .background import Background
from .deliveries import Webhooks
from .files import File, Library, new_file_id
from .knobs import Knobs
from .media import Media

_PROGRESS = (0, 5, 30, 60, 85)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sort:
    """One sort of work, and what is told of it."""

    id: str  #: the field with its id
    prefix: str  #: of its ids
    event: str | None = None  #: its events begin so; None if it has none
    told: tuple[str, ...] = ()  #: the fields in its events
    makes: str | None = None  #: the type of its file
    file: str = "exportFileId"  #: the field with its file's id


RUN = Sort(
    id="workflowRunId",
    prefix="vg_work_",
    event="workflow_run",
    told=("workflowType", "projectId", "projectUrl", "error"),
)
EXPORT = Sort(
    id="exportId",
    prefix="vg_expo_",
    event="project_export",
    told=("projectId", "exportFileId"),
    makes="VIDEO",
)
REMIX = Sort(id="remixActionId", prefix="vg_rmix_")
INTERCHANGE = Sort(id="interchangeJobId", prefix="vg_inte_", makes="VIDEO", file="fileId")
IMPORT = Sort(id="fileImportId", prefix="vg_impo_", makes="IMAGE", file="fileId")
MESSAGE = Sort(id="messageId", prefix="vg_mesg_", event="assistant_message")


@dataclass(slots=True, kw_only=True)
class Work:
    """One job."""

    id: str
    sort: Sort
    origin: str  #: scheme and host of the URL of its file
    says: dict[str, Any]  #: the fields that only its sort has
    status: str = "pending"
    progress: float = 0
    file: File | None = None
    error: dict[str, Any] | None = None
    cancelled: asyncio.Future[None] = field(default_factory=asyncio.Future)  #: done when somebody asks for it


class Works:
    """All of them, in order of creation."""

    def __init__(
        self,
        *,
        knobs: Knobs,
        library: Library,
        webhooks: Webhooks,
        background: Background,
        clock: Callable[[], float],
    ) -> None:
        self.all: dict[str, Work] = {}
        self._knobs = knobs
        self._library = library
        self._webhooks = webhooks
        self._background = background
        self._clock = clock

    def start(self, sort: Sort, *, origin: str, **says: Any) -> Work:
        """Start one."""
        work = Work(id=f"{sort.prefix}{secrets.token_hex(13)}", sort=sort, origin=origin, says=says)
        number = len(self.all)
        self.all[work.id] = work
        self._background.start(self._live(work, number))
        return work

    def find(self, sort: Sort, id: str, **says: Any) -> Work:
        """Return one of a sort that says this. Raises ApiError 404."""
        found = self.of(sort, **says).get(id)
        if found is None:
            raise ApiError(404, "There is no such job.", code="not_found")
        return found

    def of(self, sort: Sort, **says: Any) -> dict[str, Work]:
        """Return all of a sort that say this, by id."""
        return {
            key: work
            for key, work in self.all.items()
            if work.sort is sort and all(work.says.get(name) == value for name, value in says.items())
        }

    def cancel(self, work: Work) -> None:
        """Ask it to stop. One that is over, or all but, ends as it would have."""
        if not work.cancelled.done():
            work.cancelled.set_result(None)

    def describe(self, work: Work) -> dict[str, Any]:
        """Return it as JSON tells it."""
        return {
            work.sort.id: work.id,
            "status": work.status,
            "progressPercentage": work.progress,
            "attemptIndex": 0,
            **work.says,
            **(self._file(work) if work.sort.makes else {}),
            "error": work.error,
        }

    def end(self, work: Work, status: str) -> None:
        """Let it end so and tell of it, even if it has ended before."""
        work.status = status
        if work.sort.event is None:
            return
        described = self.describe(work)
        told: Mapping[str, Any] = (
            {"message": described} if work.sort is MESSAGE else {key: described[key] for key in work.sort.told}
        )
        body = {work.sort.id: work.id, "occurredAt": int(self._clock()), **told}
        self._webhooks.announce(f"{work.sort.event}.{status}", body)

    def _file(self, work: Work) -> dict[str, Any]:
        if work.file is None:
            return {work.sort.file: None, "file": None, "downloadUrl": None, "downloadUrlExpiresAt": None}
        result = self._library.result(work.file)
        return {work.sort.file: result.pop("fileId"), **{key: result[key] for key in result if key != "type"}}

    async def _live(self, work: Work, number: int) -> None:
        for progress in _PROGRESS:
            work.progress = progress
            cancelled, _ = await asyncio.wait([work.cancelled], timeout=self._knobs.seconds / len(_PROGRESS))
            if work.status not in ("pending", "running"):
                return  # a test has ended it, or made it wait
            if cancelled:
                self.end(work, "cancelled")
                return
            work.status = "running"
        if self._knobs.dice("work", number).random() < self._knobs.fail:
            work.error = error_json("The emulator let this job fail.", code="invalid_request", reference="VG-W0RK")
            self.end(work, "failed")
            return
        if work.sort.makes:
            work.file = await asyncio.to_thread(_make_file, work, number % 12)
            self._library.add(work.file)
        work.progress = 100
        if work.sort is MESSAGE:
            work.says["content"] = "This is what the emulator has to say."
        self.end(work, "succeeded")


def _make_file(work: Work, variant: int) -> File:
    made: Media = (
        media.video(width=256, height=144, seconds=2, variant=variant)
        if work.sort.makes == "VIDEO"
        else media.picture(width=256, height=144, variant=variant)
    )
    return File(
        id=new_file_id(),
        origin=work.origin,
        scope="EXPORT" if work.sort is EXPORT else "GLOBAL",
        type=work.sort.makes,
        name="Export" if work.sort is EXPORT else "File",
        seconds=made.seconds,
        thumbnail=media.picture(width=128, height=72, variant=variant),
        preview=made,
        download=made,
    )
