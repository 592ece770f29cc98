"""The tables, the same on SQLite and PostgreSQL. Times are Unix seconds.

The words are those of the README. What changes often and what people look for stands near the top.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    case,
    exists,
    func,
    select,
    text,
)

metadata = MetaData()

#: What deliveries told us, each once. Append-only but for `state`, and what an erasure takes.
events = Table(
    "events",
    metadata,
    Column("id", Text, primary_key=True),
    Column("source", Text, nullable=False),
    Column("state", Text),  # what sets it apart: it contradicts another, is in quarantine, or was erased
    Column("type", Text, nullable=False),
    Column("kind", Text),
    Column("job_id", Text),
    Column("tool", Text),
    Column("road", Text, nullable=False),
    Column("received_at", Double, nullable=False),
    Column("occurred_at", Double, nullable=False),
    Column("expires_at", Double),  # when the first URL of its outputs stops working
    Column("message_id", Text),  # the provider's id of the message, the same on its retries
    Column("fact", Text),  # the same by whichever road it came
    Column("reason", Text),  # why it is in quarantine
    Column("trace", Text),  # the span of its delivery, as a traceparent; only where traces are made
    Column("headers", Text, nullable=False),  # lines `name: value`
    Column("body", LargeBinary, nullable=False),  # the exact bytes that were signed
    CheckConstraint("state IN ('conflicting', 'quarantined', 'erased')", name="events_state"),
    UniqueConstraint("source", "message_id", name="events_message"),
    UniqueConstraint("source", "fact", name="events_fact"),
)
Index("events_job", events.c.job_id)
Index(
    "events_recovered",
    events.c.source,
    sqlite_where=text("road = 'reconcile'"),
    postgresql_where=text("road = 'reconcile'"),
)

#: Events that no worker has fanned out; a trigger adds each that is not in quarantine. To note it on the event itself
#: would write the body again.
news = Table("news", metadata, Column("event_id", Text, primary_key=True), sqlite_with_rowid=False)

#: How an event stands: waiting, then dispatched, unless something sets it apart.
event_state = func.coalesce(
    events.c.state, case((exists().where(news.c.event_id == events.c.id), "waiting"), else_="dispatched")
)

#: The event that is one of the news. With nothing added to the id, no engine goes through all events for them.
is_news = events.c.id == news.c.event_id.concat("")

#: When the oldest of the news was received.
oldest_news = select(events.c.received_at).join(news, is_news).order_by(news.c.event_id).limit(1)

#: Deliveries that made no event: refused ones with the reason, and further copies of what is stored.
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Text, primary_key=True),
    Column("source", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("status", Integer, nullable=False),  # what the sender was answered
    Column("received_at", Double, nullable=False),
    Column("event_id", Text),  # the event it is a copy of
    Column("message_id", Text),
    Column("skew", Double),  # seconds its timestamp was ahead of our clock
    Column("sender", Text),  # the address it came from
    Column("unlisted", Integer, nullable=False, server_default="0"),  # like ones before it that got no row, in a flood
    Column("size", BigInteger),  # of the body, as far as it was read
    Column("headers", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),  # its beginning
    CheckConstraint("verdict IN ('refused', 'duplicate')", name="deliveries_verdict"),
)
Index("deliveries_received", deliveries.c.received_at)
Index(
    "deliveries_event",
    deliveries.c.event_id,
    sqlite_where=text("event_id IS NOT NULL"),
    postgresql_where=text("event_id IS NOT NULL"),
)

#: One handler on one event.
runs = Table(
    "runs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("event_id", Text, ForeignKey("events.id", ondelete="CASCADE"), nullable=False),
    Column("handler", Text, nullable=False),
    Column("state", Text, nullable=False),  # waiting -> running -> done | failed; a retry waits again
    Column("due_at", Double, nullable=False),
    Column("attempt", Integer, nullable=False, server_default="0"),  # tries begun since it was last asked for
    Column("expires_at", Double),  # until when its outputs can be captured; only for handlers that capture
    Column("order_key", Text),  # runs of one handler with the same key go one after the other; usually none
    Column("worker", Text),
    Column("lease_until", Double),
    Column("token", Integer, nullable=False, server_default="0"),  # grows with each claim; an older one may not finish
    Column("error", Text),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    CheckConstraint("state IN ('waiting', 'running', 'done', 'failed')", name="runs_state"),
    CheckConstraint("(state = 'running') = (lease_until IS NOT NULL)", name="runs_lease"),
    CheckConstraint("(state IN ('done', 'failed')) = (finished_at IS NOT NULL)", name="runs_finished"),
    UniqueConstraint("event_id", "handler", name="runs_event_handler"),
)
# Both are partial: what a claim costs does not depend on how much was done before.
Index(
    "runs_due",
    runs.c.handler,
    runs.c.due_at,
    runs.c.id,
    runs.c.state,  # always the same; with it SQLite counts without reading a row
    sqlite_where=text("state = 'waiting'"),
    postgresql_where=text("state = 'waiting'"),
)
# The most urgent capture first, and the alarm for those that are late.
Index(
    "runs_urgent",
    runs.c.handler,
    runs.c.expires_at,
    sqlite_where=text("state = 'waiting' AND expires_at IS NOT NULL"),
    postgresql_where=text("state = 'waiting' AND expires_at IS NOT NULL"),
)
Index(
    "runs_expiring",
    runs.c.expires_at,
    sqlite_where=text("state <> 'done' AND expires_at IS NOT NULL"),
    postgresql_where=text("state <> 'done' AND expires_at IS NOT NULL"),
)
Index(
    "runs_leased",
    runs.c.lease_until,
    sqlite_where=text("state = 'running'"),
    postgresql_where=text("state = 'running'"),
)

Index(
    "runs_ordered",
    runs.c.handler,
    runs.c.order_key,
    sqlite_where=text("order_key IS NOT NULL AND finished_at IS NULL"),
    postgresql_where=text("order_key IS NOT NULL AND finished_at IS NULL"),
)

# Those that do not succeed, for the alarm.
Index(
    "runs_struggling",
    runs.c.handler,
    sqlite_where=text("state = 'waiting' AND attempt >= 3"),
    postgresql_where=text("state = 'waiting' AND attempt >= 3"),
)
Index(
    "runs_failed",
    runs.c.id,
    runs.c.handler,
    runs.c.state,  # as above
    sqlite_where=text("state = 'failed'"),
    postgresql_where=text("state = 'failed'"),
)

#: Handlers as the workers that found them tell: only they import handler code.
handlers = Table(
    "handlers",
    metadata,
    Column("name", Text, primary_key=True),
    Column("events", Text, nullable=False),  # a JSON list of patterns
    Column("source", Text),
    Column("tool", Text),
    Column("retries", Integer, nullable=False),
    Column("timeout", Double, nullable=False),
    Column("concurrency", Integer, nullable=False),
    Column("ordered", Integer, nullable=False),
    Column("captures", Integer, nullable=False),
    Column("place", Text, nullable=False),
    Column("worker", Text, nullable=False),  # who told last
    Column("seen_at", Double, nullable=False),
)

#: Handlers whose runs wait until they are resumed.
pauses = Table(
    "pauses",
    metadata,
    Column("handler", Text, primary_key=True),
    Column("paused_at", Double, nullable=False),
)

#: Of a run, whether its handler is paused.
is_paused = exists().where(pauses.c.handler == runs.c.handler).label("paused")

_earlier = runs.alias()

#: Of a run that waits for others of its order key, the first event whose run has not ended.
behind = (
    select(func.min(_earlier.c.event_id))
    .where(
        runs.c.state == "waiting",
        _earlier.c.handler == runs.c.handler,
        _earlier.c.order_key == runs.c.order_key,
        _earlier.c.finished_at.is_(None),
        _earlier.c.event_id < runs.c.event_id,
    )
    .scalar_subquery()
    .label("behind")
)

#: Every try of every run. Append-only.
attempts = Table(
    "attempts",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("run_id", Text, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("handler", Text, nullable=False),  # the run's, so that counting by handler looks up no run
    Column("number", Integer, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("worker", Text),
    Column("started_at", Double, nullable=False),
    Column("finished_at", Double, nullable=False),
    Column("error", Text),
    Column("note", Text),  # what the handler wants kept beside it
    CheckConstraint("outcome IN ('done', 'retry', 'failed', 'lost')", name="attempts_outcome"),
)
Index("attempts_run", attempts.c.run_id)
Index("attempts_finished", attempts.c.finished_at, attempts.c.handler, attempts.c.outcome)

#: Steps that handlers asked to make once.
steps = Table(
    "steps",
    metadata,
    Column("run_id", Text, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("token", Integer, nullable=False),  # of the claim that began it
    Column("begun_at", Double, nullable=False),
    Column("done_at", Double),
)

#: What providers work on: what was submitted here, and what events told of. Once ended, a job never moves again.
jobs = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),  # ours
    Column("source", Text, nullable=False),
    Column("tool", Text),  # as events call it
    Column("job_id", Text),  # the provider's, once it has one
    Column("state", Text, nullable=False),  # waiting -> sending -> submitted -> running -> an end
    Column("status", Text),  # the provider's word for how it stands
    Column("progress", Double),  # percent
    Column("parameters", Text, nullable=False, server_default="{}"),  # JSON
    Column("metadata", Text, nullable=False, server_default="{}"),  # JSON, the application's
    Column("run_id", Text),  # the run whose handler submitted it
    Column("trace", Text),  # that run's span, as a traceparent; only where traces are made
    Column("created_at", Double, nullable=False),
    Column("submitted_at", Double),  # when it was sent off; never for those that others started
    Column("ended_at", Double),
    Column("deadline_at", Double),  # when it has failed if nothing was heard
    Column("cancel_at", Double),  # when somebody asked here for its end
    Column("cancel_told_at", Double),  # when its provider was told
    Column("due_at", Double),  # when to send it or to ask next; not once it has ended
    Column("asked", Integer, nullable=False, server_default="0"),  # times its provider was asked
    Column("failures", Integer, nullable=False, server_default="0"),  # in a row, of the last sendings or questions
    Column("worker", Text),
    Column("lease_until", Double),
    Column("token", Integer, nullable=False, server_default="0"),  # grows with each claim; an older one changes nothing
    Column("error", Text),  # the last trouble, or why it failed
    Column("request_id", Text),  # the provider's, of the answer with that error
    Column("event_id", Text),  # that told its end
    Column("conflict", Text),  # an event that told another end, later, and what the provider said to it
    CheckConstraint(
        "state IN ('waiting', 'sending', 'uncertain', 'submitted', 'running', 'awaiting_approval', "
        "'succeeded', 'failed', 'cancelled')",
        name="jobs_state",
    ),
    CheckConstraint("(state IN ('succeeded', 'failed', 'cancelled')) = (ended_at IS NOT NULL)", name="jobs_ended"),
    UniqueConstraint("job_id", "source", name="jobs_job"),  # in this order it finds a job without its source, too
)
Index("jobs_due", jobs.c.due_at, sqlite_where=text("due_at IS NOT NULL"), postgresql_where=text("due_at IS NOT NULL"))
Index(
    "jobs_open",
    jobs.c.source,
    jobs.c.state,
    sqlite_where=text("ended_at IS NULL"),
    postgresql_where=text("ended_at IS NULL"),
)
Index(
    "jobs_took",
    jobs.c.source,
    jobs.c.tool,
    jobs.c.ended_at,
    sqlite_where=text("state = 'succeeded' AND submitted_at IS NOT NULL"),
    postgresql_where=text("state = 'succeeded' AND submitted_at IS NOT NULL"),
)

#: Files that jobs made, as far as handlers captured them. They outlive their event.
outputs = Table(
    "outputs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("event_id", Text, nullable=False),
    Column("handler", Text, nullable=False),
    Column("output_id", Text, nullable=False),  # the provider's
    Column("source", Text, nullable=False),
    Column("job_id", Text),
    Column("type", Text),  # the provider's word
    Column("state", Text, nullable=False),  # missed -> captured, and back if a capture is lost and cannot be made again
    Column("expires_at", Double),  # when its URL stopped working
    Column("place", Text),  # where it is kept
    Column("media_type", Text),  # told by its content
    Column("size", BigInteger),
    Column("sha256", Text),
    Column("error", Text),  # why the last attempt missed it
    Column("changed_at", Double, nullable=False),
    CheckConstraint("state IN ('captured', 'missed')", name="outputs_state"),
    CheckConstraint("(state = 'captured') = (place IS NOT NULL)", name="outputs_place"),
    UniqueConstraint("event_id", "handler", "output_id", name="outputs_output"),
)
Index("outputs_job", outputs.c.job_id)

#: Alarms that are on. What they told is in the events.
alarms = Table(
    "alarms",
    metadata,
    Column("watch", Text, primary_key=True),
    Column("about", Text, primary_key=True),
    Column("raised_at", Double, nullable=False),
    Column("calm_since", Double),  # since when it would not be raised any more
    Column("value", Double, nullable=False),
    Column("text", Text, nullable=False),
)

#: How much happened in each span of time that is over, added up by a worker; and what acknowledgements took, as told.
counts = Table(
    "counts",
    metadata,
    Column("step", Integer, primary_key=True),  # seconds of the span
    Column("at", BigInteger, primary_key=True),  # when it began
    Column("what", Text, primary_key=True),  # events, duplicates, refused, acks, or how attempts ended
    Column("about", Text, primary_key=True),  # whose attempts, or why they were refused; else empty
    Column("upto", Double, primary_key=True),  # attempts and acks that took up to so many seconds; else 0
    Column("number", BigInteger, nullable=False),
)

#: When a part of the receiver was last there, a source last delivered, or up to when counts are added up.
beats = Table("beats", metadata, Column("part", Text, primary_key=True), Column("seen_at", Double, nullable=False))

#: Webhooks registered at providers.
endpoints = Table(
    "endpoints",
    metadata,
    Column("source", Text, primary_key=True),
    Column("id", Text, primary_key=True),  # the provider's
    Column("url", Text, nullable=False),
    Column("events", Text, nullable=False),  # a JSON list
    Column("description", Text),
    Column("created_at", Double, nullable=False),
    Column("deleted_at", Double),
    Column("compared_at", Double),  # when its provider last told how it has it
    Column("drift", Text),  # in what it was not as it should be then
    Column("drift_text", Text),  # the same for people
    Column("drifted_at", Double),  # since when that was seen
)

#: Signing secrets, sealed. One that was replaced stays valid for a while.
secrets = Table(
    "secrets",
    metadata,
    Column("id", Text, primary_key=True),
    Column("source", Text, nullable=False),
    Column("endpoint_id", Text),
    Column("sealed", Text, nullable=False),
    Column("last4", Text, nullable=False),
    Column("valid_from", Double, nullable=False),
    Column("valid_until", Double),
)
Index("secrets_source", secrets.c.source)

#: Who is signed in to the pages. The id of a session is in its cookie only; here is what it hashes to.
sessions = Table(
    "sessions",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("begun_at", Double, nullable=False),
    Column("valid_until", Double, nullable=False),
)
