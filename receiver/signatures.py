"""Sign and verify deliveries the Standard Webhooks way. No I/O, no clock, no settings.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hmac
import re
import secrets
from collections.abc import Callable, Iterable, Sequence

from .errors import BadSignature, ConfigError

#: Seconds a timestamp may be off, either way, inclusive.
TOLERANCE = 300

#: Fewest key bytes we accept; the specification asks its senders for 24 to 64.
SHORTEST_KEY = 16

#: What examples and `.env` templates hold in the place of a secret. None shorter than five
#: characters: a random secret must not contain one by chance.
PLACEHOLDERS = (
    "change_me", "changeme", "dummy_", "example", "placeholder", "replace", "secret", "signing",
    "test_key", "webhook", "xxxxx", "your-", "your_",
)  # fmt: skip

_BASE64 = re.compile(r"[A-Za-z0-9+/]*")
_ID = re.compile(rb"[\x21-\x7e]{1,256}")
_TIMESTAMP = re.compile(rb"[0-9]{1,12}")


def decode_secret(secret: str) -> bytes:
    """Return the key bytes of a `whsec_<base64>` secret, with or without the prefix.

    Both base64 alphabets are taken, padding may be missing. `raw:<text>` means the text itself.
    Raises ConfigError, without naming the secret, if it is empty, too short, not base64 or a
    placeholder: with a key that anybody can guess, anybody can sign.
    """
    text = secret.strip()
    key = _encode(text.removeprefix("raw:")) if text.startswith("raw:") else _decode(text.removeprefix("whsec_"))
    if any(word in text.casefold() for word in PLACEHOLDERS) or len(set(key)) < 2:
        raise ConfigError("the signing secret is empty or a placeholder: put the real one there")
    if len(key) < SHORTEST_KEY:
        raise ConfigError(f"the signing secret is too short: {len(key)} bytes, at least {SHORTEST_KEY} are needed")
    return key


def _encode(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ConfigError("the signing secret is not text: its bytes are no UTF-8") from None


def _decode(text: str) -> bytes:
    text = text.rstrip("=").translate({ord("-"): "+", ord("_"): "/"})
    if not _BASE64.fullmatch(text):
        raise ConfigError("the signing secret is not base64 (write raw:<text> if it really is plain text)")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise ConfigError("the signing secret is not base64: it was probably cut short") from None


def sign(key: bytes, *, id: str, timestamp: int, body: bytes) -> str:
    """Return the `webhook-signature` value, `"v1,<base64>"`, for one delivery."""
    return "v1," + _digest(key, id.encode(), b"%d" % timestamp, body).decode()


def verify(
    headers: Iterable[tuple[bytes, bytes]],
    body: bytes,
    *,
    keys: Sequence[bytes],
    now: float,
    tolerance: float = TOLERANCE,
) -> str:
    """Return the delivery's message id if one of `keys` signed these exact bytes.

    `headers` are raw pairs with lower-case names, as ASGI gives them. `now` and `tolerance` are
    Unix seconds. Give several keys, newest first, while a secret is being replaced.

    Raises BadSignature, and nothing else, whatever the sender put in the request.
    """
    message, stamp, signatures = _signature_headers(headers)
    if not _ID.fullmatch(message):
        raise BadSignature("malformed-id")
    if not _TIMESTAMP.fullmatch(stamp):
        raise BadSignature("malformed-timestamp")
    skew = int(stamp) - now
    keys = [key for key in keys if key]  # with an empty key, anybody can sign
    if not keys:
        raise BadSignature("no-secret", skew=skew)
    candidates = [token[3:] for token in signatures.split(b" ") if token.startswith(b"v1,")]
    # The signature is judged before the clock, so that a stale delivery that is genuine can be told
    # from noise: that difference is how a wrong clock is noticed.
    matched = False
    for key in keys:
        expected = _digest(key, message, stamp, body)
        for candidate in candidates:
            matched |= hmac.compare_digest(expected, candidate)
    if not matched:
        raise BadSignature("wrong-signature" if candidates else "no-v1-signature", skew=skew)
    if not abs(skew) <= tolerance:  # this way round, a clock that is not a number refuses too
        raise BadSignature("stale-timestamp" if skew < 0 else "future-timestamp", skew=skew)
    return message.decode("ascii")


def _signature_headers(headers: Iterable[tuple[bytes, bytes]]) -> tuple[bytes, bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _NAMES:
            if name in found:
                raise BadSignature("repeated-header")
            found[name] = value
    if len(found) < len(_NAMES):
        raise BadSignature("missing-header")
    return found[b"webhook-id"], found[b"webhook-timestamp"], found[b"webhook-signature"]


_NAMES = frozenset({b"webhook-id", b"webhook-timestamp", b"webhook-signature"})


def _digest(key: bytes, message: bytes, stamp: bytes, body: bytes) -> bytes:
    content = b"%b.%b.%b" % (message, stamp, body)
    return binascii.b2a_base64(hmac.digest(key, content, "sha256"), newline=False)


def new_secret() -> str:
    """Return a fresh `whsec_…` secret, for both sides."""
    return "whsec_" + _base64(secrets.token_bytes(32))


def new_pair() -> tuple[str, str]:
    """Return a fresh `whsk_…` secret for who signs, and its public `whpk_…` for who verifies."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # not before: handlers import us

    key = Ed25519PrivateKey.generate()
    private, public = (_base64(raw) for raw in (key.private_bytes_raw(), key.public_key().public_bytes_raw()))
    return f"whsk_{private}", f"whpk_{public}"


class Signer:
    """Signs what leaves here, the Standard Webhooks way, with each of its secrets.

    `secrets` holds several, newest first, with commas, while one is replaced: who verifies takes any of the
    signatures. A `whsec_…` secret makes a `v1` signature, HMAC-SHA256; a `whsk_…` secret (32 bytes, or 64 with
    the public key) makes a `v1a` signature, ed25519, which is verified with the public `whpk_…`.
    Raises ConfigError, without naming a secret, if one cannot be used.
    """

    def __init__(self, secrets: str) -> None:
        given = [secret.strip() for secret in secrets.split(",") if secret.strip()]
        #: As they were given and without their prefixes: what must not be shown.
        self.secrets = tuple({*given, *(secret.partition("_")[2] or secret for secret in given)})
        try:
            self._sign = [_signature_of(secret) for secret in given]
        except ConfigError as error:
            raise ConfigError(f"{error}; `receiver secrets signing` makes one") from None
        if not self._sign:
            raise ConfigError("there is no signing secret; `receiver secrets signing` makes one")

    def headers(self, *, id: str, timestamp: float, body: bytes) -> dict[str, str]:
        """Return the headers that go along with `body`. `timestamp` is now, in Unix seconds; `id` has no dot in it."""
        stamp = int(timestamp)
        content = b"%b.%d.%b" % (id.encode(), stamp, body)
        return {
            "webhook-id": id,
            "webhook-timestamp": str(stamp),
            "webhook-signature": " ".join(sign(content) for sign in self._sign),
        }


def _signature_of(secret: str) -> Callable[[bytes], str]:
    if not secret.startswith("whsk_"):
        key = decode_secret(secret)
        return lambda content: "v1," + _base64(hmac.digest(key, content, "sha256"))
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # not before: handlers import us

    raw = _decode(secret.removeprefix("whsk_"))
    if len(raw) not in (32, 64):
        raise ConfigError(f"the whsk_ secret has {len(raw)} bytes, not 32 or 64")
    private = Ed25519PrivateKey.from_private_bytes(raw[:32])
    if raw[32:] not in (b"", private.public_key().public_bytes_raw()):
        raise ConfigError("the two halves of the whsk_ secret do not belong together")
    return lambda content: "v1a," + _base64(private.sign(content))


def _base64(raw: bytes) -> str:
    return binascii.b2a_base64(raw, newline=False).decode()
