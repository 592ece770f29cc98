"""Connections to PostgreSQL that are cut when a commit is durable and nobody was told so."""

import asyncio
import tempfile
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from .databases import migrate
from .outcome import Outcome
from .proxy import Proxy
from .rig import Rig

#: The file of a server's socket in its folder.
SOCKET = ".s.PGSQL.5432"

#: What PostgreSQL says has ended when a transaction has, or a statement that is one by itself.
WRITTEN = (b"COMMIT", b"INSERT", b"UPDATE", b"DELETE")

#: The types of messages from the server: a statement has ended; and it waits for the next, in no transaction.
_COMPLETE, _READY, _IDLE = b"C", b"Z", b"I"


class Commits(Proxy):
    """Stands before a PostgreSQL server's socket until this is left; `url` is the database through it.

    Of the answers that tell that something is committed it cuts the share `cuts`, with the connection.
    """

    def __init__(self, url: str, *, cuts: float, seed: int = 0) -> None:
        super().__init__(0, cuts=cuts, seed=seed)
        self._server = Path(parse_qs(urlsplit(url).query)["host"][0])
        self._folder = tempfile.TemporaryDirectory(prefix="cut")
        self.url = url.replace(str(self._server), self._folder.name)

    def __exit__(self, *about: object) -> None:
        super().__exit__(*about)
        self._folder.cleanup()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_unix_server(self._one, Path(self._folder.name) / SOCKET)

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            there_reader, there_writer = await asyncio.open_unix_connection(self._server / SOCKET)
            asking = asyncio.create_task(_pass_on(reader, there_writer))
            try:
                await self._answers(there_reader, writer)
            finally:
                asking.cancel()
                there_writer.transport.abort()
        writer.transport.abort()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass the server's answers on, each as soon as it is whole, until one is cut."""
        written, held = False, b""
        while True:
            head = await reader.readexactly(5)
            content = await reader.readexactly(int.from_bytes(head[1:]) - 4)
            held += head + content
            if head[:1] == _COMPLETE:
                written = content.startswith(WRITTEN)
                continue  # what has ended is told together with what holds then
            if head[:1] == _READY and content == _IDLE and written and self._random.random() < self._share:
                self.cut += 1
                return
            writer.write(held)
            await writer.drain()
            held = b""


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while content := await reader.read(65536):
            writer.write(content)
            await writer.drain()
    writer.transport.abort()


def answers(rig: Rig, *, times: int, cuts: float = 0.1) -> Outcome:
    """Cut the connections of the door and of two workers when a commit is through and its answer is not."""
    migrate(rig.url)
    seeds = [rig.random.getrandbits(32) for _ in range(2)]
    with (
        Commits(rig.url, cuts=cuts, seed=seeds[0]) as before_door,
        Commits(rig.url, cuts=cuts, seed=seeds[1]) as before_workers,
    ):
        web = rig.web("--no-dispatch", RECEIVER_DATABASE_URL=before_door.url).start().ready()
        workers = [rig.worker(RECEIVER_DATABASE_URL=before_workers.url).start() for _ in range(2)]
        with rig.sending(web) as sender:
            while min(before_door.cut, before_workers.cut) < times:
                sender.more(1)
                rig.look()
        cut = before_door.cut, before_workers.cut
        gone = [f"{process.log.stem} ended" for process in (web, *workers) if not process.alive]
        rig.close()  # or they would go on to be cut: what is left is done by one who is not
    rig.worker().start()
    rig.settle()
    verdict = rig.verdict().with_violations(gone)
    note = f"{cut[0]} commits of the door and {cut[1]} of workers, {verdict.taken_over} attempts taken over"
    return Outcome(
        fault="connection cut between COMMIT and answer",
        engine=rig.engine,
        times=sum(cut),
        verdict=verdict,
        note=note,
    )
