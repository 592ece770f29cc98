"""Restarts while deliveries come in."""

from concurrent.futures import ThreadPoolExecutor

from .databases import ask, migrate
from .restarts import rolling
from .rig import Rig


def test_restarting_one_after_the_other_loses_nothing(tmp_path):
    with Rig(tmp_path) as rig:
        assert rolling(rig, times=1).verdict.violations == ()


def test_several_may_bring_the_same_new_database_up_to_date_at_once(tmp_path):
    url = f"sqlite:///{tmp_path / 'receiver.db'}"
    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(migrate, url) for _ in range(6)]:
            done.result()
    assert ask(url, "SELECT count(*) FROM alembic_version") == [(1,)]
