import pytest

from receiver.flood import ClockWatch, Sampler


def test_a_burst_is_listed_and_the_rest_is_counted():
    sampler = Sampler(rate=1, burst=3)
    assert [sampler.take(100.0) for _ in range(5)] == [0, 0, 0, None, None]
    assert sampler.take(101.0) == 2
    assert sampler.take(101.0) is None


def test_a_clock_that_goes_back_lists_nothing_extra():
    sampler = Sampler(rate=1, burst=1)
    assert [sampler.take(now) for now in (100.0, 50.0, 49.0)] == [0, None, None]


def test_most_genuine_deliveries_being_off_is_named_a_wrong_clock():
    watch = ClockWatch()
    for skew in (-400, -410, -420):
        watch.off(skew)
    assert watch.skew == -410


def test_a_few_old_deliveries_among_good_ones_are_not_the_clock():
    watch = ClockWatch()
    watch.off(-400)
    for _ in range(5):
        watch.good()
    watch.off(-400)
    watch.off(-400)
    assert watch.skew is None


def test_once_the_clock_is_set_the_alarm_ends():
    watch = ClockWatch(window=6)
    for _ in range(3):
        watch.off(500)
    assert watch.skew == 500
    for _ in range(4):
        watch.good()
    assert watch.skew is None


def test_a_wrong_clock_is_logged_once(caplog: pytest.LogCaptureFixture):
    watch = ClockWatch()
    for _ in range(10):
        watch.off(-3600)
    assert len([record for record in caplog.records if "clock_skew" in str(record.msg)]) <= 1
