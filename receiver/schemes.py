"""Every way a provider signs, as data, and the one engine that judges by it. No I/O, no clock, no settings.

A scheme says where the signature is and what it covers. What no scheme may change is fixed here: the raw bytes
count, any key may match any signature, comparisons take the same time whatever matches, a timestamp is a plain
ASCII integer, no header that decides may come twice, algorithms are pinned, and what is not proved is refused.

Standard Webhooks has its own compiled form, `receiver.signatures`, which also holds what the two share.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

from .errors import BadSignature, ConfigError
from .signatures import PLACEHOLDERS, SHORTEST_KEY, TOLERANCE, decode_secret

Kind = Literal["hmac", "ed25519", "jwt", "hash", "equals", "basic", "none"]

#: What a verdict covers: the whole body, no more than an id in it, who sent it but not what, or nothing.
Trust = Literal["body", "id", "sender", "nothing"]

#: Signatures in one header that are looked at; a sender that replaces its secret gives two.
MOST_SIGNATURES = 16

_TIMESTAMP = re.compile(rb"[0-9]{1,15}")
_PRINTABLE = re.compile(rb"[\x21-\x7e]{1,256}")
_TOKEN = re.compile(r"\{([^{}]+)\}")
_HEX = re.compile(rb"(?:[0-9A-Fa-f]{2})+")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]+={0,2}")
_BASE64URL = re.compile(rb"[A-Za-z0-9_-]+={0,2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """How one provider signs. Header names are lower-case."""

    kind: Kind
    header: str = ""  #: where the signature is
    #: What is signed: text with `{id}`, `{ts}`, `{body}`, `{body_sha256}`, `{secret}`, `{header:NAME}` and
    #: `{json:/POINTER|/POINTER}` in it.
    template: str = "{body}"
    digest: Literal["sha1", "sha256", "sha512"] = "sha256"
    #: How the header holds it: bare, after a prefix, as fields `t=…,v1=…`, or as a list `v1,… v1,…`.
    container: Literal["bare", "prefix", "fields", "list"] = "bare"
    label: str = ""  #: the prefix, the field or the label in the list; others are passed over
    encoding: Literal["hex", "base64"] = "hex"
    stamp: str | None = None  #: the header of the timestamp; with `fields` it is the field `t` of the signature
    past: float = TOLERANCE  #: seconds that a timestamp may be old
    future: float = TOLERANCE  #: seconds that it may be ahead
    id: str | None = None  #: the header of the message id; only a signed one counts
    key: Literal["text", "base64"] = "text"  #: what a secret is
    strip: str = ""  #: what a secret may begin with that is not part of it
    issuer: str | None = None  #: jwt: who must have issued it
    audience: str | None = None  #: jwt: whom it must be for
    trust: Trust = "body"
    _parts: tuple[tuple[str, str], ...] = field(default=(), init=False, repr=False, compare=False)
    _names: frozenset[bytes] = field(default=frozenset(), init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        parts = tuple(_compile(self.template))
        signed = [text for piece, text in parts if piece == "header"]
        names = [self.header, self.stamp, self.id, *signed]
        object.__setattr__(self, "_parts", parts)
        object.__setattr__(self, "_names", frozenset(name.encode() for name in names if name))
        if self.id and not any(piece == "id" for piece, _ in parts):
            raise ConfigError("an id that is not signed proves nothing: leave it out, and the body's digest is the id")

    def decode_secret(self, secret: str) -> bytes:
        """Return the key bytes of a secret. Raises ConfigError, without naming it, if it must not be used."""
        return _KEYS.get(self.kind, _shared_key)(self, secret.strip())

    def verify(self, headers: Iterable[tuple[bytes, bytes]], body: bytes, *, keys: Sequence[bytes], now: float) -> str:
        """Return the message's id if one of `keys` vouches for it: the signed one, or else the body's digest.

        `headers` are raw pairs with lower-case names. Raises BadSignature and nothing else.
        """
        if self.kind == "none":
            raise BadSignature("unsigned")
        delivery = _Delivery(self, headers, body)
        skew = None if delivery.stamp is None else int(delivery.stamp) - now
        keys = [key for key in keys if key]  # with an empty key, anybody can sign
        if not keys:
            raise BadSignature("no-secret", skew=skew)
        _JUDGES[self.kind](self, delivery, keys, now, skew)
        # After the signature, so that a stale delivery that is genuine can be told from noise.
        if skew is not None and not -self.past <= skew <= self.future:
            raise BadSignature("stale-timestamp" if skew < 0 else "future-timestamp", skew=skew)
        return delivery.id


class _Delivery:
    """What a scheme needs of one request, taken apart."""

    __slots__ = ("body", "headers", "id", "signature", "signatures", "stamp")

    def __init__(self, scheme: Scheme, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        self.body = body
        self.headers = _found(scheme, headers)
        self.signature = self.headers[scheme.header.encode()]
        self.signatures, stamp = _CONTAINERS[scheme.container](scheme.label.encode(), self.signature)
        self.stamp = self.headers[scheme.stamp.encode()] if scheme.stamp else stamp
        if self.stamp is not None and not _TIMESTAMP.fullmatch(self.stamp):
            raise BadSignature("malformed-timestamp")
        if scheme.id:
            message = self.headers[scheme.id.encode()]
            if not _PRINTABLE.fullmatch(message):
                raise BadSignature("malformed-id")
            self.id = message.decode("ascii")
        else:
            self.id = "sha256:" + hashlib.sha256(body).hexdigest()

    def content(self, scheme: Scheme, key: bytes) -> bytes:
        """Return the bytes that are signed."""
        return b"".join([_PIECES[piece](self, text, key) for piece, text in scheme._parts])  # noqa: SLF001


def _found(scheme: Scheme, headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in scheme._names:  # noqa: SLF001
            if name in found:
                raise BadSignature("repeated-header")
            found[name] = value
    if len(found) < len(scheme._names):  # noqa: SLF001
        raise BadSignature("missing-header")
    return found


# Templates


def _compile(template: str) -> Iterable[tuple[str, str]]:
    at = 0
    for match in _TOKEN.finditer(template):
        yield "literal", template[at : match.start()]
        piece, _, text = match[1].partition(":")
        if piece not in _PIECES or piece == "literal" or (piece in ("header", "json")) != bool(text):
            raise ConfigError(f"a signed string has no {{{match[1]}}}: see receiver/schemes.py")
        yield piece, text
        at = match.end()
    yield "literal", template[at:]


def _signed_json(body: bytes, pointers: str) -> bytes:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise BadSignature("no-signed-field") from None
    for pointer in pointers.split("|"):
        value: Any = data
        for step in pointer.split("/")[1:]:
            value = value.get(step) if isinstance(value, dict) else None
        if isinstance(value, str) and value.isascii() and value:
            return value.encode()
    raise BadSignature("no-signed-field")


_PIECES: dict[str, Callable[[_Delivery, str, bytes], bytes]] = {
    "literal": lambda _delivery, text, _key: text.encode(),
    "id": lambda delivery, _text, _key: delivery.id.encode(),
    "ts": lambda delivery, _text, _key: delivery.stamp or b"",
    "body": lambda delivery, _text, _key: delivery.body,
    "body_sha256": lambda delivery, _text, _key: hashlib.sha256(delivery.body).hexdigest().encode(),
    "secret": lambda _delivery, _text, key: key,
    "header": lambda delivery, text, _key: delivery.headers[text.encode()],
    "json": lambda delivery, text, _key: _signed_json(delivery.body, text),
}


# Containers: the signatures in a header as they are written, and its timestamp if it has one


def _bare(_label: bytes, value: bytes) -> tuple[list[bytes], bytes | None]:
    return [value], None


def _prefixed(label: bytes, value: bytes) -> tuple[list[bytes], bytes | None]:
    return ([value[len(label) :]] if value.startswith(label) else []), None


def _fields(label: bytes, value: bytes) -> tuple[list[bytes], bytes | None]:
    pairs = [item.strip(b" ").partition(b"=") for item in value.split(b",")]
    stamps = [text for name, _, text in pairs if name == b"t"]
    if len(stamps) != 1:
        raise BadSignature("malformed-timestamp")
    return [text for name, _, text in pairs if name == label], stamps[0]


def _listed(label: bytes, value: bytes) -> tuple[list[bytes], bytes | None]:
    pairs = [item.partition(b",") for item in value.split(b" ")]
    return [text for name, _, text in pairs if name == label], None


_CONTAINERS: dict[str, Callable[[bytes, bytes], tuple[list[bytes], bytes | None]]] = {
    "bare": _bare,
    "prefix": _prefixed,
    "fields": _fields,
    "list": _listed,
}


def _candidates(scheme: Scheme, delivery: _Delivery, skew: float | None) -> list[bytes]:
    """Return the signatures as bytes; malformed ones are passed over, since a good one may stand beside them."""
    if not delivery.signatures:
        raise BadSignature("no-signature", skew=skew)
    if len(delivery.signatures) > MOST_SIGNATURES:
        raise BadSignature("too-many-signatures", skew=skew)
    decoded = [_decoded(text, scheme.encoding) for text in delivery.signatures]
    return [item for item in decoded if item is not None]


def _decoded(text: bytes, encoding: str) -> bytes | None:
    if encoding == "hex":
        return binascii.unhexlify(text) if _HEX.fullmatch(text) else None
    try:
        return base64.b64decode(text) if _BASE64.fullmatch(text) else None
    except binascii.Error:
        return None


# Judges: one per kind, each returns or raises BadSignature


def _judge_digest(scheme: Scheme, delivery: _Delivery, keys: Sequence[bytes], _now: float, skew: float | None) -> None:
    candidates = _candidates(scheme, delivery, skew)
    matched = False
    for key in keys:
        content = delivery.content(scheme, key)
        if scheme.kind == "hmac":
            expected = hmac.digest(key, content, scheme.digest)
        else:
            expected = hashlib.new(scheme.digest, content).digest()
        for candidate in candidates:
            matched |= hmac.compare_digest(expected, candidate)
    if not matched:
        raise BadSignature("wrong-signature", skew=skew)


def _judge_ed25519(scheme: Scheme, delivery: _Delivery, keys: Sequence[bytes], _now: float, skew: float | None) -> None:
    candidates = _candidates(scheme, delivery, skew)
    content = delivery.content(scheme, b"")
    for key in keys:
        for candidate in candidates:
            try:
                Ed25519PublicKey.from_public_bytes(key).verify(candidate, content)
            except (InvalidSignature, ValueError):
                continue
            return
    raise BadSignature("wrong-signature", skew=skew)


def _judge_value(scheme: Scheme, delivery: _Delivery, keys: Sequence[bytes], _now: float, skew: float | None) -> None:
    given = delivery.signatures[0] if delivery.signatures else b""
    if scheme.kind == "basic":
        given = _decoded(given, "base64") or b""
    # Of digests, so that not even the length of the value can be measured.
    proof = hashlib.sha256(given).digest()
    matched = False
    for key in keys:
        matched |= hmac.compare_digest(hashlib.sha256(key).digest(), proof)
    if not matched:
        raise BadSignature("wrong-signature", skew=skew)


def _judge_jwt(scheme: Scheme, delivery: _Delivery, keys: Sequence[bytes], now: float, skew: float | None) -> None:
    head, dot, signature = delivery.signatures[0].rpartition(b".")
    first, second, claims_text = head.partition(b".")
    if not dot or not second or _json_part(first).get("alg") != "RS256":  # never what the token would like
        raise BadSignature("wrong-algorithm", skew=skew)
    proof, claims = _base64url(signature), _json_part(claims_text)
    if not any(_rs256(key, proof, head) for key in keys):
        raise BadSignature("wrong-signature", skew=skew)
    expires = claims.get("exp")
    if not isinstance(expires, int) or isinstance(expires, bool) or not expires >= now - scheme.future:
        raise BadSignature("stale-timestamp", skew=skew)
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if (scheme.issuer and claims.get("iss") != scheme.issuer) or (scheme.audience and scheme.audience not in audiences):
        raise BadSignature("wrong-audience", skew=skew)


def _json_part(text: bytes) -> dict[str, Any]:
    try:
        data = json.loads(_base64url(text))
    except (ValueError, RecursionError):
        raise BadSignature("malformed-token") from None
    if not isinstance(data, dict):
        raise BadSignature("malformed-token")
    return data


def _base64url(text: bytes) -> bytes:
    if not _BASE64URL.fullmatch(text):
        raise BadSignature("malformed-token")
    try:
        return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except binascii.Error:
        raise BadSignature("malformed-token") from None


def _rs256(key: bytes, proof: bytes, content: bytes) -> bool:
    try:
        public = load_der_public_key(key)
        if not isinstance(public, RSAPublicKey):
            return False
        public.verify(proof, content, PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True


_JUDGES: dict[str, Callable[[Scheme, _Delivery, Sequence[bytes], float, float | None], None]] = {
    "hmac": _judge_digest,
    "hash": _judge_digest,
    "ed25519": _judge_ed25519,
    "jwt": _judge_jwt,
    "equals": _judge_value,
    "basic": _judge_value,
}


# Keys


def _shared_key(scheme: Scheme, secret: str) -> bytes:
    secret = secret.removeprefix(scheme.strip)
    if scheme.key == "base64":
        return decode_secret(secret)
    try:
        key = secret.encode()
    except UnicodeEncodeError:
        raise ConfigError("the secret is not text: its bytes are no UTF-8") from None
    if any(word in secret.casefold() for word in PLACEHOLDERS) or len(set(key)) < 2:
        raise ConfigError("the secret is empty or a placeholder: put the provider's own secret there")
    if len(key) < SHORTEST_KEY:
        raise ConfigError(f"the secret is too short: {len(key)} bytes, at least {SHORTEST_KEY} are needed")
    return key


def _ed25519_key(scheme: Scheme, secret: str) -> bytes:
    text = secret.removeprefix(scheme.strip).rstrip("=").translate({ord("-"): "+", ord("_"): "/"})
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        Ed25519PublicKey.from_public_bytes(key)
    except ValueError:
        raise ConfigError("the public key is no ed25519 key: 32 bytes in base64, the `x` of a JWK") from None
    return key


def _rsa_key(_scheme: Scheme, secret: str) -> bytes:
    try:
        public = load_pem_public_key(secret.encode())
    except ValueError:
        raise ConfigError("the public key is no RSA key in PEM") from None
    if not isinstance(public, RSAPublicKey) or public.key_size < 2048:
        raise ConfigError("the public key is no RSA key of 2048 bits or more")
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


_KEYS: dict[str, Callable[[Scheme, str], bytes]] = {"ed25519": _ed25519_key, "jwt": _rsa_key}
