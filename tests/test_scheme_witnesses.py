"""The vendors' own libraries beside our engine, on deliveries that were tampered with.

Whatever we accept, they accept. Where they accept more, the reason is with the expectation.
"""

import base64
import hmac
import random
import time

import pytest
import standardwebhooks
import svix
import videogen

from receiver.errors import BadSignature
from receiver.schemes import STANDARD
from receiver.sources.profiles import SVIX

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KEY = STANDARD.decode_secret(SECRET)
BODY = b'{"id": "job_1", "status": "completed"}'


def signed(now, prefix):
    digest = hmac.digest(KEY, b"msg_1.%d.%b" % (now, BODY), "sha256")
    return {
        f"{prefix}-id": "msg_1",
        f"{prefix}-timestamp": str(now),
        f"{prefix}-signature": "v1," + base64.b64encode(digest).decode(),
    }


def tampered(dice, headers):
    """Return headers and body with one to three small changes, or none."""
    headers, body = dict(headers), BODY
    for _ in range(dice.randrange(4)):
        name = dice.choice([*headers, "body"])
        if name == "body":
            body = dice.choice([body + b" ", body[:-1], BODY])
            continue
        text = headers[name]
        at = dice.randrange(len(text) + 1)
        headers[name] = dice.choice(
            [text[:at], text[at:], text[:at] + dice.choice("0Aa+/=,.v ") + text[at:], f"v1,AAAA {text}", f"{text} v9,x"]
        )
    return headers, body


def ours(scheme, headers, body, now):
    try:
        scheme.verify([(k.encode(), v.encode()) for k, v in headers.items()], body, keys=[KEY], now=now)
    except BadSignature:
        return False
    return True


def theirs(verify, body, headers):
    try:
        verify(body, headers)
    except Exception:  # noqa: BLE001 - each has errors of its own, and some leak others
        return False
    return True


@pytest.mark.parametrize(
    ("scheme", "prefix", "verify"),
    [
        (STANDARD, "webhook", standardwebhooks.Webhook(SECRET).verify),
        (STANDARD, "webhook", lambda body, headers: videogen.verify_webhook_signature(body, headers, SECRET)),
        (SVIX, "svix", svix.Webhook(SECRET).verify),
    ],
    ids=["standardwebhooks", "videogen", "svix"],
)
def test_whatever_we_accept_the_vendor_s_library_accepts_and_hardly_more(scheme, prefix, verify):
    dice, now = random.Random(5), int(time.time())
    accepted = 0
    for _ in range(1500):
        headers, body = tampered(dice, signed(now, prefix))
        we, they = ours(scheme, headers, body, now), theirs(verify, body, headers)
        accepted += we
        if we:
            # They stumble over entries that are not `label,signature`; we pass over those.
            entries = headers[f"{prefix}-signature"].split(" ")
            assert they or any(entry.count(",") != 1 for entry in entries), headers
        elif they:
            # Stricter: a timestamp with blanks or a fraction is none, base64 is taken as it is written.
            stamp = headers[f"{prefix}-timestamp"]
            assert not stamp.isdigit() or "=" in headers[f"{prefix}-signature"], headers
    assert accepted > 300
