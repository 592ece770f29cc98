"""Bad requests by the million: each has the answer it should have, and nothing unsigned is ever taken."""

import asyncio
import base64
import hmac
import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from receiver.app import Door
from receiver.settings import Settings

from ..conftest import SECRET
from .databases import ask
from .deliveries import KEY
from .history import Verdict
from .mangle import Mangled, Mangler
from .outcome import Outcome
from .processes import Web
from .proxy import message
from .rig import Rig

#: What a bad request may be answered. 503 is for trouble of ours, and there is none here.
ANSWERS = {200, 401, 408, 413, 415}

#: On the wire there is also what is no HTTP, no path of ours, or no end; other paths lead people to the sign-in.
WIRE_ANSWERS = ANSWERS | {0, 303, 400, 404, 405, 431}

#: Longest body taken here, bytes: mangled ones are to be on both sides of it.
MAX_BODY = 16_384

#: Requests on their way at once: inside many, so that they share their commits.
LANES, LANES_INSIDE = 64, 512


def inside(folder: Path, *, seed: int, times: int) -> Outcome:
    """Hand mangled requests to the door, without a network between, and hold each answer against what it should be."""
    folder.mkdir(parents=True)
    url = f"sqlite:///{folder / 'receiver.db'}"
    settings = Settings(
        database_url=url,
        max_body=MAX_BODY,
        queue=10_000,
        providers={"videogen": {"webhook_secret": SECRET}},
    )
    fuzz = _Fuzz(Door(settings, dispatch=False), Mangler(seed, numbers=10**9))
    asyncio.run(fuzz.run(times))
    [(events,)] = ask(url, "SELECT count(*) FROM events")
    return _outcome("mangled requests", fuzz.answers, stored=events, lost=(), wrong=fuzz.violations)


class _Fuzz:
    def __init__(self, door: Door, mangler: Mangler) -> None:
        self._door = door
        self._mangler = mangler
        self.answers: Counter[int] = Counter()
        self.violations: list[str] = []

    async def run(self, times: int) -> None:
        async with self._door.open():
            left = iter(range(times))
            await asyncio.gather(*(self._lane(left) for _ in range(LANES_INSIDE)))

    async def _lane(self, left: Iterator[int]) -> None:
        for number in left:
            request = self._mangler.request()
            status = await self._answer(request)
            self.answers[status] += 1
            if wrong := self._wrong(request, status):
                self.violations.append(f"request {number}: {wrong}")

    def _wrong(self, request: Mangled, status: int) -> str:
        if status not in ANSWERS:
            return f"answered {status}"
        if status == 200 and not _signed(request):
            return "taken, and its signature does not verify"
        if request.genuine and status != (413 if len(request.body) > MAX_BODY else 200):
            return f"genuine, {len(request.body)} bytes, answered {status}"
        return ""

    async def _answer(self, request: Mangled) -> int:
        pieces = self._mangler.pieces(request.body)
        status: list[int] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                status.append(message["status"])

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
            "path": "/webhooks/videogen", "raw_path": b"/webhooks/videogen", "root_path": "", "query_string": b"",
            "headers": request.headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
        }  # fmt: skip
        try:
            await self._door.app(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - whatever it is, it should not have come out
            self.violations.append(f"{type(error).__name__} came out of the door")
        return status[0] if status else 0


def _signed(request: Mangled) -> bool:
    """Whether the request may be taken: as the specification has it, written anew."""
    headers = dict(request.headers)
    content = b".".join((headers.get(b"webhook-id", b""), headers.get(b"webhook-timestamp", b""), request.body))
    expected = b"v1," + base64.b64encode(hmac.digest(KEY, content, "sha256"))
    return expected in headers.get(b"webhook-signature", b"").split(b" ")


def on_the_wire(rig: Rig, *, times: int, patience: float = 30.0) -> Outcome:
    """Send mangled bytes to the door's port, each on a connection of its own, and wait so long for the answer."""
    web = rig.web("--no-dispatch", RECEIVER_BODY_TIMEOUT="0.2", RECEIVER_LOG_LEVEL="error").start().ready()
    told = asyncio.run(_throw(web, Mangler(rig.random.getrandbits(32), numbers=10**9), times, patience))
    alive = web.answers()
    rig.close()
    answers = Counter(status for status, _ in told)
    acked = {event for status, event in told if status == 200}
    stored = {row[0] for row in ask(rig.url, "SELECT id FROM events")}
    violations = [
        *(f"{answers[status]} answered {status}" for status in answers.keys() - WIRE_ANSWERS),
        *(f"{event} was answered 200 and is not stored" for event in acked - stored),
        *([f"the door had errors: {wrong[:300]}"] if (wrong := _errors(web.log.read_text())) else []),
        *([] if alive else ["the door does not answer any more"]),
    ]
    return _outcome("mangled bytes on the wire", answers, stored=len(stored), lost=acked - stored, wrong=violations)


def _errors(log: str) -> str:
    """Return what the log says but for alarms: that so much was refused is to be told."""
    return "\n".join(line for line in log.splitlines() if "alarm_raised" not in line)


async def _throw(web: Web, mangler: Mangler, times: int, patience: float) -> list[tuple[int, str]]:
    left = iter(range(times))

    async def lane() -> list[tuple[int, str]]:
        return [await _told(web.port, mangler.wire(), patience) for _ in left]

    return [one for lane in await asyncio.gather(*(lane() for _ in range(LANES))) for one in lane]


async def _told(port: int, content: bytes, patience: float) -> tuple[int, str]:
    """Return the status that these bytes are answered and the event told of; 0 if there is no answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(content)
        answer = await asyncio.wait_for(message(reader), patience)
    except (TimeoutError, ConnectionError, asyncio.IncompleteReadError):
        return 0, ""
    finally:
        writer.transport.abort()
    head, _, rest = answer.partition(b"\r\n\r\n")
    status = int(head.split(b" ")[1])
    return status, json.loads(rest)["event"] if status == 200 else ""


def _outcome(fault: str, answers: Counter[int], *, stored: int, lost: Collection[str], wrong: Sequence[str]) -> Outcome:
    verdict = Verdict(
        acked=answers[200], refused=0, stored=stored, lost=len(lost), doubled=0, taken_over=0, violations=tuple(wrong)
    )
    note = ", ".join(f"{count:,} answered {status or 'nothing'}" for status, count in sorted(answers.items()))
    return Outcome(fault=fault, engine="SQLite", times=answers.total(), verdict=verdict, note=note)
