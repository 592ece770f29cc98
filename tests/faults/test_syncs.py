"""Syncs that fail; only where strace may be used, else pytest tells why not."""

import pytest

from . import syncs
from .rig import Rig

pytestmark = pytest.mark.skipif(bool(syncs.traceable()), reason=syncs.traceable())


def test_a_sync_that_fails_is_answered_503_until_the_disk_works(tmp_path):
    with Rig(tmp_path) as rig:
        outcome = syncs.refused(rig, when="3+")
    assert outcome.verdict.violations == ()
    assert outcome.verdict.refused >= 10
