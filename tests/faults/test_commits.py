"""Commits that are durable, and nobody was told so."""

from .commits import answers
from .rig import Rig


def test_a_commit_whose_answer_was_cut_off_is_neither_lost_nor_made_twice(tmp_path, postgres_url):
    with Rig(tmp_path / "rig", postgres_url) as rig:
        outcome = answers(rig, times=3, cuts=0.2)
    assert outcome.verdict.violations == ()
    assert outcome.verdict.refused > 0  # those at the door, whose senders came again
