"""What one verification costs, of a 1.3 KB delivery, for each way of signing."""

import base64
import hashlib
import hmac
import time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from receiver.schemes import STANDARD, Scheme
from receiver.sources.profiles import STANDARD_ED25519, github_like, stripe_like

from .bench import Bench
from .deliveries import TEMPLATE
from .report import Result

NOW = 1_793_232_000
KEY = b"verdicts-benchmark-key-0001"
_STANDARD = b"msg_1.%d.%b" % (NOW, TEMPLATE)
_STRIPE = hmac.new(KEY, b"%d.%b" % (NOW, TEMPLATE), "sha256").hexdigest()
_PRIVATE = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(KEY).digest())
_PUBLIC = _PRIVATE.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

Headers = list[tuple[bytes, bytes]]


def _standard(signature: bytes, label: bytes) -> Headers:
    return [
        (b"content-type", b"application/json"),
        (b"webhook-id", b"msg_1"),
        (b"webhook-timestamp", b"%d" % NOW),
        (b"webhook-signature", label + b"," + base64.b64encode(signature)),
    ]


HMAC: dict[str, tuple[Scheme, Headers]] = {
    "standard": (STANDARD, _standard(hmac.digest(KEY, _STANDARD, "sha256"), b"v1")),
    "stripe": (stripe_like("x-signature"), [(b"x-signature", f"t={NOW},v1={_STRIPE}".encode())]),
    "github": (
        github_like("x-signature"),
        [(b"x-signature", b"sha256=" + hmac.new(KEY, TEMPLATE, "sha256").hexdigest().encode())],
    ),
}
ED25519: tuple[Scheme, Headers] = (STANDARD_ED25519, _standard(_PRIVATE.sign(_STANDARD), b"v1a"))


def hmac_kinds(bench: Bench, result: Result) -> None:
    """Measure the slowest of the HMAC kinds."""
    for _ in range(bench.rounds):
        result.add(max(_microseconds(scheme, headers, KEY, bench.of(20_000)) for scheme, headers in HMAC.values()))
    bench.say("hmac      " + result.measured)


def ed25519(bench: Bench, result: Result) -> None:
    """Measure ed25519."""
    for _ in range(bench.rounds):
        result.add(_microseconds(*ED25519, _PUBLIC, bench.of(5_000)))
    bench.say("ed25519   " + result.measured)


def _microseconds(scheme: Scheme, headers: Headers, key: bytes, count: int) -> float:
    before = time.process_time()
    for _ in range(count):
        scheme.verify(headers, TEMPLATE, keys=[key], now=NOW)
    return (time.process_time() - before) / count * 1e6
