"""Sign deliveries the Standard Webhooks way, and tell which secrets may be used. No I/O, no clock, no settings.

`receiver.schemes` verifies.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hmac
import re

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
        raise ConfigError("the signing secret is empty or a placeholder: put the provider's own secret there")
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
