"""What the pages show, and what their buttons do."""

import dataclasses
import html
import itertools
import json
import math
import re
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import insert, select, update

from receiver.dashboard import events, overview, pages
from receiver.dashboard import runs as runs_pages
from receiver.dashboard.refused import REASONS
from receiver.store import (
    Finished,
    NewJob,
    Refusal,
    RunFilter,
    Store,
    headers_of,
    headers_text,
    page,
    replay,
    tables,
    tally,
)

from .conftest import ORIGIN, opened, sign_in
from .stored import NASTY, SIGNED, Strangers, arrival, fill

PAGES = (
    "/",
    "/?span=1h",
    "/events",
    "/jobs",
    "/runs",
    "/refused",
    "/refused?verdict=all",
    "/endpoints",
    "/handlers",
    "/runs/retry",
    "/runs/give-up",
)


def pages_of(stored):
    return (
        *PAGES,
        *(f"/events/{id}" for id in (stored.done, stored.failed, stored.quarantined)),
        f"/jobs/{stored.job}",
        "/jobs/vg_tool_1",
        f"/refused/{stored.refused}",
    )


async def test_every_page_stands_without_anything_stored_and_says_what_to_do(shown):
    for path in PAGES:
        answer = await shown.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["cache-control"] == "no-store"
    assert "register-webhook" in (await shown.get("/events")).text
    assert "receiver jobs submit" in (await shown.get("/jobs")).text


async def test_every_page_shows_what_is_stored_and_hides_signatures_and_secrets(shown, ledger, tmp_path):
    stored = await fill(ledger, tmp_path / "files", at=time.time())
    for path in pages_of(stored):
        answer = await shown.get(path)
        assert answer.status_code == 200, path
        for secret in ("a-signature-of-theirs", "c2lnbmF0dXJl", "tok_hidden"):
            assert secret not in answer.text, path
    assert SIGNED.partition("?")[0] in (await shown.get(f"/events/{stored.done}")).text


async def test_what_strangers_wrote_is_inert_on_every_page(shown, ledger, tmp_path):
    stored = await fill(ledger, tmp_path / "files", at=time.time(), text=NASTY)
    seen = 0
    for path in pages_of(stored):
        answer = await shown.get(path)
        assert answer.status_code == 200, path
        assert "set-cookie" not in answer.headers
        assert "<script class=stranger" not in answer.text, path
        assert "<img class=stranger" not in answer.text, path
        assert not re.search(r"<[^>]*\sonerror=", answer.text), path
        assert "6049261729" not in answer.text, path
        assert "\x00" not in answer.text, path
        assert "\u202e" not in answer.text, path
        seen += "&lt;script class=stranger&gt;alert(1)&lt;/script&gt;" in answer.text
    assert seen >= 9, "it is shown, as text"


async def test_an_erased_event_is_shown_as_that_and_cannot_be_replayed(shown, ledger, tmp_path):
    stored = await fill(ledger, tmp_path / "files", at=time.time())
    job_id = (await ledger.events.get(stored.done))["job_id"]
    for subject in await ledger.erasures.called(job_id):
        await ledger.erasures.erase(subject)
    page = await shown.get(f"/events/{stored.done}")
    assert page.status_code == 200
    assert "erased" in page.text
    assert job_id not in page.text
    assert f"/events/{stored.done}/replay" not in page.text
    assert ">erased<" in (await shown.get("/events")).text


async def test_an_event_tells_its_story_and_why_a_handler_failed(shown, ledger, tmp_path):
    stored = await fill(ledger, tmp_path / "files", at=time.time())
    page = (await shown.get(f"/events/{stored.failed}")).text
    assert "A delivery came" in page
    assert "ValueError: words at https://files.example/f?[redacted]" in page
    assert "took 1.5 s" in page
    page = (await shown.get(f"/events/{stored.done}")).text
    assert "The same message again" in page
    assert f'src="/files/{stored.output}"' in page
    assert "&#34;order&#34;: &#34;words&#34;" in page
    assert "In quarantine." in (await shown.get(f"/events/{stored.quarantined}")).text


async def test_a_job_tells_whether_it_finished_and_how_we_heard_of_it(shown, ledger, tmp_path):
    stored = await fill(ledger, tmp_path / "files", at=time.time())
    page = (await shown.get("/jobs/vg_tool_1")).text
    assert "It finished" in page
    assert "by webhook" in page
    assert f"/events/{stored.done}" in page
    found = await shown.get("/jobs?id=vg_tool_1")
    assert found.headers["location"] == f"/jobs/{stored.job}"
    assert (await shown.get("/jobs?id=nobody")).status_code == 404


async def test_a_run_in_its_turn_leads_to_the_event_that_goes_first(shown, ledger):
    first, second = await ledger.events.add([arrival(number, time.time(), job_id="job") for number in (1, 2)])
    await ledger.runs.turn(
        worker="w", lease=30, finished=[], wanted=lambda event: {"log": event["job_id"]}, free={"log": 0}
    )
    page = (await shown.get(f"/events/{second.event_id}")).text
    assert f'after the run of an <a href="/events/{first.event_id}">earlier event</a>' in page
    assert "in turn" in (await shown.get("/runs")).text


async def test_the_list_of_jobs_marks_those_that_take_several_times_what_is_usual(shown, ledger):
    job = NewJob(source="videogen", tool="GENERATE_SOUND_EFFECT", job_id="vg_slow")
    await ledger.jobs.track(job)
    assert ">overdue<" not in (await shown.get("/jobs")).text
    async with ledger.database.write() as connection:
        await connection.execute(update(tables.jobs).values(created_at=1.0, submitted_at=None))
    assert ">overdue<" in (await shown.get("/jobs")).text


async def test_half_a_character_from_a_stranger_breaks_no_page(shown, ledger):
    body = json.dumps({"a": "\ud800"}).encode()
    about = {"source": "videogen", "reason": "missing-header", "status": 401, "received_at": time.time(), "headers": ""}
    await ledger.events.add([], [Refusal(**about, body=body, size=len(body))])
    [refused] = await ledger.events.deliveries()
    page = await shown.get(f"/refused/{refused['id']}")
    assert page.status_code == 200
    assert "\u27e8u+d800\u27e9" in page.text


async def test_of_two_providers_that_gave_the_same_id_each_page_shows_its_own(shown, ledger):
    theirs = {"job_id": "same", "received_at": time.time()}
    first, second = await ledger.events.add(
        [
            arrival(1, theirs["received_at"], source=source, message_id=source, fact=None, job_id="same")
            for source in ("videogen", "finevoice")
        ]
    )
    for source in ("videogen", "finevoice"):
        await ledger.jobs.track(NewJob(source=source, tool=None, job_id="same", metadata={"order": f"of-{source}"}))
        event_id = {"videogen": first, "finevoice": second}[source].event_id
        await ledger.outputs.record(
            event_id=event_id, handler="h", output_id=source, source=source, job_id="same", state="missed", type="AUDIO"
        )
    for source, added, other in (("videogen", first, "finevoice"), ("finevoice", second, "videogen")):
        page = (await shown.get(f"/events/{added.event_id}")).text
        assert f"of-{source}" in page
        assert f"of-{other}" not in page
        link = f"/jobs/same?source={source}"
        assert f'href="{link}"' in page
        page = (await shown.get(link)).text
        assert f"of-{source}" in page
        assert added.event_id in page
        assert f"<dt>Source</dt><dd>{source}" in page
        assert [one["source"] for one in await ledger.outputs.recent(job_id="same", source=source)] == [source]


async def test_a_large_body_is_made_fit_to_read_beside_the_loop_and_only_as_far_as_it_is_shown(
    shown, ledger, monkeypatch
):
    body = json.dumps([{"token": "tok_hidden"}, *range(60_000)]).encode()
    [added] = await ledger.events.add([arrival(1, time.time(), body=body)])
    threads = []

    def noted(body):
        threads.append(threading.current_thread())
        return pages.pretty(body)

    monkeypatch.setattr(events, "pretty", noted)
    page = (await shown.get(f"/events/{added.event_id}")).text
    assert f"The first 200,000 characters of its {len(body):,} bytes are shown." in page
    assert "tok_hidden" not in page
    assert "25000," not in page
    assert threading.current_thread() not in threads
    assert len(threads) == 1


async def test_an_event_that_no_provider_told_is_not_said_to_be_its(shown, ledger):
    now = time.time()
    roads = (
        ("receiver", "poll", "Our own alarm"),
        ("videogen", "import", "Imported"),
        ("videogen", "poll", "was asked"),
    )
    for number, (source, road, said) in enumerate(roads):
        [added] = await ledger.events.add([arrival(number, now, source=source, road=road)])
        page = (await shown.get(f"/events/{added.event_id}")).text
        assert said in page
        assert ("was asked" in page) == (said == "was asked")


def test_a_value_with_an_end_of_line_of_another_kind_makes_no_header():
    text = headers_text([(b"x-odd", b"a\x85authorization: b\x0cc"), (b"host", b"h"), (b"x-odd", b"d")])
    assert headers_of(text) == {"x-odd": "a\x85authorization: b\x0cc, d", "host": "h"}
    assert headers_of("") == {}


async def test_events_are_found_by_what_people_have_at_hand(shown, ledger, tmp_path):
    stored = await fill(ledger, tmp_path / "files", at=time.time())
    for query, said in (
        (f"text={stored.done}", "It is the id of an event."),
        ("text=vg_tool_2", "It is the id of a job."),
        (f"text={stored.job}", "It is the id of a job."),
        ("text=tok_hidden", "It stands in the bodies of these."),
        ("text=nowhere", "No event is like this"),
        ("type=odd.words", "odd."),
        ("road=reconcile", "recovered"),
        ("state=quarantined", "quarantined"),
        ("source=videogen&since=2020-01-01T00:00", "GENERATE_"),
        ("since=yesterday", "A time is written like"),
        ("until=2020-01-01T00:00", "No event is like this"),
    ):
        assert said in (await shown.get(f"/events?{query}")).text, query


async def test_a_failed_run_runs_again_and_a_waiting_one_can_be_given_up(shown, ledger, act, tmp_path):
    stored = await fill(ledger, tmp_path / "files", at=time.time())
    page = await act(f"/runs/{stored.run}/retry")
    assert (page.url.path, page.url.fragment) == (f"/events/{stored.failed}", stored.run)
    assert "1 run starts again." in page.text
    assert (await ledger.runs.get(stored.run))["state"] == "waiting"
    assert "It runs or waits already." in (await act(f"/runs/{stored.run}/retry")).text
    assert "It is given up" in (await act(f"/runs/{stored.run}/give-up")).text
    assert (await ledger.runs.get(stored.run))["state"] == "failed"
    assert "It was not waiting any more." in (await act(f"/runs/{stored.run}/give-up")).text
    assert (await act("/runs/run_none/retry")).status_code == 404


async def test_failed_runs_are_counted_before_they_all_run_again(shown, ledger, act, tmp_path):
    stored = await fill(ledger, tmp_path / "files", at=time.time())
    assert "1 failed run" in (await shown.get("/runs/retry?handler=publish")).text
    assert "nothing to retry" in (await shown.get("/runs/retry?handler=download")).text
    assert "A time is written like" in (await shown.get("/runs/retry?since=x")).text
    assert (await ledger.runs.get(stored.run))["state"] == "failed"
    fields = {"handler": "publish", "count": "1", "at": str(time.time())}
    assert "1 run starts again." in (await act("/runs/retry", **fields)).text
    assert (await ledger.runs.get(stored.run))["state"] == "waiting"
    assert (await act("/runs/retry", since="x")).status_code == 404
    for wrong in ({}, {"count": "1"}, {"count": "1", "at": "nan"}, {"count": "x", "at": "1"}):
        answer = await act("/runs/retry", **wrong)
        assert (answer.status_code, "Count the runs first" in answer.text) == (404, True), wrong


async def pressed(client, page):
    """Press the button of the page's last form."""
    form = page.text.rsplit("<form", 1)[1]
    path = re.search(r'action="([^"]+)"', form)[1]
    fields = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', form))
    return await client.post(path, data=fields, headers=ORIGIN, follow_redirects=True)


@pytest.mark.parametrize("path", ["/events?type=rare", "/jobs?tool=rare", "/runs?handler=rare", "/refused?source=rare"])
async def test_a_listing_that_found_nothing_yet_says_how_far_it_looked_and_goes_on_by_itself(
    shown, ledger, monkeypatch, path
):
    moments = itertools.count()
    monkeypatch.setattr(page, "time", SimpleNamespace(monotonic=lambda: next(moments) * 10.0))
    monkeypatch.setattr(page, "SLICE", 2)
    await ledger.events.add([arrival(number, time.time(), fact=None) for number in range(5)])
    await ledger.runs.turn(worker="w", lease=30, finished=[], wanted=lambda _event: {"log": None}, free={})
    for number in range(5):
        await ledger.jobs.add(NewJob(source="videogen", tool=f"T{number}", parameters={}))
        about = {"source": "videogen", "reason": "wrong-signature", "status": 401, "size": 0}
        refusal = Refusal(received_at=time.time(), headers="{}", body=b"", **about)
        await ledger.events.add([], [refusal])
    looks, answer = 1, await shown.get(path)
    while "Nothing found yet" in answer.text:
        assert "Looked back to <time" in answer.text
        link = r'<section [^>]*id="found".*?<a href="([^"]+)" hx-get="([^"]+)" hx-trigger="load'
        said = re.search(link, answer.text, re.DOTALL)
        assert said[1] == said[2], "the same without JavaScript"
        looks, answer = looks + 1, await shown.get(html.unescape(said[1]))
    assert looks > 2
    assert "is like this" in answer.text or "Nothing was refused" in answer.text


@pytest.mark.parametrize("many", ["retry", "give-up"])
async def test_many_runs_are_changed_in_pieces_each_button_asking_for_the_next(shown, ledger, monkeypatch, many):
    monkeypatch.setattr(runs_pages, "PATIENCE", -1.0)
    monkeypatch.setattr(replay, "STEP", 2)
    await ledger.events.add([arrival(number, time.time()) for number in range(5)])
    wanted = {"log": None}
    turn = {"worker": "w", "lease": 30, "wanted": lambda _event: wanted}
    made = await ledger.runs.turn(**turn, finished=[], free={"log": 5} if many == "retry" else {})
    ended = [Finished(run=run, outcome="failed", finished_at=time.time(), error="x") for run in made.claimed]
    await ledger.runs.turn(**turn, finished=ended, free={})
    before, after = ("failed", "waiting") if many == "retry" else ("waiting", "failed")
    assert f'href="/runs/{many}"' in (await shown.get(f"/runs?state={before}")).text
    page = await shown.get(f"/runs/{many}")
    assert f"<strong>5 {before} runs</strong>" in page.text
    for done in (2, 4):
        page = await pressed(shown, page)
        assert "data-goes-on" in page.text
        assert f"<strong>{done}</strong> of 5 runs so far" in page.text
        assert await ledger.runs.counts() == {before: 5 - done, after: done}
    page = await pressed(shown, page)
    assert page.url.path == "/runs"
    assert ("5 runs start again." if many == "retry" else "5 runs are given up.") in page.text
    assert await ledger.runs.counts() == {after: 5}


async def test_many_runs_of_which_not_all_were_counted_start_again_all_the_same(shown, ledger, monkeypatch):
    monkeypatch.setattr(runs_pages, "PATIENCE", -1.0)
    monkeypatch.setattr(runs_pages, "LOOKED", 3)
    monkeypatch.setattr(replay, "LOOKED", 3)
    monkeypatch.setattr(replay, "STEP", 2)
    await ledger.events.add([arrival(number, time.time()) for number in range(6)])
    turn = {"worker": "w", "lease": 30, "wanted": lambda _event: {"log": None}}
    made = await ledger.runs.turn(**turn, finished=[], free={"log": 6})
    ended = [Finished(run=run, outcome="failed", finished_at=time.time(), error="x") for run in made.claimed]
    await ledger.runs.turn(**turn, finished=ended, free={})
    page = await shown.get("/runs/retry?source=videogen")
    assert "<strong>At least 4 failed runs</strong>" in page.text
    assert "the newest 3 were looked at" in page.text
    for _ in range(2):
        page = await pressed(shown, page)
    assert "<strong>4</strong> of 4 or more runs so far" in page.text
    while "data-goes-on" in page.text:
        page = await pressed(shown, page)
    assert await ledger.runs.counts() == {"waiting": 6}
    assert "nothing to retry" not in (await shown.get("/runs/give-up?source=nobody")).text


async def test_a_run_that_waits_for_its_next_attempt_starts_now(shown, ledger, act, tmp_path):
    await fill(ledger, tmp_path / "files", at=time.time())
    [run] = [one for one in (await ledger.runs.page(RunFilter(state="waiting"))).rows if one["attempt"]]
    assert run["due_at"] > time.time() + 500
    page = (await shown.get(f"/events/{run['event_id']}")).text
    assert f'<button class="small" id="retry-{run["id"]}">Run now<' in page
    assert "1 run starts again." in (await act(f"/runs/{run['id']}/retry")).text
    now = await ledger.runs.get(run["id"])
    assert now["due_at"] <= time.time()
    assert (now["state"], now["attempt"]) == ("waiting", run["attempt"]), "only sooner"
    assert f'id="retry-{run["id"]}" disabled>' in (await shown.get("/runs?state=waiting")).text


async def test_runs_that_failed_long_ago_do_not_keep_the_overview_from_being_green(
    shown, ledger, tmp_path, monkeypatch
):
    monkeypatch.setattr(overview, "FRESH", 0.0)
    monkeypatch.setattr(overview, "TIMES", 0.0)
    stored = await fill(ledger, tmp_path / "files", at=time.time())
    runs = tables.runs
    async with ledger.database.write() as connection:
        first = (await connection.execute(select(runs).where(runs.c.id == stored.run))).mappings().one()
        second = {"id": stored.run[:-1] + "x", "handler": "publish", "event_id": stored.quarantined}
        await connection.execute(insert(runs), [{**first, **second, "finished_at": time.time() - 90_000}])
    assert "1 run of publish failed in the last 24 h, 2 in all." in (await shown.get("/")).text
    async with ledger.database.write() as connection:
        await connection.execute(update(runs).where(runs.c.id == stored.run).values(finished_at=time.time() - 90_000))
    assert "of publish failed" not in (await shown.get("/")).text


async def test_a_text_is_looked_for_longer_than_anything_else(shown, ledger, monkeypatch):
    asked = []
    monkeypatch.setattr(page, "time", SimpleNamespace(monotonic=lambda: asked.append(1) or len(asked) * 0.06))
    monkeypatch.setattr(page, "SLICE", 1)
    await ledger.events.add([arrival(number, time.time(), fact=None) for number in range(6)])
    looked = {}
    for query in ("source=finevoice", "text=nowhere", "text=nowhere&cursor=evt_f"):
        asked.clear()
        await shown.get(f"/events?{query}")
        looked[query] = len(asked)
    assert looked["source=finevoice"] < looked["text=nowhere&cursor=evt_f"]


async def test_all_handlers_of_an_event_run_again_also_one_that_was_added_since(shown, ledger, act, tmp_path):
    stored = await fill(ledger, tmp_path / "files", at=time.time())
    new = dataclasses.replace((await ledger.handlers.there())[0], name="added", events=("tool_execution.*",))
    await ledger.handlers.report([new], worker="w")
    assert "3 handlers run again." in (await act(f"/events/{stored.failed}/replay")).text
    assert (await ledger.runs.standings([stored.failed]))[stored.failed] == {"waiting": 3}
    assert "No handler starts" in (await act(f"/events/{stored.failed}/replay")).text
    assert (await act("/events/evt_none/replay")).status_code == 404


async def test_a_handler_is_paused_and_resumed(shown, ledger, act, tmp_path):
    await fill(ledger, tmp_path / "files", at=time.time())
    assert "Its runs wait" in (await act("/handlers/pause", name="publish")).text
    assert {one["name"] for one in await ledger.handlers.list() if one["paused_at"]} == {"publish"}
    assert "publish is paused" in (await shown.get("/")).text
    assert "It goes on." in (await act("/handlers/resume", name="publish")).text
    assert {one["name"] for one in await ledger.handlers.list() if one["paused_at"]} == set()
    assert (await act("/handlers/pause", name="nobody")).status_code == 404


async def test_a_job_is_cancelled(shown, ledger, act, tmp_path):
    job = await ledger.jobs.track(NewJob(source="videogen", tool="GENERATE_MUSIC", job_id="vg_tool_9"))
    assert "Its provider is asked to end it" in (await act(f"/jobs/{job.id}/cancel")).text
    assert (await ledger.jobs.get(job.id)).cancel_at is not None


async def test_the_overview_says_what_needs_a_look_and_where(shown, ledger, tmp_path, monkeypatch):
    monkeypatch.setattr(overview, "FRESH", 0.0)
    monkeypatch.setattr(overview, "TIMES", 0.0)
    assert "Nothing has come yet" in (await shown.get("/")).text
    await fill(ledger, tmp_path / "files", at=time.time())
    page = (await shown.get("/")).text
    assert "Events flow, and something needs a look" in page
    assert "1 run of publish failed in the last 24 h." in page
    assert "1 delivery was refused in the last hour." in page
    assert "data-series" in page


async def test_the_overview_shows_over_time_how_long_it_takes(shown, ledger, tmp_path):
    await ledger.tally.keep_acks({0.1: 90, math.inf: 10})  # longer than any bound, and than JSON knows
    await fill(ledger, tmp_path / "files", at=time.time())
    async with ledger.database.write() as connection:  # as a worker will have done by then
        minute = int(time.time() // 60 * 60)
        row = {"step": 60, "at": minute, "what": "done", "about": "download", "upto": 0.2, "number": 3}
        await connection.execute(insert(tables.counts), [row])
        await connection.execute(insert(tables.beats), [{"part": "tally", "seen_at": minute + 60}])
    text = html.unescape((await shown.get("/?span=1h")).text)
    [told] = [json.loads(one) for one in re.findall(r'data-series="({.*?})"', text) if "Acknowledgements" in one]
    assert told["names"] == ["Acknowledgements, 50 %", "Acknowledgements, 95 %", "Handlers, 50 %", "Handlers, 95 %"]
    assert [[one for one in line if one is not None] for line in told["series"]] == [[0.1], [10], [0.2], [0.2]]
    assert "≤ 200 ms" in text
    [row] = re.findall(r"<strong>Acknowledgement</strong>.*?</tr>", text)
    assert re.findall(r'"right">(.*?)</td>', row) == ["≤ 100 ms", "> 10 s", "> 10 s"]


async def test_the_overview_shows_which_reason_for_refusals_grew(shown, ledger):
    now = time.time()
    rows = [(0, "wrong-signature", 7), (0, "<b>new</b>", 2), (4000, "wrong-signature", 3), (4000, "not-json", 5)]
    counts = [
        {"step": 60, "at": (now - ago) // 60 * 60, "what": "refused", "about": why, "upto": 0, "number": number}
        for ago, why, number in rows
    ]
    async with ledger.database.write() as connection:
        await connection.execute(insert(tables.counts), counts)
        await connection.execute(insert(tables.beats), [{"part": "tally", "seen_at": now // 60 * 60 + 60}])
    page = (await shown.get("/?span=1h")).text
    assert "<b>new" not in page
    told = html.unescape(page)
    section = told[told.index('id="refusals"') :].partition("</section>")[0]
    found = re.findall(r'mono">(.*?)</span></td><td class="right">(.*?)</td><td class="right">(.*?)</td>', section)
    assert found == [("wrong-signature", "7", "3"), ("<b>new</b>", "2", "0"), ("not-json", "0", "5")]
    series = json.loads(re.search(r'data-series="({.*?})"', section)[1])
    assert series["names"] == ["wrong-signature", "<b>new</b>", "not-json"]
    assert [sum(line) for line in series["series"]] == [7, 2, 0]


async def test_the_overview_says_when_it_cannot_know_what_was_refused_before(shown, ledger, tmp_path, monkeypatch):
    await fill(ledger, tmp_path / "files", at=time.time())
    monkeypatch.setattr(tally, "AT_ONCE", 61)
    monkeypatch.setattr(tally, "time", SimpleNamespace(monotonic=itertools.count().__next__))
    section = (await shown.get("/?span=1h")).text.partition('id="refusals"')[2]
    assert '<td class="right">1</td><td class="right">–</td>' in section


async def test_an_alarm_that_is_on_stands_first_and_leads_to_where_to_look(shown, ledger, tmp_path):
    await fill(ledger, tmp_path / "files", at=time.time())
    row = {"watch": "silent", "about": "videogen", "raised_at": 1.0, "value": 1.0, "text": "videogen has not called"}
    async with ledger.database.write() as connection:
        await connection.execute(insert(tables.alarms), [row])
    page = (await shown.get("/")).text
    assert "Something does not flow" in page
    assert '<a href="/endpoints">Videogen has not called.</a>' in page
    assert "silent" in (await shown.get("/endpoints")).text


async def test_endpoints_are_compared_with_their_providers_on_demand(shown, ledger, act, tmp_path):
    await fill(ledger, tmp_path / "files", at=time.time())
    page = (await shown.get("/endpoints")).text
    assert "wxyz" in page
    assert "sealed" not in page.partition("</nav>")[2].replace("straight into the store, sealed", "")
    assert "VIDEOGEN_API_KEY" in (await act("/endpoints/check")).text
    assert "not compared yet" in page
    [one] = await ledger.endpoints.live()
    await ledger.endpoints.compared("videogen", {one.id: ("missing", "<b>it is gone</b>")})
    page = (await shown.get("/endpoints")).text
    assert "&lt;b&gt;it is gone&lt;/b&gt;, seen " in page
    assert "drifted" in page


def test_every_reason_for_a_refusal_is_told_in_words():
    code = "".join(path.read_text() for path in Path("receiver").rglob("*.py"))
    raised = re.findall(r'(?:BadSignature|TooLarge|WrongMediaType|UnknownSource|Refused)\("([a-z-]+)"', code)
    assert len(set(raised)) > 10
    assert set(raised) - set(REASONS) == set()


# Files


async def test_captured_media_is_shown_without_ever_running(shown, ledger, tmp_path):
    stored = await fill(ledger, tmp_path / "files", at=time.time())
    answer = await shown.get(f"/files/{stored.output}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/wav")
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert answer.headers["x-content-type-options"] == "nosniff"
    part = await shown.get(f"/files/{stored.output}", headers={"range": "bytes=0-3"})
    assert (part.status_code, part.content) == (206, b"RIFF")
    saved = await shown.get(f"/files/{stored.output}?download=1")
    assert saved.headers["content-disposition"].startswith("attachment")
    assert saved.headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize("kind", ["text/html", "image/svg+xml", "application/xhtml+xml", "text/javascript", None])
async def test_what_could_run_is_only_given_away_to_be_saved(shown, ledger, tmp_path, kind):
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "page").write_text("<script>alert(1)</script>")
    answer = await shown.get(f"/files/{await kept(ledger, str(folder / 'page'), media_type=kind)}")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")


async def test_no_file_outside_the_folder_is_given_away(shown, ledger, tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "files" / "link").symlink_to(tmp_path / "secret")
    for place in (
        str(tmp_path / "secret"),
        str(tmp_path / "files" / ".." / "secret"),
        str(tmp_path / "files" / "link"),
        str(tmp_path / "files"),
        "/etc/passwd",
        "s3://bucket/file",
        "a\x01b",
        "x" * 5000,
    ):
        assert (await shown.get(f"/files/{await kept(ledger, place)}")).status_code == 404, place
    assert (await shown.get("/files/out_none")).status_code == 404


async def kept(ledger, place, media_type="image/png"):
    """The id of an output that some handler says is at this place."""
    about = {"source": "videogen", "job_id": "j", "type": None, "expires_at": None}
    await ledger.outputs.record(
        event_id="evt_x",
        handler="download",
        output_id=place[:50],
        state="captured",
        place=place,
        size=1,
        sha256="0",
        media_type=media_type,
        **about,
    )
    return (await ledger.outputs.recent(limit=1))[0]["id"]


async def test_a_file_in_a_bucket_is_linked_to_for_a_minute(url, ledger, monkeypatch):
    keys = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "eu-central-1"}
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    async with opened(url, time.time, files="s3://bucket/kept") as client:
        await sign_in(client)
        answer = await client.get(f"/files/{await kept(ledger, 's3://bucket/kept/f.png')}?download=1")
        assert answer.status_code == 303
        assert "X-Amz-Expires=60" in answer.headers["location"]
        for elsewhere in ("s3://other/f.png", "/etc/passwd", "s3://bucket/kept/../f"):
            assert (await client.get(f"/files/{await kept(ledger, elsewhere)}")).status_code == 404


async def test_media_in_a_bucket_plays_in_the_page_part_by_part_and_asks_nobody_else(url, ledger, bucket, monkeypatch):
    body = bytes(range(256)) * 4096
    async with bucket.files.new("clip") as part:
        await part.write(body)
        place = await part.keep("clip.mp4", media_type="video/mp4")
    about = {"event_id": "evt_x", "handler": "download", "source": "videogen", "job_id": "j", "type": "VIDEO"}
    facts = {"state": "captured", "sha256": "ab", "media_type": "video/mp4", "expires_at": None}
    for output_id, size in (("1", len(body)), ("another by now", 5)):
        await ledger.outputs.record(output_id=output_id, place=place, size=size, **about, **facts)
    changed, good = (f"/files/{one['id']}" for one in await ledger.outputs.recent())
    async with opened(url, time.time, files=bucket.files.place) as client:
        await sign_in(client)
        whole = await client.get(good)
        assert (whole.status_code, whole.content, whole.headers["content-type"]) == (200, body, "video/mp4")
        assert whole.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
        with monkeypatch.context() as patched:
            patched.setattr("receiver.files.Bucket.pieces", None)  # nothing is read for it
            head = await client.head(good)
        assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(body)))
        for asked, start, stop in (
            ("bytes=0-", 0, len(body)),
            ("bytes=1000-1003", 1000, 1004),
            ("bytes=1048570-9999999", 1048570, len(body)),
            ("bytes=-5", len(body) - 5, len(body)),
        ):
            told = await client.get(good, headers={"range": asked, "if-range": '"ab"'})
            assert (told.status_code, told.content) == (206, body[start:stop])
            assert told.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(body)}"
        for asked in ("bytes=1048576-", "bytes=-0", "bytes=9-5", "bytes=-"):
            told = await client.get(good, headers={"range": asked})
            assert (told.status_code, told.headers["content-range"]) == (416, f"bytes */{len(body)}"), asked
        for more in ({"range": "bytes=0-1,5-6"}, {"range": "bytes=0-1", "if-range": '"older"'}):
            assert (await client.get(good, headers=more)).content == body
        assert (await client.get(changed)).status_code == 404
        await bucket.files.delete("clip.mp4")
        assert (await client.get(good)).status_code == 404


async def test_pages_and_buttons_work_on_each_engine(database_url, tmp_path):
    store = Store(database_url)
    async with opened(database_url, time.time, files=str(tmp_path / "files")) as client:
        await sign_in(client)
        stored = await fill(store, tmp_path / "files", at=time.time(), text="<b>'\"")
        own = await Strangers(store, time.time()).write()
        for path in (*pages_of(stored), *own, "/events?text=f1", f"/files/{stored.output}"):
            assert (await client.get(path)).status_code == 200, path
        many = ("/runs/retry", "/runs/give-up")
        for path in (f"/runs/{stored.run}/retry", f"/events/{stored.done}/replay", *many, "/handlers/pause"):
            said = {"name": "publish", "count": "1", "at": "1"}
            answer = await client.post(path, data=said, headers=ORIGIN)
            assert answer.status_code == 303, path
        await client.post("/sign-out", headers=ORIGIN)
        assert (await client.get("/")).status_code == 303
    await store.close()
