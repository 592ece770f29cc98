"""What is asked and answered about outputs."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from .words import AFTER, Asked, Limit, Next, Word

OutputCursor = Annotated[str, Field(pattern="^out_[0-9a-f]{32}$", description=AFTER)]


class OutputsQuery(Asked):
    """A page of outputs."""

    state: Literal["captured", "missed"] | None = None
    source: Word | None = None
    job_id: Word | None = None
    event_id: Word | None = None
    cursor: OutputCursor | None = None
    limit: Limit = 50


class LinkQuery(Asked):
    """For how long a link is to work, where that can be said."""

    seconds: Annotated[float, Field(ge=1, le=604_800, description="At most seven days.")] = 3600


class ExpiringQuery(Asked):
    """How soon URLs must expire to be told of."""

    within: Annotated[float, Field(ge=1, le=2_592_000, description="Seconds.")] = 3600
    limit: Limit = 50


class OutputRow(BaseModel):
    """A file that a job made: where it is kept, or why it was missed so far."""

    id: str
    event_id: str
    handler: str
    output_id: str = Field(description="The provider's.")
    source: str
    job_id: str | None
    type: str | None
    state: str
    expires_at: float | None
    place: str | None
    media_type: str | None
    size: int | None
    sha256: str | None
    error: str | None
    changed_at: float


class ExpiringRow(BaseModel):
    """A run that has not captured outputs whose URLs expire soon, or did so lately."""

    id: str
    event_id: str
    handler: str
    state: str
    attempt: int
    error: str | None
    expires_at: float
    source: str
    job_id: str | None


class LinkAnswer(BaseModel):
    """A URL that opens a captured output: whoever sees it can, unless it needs the admin token as a bearer."""

    url: str
    expires_at: float | None
    token: bool


class OutputsAnswer(BaseModel):
    """A page of outputs, newest first."""

    outputs: list[OutputRow]
    next: Next


class ExpiringAnswer(BaseModel):
    """The most urgent runs first."""

    expiring: list[ExpiringRow]
    next: Next
