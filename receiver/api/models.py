"""The words of the API: what may be asked, and what is answered. Times are Unix seconds."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..store.ledger import DEADLINE

Moment = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]
Word = Annotated[str, Field(min_length=1, max_length=500)]
Limit = Annotated[int, Field(ge=1, le=1000)]


_AFTER = "`next` of the page before."
EventCursor = Annotated[str, Field(pattern="^evt_[0-9a-f]{32}$", description=_AFTER)]
RunCursor = Annotated[str, Field(pattern="^run_[0-9a-f]{32}$", description=_AFTER)]
RunsCursor = Annotated[str, Field(pattern=r"^(failed\.)?run_[0-9a-f]{32}$", description=_AFTER)]
RefusedCursor = Annotated[str, Field(pattern="^dlv_[0-9a-f]{32}$", description=_AFTER)]
JobCursor = Annotated[str, Field(pattern="^job_[0-9a-f]{32}$", description=_AFTER)]

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


class Asked(BaseModel):
    """A query or a body: nothing but what is meant."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class EventsMeant(Asked):
    """Which events are meant; what is not said does not narrow."""

    id: Word | None = None
    source: Word | None = None
    type: Word | None = None
    kind: Literal["job.succeeded", "job.failed", "job.cancelled"] | None = None
    job_id: Word | None = None
    tool: Word | None = None
    state: Literal["waiting", "dispatched", "conflicting", "quarantined", "erased"] | None = None
    road: Literal["webhook", "poll", "reconcile", "import", "emulator"] | None = None
    since: Moment | None = Field(None, description="Received then or later.")
    until: Moment | None = Field(None, description="Received before.")
    text: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        None, description="Text in the body, upper and lower case told apart."
    )


class EventsQuery(EventsMeant):
    """A page of events."""

    cursor: EventCursor | None = None
    limit: Limit = 50


class RunsQuery(Asked):
    """A page of runs: failed ones first, unless one state is meant."""

    state: Literal["waiting", "running", "done", "failed"] | None = None
    handler: Word | None = None
    event_id: Word | None = None
    cursor: RunsCursor | None = None
    limit: Limit = 50


class RefusedQuery(Asked):
    """A page of deliveries that made no event."""

    verdict: Literal["refused", "duplicate"] = "refused"
    source: Word | None = None
    reason: Word | None = None
    cursor: RefusedCursor | None = None
    limit: Limit = 50


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


class StatsQuery(Asked):
    """What to count: the last `spans` minutes or hours."""

    span: Literal["minute", "hour"] = "minute"
    spans: Annotated[int, Field(ge=1, le=1440)] = 60


class NewJobBody(Asked):
    """The body of a submission."""

    source: str
    tool: str
    parameters: dict[str, Any] = {}
    metadata: dict[str, Any] = {}
    deadline: Annotated[float, Field(gt=0, le=30 * 86_400, description="Seconds.")] = DEADLINE


class CallbackBody(Asked):
    """The body of a request for a URL at which a provider that signs nothing may call back about one job."""

    source: str
    metadata: dict[str, Any] = {}
    deadline: Annotated[float, Field(gt=0, le=30 * 86_400, description="Seconds.")] = DEADLINE


class CallbackAnswer(BaseModel):
    """Where a provider may call back, and until when."""

    job: str
    url: str
    expires_at: float


class ReplayBody(Asked):
    """Handlers to run again; those that want the event if none is named."""

    handlers: Annotated[list[Word], Field(min_length=1, max_length=100)] | None = None
    dry_run: bool = Field(False, description="Only count.")


class ReplayManyBody(ReplayBody):
    """Which events to run handlers on again. `cursor` is `next` of the answer before."""

    events: EventsMeant
    cursor: EventCursor | None = None


class RetryManyBody(Asked):
    """Which failed runs to start again. `cursor` is `next` of the answer before."""

    handler: Word | None = None
    events: EventsMeant = EventsMeant()
    dry_run: bool = Field(False, description="Only count.")
    cursor: RunCursor | None = None


class EventRow(BaseModel):
    """An event in a listing."""

    id: str
    source: str
    state: str
    type: str
    kind: str | None
    job_id: str | None
    tool: str | None
    road: str
    received_at: float
    occurred_at: float
    expires_at: float | None
    message_id: str | None
    fact: str | None
    reason: str | None


class Attempt(BaseModel):
    """One try of a run."""

    number: int
    outcome: str
    started_at: float
    finished_at: float
    error: str | None
    note: str | None


class EventRun(BaseModel):
    """A run of one event, with its attempts."""

    id: str
    handler: str
    state: str
    attempt: int
    due_at: float
    error: str | None
    attempts: list[Attempt]


class EventAnswer(EventRow):
    """An event with everything about it. No URL in it keeps its query."""

    headers: dict[str, str]
    data: Any = Field(description="The provider's JSON.")
    runs: list[EventRun]


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
    started_at: float | None
    finished_at: float | None
    lease_until: float | None
    expires_at: float | None


class RunAnswer(RunRow):
    """A run with its attempts."""

    attempts: list[Attempt]


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


class EndpointRow(BaseModel):
    """A webhook registered at a provider. `heard_at` is of its source's last trusted delivery."""

    id: str
    source: str
    url: str
    events: list[str]
    description: str | None
    created_at: float
    secret_last4: str | None
    heard_at: float | None


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


class CountRow(BaseModel):
    """What happened in one span of time, which began `at`."""

    at: float
    events: int
    duplicates: int
    refused: int
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


Next = Annotated[str | None, Field(description="Cursor of the next page; there may be one after a page without rows.")]


class EventsAnswer(BaseModel):
    """A page of events, newest first."""

    events: list[EventRow]
    next: Next


class RunsAnswer(BaseModel):
    """A page of runs."""

    runs: list[RunRow]
    next: Next


class RefusedPage(BaseModel):
    """A page of deliveries that made no event, newest first."""

    refused: list[RefusedRow]
    next: Next


class JobsAnswer(BaseModel):
    """A page of jobs, newest first."""

    jobs: list[JobAnswer]
    next: Next


class EndpointsAnswer(BaseModel):
    """All registered webhooks."""

    endpoints: list[EndpointRow]
    next: Next


class HandlersAnswer(BaseModel):
    """All handlers."""

    handlers: list[HandlerRow]
    next: Next


class ReplayAnswer(BaseModel):
    """How many events were looked at as meant, and how many runs start, or would start at most."""

    events: int
    runs: int
    next: Next


class RetryAnswer(BaseModel):
    """How many failed runs start again, or would."""

    runs: int
    next: Next


class ProblemAnswer(BaseModel):
    """What went wrong, as in RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
