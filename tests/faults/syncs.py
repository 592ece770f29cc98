"""What happens when a process dies in the N-th sync to disk, and when the disk refuses to sync."""

import functools
import shutil
import signal
import subprocess

from .databases import migrate
from .outcome import Outcome
from .processes import Process, until
from .rig import Rig

#: Both names: which one SQLite calls depends on how it was built.
SYNCS = "fdatasync,fsync"


@functools.cache
def traceable() -> str:
    """Return why strace cannot be used here, or an empty string."""
    strace = shutil.which("strace")
    if strace is None:
        return "strace is not installed"
    tried = subprocess.run([strace, "-f", "-qq", "-e", f"trace={SYNCS}", "true"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else f"strace may not trace here: {tried.stderr.decode().strip()[:80]}"


def injected(what: str) -> tuple[str, ...]:
    """Return the command that runs another one with a fault in its syncs; it leaves it its process id."""
    return ("strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={SYNCS}",
            "-e", f"inject={SYNCS}:{what}")  # fmt: skip


def killed(rig: Rig, *, at: int) -> Outcome:
    """Let the door, on a database that is new, and then the worker die in the `at`-th sync of one of their threads."""
    wrapper = injected(f"signal=KILL:when={at}")
    web, worker = rig.web("--no-dispatch", wrapper=wrapper).start(), rig.worker(wrapper=wrapper)
    with rig.sending(web) as sender:
        codes = [_dies(web, at)]
        web.start().ready()
        codes.append(_dies(worker.start(), at))
        worker.start()
        sender.more(3)
        rig.more_effects(3)
    rig.settle()
    wrong = [f"a process ended with {code} in sync {at}" for code in codes if code != -signal.SIGKILL]
    verdict = rig.verdict().with_violations(wrong)
    return Outcome(fault="killed in its N-th sync", engine=rig.engine, times=len(codes), verdict=verdict)


def _dies(process: Process, at: int) -> int:
    """Wait until the fault ends the process, and take the fault away; return the exit code."""
    until(lambda: not process.alive, f"{process.log.stem} dies in sync {at}")
    process.wrapper = ()
    return process.wait()


def refused_to_a_worker(rig: Rig, *, when: str) -> Outcome:
    """The same for a worker, while the door's syncs work; and then a worker on a disk that works."""
    [web], _ = rig.fleet(workers=0)
    worker = rig.worker(wrapper=injected(f"error=EIO:when={when}")).start()
    with rig.sending(web) as sender:
        sender.more(20)
        until(lambda: worker.said("store_unavailable") or not worker.alive, "the worker's syncs fail")
        gone = [] if worker.alive else ["the worker is gone"]
        sender.more(20)
        rig.look()
        worker.kill()
        worker.wrapper = ()
        worker.start()
        rig.more_effects(5)
    rig.settle()
    verdict = rig.verdict().with_violations(gone)
    return Outcome(fault="sync fails for a worker", engine=rig.engine, times=1, verdict=verdict)


def refused(rig: Rig, *, when: str) -> Outcome:
    """Let syncs fail with EIO, `when` as strace counts them, e.g. `"3+"`; then start anew on a disk that works."""
    migrate(rig.url)
    web = rig.web(wrapper=injected(f"error=EIO:when={when}")).start().ready()
    with rig.sending(web) as sender:
        sender.more_refused(10)
        gone = [] if web.alive else ["the door is gone"]
        web.kill()
        web.wrapper = ()
        web.start().ready()
        sender.more(3)
    rig.settle()
    verdict = rig.verdict()
    note = f"{verdict.refused} deliveries told to come again"
    return Outcome(fault="sync fails", engine=rig.engine, times=1, verdict=verdict.with_violations(gone), note=note)
