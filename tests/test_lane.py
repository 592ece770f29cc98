"""Who has a place when, without a worker around it."""

import asyncio

import pytest

from receiver.lane import AHEAD, Place, Places


def places(number, **concurrency):
    """Places of a worker, and what began in them, in order."""
    begun = []
    return Places(number, concurrency, begin=begun.append, freed=lambda: None), begun


def enter(all, name, number):
    for one in range(number):
        all.enter(all.lanes[name], f"{name}{one}")


def of(begun, name):
    return sum(one.startswith(name) for one in begun)


@pytest.mark.parametrize("concurrency", [8, 32, 1000])
def test_a_handler_that_hangs_in_all_places_it_gets_leaves_the_others_their_share(concurrency):
    all, begun = places(32, hangs=concurrency, quick=8, other=8)
    enter(all, "hangs", 2000)
    enter(all, "quick", 8)
    enter(all, "other", 8)
    assert (of(begun, "quick"), of(begun, "other")) == (8, 8)
    assert of(begun, "hangs") == min(concurrency, 32 - 16)


def test_many_handlers_that_hang_leave_the_last_one_its_share():
    hanging = {f"hangs{one}": 8 for one in "abcdefg"}
    all, begun = places(32, **hanging, quick=8)
    for name in hanging:
        enter(all, name, 100)
    enter(all, "quick", 100)
    assert of(begun, "quick") == 4
    assert len(begun) == 32


def test_where_there_are_more_handlers_than_places_each_has_one():
    all, begun = places(2, a=8, b=8, c=8)
    for name in "abc":
        enter(all, name, 3)
    assert sorted(begun) == ["a0", "b0", "c0"]


def test_a_handler_alone_has_all_places():
    all, begun = places(32, a=100)
    enter(all, "a", 100)
    assert len(begun) == 32


def test_a_place_that_is_nobodys_share_goes_on_to_whoever_waits():
    all, begun = places(5, a=5, b=5)  # two each, and one for whoever comes first
    enter(all, "a", 3)
    enter(all, "b", 3)
    assert (of(begun, "a"), of(begun, "b")) == (3, 2)
    all.leave(all.lanes["a"])
    assert (of(begun, "a"), of(begun, "b")) == (3, 3)


def test_there_is_room_for_what_has_a_place_whatever_others_have_claimed():
    all, _ = places(32, hangs=1000, quick=8)
    assert all.room() == {"hangs": 24, "quick": 8}
    enter(all, "hangs", 500)
    assert all.room() == {"hangs": 0, "quick": 8}
    enter(all, "quick", 8)
    assert all.room() == {"hangs": 0, "quick": 0}


def test_of_quick_runs_more_are_claimed_than_there_are_places_and_of_slow_ones_none():
    all, _ = places(32, quick=8, slow=8)
    all.lanes["quick"].took(0.0001)
    all.lanes["slow"].took(1.0)
    assert all.room() == {"quick": AHEAD, "slow": 8}
    enter(all, "quick", AHEAD + 8)
    assert all.room() == {"quick": 0, "slow": 8}


def test_once_closed_nothing_begins():
    all, begun = places(1, a=1)
    enter(all, "a", 2)
    all.close()
    all.leave(all.lanes["a"])
    enter(all, "a", 1)
    assert begun == ["a0"]


async def test_who_stood_aside_goes_on_before_those_that_have_not_begun():
    all, begun = places(1, a=1)
    enter(all, "a", 1)
    place = Place(all.lanes["a"], all)
    async with place.stand_aside():
        enter(all, "a", 2)
        returning = asyncio.create_task(all.take_again(all.lanes["a"]))
        await asyncio.sleep(0)
        assert (len(begun), returning.done()) == (2, False)
        all.leave(all.lanes["a"])
        await returning
        all.leave(all.lanes["a"])
        assert len(begun) == 3
        all.leave(all.lanes["a"])


@pytest.mark.parametrize("given", [False, True])
async def test_who_is_cancelled_while_it_waits_to_go_on_keeps_no_place(given):
    all, begun = places(1, a=1)
    enter(all, "a", 1)
    returning = asyncio.create_task(all.take_again(all.lanes["a"]))
    await asyncio.sleep(0)
    if given:
        all.leave(all.lanes["a"])
    returning.cancel()
    await asyncio.gather(returning, return_exceptions=True)
    if not given:
        all.leave(all.lanes["a"])
    enter(all, "a", 1)
    assert len(begun) == 2
