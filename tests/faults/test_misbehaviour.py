"""What handlers may do to their worker, and not to the door."""

from .databases import ask
from .handlers import MISBEHAVING, WITNESS
from .misbehaviour import handlers
from .processes import until
from .rig import Rig


def test_handlers_that_raise_hang_leave_or_eat_memory_fail_and_nobody_else_feels_it(tmp_path):
    with Rig(tmp_path, handlers=MISBEHAVING) as rig:
        outcome = handlers(rig, ways=6, lease=30)  # so long that nobody is late, however busy this machine is
    assert outcome.verdict.violations == ()
    assert outcome.verdict.taken_over == 0


def test_a_handler_that_blocks_its_worker_is_ended_with_it_and_told_by_its_line(tmp_path):
    blocking = """
@handler("*", retries=0, timeout=3600)
async def blocks(event, context):
    note("start", event, context)
    threading.Event().wait()  # the line to be told
"""
    with Rig(tmp_path, handlers=WITNESS + blocking) as rig:
        web = rig.web(RECEIVER_LEASE="0.2").start().ready()
        with rig.sending(web, numbers=[1]):
            pass
        until(lambda: ask(rig.url, "SELECT state, attempt FROM runs") == [("failed", 1)], "the run fails")
        assert web.answers()
        line = next(n for n, text in enumerate((WITNESS + blocking).splitlines(), 1) if "to be told" in text)
        assert f'own.py", line {line} in blocks' in web.log.read_text()
