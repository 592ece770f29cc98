"""Restarts under load, one process after the other, as platforms do them."""

from .outcome import Outcome
from .rig import Rig


def rolling(rig: Rig, *, times: int) -> Outcome:
    """End doors and workers in turn while deliveries come in, and start them again; each must end with 0."""
    webs, workers = rig.fleet(doors=2, workers=2)
    codes = []
    with rig.sending(*webs) as sender:
        for number in range(times):
            sender.more(10)
            rig.more_effects(5)
            codes.append(webs[number % 2].end())
            webs[number % 2].start().ready()
            codes.append(workers[number % 2].end())
            workers[number % 2].start()
            rig.look()
    rig.settle()
    wrong = [f"a process that was asked to stop ended with {code}" for code in codes if code]
    verdict = rig.verdict().with_violations(wrong)
    return Outcome(fault="rolling restart", engine=rig.engine, times=len(codes), verdict=verdict)


def at_once(rig: Rig, *, times: int) -> Outcome:
    """Start several doors at once on a database that is not there yet, each with its worker."""
    webs = [rig.web().start() for _ in range(times)]
    with rig.sending(*(web.ready() for web in webs)) as sender:
        sender.more(10)
        rig.more_effects(5)
    tries = [f"{web.log.stem} was started {web.starts} times" for web in webs if web.starts > 1]
    rig.settle()
    verdict = rig.verdict().with_violations(tries)
    return Outcome(fault="several start at once on nothing", engine=rig.engine, times=times, verdict=verdict)
