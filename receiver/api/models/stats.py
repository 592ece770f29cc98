"""What is asked and answered about how it all goes."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from .words import Asked


class StatsQuery(Asked):
    """What to count: the last `spans` minutes or hours."""

    span: Literal["minute", "hour"] = "minute"
    spans: Annotated[int, Field(ge=1, le=1440)] = 60


class CountRow(BaseModel):
    """What happened in one span of time, which began `at`."""

    at: float
    events: int
    duplicates: int
    refused: int
    refusals: dict[str, int] = Field(
        description="Those that were refused, by reason; in a flood by the reason of the ones that got a row."
    )
    done: int
    retry: int
    failed: int
    lost: int


class StatsAnswer(BaseModel):
    """How it goes. `counts` may begin late: what was not counted in time is counted when you ask again."""

    backlog_age: float
    waiting: dict[str, int] = Field(description="Runs by handler.")
    running: int
    open_jobs: dict[str, dict[str, int]] = Field(description="By source and state.")
    recovered: dict[str, int] = Field(description="Events by source whose webhook did not come.")
    heard: dict[str, float] = Field(description="By source, when its last trusted delivery came.")
    counts: list[CountRow]
