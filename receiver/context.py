"""What a handler is given beside its event."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from typing import Any, Protocol, TypeVar

import httpx

from .events import Output
from .files import Files
from .lane import aside
from .logs import scrub
from .shared import Shared

T = TypeVar("T")

#: Longest note that is kept with an attempt, characters.
NOTE_LENGTH = 4096


class Submitted(Protocol):
    """A job that was asked for."""

    @property
    def id(self) -> str:
        """Ours; `receiver jobs show ID`."""


def untraced(_name: str, _host: str | None = None) -> AbstractContextManager[Mapping[str, str]]:
    """Return what has no span, and no headers."""
    return nullcontext({})


class Context:
    """The handler's connection to the receiver, made anew for each attempt."""

    def __init__(
        self,
        *,
        attempt: int,
        log: Any,
        http: httpx.AsyncClient,
        files: Files,
        once: Callable[[str], AbstractAsyncContextManager[bool]],
        refresh: Callable[[Output], Awaitable[Output]],
        submit: Callable[[str, str, Mapping[str, Any], Mapping[str, Any] | None], "Submitted"],
        record: Callable[..., Awaitable[None]],
        shared: Shared,
        traced: Callable[[str, str | None], AbstractContextManager[Mapping[str, str]]] = untraced,
        max_file: int = 2 * 2**30,
    ) -> None:
        self.attempt = attempt  #: 1 at the first try
        self.log = log  #: a structlog logger that already knows event, job and run
        self.http = http  #: a client that talks to the public internet only; see `RECEIVER_OUTBOUND_ALLOW`
        self.files = files  #: where outputs are kept, a folder or a bucket
        self.max_file = max_file  #: the largest file to keep there, bytes
        self._once = once
        self._refresh = refresh
        self._submit = submit
        self._record = record
        self._shared = shared
        self._traced = traced
        self._submitted: list[Submitted] = []
        self._note = ""

    @property
    def submitted(self) -> "Sequence[Submitted]":
        """The jobs that this attempt submits if it succeeds."""
        return self._submitted

    @property
    def noted(self) -> str | None:
        """What this attempt noted, None if nothing."""
        return self._note or None

    def note(self, text: str) -> None:
        """Keep `text` beside this attempt, however it ends, for people: `receiver events show ID`.

        What is noted later comes below. No URL keeps its query, and of very long notes only the beginning
        and the end are kept.
        """
        self._note = _shortened(f"{self._note}\n{scrub(text)}".strip())

    def once(self, key: str) -> AbstractAsyncContextManager[bool]:
        """Make one step of this handler happen once for its event, across retries, crashes and workers.

            async with context.once("mail") as first:
                if first:
                    await send_mail()

        If the step raises, it is as if it had not begun. If the process dies inside it, it counts
        as done: nobody can know whether the mail left, and it must not leave twice. Only whoever starts the
        run again by hand (`receiver runs retry`, a replay) has it made again; a step that ended never is.
        Raises Retry if the run has gone to another worker.
        """
        return self._once(key)

    async def shared(self, open: Callable[[], AbstractAsyncContextManager[T]]) -> T:
        """Return what `open` makes, e.g. a database pool: opened once per worker, and closed when it has drained.

            @asynccontextmanager
            async def pool() -> AsyncIterator[asyncpg.Pool]:
                async with asyncpg.create_pool(DATABASE) as made:
                    yield made

            database = await context.shared(pool)

        All runs that name the same function share what it made. What it raises is raised here, and the next
        call opens anew.
        """
        return await self._shared.get(open)

    def traced(self, name: str, *, host: str | None = None) -> AbstractContextManager[Mapping[str, str]]:
        """Make what is within a span of this run's trace, for a call that is not made with `http`.

            with context.traced("mail", host="mail.example.com") as headers:
                await send_mail(headers)

        `headers` carry the trace on to whoever is called; without traces there are none. Traces are seen by more
        people than secrets may be: name what is called, not with what.
        """
        return self._traced(name, host)

    async def aside(self, awaited: Awaitable[T]) -> T:
        """Return what `awaited` gives; meanwhile other runs have the place of this one.

        For a handler that waits for others of its kind, to do together what each would do by itself. Its
        own time limit goes on.
        """
        async with aside():
            return await awaited

    async def refresh(self, output: Output) -> Output:
        """Ask the provider for a URL of `output` that works now. Its `url` is None if there is none yet.

        Raises ProviderError.
        """
        return await self._refresh(output)

    async def captured(self, output: Output, *, place: str, size: int, sha256: str, media_type: str) -> None:
        """Say that an output is safe, and where: `receiver outputs list` shows it."""
        await self._record(output, state="captured", place=place, size=size, sha256=sha256, media_type=media_type)

    async def missed(self, output: Output, why: str) -> None:
        """Say that an output could not be captured in this attempt."""
        await self._record(output, state="missed", error=why)

    async def submit(
        self, source: str, tool: str, /, *, metadata: Mapping[str, Any] | None = None, **parameters: Any
    ) -> str:
        """Submit the next job of a chain, e.g. `"videogen", "generate-avatar"`; return its id here.

        It is written together with the success of this run, or not at all: a retry submits nothing twice. It
        carries `metadata` along to its events; without, that of this event. Raises BadParameters if the
        provider would certainly refuse it.
        """
        job = self._submit(source, tool, parameters, metadata)
        self._submitted.append(job)
        return job.id


def _shortened(text: str) -> str:
    half = NOTE_LENGTH // 2 - 2
    return text if len(text) <= NOTE_LENGTH else f"{text[:half]}\n…\n{text[-half:]}"
