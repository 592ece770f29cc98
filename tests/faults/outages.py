"""A PostgreSQL server that stops as if its power had failed, and comes back."""

import time

from .databases import Postgres
from .outcome import Outcome
from .rig import Rig


def crashes(rig: Rig, server: Postgres, *, times: int, pairs: int = 2, apart: float = 0.0) -> Outcome:
    """Stop the server at once and start it again, up to `apart` seconds later; nobody tends the receiver."""
    webs, workers = rig.fleet(doors=pairs, workers=pairs)
    with rig.sending(*webs) as sender:
        rig.more_effects(10)
        for _ in range(times):
            sender.more(rig.random.randint(1, 100))
            server.crash()
            sender.more_refused(1)
            server.start()
            rig.look()
            time.sleep(rig.random.uniform(0, apart))
        sender.more(20)
        rig.more_effects(10)
    rig.settle()
    gone = [f"{process.log.stem} ended" for process in (*webs, *workers) if not process.alive]
    verdict = rig.verdict().with_violations(gone)
    note = f"{verdict.refused} deliveries told to come again"
    return Outcome(fault="PostgreSQL stops at once", engine=rig.engine, times=times, verdict=verdict, note=note)
