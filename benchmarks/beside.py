"""What stands beside the events of a long history: jobs, failed runs, refused deliveries, copies, captured files.

Each by one statement over all events, numbered from the oldest, and the same on both engines: a million of them
is filled in seconds.
"""

from collections.abc import Iterator

#: Beside each hundred events: jobs that they end, jobs never heard of again, refused deliveries, captured files.
JOBS, UNHEARD, REFUSED, CAPTURED = 30, 1, 5, 10

#: In so many events there is one whose run failed, one that came twice, one found by asking its provider.
FAILED, COPIED, RECOVERED = 9, 100, 500

#: What the oldest refused delivery is refused for, and no other.
RARE = "expired-token"


def statements(*, done: int) -> Iterator[str]:
    """Yield what fills the other tables. The runs of the oldest `done` events have ended."""
    yield (
        "CREATE TEMPORARY TABLE numbered AS SELECT id, substr(id, 5) AS key, job_id AS job, message_id AS message, "
        "received_at AS at, row_number() OVER (ORDER BY id) AS n FROM events"
    )
    yield _jobs(f"n % 100 < {JOBS}", "job", state="succeeded", ended="at", due="NULL", event="id")
    # Not heard of for a day, the oldest far behind the newest page.
    unheard = f"n % 100 >= {JOBS} AND n % 100 < {JOBS + UNHEARD}"
    yield _jobs(unheard, "'vg_tool_u' || key", state="running", ended="NULL", due="at + 86400", event="NULL")
    failed = f"n % {FAILED} = 0 AND n <= {done}"
    runs = f"(SELECT 'run_' || key FROM numbered WHERE {failed})"
    yield f"UPDATE runs SET state = 'failed', attempt = 3, error = '{_ERROR}' WHERE id IN {runs}"
    yield f"UPDATE attempts SET outcome = 'failed', number = 3, error = '{_ERROR}' WHERE run_id IN {runs}"
    for number in (1, 2):
        yield (
            "INSERT INTO attempts (run_id, handler, number, outcome, started_at, finished_at, error) "
            f"SELECT 'run_' || key, 'nothing', {number}, 'retry', at, at, '{_ERROR}' FROM numbered WHERE {failed}"
        )
    yield _deliveries(
        f"n % 100 < {REFUSED}", verdict="refused", status=401, event="NULL", reason=_REASON, message="NULL"
    )
    yield _deliveries(
        f"n % {COPIED} = 50", verdict="duplicate", status=200, event="id", reason="'same-message'", message="message"
    )
    yield f"UPDATE events SET road = 'reconcile' WHERE id IN (SELECT id FROM numbered WHERE n % {RECOVERED} = 7)"
    yield (
        "INSERT INTO outputs (id, event_id, handler, output_id, source, job_id, type, state, expires_at, place, "
        "media_type, size, error, changed_at) SELECT 'out_' || key, id, 'nothing', 'file', 'videogen', job, 'VIDEO', "
        "CASE WHEN n % 1000 = 5 THEN 'missed' ELSE 'captured' END, at + 3600, "
        "CASE WHEN n % 1000 = 5 THEN NULL ELSE 'files/' || key || '.mp4' END, 'video/mp4', 18234511, "
        f"CASE WHEN n % 1000 = 5 THEN '{_ERROR}' END, at FROM numbered WHERE n % 100 < {CAPTURED}"
    )
    yield "DROP TABLE numbered"


_ERROR = "RuntimeError: the storage answered 503"

_REASON = f"CASE WHEN n = 1 THEN '{RARE}' WHEN n % 3 = 0 THEN 'stale-timestamp' ELSE 'no-match' END"


def _jobs(where: str, job: str, *, state: str, ended: str, due: str, event: str) -> str:
    metadata = """CASE WHEN n % 3 = 0 THEN '{"order": ' || n || ', "customer": "' || key || '"}' ELSE '{}' END"""
    return (
        "INSERT INTO jobs (id, source, tool, job_id, state, status, parameters, metadata, created_at, submitted_at, "
        "ended_at, due_at, asked, event_id) SELECT 'job_' || key, 'videogen', 'GENERATE_AVATAR', "
        f"""{job}, '{state}', '{state}', '{{"prompt": "a lighthouse at dusk"}}', {metadata}, at - 60, at - 60, """
        f"{ended}, {due}, 1, {event} FROM numbered WHERE {where}"
    )


def _deliveries(where: str, *, verdict: str, status: int, event: str, reason: str, message: str) -> str:
    return (
        "INSERT INTO deliveries (id, source, verdict, reason, status, received_at, event_id, message_id, sender, "
        f"size, headers, body) SELECT 'dlv_' || key, source, '{verdict}', {reason}, {status}, at, {event}, {message}, "
        "'192.0.2.7', length(body), headers, body FROM numbered JOIN events USING (id) WHERE " + where
    )
