"""What viewers are told, how often the store is asked for it, and when it ends."""

import asyncio
import time

import pytest

from receiver.dashboard import events as live_events
from receiver.dashboard import jobs as live_jobs
from receiver.dashboard import live
from receiver.dashboard.live import BEHIND, Live, News
from receiver.errors import Unavailable
from receiver.store import Change, NewJob

from .conftest import ORIGIN
from .stored import arrival, fill


class Shelf:
    """What there is to be looked at, and how often somebody looked."""

    def __init__(self):
        self.things = {}
        self.looks = 0
        self.asked_about = []
        self.looked = asyncio.Event()

    async def look(self, watched):
        self.looks += 1
        self.asked = [(dict(one.chosen), list(one.told), one.since is not None) for one in watched]
        self.looked.set()
        return [
            [
                News(id=id, mark=text, render=lambda text=text: f"<p>\n{text}</p>")
                for id, text in self.things.items()
                if one.chosen.items() <= {"id": id, "colour": text}.items()
            ]
            for one in watched
        ]

    async def again(self):
        """Wait for the next look."""
        self.looked.clear()
        await self.looked.wait()


@pytest.fixture
def shelf(monkeypatch):
    monkeypatch.setattr(live, "TICK", 0.001)
    monkeypatch.setattr(live, "REST", 0.0)
    return Shelf()


@pytest.fixture
def feed(shelf):
    async def hold(sessions):
        shelf.asked_about.append(set(sessions))
        return sessions - {"over"}

    return Live({"things": shelf.look}, hold=hold)


async def begun(feed, session="s", **chosen):
    """A viewer that is told already that it is there."""
    told = feed.watch("things", chosen, session=session)
    assert await anext(told) == b"retry: 3000\n\n"
    return told


async def test_a_viewer_is_told_what_is_there_and_what_changes(feed, shelf):
    shelf.things = {"a": "red"}
    viewer = await begun(feed)
    assert await anext(viewer) == b"event: news\ndata: <p>\ndata: red</p>\n\n"
    shelf.things = {"b": "green", "a": "red"}
    assert b"green" in await anext(viewer)
    shelf.things = {"b": "green", "a": "blue"}
    assert b"blue" in await anext(viewer)
    await viewer.aclose()


async def test_a_hundred_viewers_cost_one_look(feed, shelf):
    shelf.things = {"a": "red"}
    viewers = [await begun(feed) for _ in range(100)]
    for viewer in viewers:
        assert b"red" in await anext(viewer)
    looks = shelf.looks
    await shelf.again()
    assert shelf.looks == looks + 1
    assert feed.viewers == 100
    for viewer in viewers:
        await viewer.aclose()


async def test_nobody_looks_when_nobody_watches(feed, shelf):
    viewer = await begun(feed)
    await shelf.again()
    await viewer.aclose()
    assert feed.viewers == 0
    assert feed._topics["things"]._task is None


async def test_a_viewer_is_told_only_what_it_chose(feed, shelf):
    viewer = await begun(feed, colour="green")
    shelf.things = {"a": "red", "b": "green"}
    assert b"green" in await anext(viewer)
    other = await begun(feed, id="a")
    assert b"red" in await anext(other)
    await shelf.again()
    green, a = ({"colour": "green"}, ["b"], True), ({"id": "a"}, ["a"], True)
    assert shelf.asked in ([green, a], [a, green]), "each is asked for once, with what was told"
    await viewer.aclose()
    await other.aclose()


async def test_the_rest_after_a_look_grows_with_what_the_look_cost_but_for_the_first(feed, shelf, monkeypatch):
    monkeypatch.setattr(live, "REST", 50.0)
    rests, rested = [], asyncio.Event()

    async def sleep(seconds, sleep=asyncio.sleep):
        if seconds:
            rests.append(seconds)
        if len(rests) == 2:
            rested.set()
        await sleep(0)

    async def slow(watched):
        began = time.thread_time()
        while time.thread_time() - began < 0.01:
            pass
        return [[] for _ in watched]

    monkeypatch.setattr(live.asyncio, "sleep", sleep)
    topic = live.Topic(slow)
    viewer = live._Viewer(key=frozenset(), session="s")
    topic.join(viewer)
    await rested.wait()
    topic.leave(viewer)
    assert rests[0] == live.TICK
    assert rests[1] >= 0.5


async def test_what_others_do_while_a_look_waits_is_none_of_its_cost():
    async def waits(signal):
        await signal.wait()

    signal = asyncio.Event()
    looking = live._Timed(waits(signal))
    task = asyncio.ensure_future(looking)
    await asyncio.sleep(0)
    began = time.thread_time()
    while time.thread_time() - began < 0.05:
        pass
    signal.set()
    await task
    assert looking.spent < 0.05


async def test_a_look_may_fail_or_be_given_up():
    async def fails():
        await asyncio.sleep(0)
        raise Unavailable("gone")

    with pytest.raises(Unavailable):
        await live._Timed(fails())
    given_up = asyncio.ensure_future(live._Timed(asyncio.Event().wait()))
    await asyncio.sleep(0)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up


async def test_what_is_watched_ends_with_its_session_or_with_the_receiver(feed, shelf, monkeypatch):
    monkeypatch.setattr(live, "ALIVE", 0.01)
    mine, theirs, over = [await begun(feed, session=session) for session in ("mine", "theirs", "over")]
    assert [one async for one in over] == []
    assert await anext(mine) == b": still there\n\n"
    feed.end("mine")
    assert [one async for one in mine if one != b": still there\n\n"] == []
    assert await anext(theirs) == b": still there\n\n"
    feed.end()
    assert [one async for one in theirs if one != b": still there\n\n"] == []
    assert feed.viewers == 0


async def test_the_sessions_of_all_viewers_are_asked_about_at_once_while_somebody_watches(feed, shelf, monkeypatch):
    monkeypatch.setattr(live, "ALIVE", 0.001)
    viewers = [await begun(feed, session=session) for session in ("a", "a", "b")]
    for viewer in viewers:
        assert await anext(viewer) == b": still there\n\n"
    assert shelf.asked_about[-1] == {"a", "b"}
    for viewer in viewers:
        await viewer.aclose()
    assert feed._task is None


async def test_viewers_stay_while_the_store_cannot_say_whose_session_is_over(feed, monkeypatch):
    async def cannot(_sessions):
        raise Unavailable("gone")

    monkeypatch.setattr(live, "ALIVE", 0.001)
    feed._hold = cannot
    viewer = await begun(feed, session="over")
    assert await anext(viewer) == b": still there\n\n"
    await viewer.aclose()


async def test_a_viewer_that_does_not_listen_has_to_come_again(feed, shelf):
    viewer = await begun(feed)
    for number in range(BEHIND + 2):
        shelf.things = {"a": str(number)}
        await shelf.again()
    await shelf.again()
    assert len([one async for one in viewer]) == BEHIND
    assert feed.viewers == 0


# Over the door


async def until(condition):
    """Wait until something is so, bounded."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


class Watched:
    """What a viewer of the door is told until the receiver stops."""

    def __init__(self, client, path):
        self._door = client._transport.app.__self__
        self._topic = self._door._dashboard._live._topics[path.partition("?")[0]]
        self._answer = asyncio.create_task(client.get(f"/live/{path}"))

    async def begun(self):
        await until(lambda: self._topic.viewers)

    async def told(self, said):
        await until(lambda: any(said in html for known in self._topic._known.values() for _, html in known.values()))

    async def end(self):
        self._door.leave()
        return await self._answer


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(live, "TICK", 0.01)
    monkeypatch.setattr(live, "REST", 0.0)


async def test_an_event_appears_on_the_list_as_it_comes(shown, ledger):
    watched = Watched(shown, "events?source=videogen")
    await watched.begun()
    await ledger.events.add([arrival(7, time.time())])
    await watched.told("vg_tool_7")
    answer = await watched.end()
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    assert "vg_tool_7" in answer.text


async def test_who_chose_a_source_misses_none_of_its_events_among_many_of_another(shown, ledger):
    watched = Watched(shown, "events?source=finevoice")
    await watched.begun()
    now = time.time()
    others = [arrival(number, now, fact=None) for number in range(live_events.LISTED + 10)]
    [rare] = await ledger.events.add([arrival(999, now, source="finevoice", fact=None)])
    await ledger.events.add(others)
    await watched.told(rare.event_id)
    answer = await watched.end()
    assert rare.event_id in answer.text
    assert "vg_tool_1<" not in answer.text


async def test_who_watches_open_jobs_is_told_of_new_ones_and_when_one_ends(shown, ledger, monkeypatch):
    monkeypatch.setattr(live_jobs, "LISTED", 2)
    job = await ledger.jobs.track(NewJob(source="videogen", tool=None, job_id="first"))
    watched = Watched(shown, "jobs?state=open")
    await watched.told(job.id)
    for number in range(3):
        await ledger.jobs.track(NewJob(source="videogen", tool=None, job_id=f"later {number}"))
    await watched.told("later 2")
    await _end(ledger, job)
    await watched.told("succeeded")
    answer = await watched.end()
    assert answer.text.count(f'<tr id="{job.id}">') == 2, "as it was, and as it ended, though two newer are listed"


async def _end(ledger, job):
    [change] = [Change(job=job, values={"state": "succeeded", "ended_at": time.time(), "due_at": None})]
    await ledger.jobs.turn(worker="w", lease=60, changes=[change], room={}, at_once={})


async def test_every_topic_tells_what_its_page_shows(shown, ledger, tmp_path):
    stored = await fill(ledger, tmp_path / "files", at=time.time(), text="<script>alert(1)</script>")
    for path, said in (
        ("overview", "needs a look"),
        ("events", stored.done),
        ("jobs", stored.job),
        (f"event?id={stored.failed}", "ValueError"),
    ):
        watched = Watched(shown, path)
        await watched.told(said)
        answer = await watched.end()
        assert said in answer.text, path
        assert "<script>alert" not in answer.text, path


async def test_there_is_no_other_topic_and_no_room_without_end(shown, monkeypatch):
    assert (await shown.get("/live/nothing")).status_code == 404
    monkeypatch.setattr("receiver.dashboard.VIEWERS", 0)
    answer = await shown.get("/live/events")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")


async def test_signing_out_ends_what_is_watched(shown, ledger):
    watched = Watched(shown, "events")
    await watched.begun()
    await shown.post("/sign-out", headers=ORIGIN)
    assert (await watched._answer).status_code == 200
