"""Everything one fault needs: a folder, a database, processes on it, a sender, and in the end the verdict."""

import itertools
import os
import random
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from ..conftest import SECRET
from .databases import ask, migrate
from .handlers import EFFECT
from .history import Row, Verdict, Watch, judge, lines, stored
from .processes import Process, Web, until
from .sender import Sender

#: Seconds a lease lasts here: short, so that what a dead worker held is taken over while we watch.
LEASE = 1.0

Kept = TypeVar("Kept", bound=Process)


class Rig:
    """Use as a context: all that was started is ended with it."""

    def __init__(
        self, folder: Path, url: str | None = None, *, seed: int = 0, handlers: str = EFFECT, lanes: int = 3
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.url = url or f"sqlite:///{folder / 'receiver.db'}"
        self.engine = "SQLite" if self.url.startswith("sqlite") else "PostgreSQL"
        self.random = random.Random(seed)
        self._lanes = lanes
        self._sent = folder / "sent.jsonl"
        self._effects = folder / "effects.jsonl"
        self._processes: list[Process] = []
        self._first = 0
        self._watch = Watch()
        (folder / "handlers").mkdir(exist_ok=True)
        (folder / "handlers" / "own.py").write_text(handlers)

    def web(self, *arguments: str, wrapper: Sequence[str] = (), first: str = "", **values: str) -> Web:
        """Return a `receiver serve`, not started."""
        how = {"wrapper": wrapper, "first": first, "log": self._log("serve")}
        return self._keep(Web(self.folder, *arguments, values=self._values(values), **how))

    def worker(
        self, *, handlers: str | None = None, wrapper: Sequence[str] = (), first: str = "", **values: str
    ) -> Process:
        """Return a `receiver worker`, not started; `handlers` replaces the text of its handlers."""
        log = self._log("worker")
        if handlers is not None:
            own = self.folder / f"handlers-{len(self._processes)}"
            own.mkdir(exist_ok=True)
            (own / "own.py").write_text(handlers)
            values["RECEIVER_HANDLERS"] = str(own)
        values = self._values(values)
        return self._keep(Process(self.folder, "worker", values=values, wrapper=wrapper, first=first, log=log))

    def fleet(self, *, doors: int = 1, workers: int = 1) -> tuple[list[Web], list[Process]]:
        """Return doors without and workers beside them, all running, on a database that has its schema."""
        migrate(self.url)
        webs = [self.web("--no-dispatch").start() for _ in range(doors)]
        beside = [self.worker().start() for _ in range(workers)]
        return [web.ready() for web in webs], beside

    def sending(
        self, *webs: Web, urls: Sequence[str] = (), numbers: Iterable[int] | None = None, pause: float = 0.03
    ) -> Sender:
        """Return a sender of these deliveries, or of endless ones that none before it had."""
        self._first += 1_000_000
        return Sender(
            [web.url for web in webs] or urls,
            self._sent,
            numbers=itertools.count(self._first) if numbers is None else numbers,
            seed=self.random.getrandbits(32),
            lanes=self._lanes,
            pause=pause,
        )

    def effects(self) -> list[Row]:
        """Return what the handlers wrote."""
        return lines(self._effects)

    def sent(self) -> list[Row]:
        """Return what the sender wrote."""
        return lines(self._sent)

    def look(self) -> None:
        """See whether anything went away or moved after its end since the last look."""
        self._watch.look(self.url)

    def more_effects(self, number: int) -> None:
        """Wait until handlers have had so many further effects."""
        wanted = self._size() + number * 150  # about what a line and its `start` have together
        until(lambda: self._size() >= wanted, f"{number} more effects")

    def kill_handling(self) -> None:
        """Kill -9 the process that handled something last, if it is still there."""
        found = self.effects()
        if found and self._is_mine(found[-1]["pid"]):
            os.kill(found[-1]["pid"], signal.SIGKILL)

    def settle(self, *, patience: float = 45) -> None:
        """Wait until nothing is left to do, or nothing was done for so long: what is stuck the verdict will tell."""
        left = self._left()
        while left:
            with suppress(AssertionError):
                until(lambda left=left: self._left() < left, "less is left to do", patience=patience)
            before, left = left, self._left()
            if left >= before:
                return

    def verdict(self) -> Verdict:
        """End every process and judge the history."""
        self.look()
        self.close()
        found = judge(stored(self.url), self.sent(), self.effects(), now=time.time())
        return found.with_violations(self._watch.violations)

    def close(self) -> None:
        """End every process that was started here."""
        for process in self._processes:
            process.signal(signal.SIGCONT)
            process.signal(signal.SIGTERM)
        for process in self._processes:
            process.close()
        for pid in {int(row["pid"]) for row in self.effects()}:
            self._end_orphan(pid)

    def __enter__(self) -> "Rig":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _keep(self, process: Kept) -> Kept:
        self._processes.append(process)
        return process

    def _values(self, values: Mapping[str, str]) -> dict[str, str]:
        return {
            "RECEIVER_DATABASE_URL": self.url,
            "RECEIVER_LEASE": str(LEASE),
            "RECEIVER_GRACE": "2",
            "RECEIVER_LOG_LEVEL": "warning",
            "VIDEOGEN_WEBHOOK_SECRET": SECRET,
            "EFFECTS": str(self._effects),
            **values,
        }

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}-{len(self._processes)}.log"

    def _size(self) -> int:
        return self._effects.stat().st_size if self._effects.exists() else 0

    def _left(self) -> int:
        [(events,)] = ask(self.url, "SELECT count(*) FROM news")
        [(runs,)] = ask(self.url, "SELECT count(*) FROM runs WHERE finished_at IS NULL")
        return int(events + runs)

    def _end_orphan(self, pid: int) -> None:
        """End a worker whose door was killed, should it still be there."""
        with suppress(AssertionError):
            until(lambda: not self._is_mine(pid), "it ends by itself", patience=15)
            return
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def _is_mine(self, pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/cwd").samefile(self.folder)
        except OSError:
            return False
