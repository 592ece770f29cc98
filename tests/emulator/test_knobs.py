from typing import Any

import pytest

from receiver.emulator import Knobs
from receiver.errors import ConfigError


@pytest.mark.parametrize("share", ["fail", "duplicates", "disorder", "loss", "wrong_signature"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_share_goes_from_0_to_1(share: str, value: float) -> None:
    with pytest.raises(ConfigError, match=share):
        Knobs(**{share: value})


@pytest.mark.parametrize("name", ["seconds", "delay", "retry_scale"])
@pytest.mark.parametrize("value", [-1, float("inf"), float("nan")])
def test_times_are_not_negative_and_end(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name):
        Knobs(**{name: value})


@pytest.mark.parametrize(
    "knobs", [{}, {"loss": 1, "fail": 0.5}, {"url_seconds": -5}, {"seconds": 0, "delay": 0, "retry_scale": 0}]
)
def test_what_can_be_done_is_taken(knobs: dict[str, Any]) -> None:
    assert Knobs(**knobs)


def test_the_same_seed_and_subject_give_the_same_dice_whatever_was_thrown_before() -> None:
    first = [Knobs(seed=7).dice("job", number).random() for number in range(5)]
    knobs = Knobs(seed=7)
    knobs.dice("message", 0).random()
    assert [knobs.dice("job", number).random() for number in range(5)] == first
    assert len(set(first)) == 5
    assert [Knobs(seed=8).dice("job", number).random() for number in range(5)] != first
