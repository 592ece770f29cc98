"""Processes that die at once, at any moment."""

from .outcome import Outcome
from .processes import Process
from .rig import Rig


def at_random(rig: Rig, *, times: int) -> Outcome:
    """Kill -9 doors and workers under load, at random, and start them again."""
    if rig.engine == "SQLite":
        webs, workers = [rig.web().start().ready()], list[Process]()
    else:
        webs, workers = rig.fleet(doors=2, workers=2)
    with rig.sending(*webs) as sender:
        for _ in range(times):
            sender.more(rig.random.randint(1, 60))
            _kill(rig, [*webs, *workers])
            rig.look()
        for web in webs:
            web.ready()
    rig.settle()
    return Outcome(fault="kill -9 of web and worker", engine=rig.engine, times=times, verdict=rig.verdict())


def _kill(rig: Rig, processes: list[Process]) -> None:
    if len(processes) == 1 and rig.random.random() < 2 / 3:
        rig.kill_handling()  # the worker that the door keeps
        if rig.random.random() < 1 / 2:
            return
    victims = rig.random.sample(processes, rig.random.randint(1, len(processes)))
    for victim in victims:
        victim.kill()
    for victim in victims:
        victim.start()
