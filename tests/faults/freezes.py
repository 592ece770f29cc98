"""Workers that stand still for longer than their lease, and then go on as if nothing had been."""

import signal
import time

from .outcome import Outcome
from .rig import LEASE, Rig


def at_random(rig: Rig, *, times: int) -> Outcome:
    """Stop workers under load, at random, until what they held went to others; then let them go on."""
    [web], workers = rig.fleet(workers=2)
    with rig.sending(web) as sender:
        rig.more_effects(20)
        for _ in range(times):
            frozen = rig.random.choice(workers)
            sender.more(rig.random.randint(1, 40))
            frozen.signal(signal.SIGSTOP)
            time.sleep(1.5 * LEASE)  # a worker that is there looks for ended leases three times per lease
            rig.look()
            frozen.signal(signal.SIGCONT)
    rig.settle()
    verdict = rig.verdict()
    note = f"{verdict.taken_over} attempts taken over"
    return Outcome(fault="worker frozen past its lease", engine=rig.engine, times=times, verdict=verdict, note=note)
