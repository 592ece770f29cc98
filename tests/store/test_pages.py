"""Reading in pages; each of these holds on both engines."""

import pytest
from sqlalchemy import delete, event, insert, update

from receiver.ids import first_id
from receiver.store import Filter, NewJob, Refusal, RunFilter, page
from receiver.store.tables import events, jobs, news, runs

NOW = 1793232000.0


@pytest.fixture
def history(store, arrival):
    """Fill in events that were received a second apart, the newest at NOW."""

    async def fill(count, new=(), **changes):
        rows = [_row(number, NOW - (count - 1 - number), **changes) for number in range(count)]
        async with store.database.write() as connection:
            await connection.execute(insert(events), rows)
            await connection.execute(delete(news).where(news.c.event_id.not_in([rows[number]["id"] for number in new])))
        return [row["id"] for row in rows]

    return fill


def _row(number, at, **changes):
    return {
        "id": first_id("evt", at),
        "source": "videogen",
        "state": None,
        "type": "tool_execution.succeeded",
        "job_id": f"job_{number}",
        "road": "webhook",
        "received_at": at,
        "occurred_at": at,
        "message_id": f"msg_{number}",
        "headers": "",
        "body": b'{"number": %d}' % number,
    } | {name: value(number) if callable(value) else value for name, value in changes.items()}


async def all_of(turn):
    """Follow the cursors to the end; return the pages' ids."""
    pages, cursor = [], None
    while True:
        found = await turn(cursor)
        pages.append([row["id"] for row in found.rows])
        cursor = found.next
        if cursor is None:
            return pages


async def test_pages_hold_every_event_once_newest_first(store, history):
    ids = await history(7)
    pages = await all_of(lambda cursor: store.events.page(Filter(), cursor=cursor, limit=3))
    assert pages == [ids[:3:-1], ids[3:0:-1], ids[:1]]


async def test_a_last_page_that_is_full_has_nothing_after_it(store, history):
    await history(4)
    assert (await store.events.page(Filter(), limit=4)).next is None


MEANT = [
    (Filter(source="other"), [4]),
    (Filter(type="file.ready"), [3]),
    (Filter(kind="job.failed"), [1]),
    (Filter(state="quarantined"), [2]),
    (Filter(state="waiting"), [0]),
    (Filter(state="dispatched"), [4, 3, 1]),
    (Filter(road="poll"), [1]),
    (Filter(job_id="job_3"), [3]),
    (Filter(id=first_id("evt", NOW)), [4]),
    (Filter(since=NOW - 1), [4, 3]),
    (Filter(until=NOW - 3), [0]),
    (Filter(since=NOW - 3, until=NOW - 1), [2, 1]),
    (Filter(text='"number": 2'), [2]),
    (Filter(text="nothing like it"), []),
]


async def test_each_filter_finds_what_it_says(store, history):
    ids = await history(
        5,
        source=lambda n: "other" if n == 4 else "videogen",
        type=lambda n: "file.ready" if n == 3 else "x",
        kind=lambda n: "job.failed" if n == 1 else None,
        state=lambda n: "quarantined" if n == 2 else None,
        new=[0],
        road=lambda n: "poll" if n == 1 else "webhook",
    )
    for meant, numbers in MEANT:
        found = await store.events.page(meant)
        assert ([row["id"] for row in found.rows], found.next) == ([ids[number] for number in numbers], None), meant


async def test_text_is_found_however_its_json_is_written(store, history):
    written = ['{"prompt": "Grüße \\"an\\" alle"}', '{"prompt": "Gr\\u00fc\\u00dfe \\"an\\" alle"}']
    await history(2, body=lambda number: written[number].encode())
    assert len((await store.events.page(Filter(text='Grüße "an"'))).rows) == 2
    assert not (await store.events.page(Filter(text="grüße"))).rows


async def test_text_that_no_engine_holds_is_only_not_found(store, history):
    await history(1)
    for odd in ("a\0b", "\ud800", "'; DROP TABLE events; --", "%", "\N{SNOWMAN}" * 5000):
        for meant in (Filter(type=odd), Filter(source=odd), Filter(job_id=odd), Filter(id=odd), Filter(text=odd)):
            assert (await store.events.page(meant)).rows == []
        assert (await store.runs.page(RunFilter(handler=odd, event_id=odd))).rows == []
        assert (await store.events.others(source=odd, reason=odd)).rows == []
        assert (await store.jobs.page(source=odd, tool=odd, state=odd)).rows == []
        assert await store.events.other(odd) is None


async def test_what_was_stored_without_its_nul_is_found_by_the_same_text(store, arrival):
    await store.events.add([arrival(type="a\0b")])
    assert len((await store.events.page(Filter(type="a\0b"))).rows) == 1


async def test_a_page_without_patience_says_how_far_it_looked(store, history, monkeypatch):
    monkeypatch.setattr(page, "SLICE", 3)
    ids = await history(8)
    found = await store.events.page(Filter(text='"number": 0'), patience=-1)
    assert (found.rows, found.next) == ([], ids[5])
    pages = await all_of(lambda cursor: store.events.page(Filter(text='"number": 0'), cursor=cursor, patience=-1))
    assert pages == [[], [], [ids[0]]]


async def test_slices_lose_no_row_and_repeat_none(store, history, monkeypatch):
    monkeypatch.setattr(page, "SLICE", 3)
    ids = await history(20, source=lambda n: "rare" if n % 5 == 0 else "videogen")
    pages = await all_of(lambda cursor: store.events.page(Filter(source="rare"), cursor=cursor, limit=2))
    assert [one for some in pages for one in some] == [ids[n] for n in (15, 10, 5, 0)]


@pytest.fixture
async def states(store, history):
    """A run of each state in turn on eleven events: their ids."""
    ids = await history(11)
    rows = [
        {
            "id": one.replace("evt", "run"),
            "event_id": one,
            "handler": "mail" if number == 10 else "log",
            "state": state,
            "due_at": NOW,
            "created_at": NOW,
            "finished_at": NOW if state in ("done", "failed") else None,
            "lease_until": NOW if state == "running" else None,
        }
        for number, one in enumerate(ids)
        for state in [("done", "failed", "waiting", "running")[number % 4]]
    ]
    async with store.database.write() as connection:
        await connection.execute(insert(runs), rows)
    return [row["id"] for row in rows]


async def test_runs_come_failed_first_and_each_once(store, states):
    order = [states[n] for n in (9, 5, 1, 10, 8, 7, 6, 4, 3, 2, 0)]
    for limit in (1, 2, 3, 4, 50):
        pages = await all_of(lambda cursor, limit=limit: store.runs.page(RunFilter(), cursor=cursor, limit=limit))
        assert [one for some in pages for one in some] == order


RUNS = [
    (RunFilter(state="failed"), [9, 5, 1]),
    (RunFilter(state="running"), [7, 3]),
    (RunFilter(state="waiting"), [10, 6, 2]),
    (RunFilter(state="done"), [8, 4, 0]),
    (RunFilter(handler="mail"), [10]),
    (RunFilter(event_id=first_id("evt", NOW - 1)), [9]),
]


async def test_runs_are_found_by_state_handler_and_event(store, states):
    for meant, numbers in RUNS:
        found = await store.runs.page(meant)
        assert [row["id"] for row in found.rows] == [states[number] for number in numbers], meant
        assert {row["source"] for row in found.rows} == {"videogen"}


async def test_a_run_is_retried_or_given_up_only_where_that_makes_sense(store, states):
    done, failed, waiting, running = states[:4]
    assert [await store.runs.retry(id) for id in (done, failed, waiting, running, "run_none")] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert [await store.runs.give_up(id) for id in (waiting, running, "run_none")] == [True, False, False]
    given_up = await store.runs.get(waiting)
    assert (given_up["state"], given_up["error"]) == ("failed", "given up by hand")
    assert (await store.runs.get(failed))["state"] == "waiting"
    assert await store.runs.get("run_none") is None


async def test_deliveries_that_made_no_event_come_in_pages(store, arrival, clock):
    refusals = [
        Refusal(
            source="videogen" if number else "nobody",
            reason="wrong-signature" if number % 2 else "no-signature",
            status=401,
            received_at=clock(),
            headers="a: b",
            body=b"x",
            size=1,
        )
        for number in range(5)
    ]
    await store.events.add([arrival(1)], refusals)
    await store.events.add([arrival(1)])
    pages = await all_of(lambda cursor: store.events.others(cursor=cursor, limit=4))
    assert [len(one) for one in pages] == [4, 2]
    assert len((await store.events.others(verdict="duplicate")).rows) == 1
    [nobody] = (await store.events.others(source="nobody", verdict="refused", reason="no-signature")).rows
    assert "body" not in nobody
    assert bytes((await store.events.other(nobody["id"]))["body"]) == b"x"


async def test_jobs_come_in_pages(store):
    for number in range(5):
        await store.jobs.add(NewJob(source="videogen" if number else "finevoice", tool="A" if number else "B"))
    pages = []
    cursor = None
    while cursor is not None or not pages:
        found = await store.jobs.page(cursor=cursor, limit=2)
        pages.append([job.id for job in found.rows])
        cursor = found.next
    assert [len(one) for one in pages] == [2, 2, 1]
    assert sorted({one for some in pages for one in some}, reverse=True) == [one for some in pages for one in some]
    assert [job.tool for job in (await store.jobs.page(source="finevoice", tool="B", state="open")).rows] == ["B"]
    assert (await store.jobs.page(state="succeeded")).rows == []


async def test_sqlite_looks_for_events_and_runs_in_the_order_of_their_ids_alone(store, states):
    if not store.database.is_sqlite:
        pytest.skip("PostgreSQL plans by what it counted; the benchmark measures it")
    asked = []
    engine = store.database.engine
    event.listen(engine, "before_cursor_execute", lambda *about: asked.append((about[2], about[3])), named=False)
    for meant in (Filter(), *(one for one, _ in MEANT if not (one.job_id or one.id or one.state == "waiting"))):
        await store.events.page(meant)
    for state in ("waiting", "done", "failed", None):
        await store.runs.page(RunFilter(state=state, handler="log"))
    await store.runs.page(RunFilter(state="waiting"))
    for state in ("open", "submitted"):
        await store.jobs.page(state=state, source="videogen", tool="A")
        await store.jobs.page(state=state)
    async with store.database.read() as connection:
        for statement, values in [one for one in asked if one[0].startswith("SELECT")]:
            plan = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
            steps = " ".join(row[3] for row in plan)
            assert any(f" {index}" in steps for index in ORDERED), (statement, steps)
            assert "TEMP B-TREE" not in steps, statement


#: Those in the order of ids, and two that find what is still to do: it is few, or the newest of it is found at once.
ORDERED = (
    *("sqlite_autoindex_events_1", "sqlite_autoindex_runs_1", "sqlite_autoindex_jobs_1", "runs_failed"),
    *("runs_due", "jobs_open"),
)


async def test_what_is_open_is_found_at_once_however_much_has_ended_since(store, states, monkeypatch):
    monkeypatch.setattr(page, "SLICE", 2)
    stuck = await store.jobs.track(NewJob(source="videogen", tool="A", job_id="stuck"))
    for number in range(5):
        await store.jobs.track(NewJob(source="videogen", tool="A", job_id=f"ended {number}"))
    async with store.database.write() as connection:
        await connection.execute(update(jobs).where(jobs.c.id != stuck.id).values(state="succeeded", ended_at=NOW))
        await connection.execute(update(runs).where(runs.c.id != states[2]).values(ENDED))
    for state in ("open", "waiting", "submitted"):
        found = await store.jobs.page(state=state, source="videogen", tool="A", patience=-1)
        assert ([job.id for job in found.rows], found.next) == ([stuck.id] if state != "waiting" else [], None)
    for meant in (RunFilter(state="waiting"), RunFilter(state="waiting", handler="log")):
        found = await store.runs.page(meant, patience=-1)
        assert ([row["id"] for row in found.rows], found.next) == ([states[2]], None)
    monkeypatch.setattr(page, "FEW", 0)
    found = await store.jobs.page(state="open", patience=-1)
    assert (found.rows, found.next is not None) == ([], True), "of many, the newest are looked through"


ENDED = {"state": "done", "finished_at": NOW, "lease_until": None}
