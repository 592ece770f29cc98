"""Disks that are full, and disks that lie."""

import resource
from pathlib import Path

from .processes import Process
from .rig import Outcome, Rig


def files_cannot_grow(rig: Rig, *, times: int) -> Outcome:
    """Forbid the door and the worker to make files longer, and allow it again: a disk that is full for them."""
    web, worker = rig.web("--no-dispatch").start().ready(), rig.worker().start()
    with rig.sending(web) as sender:
        for _ in range(times):
            sender.more(rig.random.randint(1, 40))
            _limit((web, worker), 4096)
            sender.more_refused(8)
            _limit((web, worker), resource.RLIM_INFINITY)
            rig.look()
        sender.more(20)
        rig.more_effects(10)
    rig.settle()
    gone = [f"{process.log.stem} ended" for process in (web, worker) if not process.alive]
    verdict = rig.verdict().with_violations(gone)
    note = f"{verdict.refused} deliveries told to come again"
    return Outcome(fault="files cannot grow, then can", engine=rig.engine, times=times, verdict=verdict, note=note)


def _limit(processes: tuple[Process, ...], size: int) -> None:
    for process in processes:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def fills_up(rig: Rig, disk: Path, *, times: int) -> Outcome:
    """Fill the small disk under the database to its last byte, and make room again."""
    web, worker = rig.web("--no-dispatch").start().ready(), rig.worker().start()
    with rig.sending(web) as sender:
        for _ in range(times):
            sender.more(rig.random.randint(1, 40))
            ballast = _fill(disk)
            sender.more_refused(8)
            ballast.unlink()
            rig.look()
        sender.more(20)
        rig.more_effects(10)
    rig.settle()
    gone = [f"{process.log.stem} ended" for process in (web, worker) if not process.alive]
    verdict = rig.verdict().with_violations(gone)
    note = f"{verdict.refused} deliveries told to come again"
    return Outcome(fault="disk full, then not", engine=rig.engine, times=times, verdict=verdict, note=note)


def _fill(disk: Path) -> Path:
    """Write until nothing fits any more."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (2**20, 2**12, 1):
            try:
                while file.write(b"\0" * size):
                    pass
            except OSError:
                continue
    return ballast
