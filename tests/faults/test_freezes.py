"""A worker that stands still in the middle of a handler, past its lease."""

import os
import signal

from .databases import ask
from .handlers import FREEZING
from .processes import until
from .rig import Rig


def test_a_frozen_worker_may_not_finish_what_another_has_taken_over(tmp_path, database_url):
    with Rig(tmp_path / "rig", database_url, handlers=FREEZING) as rig:
        [web], [frozen] = rig.fleet()
        with rig.sending(web, numbers=[1007]):
            until(lambda: [row for row in rig.effects() if row["what"] == "freeze"], "the worker is frozen")
        other = rig.worker().start()
        until(lambda: ask(rig.url, "SELECT state FROM runs") == [("done",)], "the other takes over")
        assert rig.effects()[-1]["pid"] == other.pid
        os.kill(frozen.pid, signal.SIGCONT)
        until(lambda: frozen.said("lease_lost"), "the first one comes too late")
        verdict = rig.verdict()
        assert ask(rig.url, "SELECT number, outcome FROM attempts ORDER BY id") == [(1, "lost"), (2, "done")]
    assert verdict.violations == ()
    assert verdict.taken_over == 1
