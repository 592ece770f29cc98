"""`receiver` commands as processes of their own, without the second that each would need to import what it runs.

They are forked from a process that has imported it. From there on they are what `python -m receiver` makes of them.
"""

import functools
import multiprocessing
import os
import runpy
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path

#: What commands import: when they start, or later.
IMPORTED = (
    "alembic.command",
    "receiver.cli",
    "receiver.doctor",
    "receiver.emulator",
    "receiver.server",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "sqlalchemy.dialects.sqlite.aiosqlite",
)


class Command:
    """One of them, running, with what `subprocess.Popen` has.

    `errors` is where its errors go, if not to `output`; `first` is Python that it runs before anything else.
    """

    def __init__(
        self,
        folder: Path,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        output: Path,
        errors: Path | None = None,
        first: str = "",
    ) -> None:
        told = (str(output), str(errors or output))
        self._process = _context().Process(
            target=_run, args=(str(folder), list(arguments), dict(environment), *told, first), daemon=True
        )
        self._process.start()
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self.poll()

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired("receiver", timeout)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


@functools.cache
def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, *IMPORTED])
    # Under coverage everything takes twice as long; the demo's processes are measured, and these are not.
    measured = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("COVERAGE_PROCESS")}
    forkserver.ensure_running()
    os.environ.update(measured)
    return context


def _run(folder: str, arguments: list[str], environment: dict[str, str], output: str, errors: str, first: str) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, path in ((1, output), (2, errors)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    exec(first, {})
    if arguments[0] == "register-webhook":
        from receiver.cli import register_webhook

        sys.argv = arguments
        register_webhook()
    else:
        sys.argv = ["receiver", *arguments]
        sys.path.insert(0, folder)  # as `-m` does
        runpy.run_module("receiver", run_name="__main__", alter_sys=True)
