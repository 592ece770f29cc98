from hypothesis import given
from hypothesis import strategies as st

from receiver.schedule import (
    JITTER,
    QUICKEST,
    SLOWEST,
    after_failure,
    next_question,
    next_reconcile,
    usual,
)

seconds = st.floats(0.1, 1e6)
rolls = st.floats(0, 1)


@given(seconds, seconds, rolls)
def test_no_job_is_asked_about_more_often_or_less_often_than_the_limits_say(age, likely, roll):
    wait = next_question(age, likely, roll=roll)
    assert QUICKEST * (1 - JITTER) <= wait <= SLOWEST * (1 + JITTER)


def test_questions_come_quickest_around_the_usual_time_and_ever_slower_after_it():
    def wait(age):
        return next_question(age, 100, roll=0.5)

    assert wait(0) == QUICKEST
    assert wait(10) == 5
    assert wait(74) == 12.5
    assert wait(100) == 10
    assert wait(400) == 50
    assert wait(4000) == SLOWEST


def test_a_job_that_takes_its_usual_time_is_asked_about_a_few_times_only():
    age, asked = 0.0, 0
    while age < 100:
        age += next_question(age, 100, roll=0.5)
        asked += 1
    assert asked <= 14
    assert age - 100 <= 10


@given(seconds, seconds, st.floats(0.1, 1e4), rolls)
def test_an_overdue_job_is_never_left_alone_for_longer_than_the_setting_says(age, likely, latest, roll):
    assert next_reconcile(age, likely, latest=latest, roll=roll) <= latest * (1 + JITTER)


def test_a_webhook_has_three_times_the_usual_time_before_anybody_asks():
    assert next_reconcile(0, 60, latest=900, roll=0.5) == 180
    assert next_reconcile(200, 60, latest=900, roll=0.5) == 100
    assert next_reconcile(0, 1, latest=900, roll=0.5) == 30
    assert next_reconcile(0, 60, latest=2, roll=0.5) == 2


@given(st.integers(0, 1000), st.none() | st.floats(0, 1e5), rolls)
def test_after_a_failure_nobody_comes_sooner_than_the_provider_asked_for(failures, asked, roll):
    wait = after_failure(failures, asked_to_wait=asked, roll=roll)
    assert wait >= (asked or 0)
    assert wait >= QUICKEST * (1 - JITTER)


def test_failures_double_the_wait_up_to_a_limit():
    waits = [after_failure(failures, asked_to_wait=None, roll=0.5) for failures in (0, 1, 2, 30)]
    assert waits == [2, 4, 8, SLOWEST]


def test_what_is_usual_is_the_median_once_there_are_a_few():
    assert usual([], 60) == 60
    assert usual([1, 2], 60) == 60
    assert usual([1, 2, 90], 60) == 2
