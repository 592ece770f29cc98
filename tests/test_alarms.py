"""What raises an alarm, what ends it, and that it is told once each."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from receiver import alarms as module
from receiver.alarms import CALM, EVERY, LIMITS, Measure, Rules, Watchman, body, judge, measured, span
from receiver.config import Config
from receiver.errors import ConfigError, Unavailable
from receiver.recall import event_of
from receiver.sources.videogen import VideoGen
from receiver.store import Alarm, Left, Signs

T0 = 1793232000.0
DEFAULT = Rules.of(Config())


def rules(text):
    return Rules.of(Config(Path("receiver.toml"), text))


def signs(**changes):
    left = Left(event_age=0, waiting={}, running=0, open_jobs={}, expiring={}, recovered={}, alarms=[])
    given = {"now": T0, "left": left, "failing": {}, "refused": {}, "skews": {}, "heard": {}, "drifted": {}, "ages": {}}
    lefts = {name: changes.pop(name) for name in ("event_age", "waiting", "expiring") if name in changes}
    return Signs(**given | {"left": replace(left, **lefts)} | changes)


def raised(found, by=DEFAULT, usual=None):
    return {alarm.watch: alarm for alarm in judge(measured(found, by, usual or {}), by, {}, T0).raised}


# What is an alarm


def test_an_endpoint_that_its_provider_has_otherwise_is_an_alarm_that_says_how():
    alarm = raised(signs(drifted={"videogen": (1, "ep_1 is gone")}))["drift"]
    assert (alarm.about, alarm.value) == ("videogen", 1)
    assert alarm.text == "1 endpoint at videogen drifted: ep_1 is gone"


def test_nothing_is_wrong_where_nothing_happens():
    assert raised(signs()) == {}


@pytest.mark.parametrize(
    ("well", "not_well", "watch", "about", "text"),
    [
        (
            {"waiting": {"log": (5, 300.0)}},
            {"waiting": {"log": (5, 301.0)}},
            ("backlog"),
            "log",
            "runs of log have been due for 5 min",
        ),
        ({"event_age": 300.0}, {"event_age": 600.0}, "backlog", "", "events have waited for 10 min for their runs"),
        (
            {"failing": {"log": 4}},
            {"failing": {"log": 5}},
            "failing",
            "log",
            "5 runs of log failed in 15 min, or three times so far",
        ),
        (
            {"refused": {"videogen": 9}},
            {"refused": {"videogen": 10}},
            "refused",
            "videogen",
            "10 deliveries for videogen were refused in 15 min",
        ),
        (
            {"skews": {"videogen": [-400.0, -400.0]}},
            {"skews": {"videogen": [-400.0, -390.0, 9000.0]}},
            "clock",
            "videogen",
            "genuine deliveries of videogen are 6 min behind our clock",
        ),
        (
            {"expiring": {}},
            {"expiring": {"download": 1}},
            "expiring",
            "download",
            "download has not captured the outputs of 1 event, whose URLs expire",
        ),
        (
            {"heard": {"videogen": (T0 - 9000, T0 - 3600)}},
            {"heard": {"videogen": (T0 - 9000, T0 - 3601)}},
            "silent",
            "videogen",
            "videogen has not called for 2 h, though jobs were submitted",
        ),
    ],
)
def test_by_itself_it_is_an_alarm_above_its_limit_and_says_what_is_wrong(well, not_well, watch, about, text):
    assert raised(signs(**well)) == {}
    alarm = raised(signs(**not_well))[watch]
    assert (alarm.about, alarm.text) == (about, text)


@pytest.mark.parametrize(
    ("age", "usual", "is_one"), [(601, 60, True), (600, 60, False), (601, 59, True), (599, 1, False)]
)
def test_a_job_is_overdue_by_what_its_like_take_and_not_when_it_is_young(age, usual, is_one):
    found = raised(signs(ages={("videogen", "GENERATE_MUSIC"): age}), usual={("videogen", "GENERATE_MUSIC"): usual})
    assert ("overdue" in found) is is_one


def test_an_overdue_job_is_told_with_what_is_usual():
    key = ("videogen", "GENERATE_MUSIC")
    alarm = raised(signs(ages={key: 7200.0}), usual={key: 180.0})["overdue"]
    assert alarm.text == "a job of videogen GENERATE_MUSIC has taken 2 h, usually it is 3 min"
    assert alarm.about == "videogen GENERATE_MUSIC"


def test_a_source_of_which_nothing_is_known_to_be_due_is_silent_only_where_a_rule_names_it():
    found = signs(heard={"videogen": (T0 - 90_000, None)})
    assert raised(found) == {}
    named = rules('[[alarms]]\nwatch = "silent"\nabout = "videogen"\nlimit = 86400\n')
    assert raised(found, named)["silent"].text == "videogen has not called for 25 h"


# Rules


def test_a_rule_changes_one_limit_or_that_of_one_handler_and_may_turn_it_off():
    found = rules(
        '[[alarms]]\nwatch = "backlog"\nlimit = 60\n'
        '[[alarms]]\nwatch = "backlog"\nabout = "slow"\nlimit = 7200\n'
        '[[alarms]]\nwatch = "failing"\noff = true\n'
        '[[alarms]]\nwatch = "failing"\nabout = "mail"\n'
    )
    assert [found.limit("backlog", about) for about in ("", "log", "slow")] == [60, 60, 7200]
    assert (found.limit("failing", "log"), found.limit("failing", "mail")) == (None, LIMITS["failing"])
    assert found.limit("refused", "videogen") == LIMITS["refused"]
    assert "failing" not in raised(signs(failing={"log": 100}), found)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[[alarms]]\nwatch = "backlogs"\n', r"receiver.toml:2: alarms\[1\].watch: Input should be 'backlog'"),
        ('[[alarms]]\nwatch = "backlog"\nlimit = -1\n', "receiver.toml:3"),
        ('[[alarms]]\nwatch = "backlog"\nabove = 1\n', "receiver.toml:3"),
        ('[[alarms]]\nwatch = "backlog"\n[[alarms]]\nwatch = "backlog"\n', "receiver.toml:3: there is another alarm"),
    ],
)
def test_a_rule_that_cannot_work_is_told_with_its_line(text, told):
    with pytest.raises(ConfigError, match=told):
        rules(text)


# When it begins and ends


def standing(**changes):
    given = {"watch": "backlog", "about": "log", "raised_at": T0 - 600, "calm_since": None, "value": 400, "text": "old"}
    return Alarm(**given | changes)


HIGH, LOW = Measure("backlog", "log", 500, "new"), Measure("backlog", "log", 10, "fine")


def test_an_alarm_that_is_on_is_not_raised_again_and_stands_as_it_is_now():
    judged = judge([HIGH], DEFAULT, {HIGH.key: standing(calm_since=T0 - 5)}, T0)
    assert (judged.raised, judged.resolved) == ([], [])
    assert judged.standing == [standing(value=500, text="new")]


@pytest.mark.parametrize("measures", [[LOW], []])
def test_an_alarm_is_over_only_when_it_was_well_for_a_while(measures):
    first = judge(measures, DEFAULT, {LOW.key: standing()}, T0)
    assert (first.resolved, first.standing) == ([], [standing(calm_since=T0)])
    calm = standing(calm_since=T0)
    assert judge(measures, DEFAULT, {LOW.key: calm}, T0 + CALM - 1).resolved == []
    assert judge(measures, DEFAULT, {LOW.key: calm}, T0 + CALM).resolved == [calm]


def test_what_comes_back_before_that_is_the_same_alarm():
    judged = judge([HIGH], DEFAULT, {HIGH.key: standing(calm_since=T0 - CALM + 1)}, T0)
    assert (judged.raised, judged.resolved) == ([], [])
    assert judged.standing[0].calm_since is None


def test_an_alarm_that_is_turned_off_ends():
    off = rules('[[alarms]]\nwatch = "backlog"\noff = true\n')
    assert judge([HIGH], off, {HIGH.key: standing(calm_since=T0 - CALM)}, T0).resolved


def test_the_event_says_what_it_is_about_and_how_long_it_took():
    told = json.loads(body("alarm.resolved", standing(), T0))
    assert told == {
        "event": "alarm.resolved",
        "watch": "backlog",
        "about": "log",
        "value": 400,
        "raised_at": T0 - 600,
        "text": "over after 10 min: old",
    }


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7199, "120 min"), (7200, "2 h"), (172_800, "2 d")],
)
def test_times_are_told_as_people_say_them(seconds, told):
    assert span(seconds) == told


# With a store


@pytest.fixture
async def late(store, clock):
    """A store with a run that has been due for ten minutes."""
    from .test_metrics import arrival

    await store.events.add([arrival(1, clock)])
    await store.runs.turn(worker="w", lease=30, finished=[], wanted=lambda _event: {"slow": None}, free={})
    clock.turn(600)
    return store


async def test_it_is_told_once_when_it_begins_and_once_when_it_is_over(late, clock):
    woken = []
    watchman = Watchman(store=late, rules=DEFAULT, sources={}, told=lambda: woken.append(1))
    with capture_logs() as lines:
        for _ in range(3):
            await watchman.look()
            clock.turn(EVERY)
        assert [(alarm.watch, alarm.about) for alarm in await late.alarms.active()] == [("backlog", "slow")]
        assert (await late.backlog.left()).alarms == [("backlog", "slow")]
        await late.runs.pause("slow")
        for _ in range(6):
            await watchman.look()
            clock.turn(EVERY)
    assert await late.alarms.active() == []
    told = [event_of(await late.events.get(row["id"]), {}) for row in await late.events.recent(source="receiver")]
    assert [event.type for event in told] == ["alarm.resolved", "alarm.raised"]
    assert told[1].data["text"] == "runs of slow have been due for 10 min"
    assert told[0].data["text"].startswith("over after ")
    assert all(event.matches("alarm.*") and event.kind is None for event in told)
    assert [line["event"] for line in lines] == ["alarm_raised", "alarm_resolved"]
    assert len(woken) == 2


async def test_a_source_that_a_rule_names_and_that_never_called_is_silent_from_when_it_was_first_expected(store, clock):
    named = rules('[[alarms]]\nwatch = "silent"\nabout = "videogen"\nlimit = 3600\n')
    watchman = Watchman(store=store, rules=named, sources={"videogen": VideoGen(), "mux": VideoGen()})
    assert (await watchman.look()).raised == []
    clock.turn(3600)
    assert (await watchman.look()).raised == []
    clock.turn(1)
    [alarm] = (await watchman.look()).raised
    assert (alarm.watch, alarm.about, alarm.text) == ("silent", "videogen", "videogen has not called for 60 min")
    without = await store.alarms.signs(["videogen", "mux"], lookback=900)
    assert without.heard == {}
    await store.endpoints.heard({"videogen": clock()})
    assert (await store.alarms.signs(["videogen"], lookback=900, expected=["videogen"])).heard == {
        "videogen": (clock(), None)
    }


async def test_two_workers_that_judge_at_once_tell_it_once(late, clock):
    one, other = (Watchman(store=late, rules=DEFAULT, sources={}) for _ in range(2))
    active = await late.alarms.active()

    async def stale():
        return active

    late.alarms.active = stale  # both looked before either wrote
    await one.look()
    await other.look()
    assert len(await late.events.recent(source="receiver")) == 1


async def test_one_worker_at_a_time_is_told_that_it_is_its_turn(store, clock):
    assert [await store.alarms.mine(EVERY) for _ in range(3)] == [True, False, False]
    clock.turn(EVERY)
    assert [await store.alarms.mine(EVERY) for _ in range(2)] == [True, False]


async def test_neither_a_store_that_is_away_nor_a_mistake_of_ours_ends_the_watch(store, monkeypatch):
    troubles = [Unavailable("gone"), ValueError("https://x.example/?sig=hush")]

    class Over(BaseException):
        pass

    async def mine(_every):
        raise troubles.pop(0) if troubles else Over

    async def sleep(_seconds):
        pass

    monkeypatch.setattr(store.alarms, "mine", mine)
    monkeypatch.setattr(module.asyncio, "sleep", sleep)
    with capture_logs() as lines, pytest.raises(Over):
        await Watchman(store=store, rules=DEFAULT, sources={}).run()
    assert [line["event"] for line in lines] == ["store_unavailable", "alarms_not_judged"]
    assert "hush" not in str(lines)
