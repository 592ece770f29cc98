"""What is asked and answered about events."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from .attempts import Attempt
from .words import AFTER, Asked, Limit, Moment, Next, Word

EventCursor = Annotated[str, Field(pattern="^evt_[0-9a-f]{32}$", description=AFTER)]


class EventsMeant(Asked):
    """Which events are meant; what is not said does not narrow."""

    id: Word | None = None
    source: Word | None = None
    type: Word | None = None
    kind: Literal["job.succeeded", "job.failed", "job.cancelled"] | None = None
    job_id: Word | None = None
    tool: Word | None = None
    state: Literal["waiting", "dispatched", "conflicting", "quarantined", "erased"] | None = None
    road: Literal["webhook", "poll", "reconcile", "import", "emulator"] | None = None
    since: Moment | None = Field(None, description="Received then or later.")
    until: Moment | None = Field(None, description="Received before.")
    text: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        None, description="Text in the body, upper and lower case told apart."
    )


class EventsQuery(EventsMeant):
    """A page of events."""

    cursor: EventCursor | None = None
    limit: Limit = 50


class ReplayBody(Asked):
    """Handlers to run again; those that want the event if none is named."""

    handlers: Annotated[list[Word], Field(min_length=1, max_length=100)] | None = None
    dry_run: bool = Field(False, description="Only count.")


class ReplayManyBody(ReplayBody):
    """Which events to run handlers on again. `cursor` is `next` of the answer before."""

    events: EventsMeant
    cursor: EventCursor | None = None


class EventRow(BaseModel):
    """An event in a listing."""

    id: str
    source: str
    state: str
    type: str
    kind: str | None
    job_id: str | None
    tool: str | None
    road: str
    received_at: float
    occurred_at: float
    expires_at: float | None
    message_id: str | None
    fact: str | None
    reason: str | None


class EventRun(BaseModel):
    """A run of one event, with its attempts."""

    id: str
    handler: str
    state: str
    attempt: int
    due_at: float
    paused: bool = Field(description="Whether its handler is.")
    behind: str | None = Field(
        description="The earlier event of its order key whose run goes first, while it waits for that."
    )
    error: str | None
    attempts: list[Attempt]


class EventAnswer(EventRow):
    """An event with everything about it. No URL in it keeps its query."""

    headers: dict[str, str]
    data: Any = Field(description="The provider's JSON.")
    runs: list[EventRun]


class EventsAnswer(BaseModel):
    """A page of events, newest first."""

    events: list[EventRow]
    next: Next


class ReplayAnswer(BaseModel):
    """How many events were looked at as meant, and how many runs start, or would start at most."""

    events: int
    runs: int
    next: Next
