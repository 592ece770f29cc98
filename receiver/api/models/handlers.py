"""What is asked and answered about handlers."""

from pydantic import BaseModel, Field

from .words import Next


class Latency(BaseModel):
    """Percentiles of the seconds that successful attempts took."""

    p50: float
    p95: float
    p99: float


class HandlerRow(BaseModel):
    """A handler: as workers told of it (`there` says whether one runs it now), and how its runs stand."""

    name: str
    there: bool
    seen_at: float | None
    events: list[str]
    source: str | None
    tool: str | None
    retries: int | None
    timeout: float | None
    concurrency: int | None
    ordered: bool | None
    captures: bool | None
    place: str | None
    paused_at: float | None
    waiting: int
    overdue: float = Field(description="Seconds for which the first of them has been due.")
    running: int
    failed: int = Field(description="Counted up to ten thousand over all handlers.")
    latency: Latency | None
    last_hour: dict[str, int] = Field(description="Attempts by outcome.")


class HandlersAnswer(BaseModel):
    """All handlers."""

    handlers: list[HandlerRow]
    next: Next
