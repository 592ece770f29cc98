"""Ids: unique, and sorted by the time they were made."""

import threading

from receiver import ids
from receiver.ids import new_id


def test_an_id_is_its_prefix_and_26_characters_without_look_alikes():
    prefix, _, rest = new_id("evt").partition("_")
    assert (prefix, len(rest)) == ("evt", 26)
    assert set(rest) <= set("0123456789abcdefghjkmnpqrstvwxyz")


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
    assert made[0].startswith("run_0000000001")
    assert made[-1].startswith("run_7zzzzzzzzz")


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


def test_threads_wait_for_each_other():
    with ids._lock:
        done = threading.Event()
        thread = threading.Thread(target=lambda: (new_id("evt"), done.set()))
        thread.start()
        assert not done.wait(0.05)
    thread.join(5)
    assert done.is_set()
