"""Disks that are full for a while."""

from .disks import files_cannot_grow
from .rig import Rig


def test_a_full_disk_is_answered_503_and_nobody_has_to_tend_it(tmp_path):
    with Rig(tmp_path) as rig:
        outcome = files_cannot_grow(rig, times=1)
    assert outcome.verdict.violations == ()
    assert outcome.verdict.refused >= 6
