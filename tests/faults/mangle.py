"""Requests that nobody should send: a genuine delivery with some of it changed, by a seeded generator."""

import random
import time
from dataclasses import dataclass

from receiver import signatures

from .deliveries import KEY, body, message_id

Headers = list[tuple[bytes, bytes]]

#: Text that has broken parsers before.
TOKENS = (
    b"", b"\0", b"\xff\xfe", b"\xc0\x80", b"\\ud800", b"\\u0000", b"1e999", b"-0", b"NaN", b"9" * 5000, b"[" * 20_000,
    b'{"a":' * 5000, b'{"event":1}', b"null", b"[]", b"\xef\xbb\xbf", b"\x1f\x8b\x08\x00", b'"event":"x","event":"y",',
    b"<script>", b"=1+1", b"\r\n\r\n", b"%00", b"../../..", "\N{PILE OF POO}".encode() * 100,
)  # fmt: skip

#: Values of a header that are not what it should hold.
VALUES = (
    b"", b" ", b"0", b"-1", b"1e9", b"1_0", b"NaN", b"9" * 400, b"\xff", b"\xc3\xa9", b"a" * 70_000, b"v1", b"v1,",
    b"v1,,", b"v1,!!!", b"v2,AAAA", b"v1a,AAAA", b",", b" v1,AAAA v1,BBBB", b"whsec_", b"identity", b"gzip",
    b"chunked", b"text/plain",
)  # fmt: skip

NAMES = (
    b"webhook-id", b"webhook-timestamp", b"webhook-signature", b"content-type", b"content-length", b"content-encoding",
    b"transfer-encoding", b"host", b"x-api-key", b"cookie", b"svix-id", b"svix-signature", b"\xff", b"",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Mangled:
    """A request. `genuine` is whether its signature was made for just this body, and no header was touched after."""

    headers: Headers
    body: bytes
    genuine: bool


class Mangler:
    """Makes requests, the same ones from the same seed. Their messages are of the numbers below `numbers`."""

    def __init__(self, seed: int, *, numbers: int) -> None:
        self._random = random.Random(seed)
        self._numbers = numbers

    def request(self) -> Mangled:
        """Return the next request. One in ten has a genuine signature, however odd the body that was signed."""
        number = self._random.randrange(self._numbers)
        content = self._body(body(number))
        way = self._random.random()
        if way < 0.1:
            return Mangled(headers=_signed(number, content), body=content, genuine=True)
        if way < 0.5:
            return Mangled(headers=_signed(number, body(number)), body=content, genuine=content == body(number))
        return Mangled(headers=self._headers(_signed(number, content)), body=content, genuine=False)

    def wire(self) -> bytes:
        """Return the next request as it goes over the wire, every other one with a few bytes changed."""
        request = self.request()
        lines = [b"POST /webhooks/videogen HTTP/1.1", *(name + b": " + value for name, value in request.headers)]
        content = b"\r\n".join(lines) + b"\r\n\r\n" + request.body
        return self._one_change(content) if self._random.random() < 0.5 else content

    def pieces(self, content: bytes) -> list[bytes]:
        """Return the body cut into pieces, as it might arrive."""
        cuts = sorted(self._random.randrange(len(content) + 1) for _ in range(self._random.choice((0, 0, 1, 3))))
        return [content[start:end] for start, end in zip([0, *cuts], [*cuts, len(content)], strict=True)]

    def _body(self, content: bytes) -> bytes:
        for _ in range(self._random.choice((1, 1, 1, 2, 5))):
            content = self._one_change(content)
        return content

    def _one_change(self, content: bytes) -> bytes:
        start, end = sorted(self._random.randrange(len(content) + 1) for _ in range(2))
        match self._random.randrange(6):
            case 0:
                return content[:start] + content[end:]
            case 1:
                return content[:end] + content[start:]
            case 2:
                return content[:start] + self._random.choice(TOKENS) + content[start:]
            case 3:
                return content[:start] + self._random.choice(TOKENS) + content[end:]
            case 4:
                return content[:start] + self._random.randbytes(end - start) + content[end:]
            case _:
                flipped = content[start : start + 1].translate(_FLIPPED)
                return content[:start] + flipped + content[start + 1 :]

    def _headers(self, headers: Headers) -> Headers:
        for _ in range(self._random.choice((1, 1, 2, 4))):
            headers = self._one_header(headers)
        return headers

    def _one_header(self, headers: Headers) -> Headers:
        place = self._random.randrange(len(headers) + 1)
        name, value = headers[place] if place < len(headers) else (self._random.choice(NAMES), b"")
        match self._random.randrange(5):
            case 0:
                return headers[:place] + headers[place + 1 :]
            case 1:
                return [*headers, (name, value)]
            case 2:
                return [*headers[:place], (name, self._random.choice(VALUES)), *headers[place + 1 :]]
            case 3:
                return [*headers[:place], (name, self._one_change(value)), *headers[place + 1 :]]
            case _:
                return [(self._random.choice(NAMES), self._random.choice(VALUES)), *headers]


_FLIPPED = bytes(255 - number for number in range(256))


def _signed(number: int, content: bytes) -> Headers:
    name, stamp = message_id(number), int(time.time())
    return [
        (b"host", b"127.0.0.1"),
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        (b"webhook-id", name.encode()),
        (b"webhook-timestamp", str(stamp).encode()),
        (b"webhook-signature", signatures.sign(KEY, id=name, timestamp=stamp, body=content).encode()),
    ]
