"""Ids: unique, and sorted by the time they were made."""

import os
import time
import warnings

from receiver import ids
from receiver.ids import first_id, made_at, new_id


def test_an_id_is_its_prefix_and_32_hexadecimal_digits():
    prefix, _, rest = new_id("evt").partition("_")
    assert (prefix, len(rest)) == ("evt", 32)
    assert set(rest) <= set("0123456789abcdef")


def test_each_id_is_greater_than_the_one_before():
    made = [new_id("evt") for _ in range(5000)]
    assert made == sorted(set(made))


def test_ids_sort_by_the_millisecond_they_were_made_in(monkeypatch):
    made = []
    for millisecond in (1, 1793232000000, 1793232000001, 2**48 - 1):
        monkeypatch.setattr(ids, "_last", 0)
        monkeypatch.setattr(ids.time, "time_ns", lambda millisecond=millisecond: millisecond * 1_000_000 + 999)
        made.append(new_id("run"))
    assert made == sorted(made)
    assert made[0].startswith("run_000000000001")
    assert made[-1].startswith("run_ffffffffffff")


def test_the_first_id_of_a_moment_parts_what_was_made_before_from_what_comes_after(monkeypatch):
    made = []
    for millisecond in (1793231999999, 1793232000000):
        monkeypatch.setattr(ids, "_last", 0)
        monkeypatch.setattr(ids.time, "time_ns", lambda millisecond=millisecond: millisecond * 1_000_000)
        made.append(new_id("evt"))
    assert made[0] < first_id("evt", 1793232000.0) <= made[1]


def test_before_1970_there_were_no_ids():
    assert first_id("evt", -1.0) == first_id("evt", 0) == "evt_" + "0" * 32


def test_a_clock_that_goes_back_makes_no_smaller_id(monkeypatch):
    first = new_id("evt")
    monkeypatch.setattr(ids.time, "time_ns", lambda: 0)
    second, third = new_id("evt"), new_id("evt")
    assert first < second < third


def test_processes_that_start_in_the_same_millisecond_make_different_ids(monkeypatch):
    monkeypatch.setattr(ids.time, "time_ns", lambda: 1793232000000 * 1_000_000)
    made = set()
    for _ in range(1000):
        monkeypatch.setattr(ids, "_last", 0)  # as in a new process
        made.add(new_id("evt"))
    assert len(made) == 1000


def test_processes_that_are_forked_from_one_make_different_ids(monkeypatch):
    monkeypatch.setattr(ids.time, "time_ns", lambda: 1793232000000 * 1_000_000)
    monkeypatch.setattr(ids, "_last", 0)
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which the child has no use for
        child = os.fork()
    if not child:
        os.write(writing, new_id("evt").encode())
        os._exit(0)
    os.waitpid(child, 0)
    forked = os.read(reading, 100).decode()
    os.close(reading)
    os.close(writing)
    assert forked != new_id("evt")


def test_threads_take_turns(monkeypatch):
    turns = []

    class Turn:
        def __enter__(self):
            turns.append(ids._last)

        def __exit__(self, *_):
            turns.append(ids._last)

    monkeypatch.setattr(ids, "_lock", Turn())
    new_id("evt")
    before, after = turns
    assert before < after


def test_an_id_tells_when_it_was_made():
    assert made_at(first_id("evt", 1_790_000_000.25)) == 1_790_000_000.25
    assert abs(made_at(new_id("run")) - time.time()) < 60
