"""What is asked and answered about deliveries that made no event."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from .words import AFTER, Asked, Limit, Next, Word

RefusedCursor = Annotated[str, Field(pattern="^dlv_[0-9a-f]{32}$", description=AFTER)]


class RefusedQuery(Asked):
    """A page of deliveries that made no event."""

    verdict: Annotated[
        Literal["refused", "duplicate"] | None,
        Field(description="If it is not said: `refused`, or of an event `duplicate`."),
    ] = None
    event_id: Annotated[Word | None, Field(description="The event they are copies of.")] = None
    source: Word | None = None
    reason: Word | None = None
    cursor: RefusedCursor | None = None
    limit: Limit = 50


class RefusedRow(BaseModel):
    """A delivery that made no event."""

    id: str
    source: str
    verdict: str
    reason: str
    status: int
    received_at: float
    event_id: str | None
    message_id: str | None
    skew: float | None
    sender: str | None
    unlisted: int
    size: int | None


class RefusedAnswer(RefusedRow):
    """The same with its headers and what is kept of its body, which nobody vouches for."""

    headers: dict[str, str]
    data: Any


class RefusedPage(BaseModel):
    """A page of deliveries that made no event, newest first."""

    refused: list[RefusedRow]
    next: Next
