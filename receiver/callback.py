"""The URL at which one job's provider may call back: a token over the job and until when. No I/O, no clock.

It is for providers that sign nothing. Who has the URL can make the receiver ask about that job, and no more.
"""

import base64
import hmac
import re
from collections.abc import Sequence

from .errors import BadSignature, ConfigError

#: What the keys of the vault are used for here, so that no other use of them gives the same bytes.
_PURPOSE = b"media-receiver callback 1"

_FORM = re.compile(r"(job_[0-9a-f]{32})\.([0-9]{1,12})\.([A-Za-z0-9_-]{43})")


class Callbacks:
    """Makes callback URLs and tells whose job one is for. `keys` are those of the vault, newest first."""

    def __init__(self, keys: Sequence[str], public_url: str | None) -> None:
        self._keys = [hmac.digest(key.encode(), _PURPOSE, "sha256") for key in keys]
        self._public_url = public_url

    def url(self, source: str, job: str, *, expires: float) -> str:
        """Return the URL for one of our jobs, good until `expires`, Unix seconds. Raises ConfigError if it cannot."""
        if not self._keys or not self._public_url:
            missing = "RECEIVER_SECRET_KEY" if self._public_url else "RECEIVER_PUBLIC_URL"
            raise ConfigError(f"{missing} is not set, so there is no URL to call back at")
        token = f"{job}.{int(expires)}"
        return f"{self._public_url}/webhooks/{source}/{token}.{_proof(self._keys[0], source, token)}"

    def check(self, source: str, token: str, *, now: float) -> str:
        """Return the job that a token is for. Raises BadSignature if it is none of ours, of another source, or over."""
        found = _FORM.fullmatch(token)
        if found is None:
            raise BadSignature("malformed-token")
        job, expires, proof = found.groups()
        matched = False
        for key in self._keys:
            matched |= hmac.compare_digest(_proof(key, source, f"{job}.{expires}"), proof)
        if not matched:
            raise BadSignature("wrong-token")
        if not now < int(expires):
            raise BadSignature("expired-token")
        return job


def _proof(key: bytes, source: str, token: str) -> str:
    digest = hmac.digest(key, f"{source}\n{token}".encode(), "sha256")
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
