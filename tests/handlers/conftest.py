"""A storage on a socket that misbehaves as told, and the context that handlers get."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from receiver import Context, Event, Output
from receiver.files import open_files
from receiver.outbound import create_client
from receiver.shared import Shared


@dataclass
class Resumable:
    """A file that its storage gives in pieces, and whose connection breaks after so many bytes of each answer."""

    body: bytes
    headers: dict[str, str]
    breaks: list[int] = field(default_factory=list)
    then: str | None = None  #: the status of every answer after the first
    after: tuple[bytes, dict[str, str]] | None = None  #: what the file is after the first answer
    lie: str | None = None  #: the Content-Range of partial answers, if it is not the true one
    answers: int = 0

    def answer(self, request: dict[str, str]) -> bytes:
        self.answers += 1
        if self.answers > 1 and self.then:
            return f"HTTP/1.1 {self.then}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
        if self.answers > 1 and self.after:
            self.body, self.headers = self.after
        start = 0
        if request.get("if-range") in {value.lower() for value in self.headers.values()}:
            start = int(request["range"].removeprefix("bytes=").removesuffix("-"))
        told = {**self.headers, "Content-Length": str(len(self.body) - start), "Connection": "close"}
        if start:
            truth = f"bytes {start}-{len(self.body) - 1}/{len(self.body)}"
            told["Content-Range"] = truth if self.lie is None else self.lie
        head = "".join(f"{name}: {value}\r\n" for name, value in told.items())
        sent = self.body[start:][: self.breaks.pop(0)] if self.breaks else self.body[start:]
        return f"HTTP/1.1 {'206 Partial Content' if start else '200 OK'}\r\n{head}\r\n".encode() + sent


@dataclass
class Storage:
    """Answers each path with the bytes it is told, exactly; what they claim may be a lie."""

    port: int = 0
    answers: dict[str, bytes] = field(default_factory=dict)
    requests: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    endless: set[str] = field(default_factory=set)  #: paths whose last chunk comes again and again
    silent: set[str] = field(default_factory=set)  #: paths where the connection stays open after the answer
    resumable: dict[str, "Resumable"] = field(default_factory=dict)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}?X-Signature=hush"

    def put(self, path: str, body: bytes, *, status: str = "200 OK", length: int | None = None, **headers: str):
        """Answer `path` with `body`, and with the `length` that it has if no other is given."""
        told = {"Content-Length": str(len(body) if length is None else length), "Connection": "close"}
        told |= {name.replace("_", "-"): value for name, value in headers.items()}
        self.answer(path, status, told, body)

    def answer(self, path: str, status: str, headers: dict[str, str], body: bytes) -> None:
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.answers[path] = f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body

    def _answer(self, path: str) -> bytes:
        if path in self.resumable:
            return self.resumable[path].answer(self.requests[-1])
        return self.answers.get(path, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
            path = first.split()[1].partition("?")[0]
            self.paths.append(path)
            self.requests.append(dict(line.lower().split(": ", 1) for line in lines))
            writer.write(self._answer(path))
            await writer.drain()
            self.asked.set()
            while path in self.endless:
                writer.write(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
                await writer.drain()
            if path in self.silent:
                await reader.read()
        except ConnectionError:
            pass
        finally:
            writer.close()


@pytest.fixture
async def storage() -> AsyncIterator[Storage]:
    made = Storage()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()


@dataclass
class Provider:
    """What the provider says when it is asked for a new URL."""

    answers: list[Output | Exception] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    async def refresh(self, output: Output) -> Output:
        self.asked.append(output.id)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def provider() -> Provider:
    return Provider()


@dataclass
class Records:
    """What handlers said of outputs, by the outputs' ids."""

    told: dict[str, dict[str, Any]] = field(default_factory=dict)

    async def record(self, output: Output, **values: Any) -> None:
        self.told[output.id] = values


@pytest.fixture
def records() -> Records:
    return Records()


@pytest.fixture(scope="session")
def tls() -> ssl.SSLContext:
    """One for all, as it takes longer to make than a test."""
    return ssl.create_default_context()


@pytest.fixture
async def http(tls: ssl.SSLContext) -> AsyncIterator[httpx.AsyncClient]:
    async with create_client(allow=["127.0.0.1"], tls=tls) as client:
        yield client


@pytest.fixture
async def shared() -> AsyncIterator[Shared]:
    """What handlers open, closed after the test as a worker does when it has drained."""
    made = Shared()
    yield made
    await made.close()


@pytest.fixture
def context(
    tmp_path: Path, http: httpx.AsyncClient, provider: Provider, records: Records, shared: Shared
) -> Callable[..., Context]:
    """A context as a worker makes it; what is given differs."""

    @asynccontextmanager
    async def once(_key: str) -> AsyncIterator[bool]:
        yield True

    def make(**changes: Any) -> Context:
        given: dict[str, Any] = {
            "attempt": 1,
            "log": structlog.get_logger("handlers"),
            "http": http,
            "files": open_files(str(tmp_path / "files")),
            "once": once,
            "submit": lambda *_: None,
            "refresh": provider.refresh,
            "record": records.record,
            "shared": shared,
            "max_file": 2**30,
        }
        return Context(**given | changes)

    return make


@pytest.fixture
def event() -> Callable[..., Event]:
    """A finished job with these outputs."""

    def make(*outputs: Output, **changes: Any) -> Event:
        given: dict[str, Any] = {
            "id": "evt_1",
            "source": "videogen",
            "type": "tool_execution.succeeded",
            "kind": "job.succeeded",
            "job_id": "vg_tool_1",
            "tool": "GENERATE_VIDEO_CLIP",
            "outputs": outputs,
            "occurred_at": 1793232000.0,
            "received_at": 1793232001.0,
        }
        return Event(**given | changes)

    return make
