"""What is asked and answered about runs."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from .attempts import Attempt
from .events import EventsMeant
from .words import AFTER, Asked, Limit, Next, Word

RunCursor = Annotated[str, Field(pattern="^run_[0-9a-f]{32}$", description=AFTER)]
RunsCursor = Annotated[str, Field(pattern=r"^(failed\.)?run_[0-9a-f]{32}$", description=AFTER)]


class RunsQuery(Asked):
    """A page of runs: failed ones first, unless one state is meant."""

    state: Literal["waiting", "running", "done", "failed"] | None = None
    handler: Word | None = None
    event_id: Word | None = None
    cursor: RunsCursor | None = None
    limit: Limit = 50


class ManyRunsBody(Asked):
    """Which runs to start again, or to give up. `cursor` is `next` of the answer before."""

    handler: Word | None = None
    events: EventsMeant = EventsMeant()
    dry_run: bool = Field(False, description="Only count.")
    until: float | None = Field(
        None,
        allow_inf_nan=False,
        description="`at` of a count: leave alone what failed, or was made, since then.",
    )
    cursor: RunCursor | None = None


class RunRow(BaseModel):
    """A run in a listing."""

    id: str
    handler: str
    state: str
    attempt: int
    event_id: str
    source: str
    type: str
    job_id: str | None
    order_key: str | None
    worker: str | None
    error: str | None
    created_at: float
    due_at: float
    paused: bool = Field(description="Whether its handler is: then it waits until that is resumed, due or not.")
    behind: str | None = Field(
        description="The earlier event of its order key whose run goes first, while it waits for that."
    )
    started_at: float | None
    finished_at: float | None
    lease_until: float | None
    expires_at: float | None


class RunAnswer(RunRow):
    """A run with its attempts."""

    attempts: list[Attempt]


class RunsAnswer(BaseModel):
    """A page of runs."""

    runs: list[RunRow]
    next: Next


class ManyRunsAnswer(BaseModel):
    """How many runs start again or are given up, or would; `at` says when they were counted."""

    runs: int
    more: bool = Field(
        description="Of a count: it is at least so many. Of more than two thousand runs that have failed, or wait, "
        "only so many have their events asked whether they match; of failed ones, the newest."
    )
    at: float | None
    next: Next
