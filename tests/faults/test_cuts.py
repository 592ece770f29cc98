"""Senders that never hear the answer."""

from .cuts import answers
from .rig import Rig


def test_a_delivery_whose_answer_was_cut_off_is_sent_again_and_is_one_event_with_one_effect(tmp_path, database_url):
    with Rig(tmp_path / "rig", database_url) as rig:
        outcome = answers(rig, times=10)
    assert outcome.verdict.violations == ()
    assert any(row["status"] == 200 and row["told"]["status"] == "duplicate" for row in rig.sent())
