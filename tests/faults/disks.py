"""Disks that are full, and then not."""

import functools
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from .outcome import Outcome
from .processes import Process, Web
from .rig import Rig

Full = Callable[[], AbstractContextManager[None]]


@functools.cache
def mountable() -> str:
    """Return why no small disk can be mounted here, or an empty string."""
    if shutil.which("unshare") is None:
        return "unshare is not installed"
    tried = subprocess.run(
        ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False
    )
    return "" if tried.returncode == 0 else f"no mount namespace here: {tried.stderr.decode().strip()[:80]}"


def files_cannot_grow(rig: Rig, *, times: int) -> Outcome:
    """Forbid the door and the worker to make a file longer, and allow it again: to them the disk is full."""
    [web], [worker] = rig.fleet()

    @contextmanager
    def limited() -> Iterator[None]:
        for process in (web, worker):
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        yield
        for process in (web, worker):
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    return _full(rig, web, worker, limited, fault="no file may grow, then may", times=times)


def fills_up(rig: Rig, disk: Path, *, times: int) -> Outcome:
    """Fill the small disk under the database to its last byte, and make room again."""
    [web], [worker] = rig.fleet()

    @contextmanager
    def filled() -> Iterator[None]:
        ballast = disk / "ballast"
        _fill(ballast)
        yield
        ballast.unlink()

    return _full(rig, web, worker, filled, fault="disk full, then not", times=times)


def _full(rig: Rig, web: Web, worker: Process, full: Full, *, fault: str, times: int) -> Outcome:
    with rig.sending(web) as sender:
        for _ in range(times):
            sender.more(rig.random.randint(1, 40))
            with full():
                sender.more_refused(6)
            rig.look()
        sender.more(5)
        rig.more_effects(5)
    rig.settle()
    gone = [f"{process.log.stem} ended" for process in (web, worker) if not process.alive]
    verdict = rig.verdict().with_violations(gone)
    note = f"{verdict.refused} deliveries told to come again"
    return Outcome(fault=fault, engine=rig.engine, times=times, verdict=verdict, note=note)


def _fill(ballast: Path) -> None:
    """Write until not a byte more fits."""
    with ballast.open("wb", buffering=0) as file:
        for size in (2**20, 2**12, 1):
            try:
                while file.write(b"\0" * size):
                    pass
            except OSError:
                continue
