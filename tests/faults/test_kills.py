"""Kill -9, at moments that a test can name. `make torture` does it at random ones, two hundred times."""

from .rig import Rig


def test_a_door_and_a_worker_that_are_killed_lose_nothing_and_do_nothing_twice(tmp_path):
    with Rig(tmp_path) as rig:
        web = rig.web().start().ready()
        with rig.sending(web) as sender:
            rig.more_effects(5)
            rig.kill_handling()
            sender.more(20)
            web.kill()
            rig.look()
            web.start().ready()
            sender.more(20)
        rig.settle()
        assert rig.verdict().violations == ()


def test_a_worker_that_is_killed_leaves_its_runs_to_another(tmp_path, postgres_url):
    with Rig(tmp_path, postgres_url) as rig:
        [web], [killed] = rig.fleet()
        with rig.sending(web):
            rig.more_effects(5)
            killed.kill()
            rig.worker().start()
            rig.more_effects(5)
        rig.settle()
        verdict = rig.verdict()
    assert verdict.violations == ()
