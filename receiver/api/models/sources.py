"""What is answered about sources."""

from typing import Literal

from pydantic import BaseModel, Field

from .words import Next


class SourceRow(BaseModel):
    """A provider that is known here. One that calls has a `path` once it can be trusted."""

    name: str
    path: str | None
    api_key: Literal["set", "not set"]
    events: int = Field(description="How many kinds of events it is known to send.")
    tools: int
    scheme: str | None = Field(description="How it signs.")
    trust: str | None
    certainty: str | None = Field(description="How sure the facts about it are.")
    answer: str | None = Field(description="Which answers it takes for a yes.")
    waits: float | None = Field(description="Seconds in which it wants that answer.")
    facts: str | None = Field(description="Where it documents that.")


class SourcesAnswer(BaseModel):
    """All sources that are known."""

    sources: list[SourceRow]
    next: Next
