"""What is asked and answered about how it all goes."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from .words import Asked


class StatsQuery(Asked):
    """What to count: the last `spans` minutes or hours."""

    span: Literal["minute", "hour"] = "minute"
    spans: Annotated[int, Field(ge=1, le=1440)] = 60


class Took(BaseModel):
    """Up to how many seconds half, 95 % and 99 % took; null for longer than 10 s, where no more is known."""

    p50: float | None
    p95: float | None
    p99: float | None


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
    ack_seconds: Took | None = Field(description="From a delivery's arrival to its 200, over all web processes.")
    attempt_seconds: Took | None = Field(description="Of attempts that were done, once a worker has added them up.")


class StatsAnswer(BaseModel):
    """How it goes. `counts` may begin late: what was not counted in time is counted when you ask again."""

    backlog_age: float
    waiting: dict[str, int] = Field(description="Runs by handler.")
    running: int
    open_jobs: dict[str, dict[str, int]] = Field(description="By source and state.")
    recovered: dict[str, int] = Field(description="Events by source whose webhook did not come.")
    heard: dict[str, float] = Field(description="By source, when its last trusted delivery came.")
    ack_seconds: Took | None = Field(description="Over all spans, as in each.")
    attempt_seconds: Took | None = Field(description="Over all spans and handlers, as in each.")
    counts: list[CountRow]
