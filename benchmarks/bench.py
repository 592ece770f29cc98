"""What every measurement needs: a folder, databases, how much to do, and a voice."""

import asyncio
import itertools
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from .postgres import Postgres, migrated, postgres


@dataclass(kw_only=True)
class Bench:
    """One run of the benchmarks. `folder` is its own and may be filled."""

    folder: Path
    rounds: int
    quick: bool
    say: Callable[[str], None]
    filled: dict[str, str] = field(default_factory=dict)  #: stores that are only read, by engine
    _stack: ExitStack = field(default_factory=ExitStack)
    _postgres: Postgres | None = None
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def of(self, full: int) -> int:
        """Return how much to do: all of it, or a tenth when it is only a try."""
        return full // 10 if self.quick else full

    @property
    def seconds(self) -> float:
        """How long one load lasts."""
        return 1.5 if self.quick else 4.0

    @contextmanager
    def place(self, engine: str) -> Iterator[tuple[Path, str]]:
        """A folder and an empty database, `"sqlite"` or `"postgresql"`; the folder is gone afterwards."""
        folder = self.folder / f"{engine}-{next(self._numbers)}"
        folder.mkdir()
        if engine == "sqlite":
            url = f"sqlite:///{folder / 'receiver.db'}"
            asyncio.run(migrated(url))
        else:
            url = self.database()
        yield folder, url
        shutil.rmtree(folder, ignore_errors=True)

    def database(self) -> str:
        """Return the URL of a new PostgreSQL database, which is there until the end."""
        return self._server().database()

    @contextmanager
    def on_cores(self, number: int) -> Iterator[None]:
        """Let all that is started here, and PostgreSQL, have only so many cores."""
        mine, server = psutil.Process(), psutil.Process(self._server().pid)
        all_cores = mine.cpu_affinity()
        try:
            for process in (mine, server, *server.children(recursive=True)):
                process.cpu_affinity(all_cores[:number])
            yield
        finally:
            for process in (mine, server, *server.children(recursive=True)):
                process.cpu_affinity(all_cores)

    def _server(self) -> Postgres:
        if self._postgres is None:
            self._postgres = self._stack.enter_context(postgres(self.folder / "postgres"))
        return self._postgres

    def __enter__(self) -> "Bench":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
