"""What is asked and answered about jobs."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from ...store.ledger import DEADLINE
from .words import AFTER, Asked, Limit, Next, Word

JobCursor = Annotated[str, Field(pattern="^job_[0-9a-f]{32}$", description=AFTER)]
JobState = Literal[
    "open",
    "waiting",
    "sending",
    "uncertain",
    "submitted",
    "running",
    "awaiting_approval",
    "succeeded",
    "failed",
    "cancelled",
]


class JobsQuery(Asked):
    """A page of jobs. `state` may also be `open`, for all that go on."""

    source: Word | None = None
    tool: Word | None = None
    state: JobState | None = None
    cursor: JobCursor | None = None
    limit: Limit = 50


class WaitQuery(Asked):
    """For how long to wait for the end of a job."""

    wait: Annotated[float, Field(ge=0, le=60, description="Seconds.")] = 0


class NewJobBody(Asked):
    """The body of a submission."""

    source: str
    tool: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    metadata: dict[str, Any] = Field(default_factory=dict)
    deadline: Annotated[float, Field(gt=0, le=30 * 86_400, description="Seconds.")] = DEADLINE


class TrackBody(Asked):
    """The body about a job that was started elsewhere. `tool` may be unknown."""

    source: str
    job_id: Word = Field(description="The provider's.")
    tool: Word | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    deadline: Annotated[float, Field(gt=0, le=30 * 86_400, description="Seconds.")] = DEADLINE


class CallbackBody(Asked):
    """The body of a request for a URL at which a provider that signs nothing may call back about one job."""

    source: str
    metadata: dict[str, Any] = Field(default_factory=dict)
    deadline: Annotated[float, Field(gt=0, le=30 * 86_400, description="Seconds.")] = DEADLINE


class CallbackAnswer(BaseModel):
    """Where a provider may call back, and until when."""

    job: str
    url: str
    expires_at: float


class JobError(BaseModel):
    """Why a job failed."""

    message: str
    code: str | None
    reference: str | None


class JobOutput(BaseModel):
    """A file that a job made. Its URL is signed: whoever sees it can open it."""

    id: str
    type: str | None
    url: str | None
    expires_at: float | None
    size: int | None


class JobAnswer(BaseModel):
    """A job."""

    id: str
    source: str
    tool: str | None
    job_id: str | None
    state: str
    status: str | None
    progress: float | None
    created_at: float
    submitted_at: float | None
    ended_at: float | None
    deadline_at: float | None
    due_at: float | None
    usual: float | None = Field(
        description="Seconds that jobs like it take: our last ones, or what is known of the tool; null if nobody knows."
    )
    overdue: bool = Field(description="Whether it goes on after three times that.")
    asked: int
    failures: int
    request_id: str | None
    event_id: str | None
    conflict: str | None
    run_id: str | None
    parameters: dict[str, Any]
    metadata: dict[str, Any]
    error: JobError | None
    outputs: list[JobOutput]


class JobsAnswer(BaseModel):
    """A page of jobs, newest first."""

    jobs: list[JobAnswer]
    next: Next
