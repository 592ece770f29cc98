"""Handlers that raise, hang, block, leave, eat memory, or end their process."""

from .databases import ask
from .deliveries import BAD
from .outcome import Outcome
from .processes import until
from .rig import LEASE, Rig

#: What comes of a run whose handler misbehaves this way; junk as a result is not worth an error.
ENDS = {way.lower(): "done" if way == "RETURNS_JUNK" else "failed" for way in BAD}


def handlers(rig: Rig, *, ways: int = len(BAD), times: int = 1, pause: float = 0.03, lease: float = LEASE) -> Outcome:
    """Let one handler after the other misbehave while other deliveries come in: these must not feel it."""
    web = rig.web(RECEIVER_LEASE=str(lease)).start().ready()
    bad = [number for number in range(times * len(BAD)) if number % len(BAD) < ways]
    with rig.sending(web, pause=pause) as sender:
        rig.more_effects(1)
        with rig.sending(web, numbers=bad):
            pass
        until(lambda: _ended(rig) == len(bad) or not web.alive, "every bad run ends", patience=120 * times)
        sender.more(10)
        rig.more_effects(5)
    alive = web.alive
    rig.settle()
    verdict = rig.verdict().with_violations([*_unexpected(rig), *([] if alive else ["the door is gone"])])
    told = ", ".join(BAD[:ways]).lower().replace("_", " ")
    return Outcome(fault="handlers that misbehave", engine=rig.engine, times=len(bad), verdict=verdict, note=told)


def _ended(rig: Rig) -> int:
    query = "SELECT count(*) FROM runs WHERE handler <> 'effect' AND finished_at IS NOT NULL"
    return int(ask(rig.url, query)[0][0])


def _unexpected(rig: Rig) -> list[str]:
    wanted = ENDS | {"effect": "done"}
    found = ask(rig.url, "SELECT id, handler, state FROM runs")
    return [f"run {id} of {handler} is {state}" for id, handler, state in found if state != wanted[handler]]
