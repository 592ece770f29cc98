"""Sign deliveries the Standard Webhooks way, and tell which secrets may be used. No I/O, no clock, no settings.

`receiver.schemes` verifies.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hmac
import re
import secrets
from collections.abc import Callable

from .errors import ConfigError

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
    content = b"%b.%d.%b" % (id.encode(), timestamp, body)
    return "v1," + base64.b64encode(hmac.digest(key, content, "sha256")).decode()


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
