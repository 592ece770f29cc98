"""Signed tokens: JWT in a header, RS256 and nothing else. No I/O, no clock."""

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from .errors import BadSignature


def verify(
    token: bytes, keys: Sequence[bytes], *, now: float, leeway: float, issuer: str | None, audience: str | None
) -> None:
    """Return if one of `keys`, RSA in DER, signed a token that has not ended and is meant for us.

    `leeway` is in seconds. Raises BadSignature and nothing else.
    """
    head, dot, signature = token.rpartition(b".")
    first, second, claims_text = head.partition(b".")
    if not dot or not second or _json(first).get("alg") != "RS256":  # never what the token would like
        raise BadSignature("wrong-algorithm")
    proof, claims = _decoded(signature), _json(claims_text)
    if not any(_rs256(key, proof, head) for key in keys):
        raise BadSignature("wrong-signature")
    expires = claims.get("exp")
    if not isinstance(expires, int) or isinstance(expires, bool) or not expires >= now - leeway:
        raise BadSignature("stale-timestamp")
    meant = claims.get("aud")
    audiences = meant if isinstance(meant, list) else [meant]
    if (issuer and claims.get("iss") != issuer) or (audience and audience not in audiences):
        raise BadSignature("wrong-audience")


def _json(text: bytes) -> dict[str, Any]:
    try:
        data = json.loads(_decoded(text))
    except (ValueError, RecursionError):
        raise BadSignature("malformed-token") from None
    if not isinstance(data, dict):
        raise BadSignature("malformed-token")
    return data


def _decoded(text: bytes) -> bytes:
    """Return what a part says; it has one spelling, in base64url without padding."""
    try:
        found = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except binascii.Error:
        found = b""
    if not found or base64.urlsafe_b64encode(found).rstrip(b"=") != text:
        raise BadSignature("malformed-token")
    return found


def _rs256(key: bytes, proof: bytes, content: bytes) -> bool:
    try:
        public = load_der_public_key(key)
        if not isinstance(public, RSAPublicKey):
            return False
        public.verify(proof, content, PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True
