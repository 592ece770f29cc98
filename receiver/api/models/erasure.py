"""What is asked and answered about erasing."""

from typing import Annotated

from pydantic import BaseModel, Field

from .jobs import JobCursor
from .words import Asked, Next, Word


class EraseBody(Asked):
    """Whether to erase, or only to count."""

    dry_run: bool = Field(False, description="Only count.")


class Carried(Asked):
    """A value that metadata has under a name. A number is written as in JSON."""

    name: Word
    value: Annotated[str, Field(max_length=500)]


class EraseManyBody(EraseBody):
    """Which jobs to erase. `cursor` is `next` of the answer before."""

    metadata: Carried
    cursor: JobCursor | None = None


class ErasedAnswer(BaseModel):
    """What is erased, or would be."""

    jobs: int
    events: int
    runs: int
    deliveries: int
    files: int
    left: list[str] = Field(description="Places that you must empty: they are not here, or not as they were captured.")
    busy: list[str] = Field(description="Jobs that cannot be erased yet, and why.")
    next: Next
