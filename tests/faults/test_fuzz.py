"""Mangled requests, a few: `make torture` sends a million, and twenty thousand over the wire."""

from .fuzz import inside, on_the_wire
from .rig import Rig


def test_mangled_requests_have_the_answer_they_should_and_nothing_unsigned_is_taken(tmp_path):
    outcome = inside(tmp_path / "door", seed=1, times=2000)
    assert outcome.verdict.violations == ()
    assert outcome.verdict.acked > 200
    assert outcome.verdict.stored > 200


def test_mangled_bytes_on_the_wire_do_not_hurt_the_door(tmp_path):
    with Rig(tmp_path) as rig:
        outcome = on_the_wire(rig, times=200, patience=0.5)
    assert outcome.verdict.violations == ()
    assert outcome.verdict.acked > 10
