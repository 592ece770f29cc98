"""What is asked and answered about deleting what is old."""

from typing import Annotated

from pydantic import BaseModel, Field

from .words import AFTER, Asked, Next

_PLACES = (
    "(events|failed|quarantined):evt_[0-9a-f]{32}",
    "(refused|copies):dlv_[0-9a-f]{32}",
    "attempts:[0-9]{1,18}",
    "jobs:job_[0-9a-f]{32}",
    "secrets:sec_[0-9a-f]{32}",
    "files:out_[0-9a-f]{32}",
)
PruneCursor = Annotated[str, Field(pattern=f"^({'|'.join(_PLACES)})$", description=AFTER)]


class PruneBody(Asked):
    """What is old: by kind what `[retention]` in `receiver.toml` says, or one age for all kinds but captured files."""

    older_than: Annotated[float, Field(ge=0, le=1e11, description="Seconds.")] | None = None
    dry_run: bool = Field(False, description="Only count.")
    cursor: PruneCursor | None = None


class PruneAnswer(BaseModel):
    """How much is deleted, or would be, by kind. A kind that is not named is kept."""

    deleted: dict[str, int]
    next: Next
