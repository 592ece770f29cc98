"""Deliveries that look for new ways through the door: atheris keeps what reached a line that nothing did before.

In a process of its own, `python -m tests.faults.guided TIMES SEED BEGUN DATABASE ACKED`: it ends with what it found,
and never returns.
"""

import asyncio
import importlib.util
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from receiver import logs, signatures

from ..conftest import SECRET
from .databases import ask
from .deliveries import KEY
from .history import Verdict
from .outcome import Outcome

#: Longest input, bytes: what it is for, its headers and a body.
LONGEST = 4096

#: Seconds in which all inputs must be through.
PATIENCE = 7200.0

#: Where the database is, if there is such a place: the disk is not what is asked about, and all wait for it.
MEMORY = Path("/dev/shm")

#: The process works where it may leave what it found.
_HERE = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}

#: What the search begins with, after headers as VideoGen sends them.
SAMPLES = Path(__file__).parents[1] / "samples"

#: An input is a byte that picks the source, one whose lowest bit says whether it is signed, the values of the source's
#: headers with a NUL between, this, and the body.
_END = b"\0\0"
_HEAD = b"msg_1\0v1,AAAA\0001793232000" + _END

#: The sources that sign as Standard Webhooks has it: for these a good signature is made, with one key.
SIGNING = ("videogen", "standard", "replicate", "openai", "gemini", "higgsfield")

#: Secrets of the others, whose signatures nobody makes here.
OTHERS = ("svix", "wavespeed", "openrouter", "elevenlabs", "mux", "heygen", "bfl", "leonardo")

_OTHER = "whsec_b3RoZXItc291cmNlLW90aGVyLXNlY3JldC0wMQ=="

FAULT, ENGINE = "requests guided by coverage", "SQLite"


def deliveries(folder: Path, *, seed: int, times: int) -> Outcome:
    """Hand the door what is made up, about every other time with a good signature, in a process of its own."""
    if importlib.util.find_spec("atheris") is None:
        return Outcome(fault=FAULT, engine=ENGINE, times=0, note="atheris is not installed here")
    begun = folder / "begun"
    begun.mkdir(parents=True)
    for number, sample in enumerate(sorted(SAMPLES.rglob("*.json"))):
        chosen = bytes([number % (len(SIGNING) + len(OTHERS)), number % 2])
        begun.joinpath(f"{number}-{sample.name}").write_bytes(chosen + _HEAD + sample.read_bytes())
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else folder) as place:
        return _guided(folder, Path(place) / "receiver.db", seed=seed, times=times)


def _guided(folder: Path, database: Path, *, seed: int, times: int) -> Outcome:
    told_of = folder / "acked"
    arguments = [str(times), str(seed), str(folder / "begun"), str(database), str(told_of)]
    command = [sys.executable, "-m", __spec__.name, *arguments]
    with (folder / "guided.log").open("wb") as log:
        ended = subprocess.run(command, stdout=log, stderr=log, timeout=PATIENCE, check=False, cwd=folder, env=_HERE)
    told = (folder / "guided.log").read_text(errors="replace").splitlines()
    reached = next((line for line in reversed(told) if " cov: " in line), "")
    violations = tuple(told[-40:]) if ended.returncode else ()
    acked = told_of.read_text().split()
    stored = {row[0] for row in ask(f"sqlite:///{database}", "SELECT id FROM events")}
    lost = set(acked) - stored
    wrong = [f"{event} was answered 200 and is not stored" for event in lost]
    if len(acked) < times / 4:
        wrong.append(f"only {len(acked)} of {times} inputs were signed")
    verdict = Verdict(
        acked=len(acked),
        refused=0,
        stored=len(stored),
        lost=len(lost),
        doubled=0,
        taken_over=0,
        violations=(*violations, *wrong),
    )
    places = " ".join(reached.partition(" cov: ")[2].split()[:1])
    note = f"{places} places in the code reached"
    return Outcome(fault=FAULT, engine=ENGINE, times=times, verdict=verdict, note=note)


class _Driver:
    """A door that is open as long as the process lives, driven one request at a time."""

    def __init__(self, database: str, acked: str) -> None:
        from receiver import keyring
        from receiver.app import Door
        from receiver.settings import Provider, Settings

        keyring.SPACING = 0.0  # whose signature does not fit has its source's keys read again, and waits for that
        settings = Settings(
            database_url=f"sqlite:///{database}",
            providers={
                **{name: Provider(webhook_secret=SECRET) for name in SIGNING},
                **{name: Provider(webhook_secret=_OTHER) for name in OTHERS},
            },
        )
        self._door = Door(settings, dispatch=False)
        self._loop = asyncio.new_event_loop()
        self._open = self._door.open()  # kept: else it would be closed as soon as nobody has it
        self._loop.run_until_complete(self._open.__aenter__())
        self._numbers = itertools.count()
        self._acked = os.open(acked, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def deliver(self, data: bytes) -> None:
        """Hand one input over. Raises AssertionError if its answer is not the one it should have."""
        chosen, head, _, body = data[:2].ljust(2, b"\0"), *data[2:].partition(_END)
        signed = chosen[1] % 2
        names = SIGNING if signed else SIGNING + OTHERS
        name = names[chosen[0] % len(names)]
        source = self._door._inbox._sources[name]
        headers = dict(zip(sorted(source.scheme.names), [*head.split(b"\0"), b"", b"", b""], strict=False))
        if signed:
            headers |= self._signed(body)
        status, answer = self._loop.run_until_complete(self._asked(name, list(headers.items()), body))
        if status != (200 if signed else 401):
            raise AssertionError(f"{name}, {'signed' if signed else 'not signed'}, answered {status} {answer!r}")
        if signed:
            os.write(self._acked, json.loads(answer)["event"].encode() + b"\n")

    def _signed(self, body: bytes) -> dict[bytes, bytes]:
        id, stamp = f"msg_{next(self._numbers)}", int(time.time())
        signature = signatures.sign(KEY, id=id, timestamp=stamp, body=body)
        values = {"webhook-id": id, "webhook-timestamp": str(stamp), "webhook-signature": signature}
        return {name.encode(): value.encode() for name, value in values.items()}

    async def _asked(self, name: str, headers: list[tuple[bytes, bytes]], body: bytes) -> tuple[int, bytes]:
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        path = f"/webhooks/{name}"
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
            "path": path, "raw_path": path.encode(), "root_path": "", "query_string": b"",
            "headers": [(b"content-type", b"application/json"), *headers],
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
        }  # fmt: skip
        await self._door.app(scope, receive, send)
        return sent[0]["status"], sent[1]["body"]


def _fuzz(times: int, seed: int, begun: str, database: str, acked: str) -> None:
    import atheris

    logs.configure(format="console", level="error")
    with atheris.instrument_imports(include=["receiver"], enable_loader_override=False):
        driver = _Driver(database, acked)
    options = [f"-runs={times}", f"-seed={seed % 2**32 or 1}", f"-max_len={LONGEST}"]
    atheris.Setup([sys.argv[0], *options, begun], driver.deliver)
    atheris.Fuzz()


if __name__ == "__main__":
    _fuzz(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
