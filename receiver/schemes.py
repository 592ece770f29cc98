"""Every way a provider signs, as data, and the one engine that judges by it. No I/O, no clock, no settings.

A scheme says where the signature is and what it covers. What no scheme may change is fixed here: the raw bytes
count, any key may match any signature, comparisons take the same time whatever matches, a timestamp is a plain
ASCII integer, no header that decides may come twice, a signature has one spelling, algorithms are pinned, and what
is not proved is refused.

Each scheme is compiled once into the few steps that it needs, so that what it does not use costs nothing.
"""

import base64
import binascii
import functools
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from . import tokens
from .errors import BadSignature, ConfigError
from .signatures import PLACEHOLDERS, SHORTEST_KEY, TOLERANCE, decode_secret

Kind = Literal["hmac", "ed25519", "jwt", "hash", "equals", "basic", "none"]

#: What a verdict covers: the whole body, no more than an id in it, who sent it but not what, or nothing.
Trust = Literal["body", "id", "sender", "nothing"]

#: Signatures in one header that are looked at; a sender that replaces its secret gives two.
MOST_SIGNATURES = 16

_is_timestamp = re.compile(rb"[0-9]{1,12}").fullmatch
_is_timestamp_ms = re.compile(rb"[0-9]{1,15}").fullmatch
_is_id = re.compile(rb"[\x21-\x7e]{1,256}").fullmatch
_TOKEN = re.compile(r"\{([^{}]+)\}")

Headers = dict[bytes, bytes]


class Verify(Protocol):
    """How deliveries of one scheme are verified."""

    def __call__(
        self, headers: Iterable[tuple[bytes, bytes]], body: bytes, *, keys: Sequence[bytes], now: float
    ) -> str:
        """Return the message's id if one of `keys` vouches for it: the signed one, or else the body's digest.

        `headers` are raw pairs with lower-case names, as ASGI gives them; `now` is in Unix seconds. Give several
        keys, newest first, while a secret is being replaced. Raises BadSignature and nothing else, whatever the
        sender put in the request.
        """


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
    separator: str = ""  #: between fields or the items of a list; a comma and a space if nothing is said
    encoding: Literal["hex", "base64", "base64url"] = "hex"  #: the last without padding, as in a JWS
    stamp: str | None = None  #: the header of the timestamp; with `fields` it is the field `t` of the signature
    unit: Literal["s", "ms"] = "s"  #: of the timestamp
    past: float = TOLERANCE  #: seconds that a timestamp may be old
    future: float = TOLERANCE  #: seconds that it may be ahead
    id: str | None = None  #: the header of the message id; only a signed one counts
    key: Literal["text", "base64", "hex"] = "text"  #: what a secret is; base64 in either alphabet
    strip: str = ""  #: what a secret may begin with that is not part of it
    issuer: str | None = None  #: jwt: who must have issued it
    #: Whom it must be for, where a provider signs for all its customers with the same keys: `aud` of a token, or what
    #: the signed header `account` says.
    audience: str | None = None
    account: str | None = None
    jwks: str | None = None  #: where its public keys are published
    trust: Trust = "body"
    names: frozenset[bytes] = field(init=False, repr=False, compare=False)  #: the headers that decide, each needed once
    verify: Verify = field(init=False, repr=False, compare=False)  #: see `Verify`

    def __post_init__(self) -> None:
        parts = tuple(_parts(self.template))
        _check(self, {piece for piece, _ in parts})
        object.__setattr__(self, "names", _names(self, parts))
        object.__setattr__(self, "verify", _compile(self, _content(parts)))

    def decode_secret(self, secret: str) -> bytes:
        """Return the key bytes of a secret. Raises ConfigError, without naming it, if it must not be used."""
        return _KEYS.get(self.kind, _shared_key)(self, secret.strip())

    def signed(self, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> str:
        """Return what is signed of a delivery, for people: the body by its size, the secret not at all.

        Raises BadSignature if something of it is missing.
        """
        found = _deciding(self.names, headers)
        stamp = _CONTAINERS[self.container](self)(found[self.header.encode()])[1]
        if self.stamp:
            stamp = found[self.stamp.encode()]
        message = found[self.id.encode()] if self.id else b""
        hidden = {"body": f"<the body, {len(body):,} bytes>", "secret": "<the secret>"}

        def shown(piece: str, text: str) -> str:
            if piece == "literal":
                return text
            return hidden.get(piece) or _PIECES[piece](text)(found, message, stamp, body, b"").decode("latin-1")

        return "".join(shown(piece, text) for piece, text in _parts(self.template))


# The engine: what is common to all kinds

#: Gives the bytes that are signed, of the headers, the message id, the timestamp, the body and the key.
Content = Callable[[Headers, bytes, bytes, bytes, bytes], bytes]

#: Takes a header apart: the signatures as they are written, and the timestamp if it holds one.
Split = Callable[[bytes], tuple[list[bytes], bytes]]

#: Says why none of the signatures fits, None if one does: of the signatures, the keys, and what `Content` takes.
Judge = Callable[[list[bytes], Sequence[bytes], Headers, bytes, bytes, bytes], str | None]


def _compile(scheme: Scheme, content: Content) -> Verify:
    if scheme.kind == "none":
        return _unsigned
    verify = _token(scheme) if scheme.kind == "jwt" else _signed(scheme, content)
    return _for_us(scheme, verify) if scheme.account else verify


def _signed(scheme: Scheme, content: Content) -> Verify:
    names = scheme.names
    header, id_name, stamp_name = scheme.header.encode(), (scheme.id or "").encode(), (scheme.stamp or "").encode()
    stamped = bool(stamp_name) or scheme.container == "fields"
    past, future = -scheme.past, scheme.future
    is_timestamp, seconds = (_is_timestamp, int) if scheme.unit == "s" else (_is_timestamp_ms, _seconds_of_ms)
    split, judge = _CONTAINERS[scheme.container](scheme), _JUDGES[scheme.kind](scheme, content)

    def verify(headers: Iterable[tuple[bytes, bytes]], body: bytes, *, keys: Sequence[bytes], now: float) -> str:
        found = _deciding(names, headers)
        message, skew = b"", None
        if id_name:
            message = found[id_name]
            if not _is_id(message):
                raise BadSignature("malformed-id")
        signatures, stamp = split(found[header])
        if stamped:
            if stamp_name:
                stamp = found[stamp_name]
            if not is_timestamp(stamp):
                raise BadSignature("malformed-timestamp")
            skew = seconds(stamp) - now
        if not (keys and all(keys)):
            keys = _usable(keys, skew)
        # The signature is judged before the clock, so that a stale delivery that is genuine can be told
        # from noise: that difference is how a wrong clock is noticed.
        trouble = judge(signatures, keys, found, message, stamp, body)
        if trouble:
            raise BadSignature(trouble, skew=skew)
        if skew is not None and not past <= skew <= future:  # this way round, a clock that is no number refuses too
            raise BadSignature("stale-timestamp" if skew < 0 else "future-timestamp", skew=skew)
        return message.decode("ascii") if id_name else "sha256:" + hashlib.sha256(body).hexdigest()

    return verify


def _seconds_of_ms(stamp: bytes) -> float:
    return int(stamp) / 1000


def _deciding(names: frozenset[bytes], headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    found: Headers = {}
    for name, value in headers:
        if name in names:
            if name in found:
                raise BadSignature("repeated-header")
            found[name] = value
    if len(found) < len(names):
        raise BadSignature("missing-header")
    return found


def _usable(keys: Sequence[bytes], skew: float | None) -> Sequence[bytes]:
    """Return the keys that are not empty: with an empty one, anybody can sign."""
    found = [key for key in keys if key]
    if not found:
        raise BadSignature("no-secret", skew=skew)
    return found


def _unsigned(headers: Iterable[tuple[bytes, bytes]], body: bytes, *, keys: Sequence[bytes], now: float) -> str:
    raise BadSignature("unsigned")


def _token(scheme: Scheme) -> Verify:
    def verify(headers: Iterable[tuple[bytes, bytes]], body: bytes, *, keys: Sequence[bytes], now: float) -> str:
        token = _deciding(scheme.names, headers)[scheme.header.encode()]
        keys = _usable(keys, None)
        tokens.verify(token, keys, now=now, leeway=scheme.future, issuer=scheme.issuer, audience=scheme.audience)
        return "sha256:" + hashlib.sha256(body).hexdigest()

    return verify


def _for_us(scheme: Scheme, verify: Verify) -> Verify:
    account, ours = (scheme.account or "").encode(), (scheme.audience or "").encode()

    def verify_for_us(headers: Iterable[tuple[bytes, bytes]], body: bytes, *, keys: Sequence[bytes], now: float) -> str:
        pairs = list(headers)
        message = verify(pairs, body, keys=keys, now=now)
        if not ours or not hmac.compare_digest(dict(pairs)[account], ours):
            raise BadSignature("wrong-audience")
        return message

    return verify_for_us


def _names(scheme: Scheme, parts: Iterable[tuple[str, str]]) -> frozenset[bytes]:
    """Return the headers that decide."""
    signed = [text for piece, text in parts if piece == "header"]
    return frozenset(name.encode() for name in (scheme.header, scheme.stamp, scheme.id, *signed) if name)


def _check(scheme: Scheme, pieces: set[str]) -> None:
    if scheme.kind not in ("hmac", "hash", "ed25519"):
        return
    if scheme.account and f"{{header:{scheme.account}}}" not in scheme.template:
        raise ConfigError("an account that is not signed proves nothing: leave it out")
    has_stamp = scheme.stamp is not None or scheme.container == "fields"
    for name, there in (("id", scheme.id is not None), ("ts", has_stamp)):
        if there and name not in pieces:
            raise ConfigError(f"an {name} that is not signed proves nothing: leave it out")
        if name in pieces and not there:
            raise ConfigError(f"a signed string with {{{name}}} needs the header that it is in")


# Signed strings


def _parts(template: str) -> Iterable[tuple[str, str]]:
    at = 0
    for match in _TOKEN.finditer(template):
        yield "literal", template[at : match.start()]
        piece, _, text = match[1].partition(":")
        if piece not in _PIECES or piece == "literal" or (piece in ("header", "json")) != bool(text):
            raise ConfigError(f"a signed string has no {{{match[1]}}}: see receiver/schemes.py")
        yield piece, text
        at = match.end()
    yield "literal", template[at:]


def _content(parts: Sequence[tuple[str, str]]) -> Content:
    """Return what gives the signed bytes; the usual three are put together in one step."""
    form = "".join(text.replace("%", "%%") if piece == "literal" else "%b" for piece, text in parts).encode()
    pieces = [piece for piece, _ in parts if piece != "literal"]
    if pieces == ["id", "ts", "body"]:
        return lambda _found, message, stamp, body, _key: form % (message, stamp, body)
    if pieces == ["ts", "body"]:
        return lambda _found, _message, stamp, body, _key: form % (stamp, body)
    if form == b"%b" and pieces == ["body"]:
        return lambda _found, _message, _stamp, body, _key: body
    made = [_PIECES[piece](text) for piece, text in parts if piece != "literal"]
    return lambda *given: form % tuple(piece(*given) for piece in made)


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


_PIECES: dict[str, Callable[[str], Content]] = {
    "id": lambda _text: lambda _found, message, _stamp, _body, _key: message,
    "ts": lambda _text: lambda _found, _message, stamp, _body, _key: stamp,
    "body": lambda _text: lambda _found, _message, _stamp, body, _key: body,
    "body_sha256": lambda _text: lambda *given: hashlib.sha256(given[3]).hexdigest().encode(),
    "secret": lambda _text: lambda *given: given[4],
    "header": lambda text: lambda found, *_: found[text.encode()],
    "json": lambda text: lambda _found, _message, _stamp, body, _key: _signed_json(body, text),
}


# Containers


def _bare(_scheme: Scheme) -> Split:
    return lambda value: ([value], b"")


def _prefixed(scheme: Scheme) -> Split:
    label = scheme.label.encode()
    return lambda value: ([value[len(label) :]] if value.startswith(label) else [], b"")


def _fields(scheme: Scheme) -> Split:
    label, separator = scheme.label.encode(), (scheme.separator or ",").encode()

    def split(value: bytes) -> tuple[list[bytes], bytes]:
        pairs = [item.strip(b" ").partition(b"=") for item in value.split(separator)]
        stamps = [text for name, _, text in pairs if name == b"t"]
        if len(stamps) != 1:
            raise BadSignature("malformed-timestamp")
        return [text for name, _, text in pairs if name == label], stamps[0]

    return split


def _listed(scheme: Scheme) -> Split:
    label, separator = scheme.label.encode() + b",", (scheme.separator or " ").encode()
    length = len(label)
    return lambda value: ([item[length:] for item in value.split(separator) if item.startswith(label)], b"")


_CONTAINERS: dict[str, Callable[[Scheme], Split]] = {
    "bare": _bare,
    "prefix": _prefixed,
    "fields": _fields,
    "list": _listed,
}


# Judges, one per kind. Signatures are compared as they are written: none has a second spelling but for capitals in
# hexadecimal, and malformed ones are passed over, since a good one may stand beside them.


def _judge_digest(scheme: Scheme, content: Content) -> Judge:
    digest, is_hex, is_hmac = scheme.digest, scheme.encoding == "hex", scheme.kind == "hmac"
    compare, written = hmac.compare_digest, _WRITTEN[scheme.encoding]
    is_base64, base64_of = scheme.encoding == "base64", binascii.b2a_base64

    def judge(
        signatures: list[bytes], keys: Sequence[bytes], found: Headers, message: bytes, stamp: bytes, body: bytes
    ) -> str | None:
        if not 0 < len(signatures) <= MOST_SIGNATURES:
            return "too-many-signatures" if signatures else "no-signature"
        if is_hex:
            signatures = [text.lower() for text in signatures]
        matched = False
        for key in keys:
            signed = content(found, message, stamp, body, key)
            proof = _authenticated(key, signed, digest) if is_hmac else hashlib.new(digest, signed).digest()
            expected = base64_of(proof, newline=False) if is_base64 else written(proof)
            for text in signatures:
                matched |= compare(expected, text)
        return None if matched else "wrong-signature"

    return judge


def _authenticated(key: bytes, signed: bytes, digest: str) -> bytes:
    """Return the HMAC, from a key made ready once: to make it ready takes longer than to digest a delivery."""
    code = _ready(key, digest).copy()
    code.update(signed)
    return code.finalize()


@functools.lru_cache(maxsize=1024)
def _ready(key: bytes, digest: str) -> HMAC:
    return HMAC(key, _DIGESTS[digest])


_DIGESTS = {"sha1": hashes.SHA1(), "sha256": hashes.SHA256(), "sha512": hashes.SHA512()}  # noqa: S303 - some sign so


def _judge_ed25519(scheme: Scheme, content: Content) -> Judge:
    def judge(
        signatures: list[bytes], keys: Sequence[bytes], found: Headers, message: bytes, stamp: bytes, body: bytes
    ) -> str | None:
        if not 0 < len(signatures) <= MOST_SIGNATURES:
            return "too-many-signatures" if signatures else "no-signature"
        proofs = [_decoded(text, scheme.encoding) for text in signatures]
        signed = content(found, message, stamp, body, b"")
        return None if any(_ed25519(key, proof, signed) for key in keys for proof in proofs) else "wrong-signature"

    return judge


def _ed25519(key: bytes, proof: bytes, signed: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(proof, signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def _judge_value(scheme: Scheme, _content: Content) -> Judge:
    is_basic = scheme.kind == "basic"

    def judge(
        signatures: list[bytes], keys: Sequence[bytes], _found: Headers, _message: bytes, _stamp: bytes, _body: bytes
    ) -> str | None:
        if not signatures:
            return "no-signature"
        given = _decoded(signatures[0], "base64") if is_basic else signatures[0]
        # Of digests, so that not even the length of the value can be measured.
        proof = hashlib.sha256(given).digest()
        matched = False
        for key in keys:
            matched |= hmac.compare_digest(hashlib.sha256(key).digest(), proof)
        return None if matched else "wrong-signature"

    return judge


def _decoded(text: bytes, encoding: str) -> bytes:
    """Return what a signature says, nothing if it is not written as this would be."""
    try:
        found = _READ[encoding](text)
    except ValueError:
        return b""
    return found if _WRITTEN[encoding](found) == (text.lower() if encoding == "hex" else text) else b""


def _base64url(proof: bytes) -> bytes:
    return base64.urlsafe_b64encode(proof).rstrip(b"=")


def _from_base64url(text: bytes) -> bytes:
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))


#: How the bytes of a signature are written, and read; the reading is lax, and what it gives is written again.
_WRITTEN: dict[str, Callable[[bytes], bytes]] = {
    "hex": binascii.hexlify,
    "base64": functools.partial(binascii.b2a_base64, newline=False),
    "base64url": _base64url,
}
_READ: dict[str, Callable[[bytes], bytes]] = {
    "hex": binascii.unhexlify,
    "base64": base64.b64decode,
    "base64url": _from_base64url,
}


_JUDGES: dict[str, Callable[[Scheme, Content], Judge]] = {
    "hmac": _judge_digest,
    "hash": _judge_digest,
    "ed25519": _judge_ed25519,
    "equals": _judge_value,
    "basic": _judge_value,
}


# Keys


def _shared_key(scheme: Scheme, secret: str) -> bytes:
    secret = secret.removeprefix(scheme.strip)
    if scheme.key == "base64":
        return decode_secret(secret)
    if scheme.key == "hex":
        return decode_secret(_base64_of(secret))
    try:
        key = secret.encode()
    except UnicodeEncodeError:
        raise ConfigError("the secret is not text: its bytes are no UTF-8") from None
    if any(word in secret.casefold() for word in PLACEHOLDERS) or len(set(key)) < 2:
        raise ConfigError("the secret is empty or a placeholder: put the provider's own secret there")
    if len(key) < SHORTEST_KEY:
        raise ConfigError(f"the secret is too short: {len(key)} bytes, at least {SHORTEST_KEY} are needed")
    return key


def _base64_of(secret: str) -> str:
    try:
        return base64.b64encode(bytes.fromhex(secret)).decode()
    except ValueError:
        raise ConfigError("the secret is not hexadecimal: put the provider's own secret there") from None


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

#: Standard Webhooks: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
STANDARD = Scheme(
    kind="hmac",
    template="{id}.{ts}.{body}",
    header="webhook-signature",
    container="list",
    label="v1",
    encoding="base64",
    stamp="webhook-timestamp",
    id="webhook-id",
    key="base64",
)
