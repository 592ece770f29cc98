"""Bad requests as bytes on a socket of the real door, each with the answer it must have, on both engines.

In the end every delivery that was answered 200 is an event, and nothing else is.
"""

import asyncio
import gzip
import json
import socket
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

import pytest

from receiver import signatures

from ..conftest import _database, _statement
from .databases import ask
from .deliveries import KEY
from .rig import Rig

#: Longest body taken here, and how long it may take, bytes and seconds.
MAX_BODY, BODY_TIMEOUT = 2048, 0.2

#: The secret of the other source, which signs in the same way.
OTHER = "whsec_" + "b3RoZXItc291cmNlLW90aGVyLXNlY3JldC0wMQ=="

#: The connection is closed without an answer.
CLOSED = 0


@dataclass
class Served:
    """A door, and the events that its senders were told of."""

    port: int
    url: str
    told: list[str] = field(default_factory=list)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def door(request, tmp_path_factory):
    url = None
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres")
        asyncio.run(_statement(server, "CREATE DATABASE bad_input TEMPLATE base"))
        url = _database(server, "bad_input")
    with Rig(tmp_path_factory.mktemp("door"), url) as rig:
        limits = {"RECEIVER_MAX_BODY": str(MAX_BODY), "RECEIVER_BODY_TIMEOUT": str(BODY_TIMEOUT)}
        web = rig.web("--no-dispatch", REPLICATE_WEBHOOK_SECRET=OTHER, **limits).start().ready()
        served = Served(web.port, rig.url)
        yield served
        assert web.answers()
        assert "Traceback" not in web.log.read_text()
        assert web.starts == 1
        stored = [row[0] for row in ask(rig.url, "SELECT id FROM events")]
        assert sorted(stored) == sorted(set(served.told))
    if url:
        asyncio.run(_statement(server, "DROP DATABASE bad_input WITH (FORCE)"))


def head(*lines: str, body=b"", id="msg_1", at=None, key=KEY, source="videogen", length=True):
    """Return a request's head, signed for this body, with further lines."""
    stamp = int(time.time()) + (at or 0)
    signature = signatures.sign(key, id=id, timestamp=stamp, body=body)
    own = [f"webhook-id: {id}", f"webhook-timestamp: {stamp}", f"webhook-signature: {signature}"]
    begin = [f"POST /webhooks/{source} HTTP/1.1", "host: x", "content-type: application/json", *own]
    return "\r\n".join([*begin, *([f"content-length: {len(body)}"] if length else []), *lines, "", ""]).encode(
        "latin-1"
    )


def whole(body, *lines, **changes):
    return head(*lines, body=body, **changes) + body


def pieces(body, *lines, sizes=None, end=b"0\r\n\r\n"):
    """Return a request whose body comes in chunks; `sizes` are what is said of them."""
    parts = [body[: len(body) // 2], body[len(body) // 2 :]]
    said = sizes or [f"{len(part):x}" for part in parts]
    chunks = b"".join(size.encode() + b"\r\n" + part + b"\r\n" for size, part in zip(said, parts, strict=True))
    return head("transfer-encoding: chunked", *lines, body=body, length=False) + chunks + end


def event(number=1, **more):
    job = {"event": "tool_execution.succeeded", "toolExecutionId": f"vg_{number}", "toolType": "X", "occurredAt": 1}
    return json.dumps({**job, "results": [], **more}).encode()


def filled(size):
    """Return an event of so many bytes."""
    return event(filler="")[:-2] + b"a" * (size - len(event(filler=""))) + b'"}'


GOOD = event()

#: What is sent, and the status of the answer. In each case the other headers are as they should be.
CASES = {
    "a body of no bytes": (lambda: whole(b"", id="msg_0"), 200),
    "exactly at the limit": (lambda: whole(filled(MAX_BODY), id="msg_limit"), 200),
    "one byte over the limit": (lambda: whole(filled(MAX_BODY + 1)), 413),
    "one byte over the limit in chunks": (lambda: pieces(filled(MAX_BODY + 1)), 413),
    "a length of many digits": (lambda: head("content-length: " + "9" * 30, length=False), 400),
    "a length beyond the limit and no body": (lambda: head("content-length: 99999999", length=False), 413),
    "a negative length": (lambda: head("content-length: -1", length=False), 400),
    "a length with a sign": (lambda: head("content-length: +2", length=False) + b"{}", 400),
    "a length in hexadecimal": (lambda: head("content-length: 0x2", length=False) + b"{}", 400),
    "two lengths that differ": (lambda: whole(GOOD, f"content-length: {len(GOOD) - 1}"), 400),
    "the same length twice": (lambda: whole(GOOD, f"content-length: {len(GOOD)}"), 400),
    "a length too short": (lambda: head(f"content-length: {len(GOOD) - 5}", body=GOOD, length=False) + GOOD, 400),
    "a length too long": (lambda: head(f"content-length: {len(GOOD) + 5}", body=GOOD, length=False) + GOOD, 408),
    "a body that stops": (lambda: head(body=GOOD) + GOOD[:1], 408),
    "a body in chunks": (lambda: pieces(GOOD), 200),
    "chunks and a length": (lambda: pieces(GOOD, f"content-length: {len(GOOD)}"), 400),
    "a chunk shorter than it says": (lambda: pieces(GOOD, sizes=["ff", "ff"]), 408),
    "a chunk longer than it says": (lambda: pieces(GOOD, sizes=["1", "1"]), 400),
    "a chunk of a negative size": (lambda: pieces(GOOD, sizes=["-1", "1"]), 400),
    "a chunk of a size beyond all numbers": (lambda: pieces(GOOD, sizes=["f" * 17, "1"]), 400),
    "a chunk whose size is no number": (lambda: pieces(GOOD, sizes=["xyz", "1"]), 400),
    "chunks without an end": (lambda: pieces(GOOD, end=b""), 408),
    "chunked, and is not": (lambda: head("transfer-encoding: chunked", body=GOOD, length=False) + GOOD, 400),
    "chunked, but not at last": (lambda: whole(GOOD, "transfer-encoding: chunked, identity", length=False), 400),
    "a transfer encoding that nobody knows": (lambda: whole(GOOD, "transfer-encoding: xchunked"), 400),
    "gzip, told": (lambda: whole(gzip.compress(GOOD, mtime=0), "content-encoding: gzip", id="msg_gzip"), 200),
    "gzip, not told": (lambda: whole(gzip.compress(GOOD, mtime=0), id="msg_gzip_2"), 200),
    "gzip, signed before it was packed": (
        lambda: head("content-encoding: gzip", "content-length: 2", body=GOOD, length=False) + b"\x1f\x8b",
        401,
    ),
    "invalid UTF-8": (lambda: whole(b'{"event": "\xff\xfe"}', id="msg_utf8"), 200),
    "a lone surrogate": (lambda: whole(event(2, note="\ud800"), id="msg_surrogate"), 200),
    "a lone surrogate as the job": (lambda: whole(event("\ud800"), id="msg_surrogate_job"), 200),
    "NUL in a string": (lambda: whole(event(3, note="\0"), id="msg_nul"), 200),
    "NUL as the job": (lambda: whole(event("\0"), id="msg_nul_job"), 200),
    "NUL in the type": (lambda: whole(event(4).replace(b"succeeded", b"\\u0000"), id="msg_nul_type"), 200),
    "a byte of NUL": (lambda: whole(GOOD + b"\0", id="msg_nul_byte"), 200),
    "deep JSON": (lambda: whole(b"[" * MAX_BODY, id="msg_deep"), 200),
    "deep JSON that ends": (lambda: whole(b"[" * 1000 + b"]" * 1000, id="msg_deep_2"), 200),
    "a huge number": (lambda: whole(event(5)[:-1] + b', "n": 1e999}', id="msg_huge"), 200),
    "a number of many digits": (lambda: whole(event(6)[:-1] + b', "n": ' + b"9" * 1500 + b"}", id="msg_digits"), 200),
    "a moment that is none": (lambda: whole(event(7, occurredAt=10**400), id="msg_moment"), 200),
    "no number where one should be": (lambda: whole(event(8, occurredAt=float("nan")), id="msg_nan"), 200),
    "the same key twice": (lambda: whole(event(9)[:-1] + b', "toolExecutionId": "other"}', id="msg_keys"), 200),
    "a body that is not JSON by its header": (lambda: whole(GOOD).replace(b"application/json", b"text/plain"), 415),
    "an old message": (lambda: whole(GOOD, at=-301), 401),
    "a message of the future": (lambda: whole(GOOD, at=310), 401),
    "another source's signature": (lambda: whole(GOOD, key=signatures.decode_secret(OTHER)), 401),
    "at another source, with the first one's signature": (lambda: whole(GOOD, source="replicate"), 401),
    "another body than was signed": (lambda: head(body=GOOD) + GOOD[:-1] + b" ", 401),
    "no signature": (lambda: whole(GOOD).replace(b"webhook-signature", b"x-signature"), 401),
    "a second message id": (lambda: whole(GOOD, "webhook-id: msg_2"), 401),
    "a second signature": (lambda: whole(GOOD, "webhook-signature: v1,AAAA"), 401),
    "a header that is no text": (lambda: whole(GOOD, "x-a: \xff\xfe", id="msg_text"), 200),
    "NUL in a header": (lambda: whole(GOOD, "x-a: a\0b"), 400),
    "many headers": (lambda: whole(GOOD, *[f"x-{number}: a" for number in range(2000)], id="msg_many"), 200),
    "a header without end": (lambda: whole(GOOD, "x-a: " + "a" * 1_000_000), CLOSED),
    "a header without name": (lambda: whole(GOOD, ": a"), 400),
    "a line that continues": (lambda: whole(GOOD, "x-a: a\r\n b"), 400),
    "nothing of HTTP": (lambda: b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + b"\0" * 500, 400),
    "a path that nobody has": (lambda: whole(GOOD).replace(b"videogen", b"nobody"), 404),
    "a path with NUL in it": (lambda: whole(GOOD).replace(b"videogen", b"video%00gen"), 404),
    "another method": (lambda: whole(GOOD).replace(b"POST", b"PUT"), 405),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_is_sent_has_its_answer(door, name):
    content, status = CASES[name]
    assert answered(door, content()) == [status]


def answered(door, content, *, times=1):
    """Return the statuses of so many answers to these bytes, and note the events they tell."""
    with connected(door) as connection, connection.makefile("rb") as answers:
        try:
            connection.sendall(content)
            return [answer(door, answers) for _ in range(times)]
        except ConnectionError:
            return [CLOSED]


def connected(door):
    return closing(socket.create_connection(("127.0.0.1", door.port), timeout=10))


def answer(door, answers):
    """Read one answer; return its status."""
    lines = list(iter(answers.readline, b"\r\n")) if answers.peek(1) else []
    if not lines:
        return CLOSED
    status = int(lines[0].split(b" ")[1])
    size = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
    body = answers.read(size)
    if status == 200:
        door.told.append(json.loads(body)["event"])
    return status


def test_a_hundred_copies_at_once_are_one_event_and_each_is_answered_200(door):
    content, before = whole(event(10), id="msg_copies"), len(door.told)
    with ExitStack() as stack:
        connections = [stack.enter_context(connected(door)) for _ in range(100)]
        for connection in connections:
            connection.sendall(content)
        answers = [stack.enter_context(connection.makefile("rb")) for connection in connections]
        assert [answer(door, one) for one in answers] == [200] * 100
    assert len(set(door.told[before:])) == 1


def test_a_replay_within_the_tolerance_is_the_same_event(door):
    for at in (0, -200, 200):
        assert answered(door, whole(event(11), id="msg_replayed", at=at)) == [200]
    assert len(set(door.told[-3:])) == 1


def test_of_two_requests_in_one_piece_each_has_its_own_answer(door):
    unsigned = whole(GOOD).replace(b"webhook-signature", b"x-signature")
    assert answered(door, whole(event(12), id="msg_first") + unsigned, times=2) == [200, 401]


def test_a_sender_that_leaves_in_the_middle_leaves_nothing(door):
    with connected(door) as connection:
        connection.sendall(head(body=GOOD, id="msg_left") + GOOD[:10])
    assert answered(door, whole(event(13), id="msg_after")) == [200]
    assert not ask(door.url, "SELECT 1 FROM events WHERE message_id = 'msg_left'")
