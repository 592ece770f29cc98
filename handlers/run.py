"""Run a program of yours on each event: no shell, a clean environment, limits.

    [[handlers]]
    use = "run"
    on = "job.succeeded"
    command = ["python3", "publish.py"]
    variables = ["CMS_TOKEN"]
    memory = "512MiB"
    timeout = 300

The program finds the event as JSON on its standard input, URLs of outputs included, and what it is in
RECEIVER_EVENT_ID, RECEIVER_EVENT_SOURCE, RECEIVER_EVENT_TYPE, RECEIVER_EVENT_KIND, RECEIVER_EVENT_JOB_ID,
RECEIVER_EVENT_TOOL and RECEIVER_EVENT_ROAD (empty if there is none); RECEIVER_ATTEMPT is 1 at the first try,
RECEIVER_FILES the folder or the bucket for outputs. Beside these it has PATH and the variables that you name: no
keys of providers, no secrets of the receiver.

Exit code 0 means done and 75 try again, later each time. A program that a signal ended is tried again too: it
was out of memory, perhaps. Any other code is its verdict: the run fails at once, and starts again only by
`receiver runs retry`. The end of what it printed is kept with the attempt: `receiver events show ID`.

When `timeout` is over, or the worker stops, the program and all it started get SIGTERM, and SIGKILL half a
second later. What it leaves running when it ends is ended with it.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ByteSize, Field

from receiver import Context, Event, GiveUp, Retry, configurable

#: A program's way to say: try again. From BSD's sysexits.h, where it is EX_TEMPFAIL.
_AGAIN = 75

#: Bytes of each stream that are kept, from its end.
_KEPT = 1800

#: Seconds between SIGTERM and SIGKILL; a worker that stops waits a second.
_LAST_WORDS = 0.5

#: Shorter values of variables are not looked for in what a program printed: they may stand there by chance.
_SHORTEST_SECRET = 8


def _found(command: tuple[str, ...]) -> tuple[str, ...]:
    if any("\0" in part for part in command):
        raise ValueError("an argument cannot have a NUL in it")
    if _path_of(command[0]) is None:
        raise ValueError(f"there is no program {command[0]}: it is looked for in PATH, or at the path that is given")
    return command


def _set(variables: tuple[str, ...]) -> tuple[str, ...]:
    if missing := [name for name in variables if name not in os.environ]:
        raise ValueError(f"the variable {missing[0]} is not set")
    return variables


def _path_of(program: str) -> str | None:
    return shutil.which(program, path=_search_path())


def _search_path() -> str:
    return os.environ.get("PATH", os.defpath)


class Run(BaseModel):
    """The options of `run`."""

    command: Annotated[tuple[str, ...], AfterValidator(_found)] = Field(
        min_length=1, description="The program and its arguments, each as it is: no shell reads them."
    )
    variables: Annotated[tuple[str, ...], AfterValidator(_set)] = Field(
        (), description="Names of the receiver's variables that the program gets too."
    )
    memory: ByteSize | None = Field(
        None, gt=0, description="Address space that each of its processes may have, e.g. `512MiB`. Some reserve much."
    )
    cpu: int | None = Field(None, gt=0, description="Seconds of processor time that each of its processes may take.")


@configurable(retries=8, timeout=300, concurrency=4)
def run(options: Run) -> Callable[[Event, Context], Awaitable[None]]:
    """Run a program on each event."""
    given = {name: os.environ[name] for name in options.variables}
    hidden = [value for value in given.values() if len(value) >= _SHORTEST_SECRET]
    found = str(Path(_path_of(options.command[0]) or options.command[0]).absolute())
    start = (sys.executable, "-I", "-S", str(Path(__file__).with_name("_start.py")))
    argv = (*start, str(options.memory or 0), str(options.cpu or 0), found, *options.command)

    async def handle(event: Event, context: Context) -> None:
        environment = {"PATH": _search_path(), **given, **_described(event, context)}
        program = _Program(argv, environment)
        try:
            code = await program.run(json.dumps(event.as_json()).encode())
        finally:
            context.note(_without(program.said(), hidden))
        if code == _AGAIN:
            raise Retry(f"exit {_AGAIN}: it asks to be tried again")
        if code < 0:
            raise Retry(f"ended by {_name_of(-code)}")
        if code:
            raise GiveUp(f"exit {code}")

    return handle


class _Printed(asyncio.Protocol):
    """The end of what comes through a pipe."""

    def __init__(self) -> None:
        self.kept = bytearray()
        self.closed = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.kept += data
        del self.kept[:-_KEPT]

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()


class _Program:
    """A program in a process group of its own, which ends with it."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        self._argv = argv
        self._environment = environment
        self._printed = {"stdout": _Printed(), "stderr": _Printed()}

    async def run(self, given: bytes) -> int:
        """Return its exit code; below 0 it is a signal's number."""
        with contextlib.ExitStack() as files:
            process = await self._start(given, files)
            try:
                return await process.wait()
            except asyncio.CancelledError:
                _signal(process.pid, signal.SIGTERM)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LAST_WORDS):
                        await process.wait()
                raise
            finally:
                _signal(process.pid, signal.SIGKILL)
                await self._ended(process)

    async def _start(self, given: bytes, files: contextlib.ExitStack) -> asyncio.subprocess.Process:
        stdin = files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it
        stdin.write(given)
        stdin.seek(0)
        with contextlib.ExitStack() as theirs:
            stdout, stderr = [await _pipe(printed, files, theirs) for printed in self._printed.values()]
            return await asyncio.create_subprocess_exec(
                *self._argv,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env=self._environment,
                start_new_session=True,
            )

    async def _ended(self, process: asyncio.subprocess.Process) -> None:
        """Wait until it is gone, and all that it printed is read."""
        with contextlib.suppress(TimeoutError):  # who left the group may hold an end
            async with asyncio.timeout(_LAST_WORDS):
                await process.wait()
                for printed in self._printed.values():
                    await printed.closed.wait()

    def said(self) -> str:
        """The ends of what it printed."""
        said = {name: printed.kept.decode("utf-8", "replace").strip() for name, printed in self._printed.items()}
        return "\n".join(f"{name}: {text}" for name, text in said.items() if text)


async def _pipe(printed: _Printed, ours: contextlib.ExitStack, theirs: contextlib.ExitStack) -> int:
    """Return the end of a pipe that a program prints into.

    With the pipes of asyncio, some Pythons wait for all who hold an end, and not for the program.
    """
    reading, writing = os.pipe()
    theirs.callback(os.close, writing)
    file = os.fdopen(reading, "rb", 0)
    pipe, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: printed, file)
    ours.callback(pipe.close)
    return writing


def _name_of(number: int) -> str:
    known = {one.value: one.name for one in signal.Signals}
    return known.get(number, f"signal {number}")


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def _described(event: Event, context: Context) -> dict[str, str]:
    facts = {name: getattr(event, name) for name in ("id", "source", "type", "kind", "job_id", "tool", "road")}
    told = {f"RECEIVER_EVENT_{name.upper()}": value for name, value in facts.items()}
    told |= {"RECEIVER_ATTEMPT": str(context.attempt), "RECEIVER_FILES": _whole(context.files.place)}
    return {name: (value or "").replace("\0", "").encode("utf-8", "replace").decode() for name, value in told.items()}


def _whole(place: str) -> str:
    """Return a folder's whole path: the program may change its own. A bucket's URL is whole."""
    return place if "://" in place else str(Path(place).absolute())


def _without(text: str, hidden: Sequence[str]) -> str:
    for word in hidden:
        text = text.replace(word, "[redacted]")
    return text
